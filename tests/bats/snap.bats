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

# spoil FILE: all but its beginning is rubbish, of the same length.
spoil() {
	{
		head -c 1000 "$1"
		head -c "$(($(stat -c %s "$1") - 1000))" /dev/zero | tr '\0' '\377'
	} >spoilt
	cat spoilt >"$1"
}

# This QEMU maps the memory of what it loads.
maps() {
	local version

	version=$(qemu-system-x86_64 --version |
		sed -n 's/.* version \([0-9]*\.[0-9]*\).*/\1/p')
	[ "$(printf '%s\n' "$version" 8.2 | sort -V | head -n 1)" = 8.2 ]
}

# What a VM has of the memory of the snapshot in $snap: a field of smaps, in KiB.
of_memory() { # VM FIELD
	awk -v "inode=$(stat -c %i "$snap/mem")" -v "field=$2:" '
		/^[0-9a-f]+-/ { at = $5 == inode && $2 == "rw-p" }
		at && $1 == field { print $2 }' \
		"/proc/$(vm_pid "$1")/smaps"
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
	unsaid web "count 000002"
	t 0 cocoon vm resume -o json web
	[ "$(field "$output" '.succeeded | length')" = 1 ]
	hv_is web .hv.state running
	wait_until 20 said web "count 000002"
	t 0 cocoon vm resume web
	t 0 cocoon vm pause web
	t 5 cocoon vm start web
	says "cocoon vm resume"
	hv_is web .hv.state paused
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

@test "save: state, disks, image, manifest; the guest goes on" {
	local id memory=

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
	! maps || memory="mem "
	[ "$(ls "$snap" | xargs)" = "cow.raw initrd kernel layers-0.erofs \
layers-1.erofs ${memory}snap.json vmstate" ]
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
		{mac, addresses, queues})')" = true ]
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
	# One that is paused can be saved, and again.
	t 0 cocoon vm pause web
	save still web
	save again web
	hv_is web .hv.state paused
	key web +
	unsaid web "count 000004"
	t 0 cocoon vm resume web
	wait_until 20 said web "count 000004"
	t 0 cocoon vm clone --name twin again
	key twin +
	wait_until 20 said twin "count 000004"
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
	unsaid web "count 000003"
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
	local one

	run_vm web --nics 0
	save one web
	save two web
	one=$(basename "$(readlink "$COCOON_ROOT_DIR/snap-name/one")")
	rm "$COCOON_ROOT_DIR/snap-name/one"
	rm -r "$(readlink -f "$COCOON_ROOT_DIR/snap-name/two")"
	mkdir "$COCOON_ROOT_DIR/vm/$(hv web .vm.id)/s-AAAAAAAAAAAAAAAAAAAAAAAAAA"
	t 0 cocoon gc -n
	[ "$(grep -c "would remove" <<<"$output")" = 3 ]
	t 0 cocoon-snap gc --dry-run -o json
	[ "$(jq -r '[.action, .kind, .object, .reason] | join(" ")' \
		<<<"$output" | sort)" = "would remove snap-name two no such snapshot
would remove snapshot $one no name points to it" ]
	t 0 cocoon gc
	[[ $output == *"removed snap-name two (no such snapshot)"* ]]
	[[ $output == *"removed snapshot $one (no name points to it)"* ]]
	[ -z "$(ls -A "$COCOON_ROOT_DIR/snap" "$COCOON_ROOT_DIR/snap-name" |
		grep -v :)" ]
	no_capture_left
	counts web 1
}

@test "save: a bar on a terminal, and none elsewhere" {
	local pid

	need script
	run_vm web --nics 0
	counts web 1
	pid=$(vm_pid web)
	kill -STOP "$pid"
	script -qefc 'cocoon snapshot save --name one web' shown \
		</dev/null >/dev/null 2>&1 3>&- &
	wait_until 10 grep -q 'web \[ *=* *\] .* of ' shown
	kill -CONT "$pid"
	wait $!
	grep -q 'saved: .*one' shown
	[ -z "$(pgrep -f 'cocoon-hv capture' || true)" ]
	save two web
	[ -z "$stderr" ]
	counts web 2
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

# filters VM: how many let frames out of its first tap; one lets out all.
filters() {
	ip netns exec "cn-$(hv "$1" .vm.id)" tc filter show dev cn0 ingress |
		grep -c 'Redirect to device eth0'
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
	[ "$(filters twin)" -gt 1 ]
	# Saved, nobody knows whether it has become itself by then.
	save two twin
	[ "$(cocoon snapshot inspect two | jq -r '.guest[0] |
		.mac + " " + (.since | join(" "))')" = \
		"$(hv web .net.nics[0].mac) $(hv twin .net.nics[0].mac)" ]
	t 0 cocoon snapshot rm two
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
	[ "$(filters twin)" = 1 ]
	counts twin 1
	t 0 cocoon vm rm --force twin
	nothing_left
}

@test "clone: a snapshot without its image, and --pull" {
	run_vm web --nics 0
	counts web 1
	save one web
	mkdir -m 700 bare
	cp "$snap"/* bare
	rm bare/layers-1.erofs bare/kernel
	# What it was saved from is here still.
	t 0 cocoon vm clone --name a --from-dir bare
	counts a 2
	t 0 cocoon vm rm --force web a
	t 0 cocoon snapshot rm one
	rm -r "$COCOON_ROOT_DIR/image"
	t 4 cocoon vm clone --name b --from-dir bare
	says 'layers-1.erofs is missing, of the image mini (sha256:'
	says '--pull'
	messages 1
	t 4 cocoon vm clone --name b --pull --from-dir bare
	messages 1
	# A copy that was cut short.
	truncate -s -1 "bare/vmstate"
	t 1 cocoon vm clone --name b --pull --from-dir bare
	says 'vmstate: has '
	says "snapshot bare: "
	truncate -s +1 "bare/vmstate"
	# By digest, under whatever name it is here, wherever that is.
	cp -a "$COCOON_ROOT_DIR" other
	export COCOON_ROOT_DIR=$PWD/other
	t 0 cocoon image import again "$BATS_FILE_TMPDIR/mini/layout"
	t 0 cocoon vm clone --name b --pull --from-dir bare
	counts b 2
	t 2 cocoon vm restore --pull b one
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

@test "load: a hypervisor with a file open that is not the VM's is ended" {
	need patchelf cc
	run_vm web --nics 0
	counts web 1
	save one web
	(
		qemu=$(readlink -f "$(command -v qemu-system-x86_64)")
		mount -t tmpfs -o mode=755 tmpfs /usr/local/lib
		trap 'cd /; umount "$qemu" /usr/local/lib' EXIT
		cd /usr/local/lib
		cc -shared -fPIC -o stray.so "$TOP/tests/double/stray.c"
		patchelf --add-needed "$PWD/stray.so" --output qemu "$qemu"
		chmod 755 qemu stray.so
		mount --bind qemu "$qemu"
		t 3 cocoon vm clone --name twin one
		says "stray.raw, which is not this VM's"
		t 3 cocoon vm restore web one
	)
	[ "$(ls "$COCOON_ROOT_DIR/vm-name")" = web ]
	[ "$(find "$COCOON_ROOT_DIR/vm" -mindepth 1 -maxdepth 1 | wc -l)" = 1 ]
	t 0 cocoon vm start web
	wait_until 20 greeted web
	t 0 cocoon vm clone --name twin one
	counts twin 2
}

# qmp VM COMMAND [ARGUMENTS]: what its QEMU returns.
qmp() {
	python3 -c 'import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
os.chdir(sys.argv[1])
s.connect("api.sock")
f = s.makefile("rw")
f.readline()
for c in {"execute": "qmp_capabilities"}, {
        "execute": sys.argv[2], "arguments": json.loads(sys.argv[3])}:
    f.write(json.dumps(c) + "\n")
    f.flush()
    while "return" not in (a := json.loads(f.readline())):
        pass
print(json.dumps(a["return"]))' \
		"$COCOON_ROOT_DIR/vm-name/$1/$(hv "$1" .hv.generation)" "$2" "${3-{\}}"
}

# has VM: its CPUs, disks and NICs, as QEMU tells of them.
has() {
	qmp "$1" query-cpus-fast | jq length
	qmp "$1" qom-list '{"path": "/machine/peripheral"}' |
		jq -r '.[].name | select(test("^(nic|disk)"))' | sort
}

@test "clone: memory is shared until it is written" {
	local vm sum

	maps || skip_for "QEMU 8.2 or later is missing"
	run_vm web --nics 0 --memory 256M
	counts web 1
	save one web
	[ "$(stat -c %s "$snap/mem")" = 268435456 ]
	[ "$(stat -c %b "$snap/mem")" -lt 16384 ]
	sum=$(sha256sum "$snap/mem")
	t 0 cocoon vm clone --name twin -n 2 one
	for vm in twin-1 twin-2; do
		counts "$vm" 2
		[ "$(of_memory "$vm" Size)" = 262144 ]
		[ "$(of_memory "$vm" Private_Dirty)" -lt 8192 ]
	done
	t 0 cocoon vm clone --name whole --restore-mode copy one
	counts whole 2
	[ "$(of_memory whole Private_Dirty)" -gt 260000 ]
	t 0 cocoon vm clone --name map --restore-mode mmap one
	t 7 cocoon vm clone --restore-mode ondemand one
	says "QEMU has mmap"
	[ "$(sha256sum "$snap/mem")" = "$sum" ]
	# What is saved of one is its own, whatever becomes of the other.
	counts twin-1 3
	save two twin-1
	t 0 cocoon snapshot rm one
	t 0 cocoon vm rm --force twin-1
	t 0 cocoon vm clone --name third two
	counts third 4
	counts twin-2 3
}

@test "clone: CPUs, disks and NICs are plugged in" {
	local want

	run_vm web
	counts web 1
	save one web
	[ "$(has web | xargs)" = "1 disk0 disk1 disk2 disk3 nic0" ]
	want="1 disk0 disk1 disk2 disk3 disk4 nic0 nic1 nic2"
	t 0 cocoon vm clone --name more --nics 3 --data-disk size=16M,name=db one
	[ "$(has more | xargs)" = "$want" ]
	counts more 2
	# All that is in it stays in place, in its clones and when it boots.
	save two more
	t 0 cocoon vm clone --name third two
	[ "$(has third | xargs)" = "$want" ]
	counts third 3
	own_disks third
	t 7 cocoon vm clone --name fourth --nics 5 two
	says "room for 4"
	t 0 cocoon vm stop --force third
	t 0 cocoon vm start third
	[ "$(has third | xargs)" = "$want" ]
	wait_until 20 greeted third
	[ "$(nproc)" -gt 1 ] || return 0
	t 0 cocoon vm clone --name wide --cpu 2 two
	[ "$(has wide | xargs)" = "2${want#1}" ]
	hv_is wide .plan.cpu 2
	counts wide 3
	save three wide
	t 0 cocoon vm clone --name last three
	[ "$(has last | head -n 1)" = 2 ]
	counts last 4
	# As a running VM gets one.
	t 0 cocoon vm resize --cpu 2 web
	[ "$(has web | head -n 1)" = 2 ]
	t 7 cocoon vm resize --cpu 1 web
	counts web 2
}

@test "clone: memory is plugged in, in steps" {
	# memory VM: what it booted with, and has got since, in MiB.
	memory() {
		qmp "$1" query-memory-size-summary |
			jq -r '.["base-memory", "plugged-memory"] / 1048576' |
			xargs
	}
	run_vm web --nics 0 --memory 128M
	counts web 1
	save one web
	[ "$(memory web)" = "128 0" ]
	t 2 cocoon vm clone --name more --memory 200M one
	says 'steps of 128MiB'
	t 7 cocoon vm clone --name more --memory 512T one
	says 'room for'
	t 0 cocoon vm clone --name more --memory 384M one
	[ "$(memory more)" = "128 256" ]
	hv_is more .plan.memory 402653184
	counts more 2
	save two more
	t 2 cocoon vm clone --name less --memory 128M two
	t 0 cocoon vm clone --name third --memory 512M two
	[ "$(memory third)" = "128 384" ]
	counts third 3
	t 0 cocoon vm stop --force third
	t 0 cocoon vm start third
	[ "$(memory third)" = "512 0" ]
	# As a running one gets it, and in place.
	t 2 cocoon vm resize --cpu "$(nproc)" --memory 200M web
	t 7 cocoon vm resize --memory 512T --storage 128M web
	says 'room for'
	hv_is web '[.plan.cpu, .spec.storage] | tostring' '[1,67108864]'
	t 0 cocoon vm resize --memory 256M web
	[ "$output" = "resized: $(hv web .vm.id)  web" ]
	[ "$(memory web)" = "128 128" ]
	t 7 cocoon vm resize --memory 128M web
	says "while it is stopped"
	save three web
	t 0 cocoon vm resize --memory 384M web
	[ "$(memory web)" = "128 256" ]
	t 0 cocoon vm restore web three
	[ "$(memory web)" = "128 128" ]
	counts web 2
	# A guest may eject what it got: it gets it again, at the same place.
	t 0 cocoon vm resize --memory 384M web
	qmp web human-monitor-command \
		'{"command-line": "o /w 0xa00 0"}' >/dev/null
	qmp web human-monitor-command \
		'{"command-line": "o /b 0xa14 8"}' >/dev/null
	wait_until 5 eval '[ "$(memory web)" = "128 128" ]'
	t 5 cocoon snapshot save web
	says 'ejected'
	t 0 cocoon vm resize --memory 384M web
	[ "$(memory web)" = "128 256" ]
	save four web
	t 0 cocoon vm clone --name last four
	counts last 3
	# Room is what the host has when it is stopped.
	t 0 cocoon vm stop --force web
	t 0 cocoon vm resize --memory 256M web
	hv_is web .plan.boot_memory null
	t 0 cocoon vm start web
	t 0 cocoon vm resize --memory 384M web
	[ "$(memory web)" = "256 128" ]
}

@test "resize: killed before it is recorded, it is done again" {
	run_vm web --nics 0 --memory 128M
	counts web 1
	# Between the memory and the record.
	kills=(strace -f -qq -o /dev/null -e trace=renameat
		-e inject=renameat:signal=KILL:when=1)
	t 137 "${kills[@]}" cocoon-hv resize --memory 256M web
	hv_is web .plan.memory 134217728
	t 5 cocoon snapshot save web
	says 'it has 268435456 bytes of memory, which is not recorded'
	t 5 cocoon vm resize --memory 128M web
	hv_is web .hv.state running
	t 0 cocoon vm resize --memory 256M web
	[ "$(qmp web query-memory-size-summary | jq '.["plugged-memory"]')" \
		= 134217728 ]
	save one web
	t 0 cocoon vm clone --name twin one
	counts twin 2
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
		7 --cpu 1000
		2 --memory 128M
		2 --memory 32M
		2 --storage 32M
		2 --storage 64000001
		7 --nics 6
		2 --name a/b
		2 --nosuch
		4 --network nosuch
		4 --network a --bridge b
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
	# What is not whole makes no VM, where the image is gone, too.
	rm -r "$COCOON_ROOT_DIR/image"
	rm "$snap/kernel"
	t 4 cocoon vm clone --name e one
	says "kernel is missing, of the image mini (sha256:"
	messages 1
	spoil copy/vmstate
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

# ---- restore ----

@test "restore: in place, running or stopped, its network kept" {
	run_vm web
	id=$(hv web .vm.id)
	net=$(hv web '.net | tojson')
	counts web 1
	mark web one
	save one web
	counts web 2
	mark web two
	old=$(vm_pid web)
	t 0 cocoon vm restore web one
	[[ $output == "restored: $id  web  10.88.0.2" ]]
	no_process "$old"
	[ "$(hv web '[.vm.id, .hv.state, .hv.generation, .hv.guest] |
		map(tostring) | join(" ")')" = "$id running 1 null" ]
	[ "$(hv web '.net | tojson')" = "$net" ]
	counts web 2
	marked web one 1
	[ "$(find "$COCOON_ROOT_DIR/vm/$id" -mindepth 1 -maxdepth 1 -printf '%f\n' |
		grep '[0-9]$\|^pin' | sort | xargs)" = "1 live.1 pin.1 run.1" ]
	# Of what was restored, again, and what that was: both are whole.
	counts web 3
	save two web
	t 0 cocoon vm restore -o json web one
	[ "$(field "$output" .hv.generation)" = 2 ]
	[[ $output != *'$6$'* ]] && [[ $output != *'$y$'* ]]
	counts web 2
	t 0 cocoon vm stop --timeout 20 web
	# Stopped, and as after a reboot of the host.
	ip netns del "cn-$id"
	t 0 cocoon vm restore web two
	counts web 4
	marked web one 3
	hv_is web .hv.generation 3
	# A cold boot of what was restored.
	t 0 cocoon vm stop --force web
	t 0 cocoon vm start web
	wait_until 20 greeted web 2
	counts web 1
	t 0 cocoon vm rm --force web
	t 0 cocoon snapshot rm one two
	nothing_left
}

@test "restore: of another VM's snapshot, into a larger one" {
	run_vm web
	counts web 1
	save one web
	t 0 cocoon vm create --name big --cpu 1 --memory 128M --storage 96M \
		--password-file "$PW" mini
	t 0 cocoon vm restore big one
	counts big 2
	counts web 2
	[ "$(hv big '[.plan.memory, .spec.storage, .hv.guest[0].mac] |
		map(tostring) | join(" ")')" = \
		"67108864 100663296 $(hv web .net.nics[0].mac)" ]
	[ "$(stat -c %s "$COCOON_ROOT_DIR/vm-name/big/1/cow.raw")" = 100663296 ]
	# What that has does not fit into the first one.
	save two big
	t 5 cocoon vm restore web two
	says "give --storage"
	messages 1
	counts web 3
	t 0 cocoon vm restore --storage 96M web two
	counts web 3
	# With two CPUs its NIC has two queues: what was saved has one.
	t 0 cocoon vm create --name wide --cpu 2 --memory 64M --storage 64M \
		--password-file "$PW" mini
	t 5 cocoon vm restore wide one
	says "its NIC 0 has 1 queues, the VM's has 2: clone it instead"
	messages 1
	hv_is wide .hv.generation 0
}

@test "restore: what does not work leaves the VM as it is" {
	run_vm web
	run_vm none --nics 0
	save one web
	save zero none
	pid=$(vm_pid web)
	t 5 cocoon vm restore web zero
	says "NICs"
	t 4 cocoon vm restore web nobody
	t 4 cocoon vm restore nobody one
	t 2 cocoon vm restore --memory 128M web one
	t 2 cocoon vm restore --storage 32M web one
	t 2 cocoon vm restore web
	t 2 cocoon vm restore web one two
	t 2 cocoon vm restore --name x web one
	[ "$(vm_pid web)" = "$pid" ]
	counts web 1
	mark web old
	# Cut short: known before the VM is touched.
	truncate -s +1 "$snap/vmstate"
	t 1 cocoon vm restore web zero
	t 1 cocoon vm clone zero
	says 'vmstate: has '
	[ "$(vm_pid web)" = "$pid" ]
	# The state is rubbish: known when it is loaded, so the VM is stopped.
	spoil "$(readlink -f "$COCOON_ROOT_DIR/snap-name/one")/vmstate"
	t 1 cocoon vm restore web one
	says "it is stopped, and as it was"
	# In QEMU's own words.
	says "migration"
	messages 1
	[ "$(hv web '[.hv.state, .hv.generation] | map(tostring) |
		join(" ")')" = "stopped 0" ]
	marked web old
	[ ! -e "$COCOON_ROOT_DIR/vm-name/web/1" ]
	t 0 cocoon vm start web
	wait_until 20 greeted web 2
	counts web 1
}

# ---- hibernate ----

@test "hibernate: save and end; start wakes it, once" {
	run_vm web
	counts web 1
	t 0 cocoon vm hibernate --name night web
	[[ $output == "hibernated: "*"  night  "* ]]
	[ "$(hv web '[.hv.state, .hv.ended.reason] | join(" ")')" = \
		"hibernated hibernated" ]
	t 0 cocoon vm list
	[[ $(tr -s ' ' <<<"${lines[1]}") == *" web hibernated "* ]]
	[ "$(hv web .hv.resume)" = "$(cocoon snapshot inspect night | jq -r .id)" ]
	no_capture_left
	mark web same
	t 0 cocoon vm start web
	counts web 2
	hv_is web .hv.resume null
	marked web same
	# The next boot is one.
	t 0 cocoon vm stop --force web
	t 0 cocoon vm start web
	wait_until 20 greeted web 2
	counts web 1
	# Its snapshot is one as any other.
	t 0 cocoon vm restore web night
	wait_until 20 said web "count 000002"  # of before
	t 0 cocoon vm hibernate web
	t 0 cocoon vm start --cold web
	wait_until 20 greeted web 3
	hv_is web .hv.state running
	t 0 cocoon vm stop --force web
	hv_is web .hv.state stopped
	t 0 cocoon vm start web
	wait_until 20 greeted web 4
	t 0 cocoon vm hibernate --name lost web
	t 5 cocoon snapshot rm lost
	says "the VM web hibernates in it"
	t 0 cocoon snapshot verify lost
	t 0 cocoon snapshot rm night
	t 0 cocoon snapshot rm --force lost
	t 4 cocoon vm start web
	says "--cold"
	messages 1
	t 0 cocoon vm start --cold web
	wait_until 20 greeted web 5
}

@test "save: what is wrong with its words is said before the VM stands still" {
	local verb words

	run_vm web
	save one web
	for verb in "snapshot save" "vm hibernate"; do
		# Who would pause it says so.
		t 5 cocoon $verb --name one web
		says "cocoon-hv: capture: "
		messages 1
		t 2 cocoon $verb --name . web
		says "cocoon-hv: capture: "
		messages 1
		for words in --bogus --release --hold --description; do
			t 2 cocoon $verb web $words
			says "cocoon: "
			messages 1
		done
	done
	hv_is web .hv.state running
	# What looks like --help in a value, and behind --.
	t 0 cocoon snapshot save --name two --description "see -h for more" web
	t 0 cocoon snapshot save --name three --description -h web
	t 0 cocoon snapshot save --name four --description --help -- web
	[ "$(cocoon snapshot inspect three | jq -r .description)" = -h ]
	t 0 cocoon snapshot save --name long --description "$(printf 'ä%.0s' {1..70})" web
	t 0 cocoon snapshot list
	[[ $output == *" $(printf 'ä%.0s' {1..60})...  "* ]]
	t 4 cocoon vm stop --timeout 1 -- -h
	t 0 cocoon vm stop --help -- web
	hv_is web .hv.state running
}

@test "hibernate: a signal in the end changes nothing; a holder that is gone does" {
	run_vm web
	mkfifo doc
	cocoon-hv capture --hold web >doc 3>&- &
	t 0 strace -f -qq -o /dev/null -e trace=poll \
		-e inject=poll:signal=INT:when=1 \
		cocoon-snap add --release --name night <doc
	hv_is web .hv.state hibernated
	t 0 cocoon vm start web
	cocoon-hv capture --hold web >doc 3>&- &
	(
		wait_until 20 [ -e "$COCOON_ROOT_DIR/snap-name/gone" ]
		kill -KILL "$!"
	) 3>&- &
	t 1 strace -f -qq -o /dev/null -e trace=sendto \
		-e inject=sendto:delay_enter=3000000 \
		cocoon-snap add --release --name gone <doc
	says "was not saved"
	t 4 cocoon snapshot inspect gone
	counts web 1
	hv_is web .hv.state running
}

@test "restore: recorded, and then the hypervisor ends: the VM is the old one" {
	local vm=$COCOON_ROOT_DIR/vm-name/web

	run_vm web
	counts web 1
	save one web
	counts web 2
	mark web same
	cp "$vm/vm.json" before
	cocoon-snap get one | cocoon-hv plan --revert web |
		cocoon-net add --ensure | cocoon-hint boot >doc
	(
		wait_until 20 grep -q '"generation":1' "$vm/vm.json"
		kill -KILL "$(cut -d " " -f 1 "$vm/run.1")"
	) 3>&- &
	t 1 timeout 60 strace -f -qq -o /dev/null -e trace=renameat \
		-e inject=renameat:delay_exit=500000 cocoon-hv revert <doc
	says "it is stopped, and as it was"
	cmp before "$vm/vm.json"
	[ -z "$(find "$COCOON_ROOT_DIR" -name '*.tmp-*')" ]
	[ ! -e "$vm/1" ]
	hv_is web .hv.state stopped
	t 0 cocoon vm start web
	wait_until 20 greeted web 2
	marked web same
	t 0 cocoon vm restore web one
	[ -z "$(find "$COCOON_ROOT_DIR" -name '*.tmp-*')" ]
}

@test "hibernate: a monitor in front says how its VM ended" {
	mini_create --name web >doc
	COCOON_EXPECT=1 cocoon-hv start --wait - <doc >after 3>&- &
	wait_until 20 hv_is web .hv.state running
	wait_until 20 greeted web 1
	t 0 cocoon vm hibernate web
	wait "$!"
	[ "$(jq -r '[.hv.state, .hv.ended.reason] | join(" ")' after)" = \
		"hibernated hibernated" ]
}

@test "hibernate: what is not safe does not end the VM" {
	need strace
	run_vm web --nics 0
	save one web
	pid=$(vm_pid web)
	t 5 cocoon vm hibernate --name one web
	says "already in use"
	messages 1
	[ "$(vm_pid web)" = "$pid" ]
	counts web 1
	no_capture_left
	# The next stage dies, or there is none.
	shadow cocoon-snap <<<'[ "$1" != add ] || { read -r line; kill -9 $$; }
		exec "$REAL" "$@"'
	run "$SHADOW/cocoon" vm hibernate web
	[ "$status" != 0 ]
	counts web 2
	run at_dump KILL cocoon-hv capture --hold web
	counts web 3
	hv_is web .hv.state running
	[ "$(vm_pid web)" = "$pid" ]
	# Interrupted while it waits for the next stage.
	mkfifo pipe
	cocoon-hv capture --hold web >pipe 3>&- &
	exec 8<pipe
	read -r line <&8
	kill -TERM $!
	wait $! || :
	exec 8<&-
	counts web 4
	# A record that says it, of a VM that ran on, is not believed.
	t 0 cocoon gc
	no_capture_left
}

# ---- containment ----

# leaves MAC IP: frames of an IPv4 and an ARP sender, out of the tap of $id; what
# the network sees of them: "4", "A", both or nothing.
leaves() {
	python3 - "$id" "$1" "$2" <<-'END'
		import fcntl, os, socket, struct, sys
		id, mac, ip = sys.argv[1:]
		libc = __import__("ctypes").CDLL(None)
		host = os.open("/proc/self/ns/net", os.O_RDONLY)
		peer = min(d for d in os.listdir("/sys/class/net")
		           if d.startswith("cn"))
		see = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
		                    socket.htons(3))
		see.bind((peer, 0))
		see.settimeout(0.01)
		libc.setns(os.open("/run/netns/cn-" + id, os.O_RDONLY), 0)
		tap = os.open("/dev/net/tun", os.O_RDWR)
		fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH22x", b"cn0", 0x5002))
		m = bytes.fromhex(mac.replace(":", ""))
		a = socket.inet_aton(ip)
		end = m[:0] + b"\xff" * 6
		v4 = end + m + b"\x08\0\x45" + b"\0" * 11 + a + a + b"mark4"
		arp = end + m + b"\x08\x06\0\x01\x08\0\x06\x04\0\x01" + m + a + \
		    b"\0" * 6 + a + b"markA"
		seen = ""
		for frame in (v4, arp):
		    os.write(tap, b"\0" * 10 + frame)
		for _ in range(20):
		    try:
		        got = see.recv(2000)
		    except TimeoutError:
		        continue
		    if b"mark" in got:
		        seen += chr(got[got.index(b"mark") + 4])
		print("".join(sorted(set(seen))))
	END
}

@test "a clone's frames with what the source has do not leave it" {
	local doc

	id=AAAAAAAAAAAAAAAAAAAAAAAAAA
	doc=$(printf '{"v":1,"vm":{"id":"%s"},"spec":{"nics":1}%s}' $id \
		',"snap":{"id":"'$id'","guest":[{"mac":"52:54:00:00:00:01","addresses":["10.88.0.99/16"]}]}')
	t 0 cocoon-net add <<<"$doc"
	mac=$(field "$output" '.net.nics[0].mac')
	ip=$(field "$output" '.net.nics[0].addresses[0]' | cut -d/ -f1)
	wait_until 5 test "$(cat /sys/class/net/cn*/operstate)" = up || :
	[ "$(leaves 52:54:00:00:00:01 10.88.0.99)" = "" ]
	[ "$(leaves "$mac" 10.88.0.99)" = "" ]
	[ "$(leaves 52:54:00:00:00:01 "$ip")" = "" ]
	[ "$(leaves "$mac" "$ip")" = 4A ]
	t 0 cocoon-net check $id
	# Of one who believes what is so, everything does.
	t 0 cocoon-net del <<<"$doc"
	t 0 cocoon-net add <<<"$(jq -c 'del(.snap)' <<<"$doc")"
	[ "$(leaves 52:54:00:00:00:01 10.88.0.99)" = 4A ]
	t 0 cocoon-net del <<<"$doc"
	# With two NICs on one network it answers by either.
	doc=$(jq -c '.spec.nics = 2 | .snap.guest[1] = {
		mac: "52:54:00:00:00:02", addresses: ["10.88.0.98/16"]}' \
		<<<"$doc")
	t 0 cocoon-net add <<<"$doc"
	mac=$(field "$output" '.net.nics[0].mac')
	ip=$(field "$output" '.net.nics[1].addresses[0]' | cut -d/ -f1)
	[ "$(leaves "$mac" "$ip")" = 4A ]
	[ "$(leaves "$mac" 10.88.0.98)" = "" ]
	t 0 cocoon-net del <<<"$doc"
}
