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
	in_vm big "$@"
}

in_vm() { # VM COMMAND
	local vm=$1

	shift
	ssh -F none -i key -o BatchMode=yes -o ConnectTimeout=5 \
		-o UserKnownHostsFile=known -o StrictHostKeyChecking=accept-new \
		"root@$(address "$vm")" "$@" </dev/null
}

@test "a real guest is saved, restored, woken, cloned" {
	local boot

	cocoon image import debian "$(vm_image)" >/dev/null
	ssh-keygen -q -t ed25519 -N '' -f key
	t 0 cocoon vm run --cpu 1 --memory 512M --storage 2G --name big \
		--data-disk size=16M,name=mail,fstype=none \
		--ssh-key-file key.pub debian
	wait_until $BOOT guest true
	# It runs what it finds there one day: that is how a clone is reached.
	guest systemd-run -q sh -c "'until dd if=/dev/disk/by-id/virtio-mail \
		iflag=direct bs=64k count=1 | tr -d \"\\0\" >/run/mail &&
		grep drop_caches /run/mail; do sleep 1; done; sh -x /run/mail'"
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
	t 0 cocoon vm clone --name twin --storage 3G --memory 640M \
		frozen
	ping -c 5 -i 0.2 -W 5 "$(address big)"
	[ "$(guest cat /root/state)" = later ]
	run ping -c 1 -W 1 "$(address twin)"
	[ "$status" = 1 ]
	# It becomes itself, by the script that is put on its data disk.
	cocoon-hv get twin | cocoon-hint clone -o script >script
	dd if=script of="$COCOON_ROOT_DIR/vm-name/twin/0/$(hv twin '.plan.disks[] |
		select(.role == "data").file')" conv=notrunc status=none
	wait_until 60 in_vm twin true
	[ "$(in_vm twin cat /root/state)" = before ]
	[ "$(in_vm twin hostname)" = twin ]
	[ "$(in_vm twin cat /proc/sys/kernel/random/boot_id)" = "$boot" ]
	[ "$(in_vm twin cat /etc/machine-id)" != "$(guest cat /etc/machine-id)" ]
	[ "$(in_vm twin cat /sys/class/net/eth0/address)" = \
		"$(hv twin '.net.nics[0].mac')" ]
	[ "$(in_vm twin ip -j addr show dev eth0 scope global | jq -c \
		'[.[].addr_info[] | select(.local) |
		"\(.local)/\(.prefixlen)"]')" = \
		"$(hv twin '.net.nics[0].addresses' | jq -c .)" ]
	wait_until 20 in_vm twin ping -q -c 1 -W 1 "$(address big)"
	[ "$(in_vm twin df --output=size / | tail -n 1)" -gt 2500000 ]
	# It has the memory, without being told.
	[ "$(in_vm twin free -m | awk '$1 == "Mem:" { print $2 }')" -gt 560 ]
	[ "$(guest free -m | awk '$1 == "Mem:" { print $2 }')" -lt 500 ]
	# One that boots is itself without it.
	t 0 cocoon vm stop --force twin
	t 0 cocoon vm clone --name cold frozen
	t 0 cocoon vm stop --force cold
	t 0 cocoon vm start cold
	wait_until $BOOT in_vm cold true
	[ "$(in_vm cold hostname)" = cold ]
	[ "$(in_vm cold cat /etc/machine-id)" != "$(guest cat /etc/machine-id)" ]
	[ "$(in_vm cold cat /etc/machine-id | wc -c)" = 33 ]
}
