#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# Snapshots of the real Cloud Hypervisor, of COCOON_TEST_CH or PATH, with a guest
# that counts in its memory and on its disk (tests/double/pvhguest.S, pvhdisk.S).

load lib
load hv

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

# run_vm NAME [OPTION]...: by the dispatcher, up.
run_vm() {
	t 0 cocoon vm run $SMALL --backend ch --name "$@" mini
	wait_until 20 greeted "$1"
}

at_least() { # VERSION
	[ "$(printf '%s\n' "$1" "$("$CH" --version |
		sed -n '1s/.* v//p')" | sort -V | head -n 1)" = "$1" ]
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

lines() { # VM TEXT
	cocoon vm logs "$1" | tr -d '\r' | grep -cx "$2" || true
}

more_lines() { # N VM TEXT
	[ "$(lines "$2" "$3")" -gt "$1" ]
}

# The disk that a VM writes is in its own directory, and so is all it has open.
own_files() { # VM
	local dir

	dir=$(readlink -f "$COCOON_ROOT_DIR/vm-name/$1")
	find "/proc/$(vm_pid "$1")/fd" -type l -printf '%l\n' >open-files
	grep -qx "$dir/$(hv "$1" .hv.generation)/cow.raw" open-files &&
		! grep "^$COCOON_ROOT_DIR" open-files | grep -v "^$dir/"
}

@test "save: what is kept, what it costs; the guest goes on" {
	local dir

	run_vm web --memory 128M
	dir=$COCOON_ROOT_DIR/vm-name/web/0
	counts web 1
	save one web
	counts web 2
	hv_is web .hv.state running
	no_capture_left
	[ "$(ls "$snap" | xargs)" = "cow.raw initrd kernel layers-0.erofs \
layers-1.erofs memory-ranges snap.json state.json" ]
	[ -z "$(find "$snap" ! -user root -o -perm /077 ! -perm 444)" ]
	# Its memory, of which the file has what is not zero.
	[ "$(stat -c %s "$snap/memory-ranges")" = 134217728 ]
	[ "$(stat -c %b "$snap/memory-ranges")" -lt 8192 ]
	# Nothing of it stays in the run directory, nor of this host in it.
	[ ! -e "$dir/s" ] && [ ! -e "$dir/config.json" ]
	[ "$(grep -c "$COCOON_ROOT_DIR" "$snap/state.json")" = 0 ]
	t 0 cocoon snapshot inspect one
	[ "$(field "$output" '.backend + " " + .version')" = \
		"ch $(hv web .hv.version)" ]
	t 0 cocoon snapshot verify one
}

@test "restore: in place, running or stopped; memory and disk are back" {
	local n

	run_vm web
	counts web 1
	writes web
	save one web
	counts web 2
	writes web
	reads web 2
	t 0 cocoon vm restore web one
	reads web 1
	own_files web
	hv_is web .hv.state running
	n=$(lines web "count 000002")
	key web +
	wait_until 20 more_lines "$n" web "count 000002"
	writes web
	t 0 cocoon vm stop --force web
	t 0 cocoon vm restore web one
	reads web 1
	n=$(lines web "count 000002")
	key web +
	wait_until 20 more_lines "$n" web "count 000002"
	# The files of the state are not needed any more.
	[ ! -e "$COCOON_ROOT_DIR/vm-name/web/2/memory-ranges" ]
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
	run_vm web
	counts web 1
	writes web
	t 0 cocoon vm hibernate web
	hv_is web .hv.state stopped
	hv_is web .hv.ended.reason hibernated
	no_vm_processes
	t 0 cocoon vm start web
	counts web 2
	reads web 1
	hv_is web .hv.state running
	# Paused or not is kept in mind.
	t 0 cocoon vm pause web
	hv_is web .hv.state paused
	save still web
	hv_is web .hv.state paused
	t 0 cocoon vm resume web
	counts web 3
}

@test "clones, of clones, of clones, and a fan; the source is gone" {
	local vm last=web

	run_vm web --nics 2
	counts web 1
	writes web
	for vm in a b c; do
		save "of-$last" "$last"
		t 0 cocoon vm clone --name "$vm" "of-$last"
		t 0 cocoon vm stop --force "$last"
		t 0 cocoon vm rm "$last"
		key "$vm" +
		reads "$vm" 1
		last=$vm
	done
	wait_until 20 said c "count 000004"
	own_files c
	save fan c
	t 0 cocoon vm clone --name leaf -n 3 fan
	for vm in 1 2 3; do
		reads "leaf-$vm" 1
		for _ in $(seq "$vm"); do
			key "leaf-$vm" +
		done
		wait_until 20 said "leaf-$vm" "count 00000$((4 + vm))"
		writes "leaf-$vm"
	done
	for vm in 1 2 3; do
		unsaid "leaf-$vm" "count 00000$((5 + vm))"
		reads "leaf-$vm" $((4 + vm))
		own_files "leaf-$vm"
	done
	[ "$(hv leaf-1 '.net.nics[0].mac')" != "$(hv leaf-2 '.net.nics[0].mac')" ]
	# It can be started anew, as itself.
	t 0 cocoon vm stop --force leaf-1
	t 0 cocoon vm start leaf-1
	wait_until 20 greeted leaf-1
	reads leaf-1 5
	hv_is leaf-1 '.hv.guest // [] | length' 0
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
	t 7 cocoon vm clone --name more --memory 128M one
}

@test "a snapshot of another version is refused, with what to do" {
	run_vm web --nics 0
	save one web
	printf '#!/bin/sh\necho "cloud-hypervisor v52.3"\n' >other
	chmod +x other
	COCOON_CH_BINARY=$PWD/other t 7 cocoon vm clone --name twin one
	says "this host has 52.3"
	says "COCOON_CH_BINARY"
	messages 1
}

@test "a state that was changed: restore leaves the VM stopped, as it was" {
	run_vm web --nics 0
	counts web 1
	save one web
	counts web 2
	writes web
	cp "$snap/state.json" whole
	chmod u+w "$snap/state.json"
	jq -c '.snapshots["cpu-manager"] = {}' whole >"$snap/state.json"
	t 1 cocoon vm restore web one
	says "it is stopped"
	no_vm_processes
	hv_is web .hv.state stopped
	hv_is web .hv.generation 0
	t 1 cocoon vm clone --name twin one
	t 4 cocoon vm inspect twin
	t 0 cocoon vm start web
	wait_until 20 greeted web 2
	reads web 2
}

# at CALL N SIGNAL COMMAND...: sent to cocoon-hv at its N-th such system call.
# sendmsg: ping, info, pause, snapshot; renameat: its directory, the two files.
at() {
	local call=$1 n=$2 signal=$3

	shift 3
	strace -f -qq -o /dev/null -e trace="$call" \
		-e inject="$call:signal=$signal:when=$n" "$@"
}

@test "a capture that is interrupted, or killed: the guest goes on" {
	local dir

	need strace
	run_vm web --nics 0 --memory 256M
	dir=$COCOON_ROOT_DIR/vm-name/web
	counts web 1
	run at sendmsg 4 INT cocoon-hv capture web
	[ "$status" = 1 ]
	[[ $output == *interrupted* ]]
	no_capture_left
	[ ! -e "$dir/0/s" ]
	counts web 2
	run at renameat 2 KILL cocoon-hv capture web
	[ "$status" = 137 ]
	# Its monitor has seen it.
	wait_until 20 grep -q '"resumed"' "$dir/events"
	counts web 3
	hv_is web .hv.state running
	t 0 cocoon gc
	no_capture_left
	# What is left in the run directory does not disturb the next.
	[ -e "$dir/0/s/memory-ranges" ]
	save one web
	[ ! -e "$dir/0/s" ]
	# One that is paused stays so.
	t 0 cocoon vm pause web
	run at sendmsg 4 KILL cocoon-hv capture web
	key web +
	hv_is web .hv.state paused
	unsaid web "count 000004"
	t 0 cocoon vm resume web
	wait_until 20 said web "count 000004"
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

	run_vm web --nics 0
	dir=$COCOON_ROOT_DIR/vm-name/web/0
	# Of its uid, where the directory is to be: all of it goes.
	mkdir "$dir/s" && ln -s /etc/passwd "$dir/s/state.json"
	save one web
	[ ! -e "$dir/s" ]
	[ "$(stat -c %F "$snap/state.json")" = "regular file" ]
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

@test "save: an overlay is refused before v54, which would lose some of it" {
	local record

	run_vm web --nics 0
	record=$COCOON_ROOT_DIR/vm-name/web/vm.json
	jq -c '(.plan.disks[] | select(.role == "cow").format) = "qcow2"' \
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
