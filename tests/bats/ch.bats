#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# VMs on Cloud Hypervisor: the real one, of COCOON_TEST_CH or PATH, with a guest
# that needs no more of KVM than that it interprets (tests/double/pvhguest.S).

load lib
load hv

CH=${COCOON_TEST_CH:-$(command -v cloud-hypervisor || true)}

setup_file() {
	host_netns
	# shellcheck disable=SC2086
	have $MINI_NEEDS objcopy || return 0
	mini_build
	pvh_build
	truncate -s 4096 "$BATS_FILE_TMPDIR"/mini/layer[01]
	[ -z "$CH" ] || ch_saves "$CH"
	export CH_SAVES
}

setup() {
	host_netns
	# shellcheck disable=SC2086
	need $MINI_NEEDS objcopy
	setup_root
	mini_setup
	cd "$BATS_TEST_TMPDIR"
	export MINI_KERNEL=pvh COCOON_KVM=yes
}

teardown() {
	mini_teardown
	close_nodes
}

# The real one on a KVM that this file's processes may open.
real() {
	[ -n "$CH" ] ||
		skip_for "COCOON_TEST_CH or a cloud-hypervisor in PATH is missing"
	need /dev/kvm /dev/net/tun
	export COCOON_CH_BINARY=$CH
	open_nodes 0666
}

# fake VERSION: one that knows its version and nothing else
fake() {
	printf '#!/bin/sh\necho "cloud-hypervisor v%s"\n' "$1" >"ch-$1"
	chmod +x "ch-$1"
	export COCOON_CH_BINARY=$PWD/ch-$1
	need /dev/kvm
	open_nodes 0666
}

# plan_of [OPTION]...: of the mini image
plan_of() {
	mini_spec --backend ch "$@" | cocoon-hv plan
}

# cloud FORMAT [NAME]: edits a document so that its image is a cloud image
cloud() {
	truncate -s 1M disk
	[ "$1" = raw ] || qemu-img create -q -f qcow2 disk 1M
	jq -c --arg p "$PWD/disk" --arg f "$1" --arg n "${2:-cloud}" '
		.image = {name: $n, type: "cloudimg", digest: .image.digest,
		disk: {path: $p, format: $f, size: 1048576,
		virtual_size: 1048576}}'
}

at_least() { # VERSION
	[ "$(printf '%s\n' "$1" "$(hv "$id" .hv.version)" | sort -V |
		head -n 1)" = "$1" ]
}

# ---- plan ----

@test "plan: versions with known holes are refused, and named" {
	for v in 51.1 50.2 50.0 48.0; do
		fake "$v"
		t 7 plan_of
		says "cloud-hypervisor v$v"
		says "CVE-2026-45782"
		says "v51.2 and later"
		says "--allow-vulnerable"
		t 0 plan_of --allow-vulnerable
	done
	says ''
	fake 50.0
	t 7 plan_of
	says "CVE-2026-27211"
	fake 47.0
	t 7 plan_of --allow-vulnerable
	says "too old"
	for v in 51.2 52.0 53.0 53.0-12-gabc123-dirty 54.1.0; do
		fake "$v"
		t 0 plan_of
		[ "$(jq -r .plan.version <<<"$output")" = "$v" ]
	done
}

@test "plan: --backend auto takes it first, and says why" {
	fake 53.0
	t 0 mini_plan_auto
	[ "$(jq -r .plan.backend <<<"$output")" = ch ]
	[[ $(jq -r .plan.why <<<"$output") == "ch: "* ]]
	fake 50.0
	t 0 mini_plan_auto
	[ "$(jq -r .plan.backend <<<"$output")" != ch ]
	[[ $(jq -r .plan.why <<<"$output") == *CVE-2026* ]]
}

mini_plan_auto() {
	mini_spec | cocoon-hv plan
}

@test "plan: Windows wants v52, a cloud image, firmware; it gets no seed" {
	mkdir -p "$COCOON_ROOT_DIR/firmware"
	truncate -s 4M "$COCOON_ROOT_DIR/firmware/CLOUDHV.fd"
	fake 51.2
	t 7 win
	says "7849"
	says "v52.0"
	fake 50.2
	t 7 win --allow-vulnerable
	says "7925"
	fake 53.0
	t 0 win
	[ "$(jq -r '[.plan.disks[].role] | join(" ")' <<<"$output")" = cow ]
	[ "$(jq -r .plan.firmware.code <<<"$output")" = \
		"$COCOON_ROOT_DIR/firmware/CLOUDHV.fd" ]
	[ "$(jq '.plan.disks[0].format' <<<"$output")" = '"raw"' ]
	t 2 plan_of --windows
	says "requires cloudimg"
}

win() {
	mini_spec --backend ch --windows "$@" | cloud raw | cocoon-hv plan
}

@test "plan: firmware is found, or said to be missing; the small one is known" {
	fake 53.0
	mini_spec --backend ch | cloud qcow2 >doc
	t 7 cocoon-hv plan <doc
	says "firmware not found: $COCOON_ROOT_DIR/firmware/CLOUDHV.fd"
	truncate -s 200K small
	export COCOON_CH_FIRMWARE=$PWD/small
	t 0 cocoon-hv plan <doc
	[ "$(jq -r '.plan.disks[0] | .file + " " + .format' <<<"$output")" = \
		"overlay.qcow2 qcow2" ]
	for name in noble-server-cloudimg-amd64.img debian-13-generic; do
		mini_spec --backend ch | cloud qcow2 "$name" >doc
		t 7 cocoon-hv plan <doc
		says "EDK2"
	done
	truncate -s 4M small
	t 0 cocoon-hv plan <doc
	COCOON_CH_FIRMWARE=small t 2 cocoon-hv plan <doc
}

@test "plan: huge pages that are not there are refused" {
	fake 53.0
	t 7 plan_of --hugepages --memory 1024G
	says "--hugepages"
	says "nr_hugepages"
	t 2 plan_of --hugepages --memory 65M
	need qemu-system-x86_64
	t 7 mini_spec_qemu --hugepages
	says "--hugepages"
}

mini_spec_qemu() {
	mini_spec --backend qemu "$@" | cocoon-hv plan
}

@test "debug: the options of the same VM, by version" {
	fake 53.0
	t 0 by_hand --data-disk size=16M,name=db --max 4
	[[ $output == *"exec $COCOON_CH_BINARY"* ]]
	[[ $output == *"--serial tty"*"--console off"* ]]
	[[ $output == *"path=cow.raw,id=disk2,"*",direct=on,"*"image_type=raw"* ]]
	[[ $output == *"path=data-db.raw,"*"serial=db"* ]]
	[[ $output == *"num_queues=1,queue_size=512"* ]]
	[[ $output != *"sparse=off"* ]]
	t 0 by_hand --disk-queue-size 100 --no-direct-io
	[[ $output == *"queue_size=128"* ]] && [[ $output != *"direct=on"* ]]
	fake 51.2
	t 0 by_hand
	[[ $output == *"sparse=off"* ]]
	fake 48.0
	t 0 by_hand --allow-vulnerable
	[[ $output != *"image_type"* ]]
}

by_hand() { # SPEC-OPTION... [--max N]
	local o=() d=()

	while [ $# -gt 0 ]; do
		case $1 in
		--max) d=(--max-cpu "$2") && shift ;;
		*) o+=("$1") ;;
		esac
		shift
	done
	mini_doc --backend ch "${o[@]}" | cocoon-hv debug "${d[@]}"
}

# ---- the real one ----

@test "a VM runs, says and hears, and is what plan says" {
	real
	mini_run --backend ch --name web
	hv_is "$id" .hv.state running
	hv_is "$id" .plan.backend ch
	printf 'hello\n' | timeout 5 cocoon-hv console "$id" >said || true
	wait_until 5 heard
	t 0 cocoon-hv stop --force "$id"
	hv_is "$id" .hv.state stopped
	[ ! -e "$COCOON_ROOT_DIR/vm/$id/0/api.sock" ]
	t 0 cocoon-hv rm "$id"
	no_vms_left
}

heard() {
	cocoon-hv logs "$id" | grep -q hello
}

@test "the process: its directory, uid, rights, namespaces, open files" {
	local pid p dir

	real
	mini_run --backend ch
	pid=$(vm_pid "$id")
	p=/proc/$pid
	dir=$COCOON_ROOT_DIR/vm/$id/0
	[ "$(readlink "$p/cwd")" = "$dir" ]
	[ "$(awk '/^Uid:/ { print $2 }' "$p/status")" -ge 1900000000 ]
	[ "$(awk '/^Uid:/ { print $3 }' "$p/status")" = "$(hv "$id" .hv.uid)" ]
	[ "$(awk '/^(CapEff|CapPrm|CapBnd):/ { print $2 }' "$p/status" |
		sort -u)" = 0000000000000000 ]
	[ "$(awk '/^NoNewPrivs:/ { print $2 }' "$p/status")" = 1 ]
	# Threads have a seccomp filter each, the leader has none.
	[ "$(cat "$p"/task/*/status | grep -c '^Seccomp:.*2')" -gt 2 ]
	[ "$(readlink "$p/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	# Every file is below its own directory; argv shows nothing of the VM.
	t 1 foreign "$p"
	[[ $(tr '\0' ' ' <"$p/cmdline") != *kernel* ]]
	# Nothing of the host is in what a snapshot would keep.
	t 0 curl -s --unix-socket "$dir/api.sock" \
		http://localhost/api/v1/vm.info
	[[ $output == *'"path":"layers/0.erofs"'* ]]
	[[ $output != *"$COCOON_ROOT_DIR"* ]]
}

# Files that a process has open and that are not its VM's or devices.
foreign() {
	find "$1/fd" -type l -printf '%l\n' |
		grep '^/' | grep -vE "^/dev/(kvm|null|urandom|pts/|net/tun)|^/memfd:|^$dir/|/live\.0"
}

@test "stop: a guest that does not hear the button is ended; twice is fine" {
	real
	mini_run --backend ch
	t 0 cocoon-hv stop --timeout 1 "$id"
	hv_is "$id" .hv.state stopped
	t 0 cocoon-hv stop "$id"
	cocoon-hv get "$id" | cocoon-hv start - >/dev/null
	wait_until 20 greeted "$id" 2
}

@test "a reset is no end: the guest is up again" {
	real
	mini_run --backend ch
	printf q | timeout 5 cocoon-hv console "$id" >/dev/null || true
	wait_until 20 greeted "$id" 2
	hv_is "$id" .hv.state running
}

@test "killed, hung: said within the deadline" {
	local pid

	real
	mini_run --backend ch
	pid=$(vm_pid "$id")
	kill -STOP "$pid"
	t 0 timeout 60 cocoon-hv stop --timeout 1 "$id"
	hv_is "$id" .hv.ended.reason killed
	cocoon-hv get "$id" | cocoon-hv start - >/dev/null
	kill -9 "$(vm_pid "$id")"
	wait_until 10 hv_is "$id" .hv.ended.reason killed
}

@test "without its monitor the VM runs on, and can be stopped" {
	real
	mini_run --backend ch --memory 256M
	kill -9 "$(monitor_pid "$id")"
	wait_until 5 hv_is "$id" .hv.unattended true
	t 0 cocoon-hv resize --memory 128M "$id"
	hv_is "$id" .hv.state running
	t 0 cocoon-hv stop --timeout 1 "$id"
	hv_is "$id" .hv.state stopped
}

@test "what it refuses is said in its words, and nothing is left running" {
	real
	mini_doc --backend ch --name bad >doc
	: >empty
	jq -c --arg e "$PWD/empty" '.image.kernel.path = $e' doc |
		cocoon-hv create >made
	t 1 cocoon-hv start - <made
	says "vm.boot"
	messages 1
	no_vm_processes
	hv_is bad .hv.state stopped
}

@test "resize: a running VM's disk and CPUs, and why not" {
	real
	mini_run --backend ch --memory 256M
	if at_least 52.0; then
		t 0 cocoon-hv resize --storage 80M "$id"
		[ "$(stat -c %s "$COCOON_ROOT_DIR/vm/$id/0/cow.raw")" = 83886080 ]
		hv_is "$id" '.plan.disks[] | select(.role == "cow").size' 83886080
	else
		t 7 cocoon-hv resize --storage 80M "$id"
		says "v52.0"
	fi
	t 7 cocoon-hv resize --storage 64M "$id"
	t 0 cocoon-hv resize --memory 128M "$id"
	hv_is "$id" .plan.memory 268435456
	t 2 cocoon-hv resize --memory 300M "$id"
	t 7 cocoon-hv resize --memory 512T "$id"
	says "while it is stopped"
	t 0 cocoon-hv resize --memory 512M "$id"
	hv_is "$id" .plan.memory 536870912
	t 2 cocoon-hv resize "$id"
	t 2 cocoon-hv resize --disk x "$id"
	t 4 cocoon-hv resize --disk x --size 1G "$id"
	if [ "$(nproc)" -gt 1 ]; then
		t 0 cocoon-hv resize --cpu 2 "$id"
		hv_is "$id" .plan.cpu 2
	fi
}

@test "create: the writable disk of a cloud image, an overlay or a copy" {
	need qemu-img
	mkdir -p "$COCOON_ROOT_DIR/firmware"
	truncate -s 4M "$COCOON_ROOT_DIR/firmware/CLOUDHV.fd"
	fake 53.0
	mini_spec --backend ch --name over | cloud qcow2 | cocoon-hv plan |
		mini_parts | cocoon-hv create >made
	cd "$COCOON_ROOT_DIR/vm/$(jq -r .vm.id made)/0"
	t 0 qemu-img info --output=json overlay.qcow2
	[ "$(jq -r '."backing-filename"' <<<"$output")" = layers/base.qcow2 ]
	[ "$(jq -r '."virtual-size"' <<<"$output")" = 67108864 ]
	[[ $(stat -c %U:%A firmware) == root:-r?-r--r-- ]]
	[[ $(stat -c %U:%A layers/base.qcow2) == root:-r?-r--r-- ]]
	t 7 cocoon-hv resize over --storage 1G
	says "raw"
	cd "$BATS_TEST_TMPDIR"
	mini_spec --backend ch --name copy | cloud raw >doc
	printf 'the base' | dd of=disk conv=notrunc status=none
	cocoon-hv plan <doc | mini_parts | cocoon-hv create >made
	cd "$COCOON_ROOT_DIR/vm/$(jq -r .vm.id made)/0"
	[ "$(head -c 8 cow.raw)" = "the base" ]
	[ "$(stat -c %s cow.raw)" = 67108864 ]
	cd "$BATS_TEST_TMPDIR"
}

@test "doctor --windows: what can be seen, and what cannot" {
	fake 51.2
	t 7 cocoon-hv doctor --windows
	[[ $(windows "$output" hypervisor) == "fail "*"#7849"* ]]
	[[ $(windows "$output" firmware) == "fail "*CLOUDHV.fd* ]]
	mkdir -p "$COCOON_ROOT_DIR/firmware"
	truncate -s 4M "$COCOON_ROOT_DIR/firmware/CLOUDHV.fd"
	fake 53.0
	t 0 cocoon-hv doctor --windows
	[[ $(windows "$output" hypervisor) == "ok "* ]]
	[[ $(windows "$output" firmware) == "ok "*EDK2 ]]
	[[ $(windows "$output" drivers) == *"0.1.285"* ]]
	[[ $(windows "$output" "power button") == *"#7929"* ]]
	t 0 cocoon-hv doctor
	[ -z "$(windows "$output" hypervisor)" ]
}

windows() { # OUTPUT CHECK
	jq -r --arg c "windows $2" 'select(.check == $c) |
		.status + " " + .detail' <<<"$1"
}

@test "the real one answers as its record has it" {
	local record

	need python3
	real
	record=$("$CH" --version | sed -n '1s/.* v//p')
	[ "${record//[!.]/}" = .. ] || record=$record.0
	record=$TOP/tests/record/cloud-hypervisor-$record.jsonl
	[ -e "$record" ] || skip_for "$record is missing"
	[ ! -e /sys/module/kvm_pvm ] || need patchelf
	"$TOP/tests/record/cloud-hypervisor" "$CH_SAVES" \
		"$BATS_FILE_TMPDIR/mini/pvh" >answers
	diff "$record" answers
}

@test "the script of debug starts the VM" {
	need script
	real
	mini_doc --backend ch | cocoon-hv debug >by-hand.sh
	mkdir hand
	script -qec "timeout 4 sh by-hand.sh $PWD/hand" /dev/null \
		</dev/null >said || true
	grep -q 'guest is up' said
}

@test "taps: two NICs by name, in the VM's namespace" {
	need ip nft
	real
	doc=$(mini_spec --backend ch --nics 2 | cocoon-hv plan |
		cocoon-net add | mini_parts | cocoon-hv create |
		cocoon-hv start -)
	id=$(field "$doc" .vm.id)
	wait_until 20 greeted "$id"
	[ "$(ip netns exec "cn-$id" cat /sys/class/net/cn1/carrier)" = 1 ]
	# Closed by rm and gone with the network.
	cocoon-hv rm --force "$id" | cocoon-net del >/dev/null
	cocoon-net gc --all >/dev/null
}

@test "modes of udev before its rules: refused with the remedy" {
	real
	open_nodes 0600
	t 7 plan_of
	says "cocoon doctor --fix"
	# And when they were good when it was planned.
	open_nodes 0666
	mini_doc --backend ch --name web | cocoon-hv create >made
	open_nodes 0600
	t 7 cocoon-hv start - <made
	says "cocoon doctor --fix"
	hv_is web .hv.state created
}
