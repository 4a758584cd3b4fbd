#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# Snapshots of the real Firecracker, of COCOON_TEST_FC or PATH, with a guest
# that counts in its memory (tests/double/pvhguest.S).

load lib
load hv
load saves

BACKEND=fc STATE=vmstate MEMORY=mem
FC=${COCOON_TEST_FC:-$(command -v firecracker || true)}

setup_file() {
	host_netns
	have $STORE_NEEDS objcopy || return 0
	mini_build
	pvh_build
	cp "$BATS_FILE_TMPDIR/mini/pvh" "$BATS_FILE_TMPDIR/mini/kernel"
	mini_store
}

setup() {
	host_netns
	need $STORE_NEEDS objcopy
	[ -n "$FC" ] ||
		skip_for "COCOON_TEST_FC or a firecracker in PATH is missing"
	need /dev/kvm /dev/net/tun
	setup_root
	mini_setup
	mini_store_setup
	cd "$BATS_TEST_TMPDIR"
	export COCOON_FC_BINARY=$FC COCOON_KVM=yes
	open_nodes 0666
}

# As a guest would, at the end of the disk: it has no driver for Firecracker's.
writes() {
	printf %06d "$2" | dd of="$(cow "$1")" bs=1 seek=60000000 \
		conv=notrunc status=none
}

reads() {
	[ "$(dd if="$(cow "$1")" bs=1 skip=60000000 count=6 status=none)" = \
		"$(printf %06d "$2")" ]
}

cow() {
	echo "$COCOON_ROOT_DIR/vm-name/$1/$(hv "$1" .hv.generation)/cow.raw"
}

teardown() {
	net_teardown
	close_nodes
}

@test "save: what is kept, what it costs; the guest goes on" {
	saves_keep
}

@test "restore: in place, running or stopped; memory and disk are back" {
	saves_restore
	# What it saves now is all of its memory.
	hv_is web .hv.loaded true
	# A reset is an end, and it boots with what it has: the kernel is there.
	key web q
	wait_until 20 hv_is web .hv.state stopped
	t 0 cocoon vm start web
	hv_is web '.hv.loaded // false' false
	wait_until 20 greeted web 2
	counts web 1
}

@test "hibernate: the VM ends, start wakes it" {
	saves_hibernate
}

@test "clones, of clones, of clones, and a fan; the source is gone" {
	saves_clones
}

@test "clone: a larger disk" {
	run_vm web --nics 0
	save one web
	t 0 cocoon vm clone --name big --storage 128M one
	[ "$(stat -Lc %s "$COCOON_ROOT_DIR/vm-name/big/0/cow.raw")" = \
		134217728 ]
	counts big 1
	t 2 cocoon vm clone --name less --memory 32M one
	t 7 cocoon vm clone --name more --memory 128M one
	t 7 cocoon vm clone --name more --data-disk size=16M one
	t 7 cocoon vm clone --name more --restore-mode copy one
	t 0 cocoon vm clone --name mapped --restore-mode mmap one
	counts mapped 1
}

# has VM: its drives and NICs, as its Firecracker tells of them, in order.
has() {
	(cd "$COCOON_ROOT_DIR/vm-name/$1/$(hv "$1" .hv.generation)" &&
		curl -s --max-time 10 --unix-socket api.sock \
			http://localhost/vm/config) |
		jq -r '[.drives[].drive_id, .["network-interfaces"][].iface_id] |
			sort | join(" ")'
}

@test "clone: disks and NICs are plugged in where there is PCI" {
	local version want

	need curl
	version=$("$FC" --version | sed -n 's/^Firecracker v//p')
	t 7 cocoon vm run $SMALL --backend qemu --pci --name q mini
	if [[ $version == 1.12.* ]]; then
		t 7 cocoon vm run $SMALL --fc --pci --name web mini
		says "has no PCI"
		return
	fi
	run_vm web --pci
	tr '\0' ' ' <"/proc/$(vm_pid web)/cmdline" | grep -q -- --enable-pci
	[[ $(hv web .boot.cmdline) == *reboot=k* ]]
	[[ $(hv web .boot.cmdline) != *pci=off* ]]
	counts web 1
	save one web
	[ "$(has web)" = "disk0 disk1 disk2 disk3 eth0" ]
	case $version in
	1.1[345].*)
		t 7 cocoon vm clone --name more --nics 2 one
		says "from 1.16 on"
		t 0 cocoon vm clone --name twin one
		counts twin 2
		return
		;;
	esac
	want="disk0 disk1 disk2 disk3 disk4 eth0 eth1 eth2"
	t 0 cocoon vm clone --name more --nics 3 --data-disk size=16M,name=db one
	[ "$(has more)" = "$want" ]
	counts more 2
	cocoon-hv get more | cocoon-hint clone --format script >script
	grep -q 'rescan$' script
	grep -q 'mount -t ext4 /dev/vde' script
	save two more
	t 0 cocoon vm clone --name third two
	[ "$(has third)" = "$want" ]
	counts third 3
	own_files third
	t 0 cocoon vm stop --force third
	t 0 cocoon vm start third
	[ "$(has third)" = "$want" ]
	wait_until 20 greeted third
}

@test "clones share the memory that they have not written" {
	local map

	run_vm web --nics 0
	save one web
	t 0 cocoon vm clone --name leaf -n 2 one
	# One file, of the snapshot, mapped by both.
	for vm in 1 2; do
		map=$(awk '$6 ~ /mem$/ { print $4, $5 }' \
			"/proc/$(vm_pid "leaf-$vm")/maps" | sort -u)
		[ "${map#* }" = "$(stat -c %i "$snap/mem")" ]
	done
}

@test "a clone is saved by what it has written since, and it is all there" {
	local base

	run_vm web --memory 128M
	save one web
	t 0 cocoon vm clone --name leaf one
	base=$COCOON_ROOT_DIR/vm-name/leaf/pin/base
	[ "$(stat -c %i "$base")" = "$(stat -c %i "$snap/mem")" ]
	counts leaf 1
	# It is merged into a copy: a page that the guest has not touched is
	# from there.
	cp --sparse=always "$base" marked
	printf marked | dd of=marked bs=1 seek=120000000 conv=notrunc status=none
	rm "$base"
	cp marked "$base"
	t 0 cocoon vm pause leaf
	save two leaf
	[ "$(dd if="$snap/mem" bs=1 skip=120000000 count=6 status=none)" = \
		marked ]
	[ "$(stat -c %i "$base")" = "$(stat -c %i "$snap/mem")" ]
	cp --sparse=always "$snap/mem" merged
	# Without a base: all of it, and that is the next one's base.
	rm "$base"
	save three leaf
	head -c 6 /dev/zero |
		dd of=merged bs=1 seek=120000000 conv=notrunc status=none
	cmp merged "$snap/mem"
	t 0 cocoon vm resume leaf
	counts leaf 2
	# One that came to nothing has been a dump, too.
	t 5 cocoon snapshot save --name one leaf
	counts leaf 3
	t 0 cocoon vm pause leaf
	save merged leaf
	cp --sparse=always "$snap/mem" merged
	rm "$base"
	save whole leaf
	cmp merged "$snap/mem"
	t 0 cocoon vm resume leaf
	save four leaf
	t 0 cocoon vm rm --force web leaf
	t 0 cocoon snapshot rm one two three merged whole
	t 0 cocoon vm clone --name last four
	counts last 4
	save five last
	counts last 5
	t 0 cocoon vm restore last five
	key last +
	wait_until 20 more_lines 1 last "count 000005"
	# Nothing of it is kept for a VM that does not run.
	t 0 cocoon vm stop --force last
	[ ! -e "$COCOON_ROOT_DIR/vm-name/last/pin.1/base" ]
	[ -z "$(find "$COCOON_ROOT_DIR/vm" -name base)" ]
}

@test "a snapshot of another version is refused, with what to do" {
	saves_version COCOON_FC_BINARY "Firecracker v1.15.9"
}

damage() {
	printf x | dd of="$snap/vmstate" bs=1 seek=100 conv=notrunc status=none
}

@test "a state that was changed: restore leaves the VM stopped, as it was" {
	saves_damaged damage
}

@test "a capture that is interrupted, or killed: the guest goes on" {
	saves_interrupted
}

@test "save: what the VMM has put into the directory is no file of its own" {
	saves_foreign
}
