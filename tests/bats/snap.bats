#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# Pause and resume, snapshots, with a guest that is up in a blink and counts in its memory.

load lib
load hv

setup_file() {
	host_netns
	have $STORE_NEEDS || return 0
	mini_build
	mini_store
}

setup() {
	host_netns
	need $STORE_NEEDS
	setup_root
	mini_setup
	mini_store_setup
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	net_teardown
}

# run_vm NAME [OPTION]...: by the dispatcher, up.
run_vm() {
	t 0 cocoon vm run $SMALL --name "$@" mini
	wait_until 20 greeted "$1"
}

# key VM KEY: to its console
key() {
	python3 -c 'import os, socket, sys
s = socket.socket(socket.AF_UNIX)
os.chdir(sys.argv[1])
s.connect("console.sock")
s.send(sys.argv[2].encode())' "$COCOON_ROOT_DIR/vm-name/$1" "$2"
}

said() {
	cocoon vm logs "$1" | tr -d '\r' | grep -qx "$2"
}

# counts VM N: one more key, and its guest says that it was the N-th.
counts() {
	key "$1" +
	wait_until 20 said "$1" "count $(printf %06d "$2")"
}

@test "pause, resume: the guest stands still, and goes on" {
	run_vm web --nics 0
	counts web 1
	t 0 cocoon vm pause web
	[[ $output == "paused: "* ]]
	hv_is web .hv.state paused
	t 0 cocoon vm list
	[[ $output == *" paused "* ]]
	key web +
	# Again is fine.
	t 0 cocoon vm pause web
	! said web "count 000002"
	t 0 cocoon vm resume -o json web
	[ "$(field "$output" '.succeeded | length')" = 1 ]
	hv_is web .hv.state running
	wait_until 20 said web "count 000002"
	t 0 cocoon vm resume web
	t 0 cocoon vm pause web
	# The button reaches a guest that stands still.
	t 0 cocoon vm stop --timeout 20 web
	hv_is web .hv.ended.reason shutdown
	t 5 cocoon vm pause web
	says "does not run"
	t 5 cocoon vm resume web
	t 0 cocoon vm start web
	hv_is web .hv.state running
	t 4 cocoon vm pause nobody
	t 2 cocoon vm pause
}

# ---- snapshots ----

# save NAME VM: $snap is its directory
save() {
	t 0 cocoon snapshot save --name "$1" "$2"
	[[ $output == "saved: "*"  $1  stood still for "*" ms" ]]
	snap=$(readlink -f "$COCOON_ROOT_DIR/snap-name/$1")
}

# Nothing of a capture that was not finished, nobody stands still.
no_capture_left() {
	[ -z "$(find "$COCOON_ROOT_DIR" -name 's-*' -o -name hold)" ]
}

@test "save: state, disks, image, manifest; the guest goes on" {
	local id

	run_vm web
	id=$(hv web .vm.id)
	counts web 1
	printf mark | dd of="$COCOON_ROOT_DIR/vm-name/web/0/cow.raw" bs=1 \
		seek=60000000 conv=notrunc 2>/dev/null
	t 0 cocoon snapshot save --name one --description "a b'c" web
	snap=$(readlink -f "$COCOON_ROOT_DIR/snap-name/one")
	counts web 2
	hv_is web .hv.state running
	no_capture_left
	[ "$(ls "$snap" | xargs)" = \
		"cow.raw initrd kernel layers-0.erofs layers-1.erofs snap.json vmstate" ]
	[ -z "$(find "$snap" ! -user root -o -perm /077 ! -perm 444)" ]
	# The image is linked, the state is not the size of the memory.
	[ "$(stat -c %i "$snap/kernel")" = \
		"$(stat -c %i "$COCOON_ROOT_DIR/vm/$id/pin/kernel")" ]
	[ "$(stat -c %s "$snap/vmstate")" -lt 8000000 ]
	[ "$(dd if="$snap/cow.raw" bs=1 skip=60000000 count=4 2>/dev/null)" = \
		mark ]
	t 0 cocoon snapshot inspect one
	[ "$(field "$output" '[.name, .description, .backend, .dir,
		.doc.vm.id, (.guest | length), .pause_ms < 60000,
		(.created_at > 1e12)] | join(" ")')" = \
		"one a b'c qemu $snap $id 1 true true" ]
	[ "$(field "$output" '.guest[0] == (.doc.net.nics[0] |
		{mac, addresses})')" = true ]
	[[ $output != *'$6$'* ]] && [[ $output != *'$y$'* ]]
	# Without a name one is made; a name is taken once.
	t 0 cocoon snapshot save web
	[[ $output == *"  snap-"* ]]
	t 5 cocoon snapshot save --name one web
	says "already in use"
	messages 1
	no_capture_left
	t 2 cocoon snapshot save --name 'a/b' web
	no_capture_left
	counts web 3
}

@test "save: what cannot be saved, and a monitor that is gone" {
	t 4 cocoon snapshot save nobody
	messages 1
	mini_create --name cold >/dev/null
	t 5 cocoon snapshot save cold
	says "does not run"
	messages 1
	run_vm web --nics 0
	kill -9 "$(monitor_pid web)"
	wait_until 5 hv_is web .hv.unattended true
	t 5 cocoon snapshot save web
	says "monitor"
	no_capture_left
	t 2 cocoon snapshot save
	t 2 cocoon snapshot save web cold
}

# at_dump SIGNAL COMMAND...: sent to cocoon-hv when it hands QEMU the file.
at_dump() {
	local signal=$1

	shift
	strace -f -qq -o /dev/null -e trace=sendmsg \
		-e inject=sendmsg:signal="$signal":when=1 "$@"
}

@test "save: interrupted, or killed, while the guest stands still" {
	need strace
	run_vm web --nics 0
	run at_dump INT cocoon-hv capture web
	[ "$status" = 1 ]
	[[ $output == *interrupted* ]]
	no_capture_left
	counts web 1
	run at_dump KILL cocoon-hv capture web
	[ "$status" = 137 ]
	# Its monitor has seen it; what was written is gc's.
	counts web 2
	hv_is web .hv.state running
	grep -q '"resumed"' "$COCOON_ROOT_DIR/vm-name/web/events"
	t 0 cocoon gc
	no_capture_left
	# One that is paused stays so, whatever happens.
	t 0 cocoon vm pause web
	run at_dump KILL cocoon-hv capture web
	save one web
	key web +
	hv_is web .hv.state paused
	! said web "count 000003"
	t 0 cocoon vm resume web
	wait_until 20 said web "count 000003"
}

@test "list, inspect, verify, rm, gc of snapshots" {
	t 0 cocoon snapshot list
	[ "$output" = "No snapshots found." ]
	t 0 cocoon snapshot list -o json
	[ "$output" = "[]" ]
	run_vm web --nics 0
	run_vm other --nics 0
	save one web
	save two web
	save three other
	t 0 cocoon snapshot list
	[[ ${lines[0]} == "ID "*" NAME "*" CPU "*" MEMORY "*" DESCRIPTION "*" CREATED"* ]]
	[ "$(awk 'NR > 1 { print $2, $3, $4, $5 }' <<<"$output" | xargs)" = \
		"one 1 64MiB - two 1 64MiB - three 1 64MiB -" ]
	t 0 cocoon snapshot ls --vm web -o json
	[ "$(field "$output" 'map(.name) | join(" ")')" = "one two" ]
	t 0 cocoon vm rm --force other
	t 0 cocoon snapshot list --vm other
	[[ $output == *" three "* ]]
	t 0 cocoon snapshot list --vm nobody
	[ "$output" = "No snapshots found for VM." ]
	t 0 cocoon snapshot verify
	[ "$(grep -c '^ok: ' <<<"$output")" = 3 ]
	t 0 cocoon snapshot verify two
	truncate -s -1 "$(readlink -f "$COCOON_ROOT_DIR/snap-name/two")/vmstate"
	t 1 cocoon snapshot verify two
	says "vmstate: has"
	rm "$(readlink -f "$COCOON_ROOT_DIR/snap-name/one")/kernel"
	t 4 cocoon snapshot verify one
	# By the beginning of its id.
	t 0 cocoon snapshot rm "$(cocoon snapshot list -o json |
		jq -r '.[0].id[:12]')"
	[[ $output == "deleted: "* ]]
	t 4 cocoon snapshot inspect one
	t 4 cocoon snapshot rm two nobody
	t 0 cocoon snapshot inspect two
	t 0 cocoon snapshot rm two three three
	t 0 cocoon snapshot list
	[ "$output" = "No snapshots found." ]
	[ -z "$(ls -A "$COCOON_ROOT_DIR/snap")" ]
}

@test "gc: a snapshot without a name, a name without a snapshot" {
	run_vm web --nics 0
	save one web
	save two web
	rm "$COCOON_ROOT_DIR/snap-name/one"
	rm -r "$(readlink -f "$COCOON_ROOT_DIR/snap-name/two")"
	mkdir "$COCOON_ROOT_DIR/vm/$(hv web .vm.id)/s-AAAAAAAAAAAAAAAAAAAAAAAAAA"
	t 0 cocoon gc -n
	[ "$(grep -c "would remove" <<<"$output")" = 3 ]
	t 0 cocoon gc
	[ -z "$(ls -A "$COCOON_ROOT_DIR/snap" "$COCOON_ROOT_DIR/snap-name" |
		grep -v :)" ]
	no_capture_left
	counts web 1
}

# ---- clones ----

# own_disk VM: what its QEMU writes is its own.
own_disks() {
	local pid

	pid=$(vm_pid "$1")
	readlink "/proc/$pid/fd"/* | grep "$COCOON_ROOT_DIR/vm/" |
		grep -v "^$COCOON_ROOT_DIR/vm/$(hv "$1" .vm.id)/" && return 1
	readlink "/proc/$pid/fd"/* |
		grep -qx "$COCOON_ROOT_DIR/vm/$(hv "$1" .vm.id)/0/cow.raw"
}

# mark VM TEXT: on its disk; marked VM TEXT
mark() {
	printf %s "$2" | dd of="$COCOON_ROOT_DIR/vm-name/$1/${3-0}/cow.raw" bs=1 \
		seek=60000000 conv=notrunc 2>/dev/null
}

marked() {
	[ "$(dd if="$COCOON_ROOT_DIR/vm-name/$1/${3-0}/cow.raw" bs=1 \
		skip=60000000 count=${#2} 2>/dev/null)" = "$2" ]
}

@test "clone: goes on where the source stood, as somebody else" {
	run_vm web
	counts web 1
	mark web one
	save one web
	counts web 2
	mark web two
	t 0 cocoon vm clone --name twin one
	[[ $output == "cloned: "*"  twin  10.88.0.3" ]]
	[ -z "$stderr" ]
	counts twin 2
	counts web 3
	counts twin 3
	marked twin one
	marked web two
	own_disks twin
	own_disks web
	[ "$(hv twin '[.hv.state, .hv.generation, .plan.backend,
		(.net.nics | length), .image.name] | join(" ")')" = \
		"running 0 qemu 1 mini" ]
	[ "$(hv twin .hv.guest[0].mac)" = "$(hv web .net.nics[0].mac)" ]
	[ "$(hv twin .net.nics[0].mac)" != "$(hv web .net.nics[0].mac)" ]
	[ "$(hv twin .boot.cmdline)" != "$(hv web .boot.cmdline)" ]
	hv_is twin .snap null
	# It lives on its own: without source, snapshot, image.
	t 0 cocoon vm rm --force web
	t 0 cocoon snapshot rm one
	t 0 cocoon image rm mini
	t 0 cocoon gc
	counts twin 4
	# A cold boot, as itself.
	t 0 cocoon vm stop --timeout 20 twin
	hv_is twin .hv.ended.reason shutdown
	t 0 cocoon vm start twin
	wait_until 20 greeted twin 1
	key twin '?'
	wait_until 20 said twin "kernel .*10.88.0.3.*"
	hv_is twin .hv.guest null
	counts twin 1
	t 0 cocoon vm rm --force twin
	nothing_left
}

@test "clones of clones of clones, and a fan: each its own" {
	local k from=s0

	run_vm v0 --nics 0
	counts v0 1
	save s0 v0
	for k in 1 2 3 4; do
		t 0 cocoon vm clone --name v$k $from
		counts v$k $((k + 1))
		mark v$k "v$k"
		own_disks v$k
		from=s$k
		save s$k v$k
	done
	t 0 cocoon vm rm --force v1 v2
	t 0 cocoon snapshot rm s1 s2
	t 0 cocoon vm clone -n 5 --name fan s4
	[ "$(wc -l <<<"$output")" = 5 ]
	for k in 1 2 3 4 5; do
		marked fan-$k v4
		mark fan-$k "f$k"
		counts fan-$k 6
		own_disks fan-$k
	done
	for k in 1 2 3 4 5; do
		marked fan-$k "f$k"
	done
	counts fan-3 7
	counts v4 6
	counts v3 5
	counts v0 2
}

@test "clone: what is larger, smaller, more, missing" {
	local code words

	run_vm web
	save one web
	while read -r code words; do
		t $code cocoon vm clone --name c $words one
		messages 1
	done <<-END
		2 --cpu 0
		7 --cpu 2
		7 --memory 128M
		2 --memory 32M
		2 --storage 32M
		2 --storage 64000001
		7 --nics 2
		2 --name a/b
		2 --nosuch
		7 --network nosuch
		7 --network a --bridge b
	END
	[ "$(cocoon vm list -o json | jq length)" = 1 ]
	t 4 cocoon vm clone --name c nobody
	t 2 cocoon vm clone
	t 2 cocoon vm clone one two
	t 5 cocoon vm clone --name web one
	messages 1
	# More storage: QEMU has the disk larger, so the guest does.
	t 0 cocoon vm clone --name c --cpu 1 --memory 64M --nics 1 --pull \
		--storage 96M --no-direct-io one
	[ "$(stat -c %s "$COCOON_ROOT_DIR/vm-name/c/0/cow.raw")" = 100663296 ]
	[ "$(hv c '[.spec.storage, (.plan.disks[] | select(.role == "cow") |
		.size, .direct)] | map(tostring) | join(" ")')" = \
		"100663296 100663296 null" ]
	counts c 1
	t 0 cocoon vm clone -o json one
	[ "$(field "$output" '.vm.name | test("^cocoon-[a-z2-7]{8}$")')" = true ]
	[[ $output != *'$6$'* ]] && [[ $output != *'$y$'* ]]
	# A copy of the directory; others may not change it.
	snap=$(readlink -f "$COCOON_ROOT_DIR/snap-name/one")
	cp -a "$snap" copy
	t 0 cocoon vm clone --name d --from-dir copy
	counts d 1
	chmod 777 copy
	t 7 cocoon vm clone --name e --from-dir copy
	says "others than root"
	t 4 cocoon vm clone --name e --from-dir nothere
	# What is not whole makes no VM.
	rm "$snap/kernel"
	t 4 cocoon vm clone --name e one
	says "kernel is missing, of the image sha256:"
	messages 1
	truncate -s 1000 copy/vmstate
	chmod 700 copy
	t 1 cocoon vm clone --name e --from-dir copy
	messages 1
	jq -c '.snap.version = "6.0.1" | .snap.doc.plan.version = "6.0.1"' \
		<copy/snap.json >new
	cat new >copy/snap.json
	t 7 cocoon vm clone --name e --from-dir copy
	says "saved by qemu 6.0.1"
	[ "$(nets)" = 4 ]
	t 0 cocoon vm rm --force web c d "$(cocoon vm list -o json |
		jq -r '.[] | .vm.name | select(startswith("cocoon-"))')"
	nothing_left
}
