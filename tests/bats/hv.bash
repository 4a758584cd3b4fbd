# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154,SC2034
# For the tests of VMs: a guest that is up in a blink in place of Linux
# (tests/double/miniguest.S), documents of it, and looks at processes.
# lib.bash comes first.

# What need(1) of these in setup asks for; setup_file cannot skip, so it asks
# `have` before it begins.
MINI_NEEDS="cc ld jq qemu-system-x86_64 mkfs.ext4"
STORE_NEEDS="$MINI_NEEDS python3 mkfs.erofs ip nft"

have() {
	local x

	for x; do
		command -v "$x" >/dev/null || return 1
	done
}

# In setup_file. Makes the guest, and finds out once what plan asks the host.
mini_build() {
	local dir=$BATS_FILE_TMPDIR/mini

	mkdir "$dir"
	cc -m32 -c -o "$dir/guest.o" \
		"$TOP/tests/double/miniguest.S"
	ld -m elf_i386 -Ttext 0x100000 -o "$dir/kernel" "$dir/guest.o"
	echo initrd >"$dir/initrd"
	echo bottom >"$dir/layer0"
	echo top >"$dir/layer1"
	mkdir -m 755 "$dir/run"
	mini_spec | COCOON_STATE_RUN=$dir/run cocoon-hv plan >/dev/null
}

# In setup_file: $BATS_FILE_TMPDIR/mini/pvh, the guest of hypervisors that boot
# an ELF file by PVH. MINI_KERNEL=pvh makes it the kernel of what follows.
pvh_build() {
	"$TOP/tests/double/pvh-build" "$BATS_FILE_TMPDIR/mini"
}

# In setup, behind setup_root.
mini_setup() {
	cp -R "$BATS_FILE_TMPDIR/mini/run/." "$COCOON_STATE_RUN"
}

# What cocoon-img resolve would say.
mini_image() {
	jq -cn --arg d "$BATS_FILE_TMPDIR/mini" \
		--arg k "${MINI_KERNEL:-kernel}" '
		("0" * 64) as $zeros |
		{name: "mini", type: "oci", digest: "sha256:\($zeros)",
		layers: [{path: "\($d)/layer0", size: 7},
			{path: "\($d)/layer1", size: 4}],
		kernel: {path: "\($d)/\($k)"},
		initrd: {path: "\($d)/initrd"}}'
}

# mini_spec [OPTION]...: documents with .vm .spec .image
mini_spec() {
	cocoon-hv spec --nics 0 --cpu 1 --memory 64M --storage 64M "$@" mini |
		jq -c --argjson i "$(mini_image)" '.image = $i'
}

# What cocoon-net and cocoon-hint would add.
mini_parts() {
	jq -c '.net //= {nics: []} | .boot //= {cmdline: "hello guest",
		password_hash: "$6$secret", seed: {meta_data: "x",
		user_data: "secret user data"}}'
}

# mini_doc [OPTION]...: documents that `create` takes
mini_doc() {
	mini_spec "$@" | cocoon-hv plan | mini_parts
}

# mini_create [OPTION]...: VMs; their documents are printed
mini_create() {
	mini_doc "$@" | cocoon-hv create
}

# mini_run [OPTION]...: running VMs; the document of the last is in $doc, its
# id in $id, and its guest has greeted.
mini_run() {
	doc=$(mini_create "$@" | cocoon-hv start - | tail -n 1)
	id=$(field "$doc" .vm.id)
	wait_until 20 greeted "$id"
}

# greeted VM [TIMES]
greeted() {
	[ "$(cocoon-hv logs "$1" | grep -c 'guest is up')" -ge "${2:-1}" ]
}

# field DOCUMENT EXPRESSION
field() {
	jq -r "$2" <<<"$1"
}

# hv ID EXPRESSION: of its inspect
hv() {
	cocoon-hv inspect "$1" | jq -r "$2"
}

# hv_is ID EXPRESSION VALUE
hv_is() {
	[ "$(hv "$1" "$2")" = "$3" ]
}

vm_pid() {
	hv "$1" '.hv.pid // empty'
}

monitor_pid() {
	local pid=${2:-$(vm_pid "$1")}

	awk '/^PPid:/ { print $2 }' "/proc/$pid/status"
}

# True when no process with that id is there (any more).
no_process() {
	[ ! -e "/proc/$1" ] || grep -q '^State:.*zombie' "/proc/$1/status"
}

# All processes that are a VMM or a monitor.
vm_processes() {
	local p

	for p in /proc/[0-9]*; do
		case $(tr '\0' ' ' <"$p/cmdline" 2>/dev/null) in
		*qemu-system* | *cloud-hypervisor*api-socket* | *firecracker*api.sock* | 'cocoon-hv: monitor'*)
			echo "${p#/proc/}"
			;;
		esac
	done
}

no_vm_processes() {
	[ -z "$(vm_processes)" ]
}

# Everything in the state directory, as lines that can be compared.
root_listing() {
	(cd "$COCOON_ROOT_DIR" && find . ! -name lock \
		-printf '%p %y %m %U %s %l\n' | sort)
}

# No VM, no half of one: what is left is the frame.
no_vms_left() {
	[ -z "$(ls -A "$COCOON_ROOT_DIR/vm" 2>/dev/null)" ] &&
		[ -z "$(ls -A "$COCOON_ROOT_DIR/vm-name" 2>/dev/null)" ] &&
		[ -z "$(ls -A "$COCOON_STATE_RUN/slot" 2>/dev/null)" ] &&
		[ -z "$(find "$COCOON_ROOT_DIR" -name '.*' ! -name .)" ]
}

# In teardown: what a failed test left; fails if that does not go.
mini_teardown() {
	local refs p

	mapfile -t refs < <(cocoon-hv list -o json 2>/dev/null |
		jq -r '.[].vm.id')
	if [ ${#refs[@]} -gt 0 ]; then
		cocoon-hv rm --force "${refs[@]}" >/dev/null
	fi
	for p in $(vm_processes); do
		kill -9 "$p"
	done
	wait_until 10 no_vm_processes
}

# messages N: N lines in $stderr; they say what happened once.
messages() {
	local n

	n=$(printf '%s' "$stderr" | grep -c '')
	[ "$n" = "$1" ] || {
		printf 'messages: %s, expected %s\n%s\n' "$n" "$1" \
			"$stderr" >&2
		return 1
	}
}

# says TEXT: it is in $stderr
says() {
	case $stderr in *"$1"*) return 0 ;; esac
	printf 'not said: %s\nstderr: %s\n' "$1" "$stderr" >&2
	return 1
}

# ---- the dispatcher and whole pipelines ----

# In setup_file, after mini_build: a store with the image `mini`.
mini_store() {
	local dir=$BATS_FILE_TMPDIR/mini

	"$TOP/tests/double/oci-layout" "$dir/layout" <<-END
		layer
		d boot
		copy boot/vmlinuz-1 $dir/kernel
		f boot/initrd.img-1 initrd
		layer
		d etc
		f etc/motd hello
	END
	mkdir -m 700 "$dir/store"
	COCOON_ROOT_DIR=$dir/store cocoon-img import mini "$dir/layout" \
		>/dev/null
	echo pass >"$dir/password"
}

# In setup, after mini_setup: $COCOON_ROOT_DIR has the image, $PW is a file
# with a password, so that nothing warns.
mini_store_setup() {
	cp -al "$BATS_FILE_TMPDIR/mini/store/image" "$COCOON_ROOT_DIR/"
	PW=$BATS_FILE_TMPDIR/mini/password
	SMALL="--cpu 1 --memory 64M --storage 64M --password-file $PW"
}

# In setup_file, ch_saves BINARY: $CH_SAVES is one that can save on this host.
# KVM may lack what it asks for in vain: tests/double/nonest.c answers that. It
# is put where a confined process may load it from.
ch_saves() {
	local dir=/usr/local/lib

	CH_SAVES=$1
	[ -e /sys/module/kvm_pvm ] || return 0
	CH_SAVES=$dir/cloud-hypervisor
	have patchelf || return 0
	mount -t tmpfs -o mode=755 tmpfs "$dir"
	cc -shared -fPIC -o "$dir/nonest.so" "$TOP/tests/double/nonest.c"
	patchelf --add-needed "$dir/nonest.so" --output "$CH_SAVES" "$1"
	chmod 755 "$CH_SAVES" "$dir/nonest.so"
}

# ---- snapshots: the guest's memory tells which state it is ----

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

unsaid() {
	! said "$@"
}

# counts VM N: one more key, and its guest says that it was the N-th.
counts() {
	key "$1" +
	wait_until 20 said "$1" "count $(printf %06d "$2")"
}

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

# shadow TOOL <SCRIPT: $SHADOW/TOOL runs SCRIPT, in which $REAL is the real one;
# all others are what they are.
shadow() {
	local tool

	SHADOW=$BATS_TEST_TMPDIR/shadow-bin
	if [ ! -d "$SHADOW" ]; then
		mkdir "$SHADOW"
		for tool in "$BIN"/cocoon*; do
			ln -s "$tool" "$SHADOW/"
		done
	fi
	rm -f "$SHADOW/$1"
	{
		printf '#!/bin/bash\nREAL=%s\n' "$BIN/$1"
		cat
	} >"$SHADOW/$1"
	chmod +x "$SHADOW/$1"
}

# No link, namespace, table or lease of any VM; ip_forward as it was.
no_net_left() {
	! ip -br link | grep -qE '^(cn|cocoon)' &&
		[ -z "$(ls -A /run/netns)" ] &&
		[ -z "$(nft list tables)" ] &&
		[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ] &&
		[ -z "$(find "$COCOON_ROOT_DIR/net" -type f ! -name lock \
			! -name last_reserved_ip.0 2>/dev/null)" ]
}

all_gone() {
	no_vms_left && no_net_left && no_vm_processes
}

# The kernel takes down what was in a namespace a little later.
nothing_left() {
	wait_until 5 all_gone && return
	find "$COCOON_ROOT_DIR/vm" "$COCOON_ROOT_DIR/vm-name" \
		"$COCOON_ROOT_DIR/net" "$COCOON_STATE_RUN" /run/netns >&2
	ip -br link >&2
	vm_processes >&2
	return 1
}

# How many networks of VMs there are.
nets() {
	find "$COCOON_ROOT_DIR/net" -name '??????????????????????????.json' |
		wc -l
}

# In teardown of files that have networks.
net_teardown() {
	mini_teardown
	cocoon-net gc --all >/dev/null
	wait_until 5 no_net_left
}

# shellcheck source=tests/nodes.bash
. "$TOP/tests/nodes.bash"
