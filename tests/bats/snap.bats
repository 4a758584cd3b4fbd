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
