#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# run: first
# build: plain
# A real guest whose initramfs is as the Go program's images have it: it reads
# no seed, and sets up one NIC of the ip= words. The tests go on from each
# other.

load lib
load hv
load vm-image

NEEDS="$STORE_NEEDS ping ssh ssh-keygen cpio lz4"
BOOT=240 # seconds at most

environment() {
	export COCOON_ROOT_DIR=$BATS_FILE_TMPDIR/root
	export COCOON_STATE_RUN=$BATS_FILE_TMPDIR/run
	KEY=$BATS_FILE_TMPDIR/key
}

setup_file() {
	host_netns
	environment
	mkdir -m 700 "$COCOON_ROOT_DIR"
	mkdir "$COCOON_STATE_RUN"
	have $NEEDS || return 0
	layout=$(vm_image) || return 0
	"$TOP/tests/double/peer-image" "$layout" "$BATS_FILE_TMPDIR/peer"
	cocoon-img import peer "$BATS_FILE_TMPDIR/peer" >/dev/null
	rm -rf "$BATS_FILE_TMPDIR/peer"
	ssh-keygen -q -t ed25519 -N '' -f "$KEY"
	cocoon vm run --cpu 1 --memory 512M --storage 1G --name p --nics 3 \
		--user alice --ssh-key-file "$KEY.pub" \
		--password-file <(echo sesame) \
		--data-disk 'size=64M,name=db,mount=/srv/my db' peer \
		2>&1 3>&- | cat
	wait_until $BOOT guest true
}

setup() {
	need $NEEDS
	environment
	need_vm_image
}

teardown_file() {
	environment
	[ -d "$COCOON_ROOT_DIR/vm" ] || return 0
	mini_teardown
	cocoon gc --all >/dev/null
}

address() {
	hv p ".net.nics[$1].addresses[0]" | cut -d/ -f1
}

guest() {
	ssh -F none -i "$KEY" -o BatchMode=yes -o ConnectTimeout=5 \
		-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
		-o StrictHostKeyChecking=no "alice@$(address 0)" "$@" </dev/null
}

same_addresses() {
	[ "$(guest ip -j addr show scope global | jq -c '[.[] |
		[.addr_info[] | select(.local) | "\(.local)/\(.prefixlen)"]]')" = \
		"$(hv p '[.net.nics[].addresses]' | jq -c .)" ]
}

@test "the image reads no seed by itself" {
	t 0 guest 'ls /run/cocoon /usr/lib/cocoon/account; cat /proc/1/comm'
	[[ $stderr == *"/run/cocoon"*"/usr/lib/cocoon/account"* ]]
	[ "$output" = systemd ]
}

@test "every NIC has its address at the first boot, and answers" {
	same_addresses
	for i in 0 1 2; do
		ping -c 1 -W 5 "$(address $i)"
	done
}

@test "routes: the first NIC's before the others'" {
	[ "$(guest ip -j route show default |
		jq -c '[.[] | [.dev, .metric // 0]]')" = \
		'[["eth0",0],["eth1",1025],["eth2",1026]]' ]
}

@test "host name, DNS, user, sudo, password, data disk" {
	[ "$(guest hostname)" = p ]
	[ "$(guest grep -c nameserver /etc/resolv.conf)" = 2 ]
	[ "$(guest sudo id -u)" = 0 ]
	[ "$(guest sudo grep alice /etc/shadow | cut -d: -f2)" = \
		"$(cocoon-hv get p | jq -r .boot.password_hash)" ]
	[ "$(guest 'findmnt -no FSTYPE "/srv/my db"')" = ext4 ]
	guest cat /etc/machine-id >"$BATS_FILE_TMPDIR/machine-id"
}

@test "a second boot: all of it again, and the same machine-id" {
	t 0 cocoon vm stop p
	t 0 cocoon vm start p
	wait_until $BOOT guest true
	same_addresses
	[ "$(guest cat /etc/machine-id)" = \
		"$(cat "$BATS_FILE_TMPDIR/machine-id")" ]
	[ "$(guest grep -c 'virtio-db' /etc/fstab)" = 1 ]
}
