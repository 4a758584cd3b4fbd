#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2086
# build: plain
# Snapshots of a real guest: what it has in memory and on disk, and its network.

load lib
load hv
load vm-image

BOOT=240 # seconds at most
NEEDS="$STORE_NEEDS ping ssh ssh-keygen"

setup_file() {
	host_netns
}

setup() {
	need $NEEDS
	setup_root
	need_vm_image
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	net_teardown
}

address() {
	hv "$1" '.net.nics[0].addresses[0]' | cut -d/ -f1
}

# guest COMMAND: by ssh, in big
guest() {
	ssh -F none -i key -o BatchMode=yes -o ConnectTimeout=5 \
		-o UserKnownHostsFile=known -o StrictHostKeyChecking=accept-new \
		"root@$(address big)" "$@" </dev/null
}

@test "a real guest is saved, restored, woken, cloned" {
	local boot

	cocoon image import debian "$(vm_image)" >/dev/null
	ssh-keygen -q -t ed25519 -N '' -f key
	t 0 cocoon vm run --cpu 1 --memory 512M --storage 2G --name big \
		--ssh-key-file key.pub debian
	wait_until $BOOT guest true
	boot=$(guest cat /proc/sys/kernel/random/boot_id)
	guest 'echo before >/root/state && sync'
	t 0 cocoon snapshot save --name frozen big
	guest 'echo after >/root/state && sync'
	t 0 cocoon vm restore big frozen
	wait_until 60 guest true
	[ "$(guest cat /root/state)" = before ]
	[ "$(guest cat /proc/sys/kernel/random/boot_id)" = "$boot" ]
	guest 'echo later >/root/state'
	t 0 cocoon vm hibernate big
	t 0 cocoon vm start big
	wait_until 60 guest true
	[ "$(guest cat /root/state)" = later ]
	[ "$(guest cat /proc/sys/kernel/random/boot_id)" = "$boot" ]
	# A clone believes to be big, and does not disturb it.
	t 0 cocoon vm clone --name twin frozen
	ping -c 5 -i 0.2 -W 5 "$(address big)"
	[ "$(guest cat /root/state)" = later ]
	run ping -c 1 -W 1 "$(address twin)"
	[ "$status" = 1 ]
}
