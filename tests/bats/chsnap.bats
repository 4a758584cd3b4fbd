#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# Snapshots of the real Cloud Hypervisor, of COCOON_TEST_CH or PATH, with a guest
# that counts in its memory and on its disk (tests/double/pvhguest.S, pvhdisk.S).

load lib
load hv
load saves

BACKEND=ch STATE=state.json MEMORY=memory-ranges
CH=${COCOON_TEST_CH:-$(command -v cloud-hypervisor || true)}

setup_file() {
	host_netns
	have $STORE_NEEDS objcopy || return 0
	mini_build
	pvh_build
	cp "$BATS_FILE_TMPDIR/mini/pvh" "$BATS_FILE_TMPDIR/mini/kernel"
	mini_store
	[ -z "$CH" ] || ch_saves "$CH"
	export CH_SAVES
}

setup() {
	host_netns
	need $STORE_NEEDS objcopy
	[ -n "$CH" ] ||
		skip_for "COCOON_TEST_CH or a cloud-hypervisor in PATH is missing"
	need /dev/kvm /dev/net/tun
	[ ! -e /sys/module/kvm_pvm ] || need patchelf
	setup_root
	mini_setup
	mini_store_setup
	cd "$BATS_TEST_TMPDIR"
	export COCOON_CH_BINARY=$CH_SAVES COCOON_KVM=yes
	open_nodes 0666
}

teardown() {
	net_teardown
	umount "$COCOON_ROOT_DIR" 2>/dev/null || true
	close_nodes
}

# writes VM: its guest writes what it has counted to its disk.
writes() {
	local n

	n=$(lines "$1" wrote)
	key "$1" W
	wait_until 20 more_lines "$n" "$1" wrote
}

# reads VM N: its guest finds that there.
reads() {
	local n

	n=$(lines "$1" "disk $(printf %06d "$2")")
	key "$1" R
	wait_until 20 more_lines "$n" "$1" "disk $(printf %06d "$2")"
}

at_least() { # VERSION
	[ "$(printf '%s\n' "$1" "$("$CH" --version |
		sed -n '1s/.* v//p')" | sort -V | head -n 1)" = "$1" ]
}

@test "save: what is kept, what it costs; the guest goes on" {
	saves_keep
}

@test "restore: in place, running or stopped; memory and disk are back" {
	saves_restore
	# A reset boots, with what it has: kernel and disk are there.
	writes web
	key web q
	wait_until 20 greeted web 2
	reads web 2
	t 0 cocoon vm stop --force web
	t 0 cocoon vm start web
	wait_until 20 greeted web 3
	reads web 2
}

@test "hibernate: the VM ends, start wakes it" {
	saves_hibernate
}

@test "clones, of clones, of clones, and a fan; the source is gone" {
	saves_clones
}

@test "clone: a larger disk, where the version can" {
	run_vm web --nics 0
	save one web
	if at_least 52.0; then
		t 0 cocoon vm clone --name big --storage 128M one
		[ "$(stat -Lc %s "$COCOON_ROOT_DIR/vm-name/big/0/cow.raw")" = \
			134217728 ]
		counts big 1
	else
		t 7 cocoon vm clone --name big --storage 128M one
		says "--storage"
		says "v52.0"
		t 4 cocoon vm inspect big
		# A disk that has grown stays so: then nothing is restored.
		t 0 cocoon vm stop --force web
		t 0 cocoon vm resize --storage 128M web
		t 7 cocoon vm restore web one
		says "larger than the snapshot's"
		hv_is web .hv.generation 0
	fi
	t 2 cocoon vm clone --name less --memory 32M one
	t 2 cocoon vm clone --name more --memory 128M one
}

@test "a snapshot of another version is refused, with what to do" {
	saves_version COCOON_CH_BINARY "cloud-hypervisor v52.3"
}

damage() {
	cp "$snap/state.json" whole
	jq -jc '.snapshots["cpu-manager"] = {}' whole >less
	printf %*s $(($(stat -c %s whole) - $(stat -c %s less))) '' >>less
	cat less >"$snap/state.json"
}

@test "a state that was changed: restore leaves the VM stopped, as it was" {
	saves_damaged damage
}

@test "a capture that is interrupted, or killed: the guest goes on" {
	saves_interrupted
}

@test "save: zeros are not written to a disk that punches late" {
	local disk before written

	need mkfs.xfs
	truncate -s 1G xfs
	mkfs.xfs -q xfs
	mv "$COCOON_ROOT_DIR" store
	mkdir "$COCOON_ROOT_DIR"
	mount -o loop xfs "$COCOON_ROOT_DIR" || skip_for "a loop device with XFS"
	cp -a store/. "$COCOON_ROOT_DIR"
	disk=/sys/block/$(basename "$(findmnt -no SOURCE "$COCOON_ROOT_DIR")")/stat
	run_vm web --nics 0 --memory 256M
	counts web 1
	sync
	before=$(awk '{ print $7 }' "$disk")
	save one web
	sync
	written=$(($(awk '{ print $7 }' "$disk") - before))
	echo "$((written / 2)) KiB written"
	[ "$written" -lt $((32 * 2048)) ]
	[ "$(du -k "$snap/$MEMORY" | cut -f 1)" -lt 8192 ]
	cocoon vm rm --force web
}

@test "save: a full disk: the guest goes on, nothing is left" {
	# The store of images is beside it, so that links are copies.
	mount -t tmpfs -o size=96M,mode=755 tmpfs "$COCOON_ROOT_DIR"
	cp -a "$BATS_FILE_TMPDIR/mini/store/image" "$COCOON_ROOT_DIR/"
	run_vm web --nics 0 --memory 128M
	counts web 1
	t 1 cocoon snapshot save --name one web
	says "No space left"
	messages 1
	no_capture_left
	[ ! -e "$COCOON_ROOT_DIR/vm-name/web/0/s" ]
	hv_is web .hv.state running
	counts web 2
}

@test "save: what the VMM has put into the directory is no file of its own" {
	local dir

	saves_foreign
	dir=$COCOON_ROOT_DIR/vm-name/web/0
	# CPUs that the record does not know of.
	if [ "$(nproc)" -gt 1 ]; then
		curl -s --unix-socket "$dir/api.sock" -X PUT \
			-H 'Content-Type: application/json' \
			-d '{"desired_vcpus":2}' \
			http://localhost/api/v1/vm.resize
		t 5 cocoon snapshot save --name two web
		says "it has 2 CPUs"
		no_capture_left
		hv_is web .hv.state running
		counts web 1
	fi
}

@test "what was resized while it ran is saved, restored and cloned so" {
	local n

	run_vm web --nics 0 --memory 256M
	counts web 1
	t 0 cocoon vm resize --memory 128M web
	[ "$(nproc)" = 1 ] || t 0 cocoon vm resize --cpu 2 web
	save one web
	t 0 cocoon vm restore web one
	n=$(lines web "count 000002")
	key web +
	wait_until 20 more_lines "$n" web "count 000002"
	t 0 cocoon vm clone --name twin one
	counts twin 2
	[ "$(nproc)" = 1 ] || hv_is twin .plan.cpu 2
	# And what runs of a snapshot can be resized, and saved again.
	t 0 cocoon vm resize --memory 256M twin
	if at_least 52.0; then
		t 0 cocoon vm resize --storage 80M twin
	fi
	save two twin
	t 0 cocoon vm clone --name third two
	counts third 3
	writes third
	reads third 3
}

@test "clone: another CPU is plugged in, or refused" {
	vcpus() {
		cat "/proc/$(vm_pid "$1")/task"/*/comm | grep -c '^vcpu[0-9]'
	}
	run_vm web --cpu 1
	counts web 1
	save one web
	t 7 cocoon vm clone --name more --cpu 1000 one
	says 'room for'
	if [ "$(nproc)" = 1 ]; then
		t 0 cocoon vm list
		return
	fi
	t 0 cocoon vm clone --name more --cpu 2 one
	[ "$(vcpus more)" = 2 ]
	hv_is more .plan.cpu 2
	counts more 2
	cocoon-hv get more | cocoon-hint clone --format script | grep cpu/cpu
	save two more
	t 2 cocoon vm clone --name less --cpu 1 two
	t 0 cocoon vm clone --name third two
	[ "$(vcpus third)" = 2 ]
	counts third 3
	# In place, too; and what hibernates has what it had.
	t 0 cocoon vm restore --cpu 2 web one
	[ "$(vcpus web)" = 2 ]
	counts web 2
	t 0 cocoon vm hibernate web
	t 5 cocoon vm resize --cpu 1 web
	says 'it hibernates'
	t 0 cocoon vm start web
	[ "$(vcpus web)" = 2 ]
}

@test "clone: memory is plugged in, in steps" {
	memory() {
		asks "$1" vm.info | jq .memory_actual_size
	}
	need curl
	run_vm web --nics 0 --memory 128M
	counts web 1
	save one web
	t 2 cocoon vm clone --name more --memory 200M one
	says 'steps of 128MiB'
	t 7 cocoon vm clone --name more --memory 512T one
	says 'room for'
	t 0 cocoon vm clone --name more --memory 384M one
	[ "$(memory more)" = 402653184 ]
	hv_is more .plan.memory 402653184
	counts more 2
	cocoon-hv get more | cocoon-hint clone --format script |
		grep -q memory/memory
	save two more
	[ "$(stat -c %s "$snap/memory-ranges")" = 402653184 ]
	t 2 cocoon vm clone --name less --memory 128M two
	t 0 cocoon vm clone --name third two
	[ "$(memory third)" = 402653184 ]
	counts third 3
	t 0 cocoon vm stop --force third
	t 0 cocoon vm start third
	[ "$(memory third)" = 402653184 ]
	# As a running one gets it, and in place.
	t 0 cocoon vm resize --memory 256M web
	[ "$(memory web)" = 268435456 ]
	save three web
	t 0 cocoon vm restore web three
	[ "$(memory web)" = 268435456 ]
	counts web 2
}

# asks VM API: what its hypervisor answers.
asks() {
	(cd "$COCOON_ROOT_DIR/vm-name/$1/$(hv "$1" .hv.generation)" &&
		curl -s --max-time 10 --unix-socket api.sock \
			"http://localhost/api/v1/$2")
}

@test "clone: a data disk is plugged in; not on a VM that would lose it" {
	disks() {
		asks "$1" vm.info | jq -c '[.config.disks[].id]'
	}
	need curl
	run_vm web --nics 0 --data-disk size=16M,name=db
	counts web 1
	save one web
	t 2 cocoon vm clone --data-disk size=16M,name=db one
	says 'two disks named'
	t 0 cocoon vm clone --name more \
		--data-disk 'size=32M,name=log,mount=/srv/a b' one
	counts more 2
	[ "$(disks more)" = "$(disks web | jq -c '. + ["disk\(length)"]')" ]
	[ "$(stat -Lc %s "$COCOON_ROOT_DIR/vm-name/more/0/data-log.raw")" = \
		33554432 ]
	[ "$(blkid -o value -s TYPE \
		"$COCOON_ROOT_DIR/vm-name/more/0/data-log.raw")" = ext4 ]
	cocoon-hv get more | cocoon-hint clone --format script |
		grep -q "mount -t ext4 /dev/disk/by-id/virtio-log '/srv/a b'"
	# It stays with the clones of the clone, and boots with it.
	printf mark | dd of="$COCOON_ROOT_DIR/vm-name/more/0/data-log.raw" bs=1 \
		seek=20000000 conv=notrunc status=none
	save two more
	t 0 cocoon vm clone --name third two
	counts third 3
	[ "$(dd if="$COCOON_ROOT_DIR/vm-name/third/0/data-log.raw" bs=1 \
		skip=20000000 count=4 status=none)" = mark ]
	[ "$(disks third)" = "$(disks more)" ]
	t 0 cocoon vm stop --force third
	t 0 cocoon vm start third
	[ "$(disks third)" = "$(disks more)" ]
	t 5 cocoon vm restore third one
	says 'lacks data-log.raw'
	t 7 cocoon vm clone --queue-size 64 one
	says 'frozen'
}

@test "clone: how its memory comes back" {
	local version major

	version=$("$CH_SAVES" --version | sed -n 's/^cloud-hypervisor v//p')
	major=${version%%.*}
	run_vm web --nics 0
	counts web 1
	save one web
	t 0 cocoon vm clone --name copied --restore-mode copy one
	counts copied 2
	if [ "$major" -lt 54 ]; then
		t 7 cocoon vm clone --restore-mode mmap one
		says v54.0
	fi
	mknod -m 600 uffd c "$(awk '$2 == "userfaultfd" { print 10 }' \
		/proc/misc)" "$(awk '$2 == "userfaultfd" { print $1 }' /proc/misc)"
	mount --bind uffd /dev/userfaultfd
	if [ "$major" -lt 52 ]; then
		t 7 cocoon vm clone --on-demand one
		says v52.0
	else
		t 7 cocoon vm clone --on-demand one
		says '/dev/userfaultfd'
		chmod 666 uffd
		t 0 cocoon vm clone --name lazy --on-demand one
		counts lazy 2
		hv_is lazy .plan.restore_mode ondemand
	fi
	umount /dev/userfaultfd
}

@test "clone: NICs are plugged in" {
	carriers() {
		ip netns exec "cn-$(hv "$1" .vm.id)" sh -c \
			'cat /sys/class/net/cn*/carrier' | xargs
	}
	need ip nft
	run_vm web --nics 1
	counts web 1
	save one web
	t 0 cocoon vm clone --name more --nics 3 one
	[ "$(carriers more)" = "1 1 1" ]
	hv_is more '.net.nics | length' 3
	# The guest has no address there yet, and its first NIC is the source's.
	hv_is more '.hv.guest[1:] | map(.addresses // [] | length) | tojson' \
		"[0,0]"
	hv_is more '.hv.guest[0] | {mac, addresses} | tojson' \
		"$(hv web '.net.nics[0] | {mac, addresses} | tojson')"
	cocoon-hv get more | cocoon-hint clone --format script |
		grep -q "^nic2=.* $(hv more '.net.nics[2].mac')"
	counts more 2
	save two more
	t 2 cocoon vm clone --name less --nics 2 two
	t 0 cocoon vm clone --name third two
	[ "$(carriers third)" = "1 1 1" ]
	counts third 3
	t 0 cocoon vm stop --force more
	t 0 cocoon vm start more
	[ "$(carriers more)" = "1 1 1" ]
	# From none.
	run_vm bare --nics 0
	save three bare
	t 0 cocoon vm clone --name first --nics 1 three
	[ "$(carriers first)" = 1 ]
	counts first 1
}

@test "save: an overlay is refused before v54, which would lose some of it" {
	local record

	run_vm web --nics 0
	record=$COCOON_ROOT_DIR/vm-name/web/vm.json
	jq -c '.hv.version = "53.0.0" |
		(.plan.disks[] | select(.role == "cow").format) = "qcow2"' \
		"$record" >edited
	cat edited >"$record"
	t 7 cocoon snapshot save --name one web
	says "#8607"
	says "raw disk"
	no_capture_left
	jq -c '.hv.version = "54.0"' edited >"$record"
	t 0 cocoon snapshot save --name one web
	# Nor does one grow, of whatever version.
	printf '#!/bin/sh\necho "cloud-hypervisor v54.0"\n' >other
	chmod +x other
	COCOON_CH_BINARY=$PWD/other t 7 cocoon vm clone --storage 1G one
	says "without --storage"
	counts web 1
}
