#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# VMs on Firecracker: the real one, of COCOON_TEST_FC or PATH, with a guest that
# needs no more of KVM than that it interprets (tests/double/pvhguest.S).

load lib
load hv

FC=${COCOON_TEST_FC:-$(command -v firecracker || true)}

setup_file() {
	host_netns
	# shellcheck disable=SC2086
	have $MINI_NEEDS objcopy || return 0
	mini_build
	pvh_build
}

setup() {
	host_netns
	# shellcheck disable=SC2086
	need $MINI_NEEDS objcopy python3
	setup_root
	mini_setup
	cd "$BATS_TEST_TMPDIR"
	export MINI_KERNEL=pvh COCOON_KVM=yes
}

teardown() {
	mini_teardown
	close_nodes
	if [ -n "${MNT-}" ]; then
		umount /mnt
	fi
}

# The real Firecracker on a KVM that this file's processes may open.
real() {
	[ -n "$FC" ] || skip_for "COCOON_TEST_FC or a firecracker in PATH is missing"
	need /dev/kvm /dev/net/tun
	export COCOON_FC_BINARY=$FC
	open_nodes 0666
}

# fake VERSION: a firecracker that knows its version and nothing else
fake() {
	printf '#!/bin/sh\necho "Firecracker v%s"\n' "$1" >"firecracker-$1"
	chmod +x "firecracker-$1"
	export COCOON_FC_BINARY=$PWD/firecracker-$1
	[ -e /dev/kvm ] || skip_for "/dev/kvm is missing"
	open_nodes 0666
}

# keys VM TEXT: typed at its console
keys() {
	python3 - "$COCOON_ROOT_DIR/vm/$1" "$2" <<-'END'
		import os, socket, sys
		os.chdir(sys.argv[1])
		s = socket.socket(socket.AF_UNIX)
		s.connect("console.sock")
		s.sendall(sys.argv[2].encode())
	END
}

# ---- plan ----

@test "plan: what is asked for, what auto takes, and why" {
	fake 1.16.1
	t 0 eval 'mini_spec --fc | cocoon-hv plan'
	[ "$(field "$output" '.plan | [.backend, .version, .accel, .why] |
		join("|")')" = "fc|1.16.1|kvm|fc: asked for" ]
	[ "$(field "$output" '[.plan.disks[] | .serial // "-"] |
		unique | join(" ")')" = "-" ]
	[ "$(field "$output" '[.plan.disks[].direct // false] | any')" = false ]
	t 0 eval 'COCOON_CH_BINARY=/nonexistent; export COCOON_CH_BINARY
		mini_spec | cocoon-hv plan'
	[ "$(field "$output" .plan.backend)" = fc ]
	[[ $(field "$output" .plan.why) == *"fc: the first that can" ]]
	# KVM that runs no stock kernel leaves QEMU.
	t 0 eval 'COCOON_CH_BINARY=/nonexistent; export COCOON_CH_BINARY
		mini_spec | COCOON_KVM=no cocoon-hv plan'
	[ "$(field "$output" .plan.backend)" = qemu ]
	[[ $(field "$output" .plan.why) == *"fc: needs KVM: COCOON_KVM is"* ]]
	t 7 eval 'mini_spec --fc | COCOON_KVM=no cocoon-hv plan'
	says "backend fc: needs KVM"
}

@test "plan: versions, and what they cannot" {
	fake 1.11.0
	t 7 eval 'mini_spec --fc | cocoon-hv plan'
	says "1.11.0 is too old"
	says "1.16.1 or later"
	messages 1
	fake 1.16.1
	t 7 eval 'mini_spec --fc | jq ".image.kernel.path = \
		\"$BATS_FILE_TMPDIR/mini/initrd\"" | cocoon-hv plan'
	says "boots ELF kernels only"
	t 0 eval 'mini_spec --fc | jq ".image.vmlinux.path = .image.kernel.path |
		.image.kernel.path = \"$BATS_FILE_TMPDIR/mini/initrd\"" |
		cocoon-hv plan'
	[ "$(field "$output" .plan.kernel)" = "$BATS_FILE_TMPDIR/mini/pvh" ]
	fake 1.17.0-dev
	t 0 eval 'mini_spec --fc | jq ".image.kernel.path = \
		\"$BATS_FILE_TMPDIR/mini/initrd\"" | cocoon-hv plan'
	[ "$(field "$output" '.plan.kernel // "-"')" = - ]
}

@test "plan: what Firecracker cannot, whatever the version" {
	fake 1.16.1
	t 7 eval 'mini_spec --fc | jq ".image.layers = [range(14) |
		{path: \"/x\"}]" | cocoon-hv plan'
	t 7 eval 'mini_spec --fc --nics 12 | cocoon-hv plan'
	says "it takes 15"
	t 7 eval 'mini_spec --fc --queue-size 512 | cocoon-hv plan'
	says "256 entries"
	t 7 eval 'mini_spec --fc --data-disk size=16M,directio=on |
		cocoon-hv plan'
	says "page cache"
	t 7 eval 'mini_spec --fc | jq ".image.type = \"cloudimg\"" |
		cocoon-hv plan'
	says "cannot boot cloud images"
	t 2 cocoon-hv spec --fc --windows x
	COCOON_FC_BINARY=/nonexistent t 7 eval 'mini_spec --fc | cocoon-hv plan'
	says "firecracker is not installed"
}

@test "device nodes that only root may open: refused, with the remedy" {
	fake 1.16.1
	open_nodes 0600
	t 7 eval 'mini_spec --fc | env -u COCOON_KVM cocoon-hv plan'
	says "cocoon doctor --fix"
	messages 1
	# Planned before, on a host that was different then.
	open_nodes 0666
	doc=$(mini_doc --fc)
	open_nodes 0600
	t 7 eval 'cocoon-hv create <<<"$doc" | cocoon-hv start - '
	says "/dev/kvm: an unprivileged VMM cannot open it"
	says "cocoon doctor --fix"
}

# ---- the kernel of an image ----

@test "the kernel as an ELF file: the store's, linked, kept for its VM" {
	local doc id blob elf=$BATS_FILE_TMPDIR/mini/pvh

	need mkfs.erofs gzip
	fake 1.16.1
	gzip -c "$elf" >packed
	printf '%s\n' layer 'd boot' 'copy boot/vmlinuz-1 packed' \
		'f boot/initrd.img-1 initrd' |
		"$TOP/tests/double/oci-layout" l
	t 0 cocoon-img import packed l
	doc=$(cocoon-hv spec --fc --nics 0 --storage 64M packed |
		cocoon-img resolve | cocoon-hv plan | mini_parts |
		cocoon-hv create)
	id=$(field "$doc" .vm.id)
	blob=$(field "$doc" .image.vmlinux.path)
	[ "$(field "$doc" .plan.kernel)" = "$blob" ]
	for f in pin/kernel 0/kernel; do
		[ "$(stat -c %d:%i "$COCOON_ROOT_DIR/vm/$id/$f")" = \
			"$(stat -c %d:%i "$blob")" ]
	done
	t 0 cocoon-img rm packed
	t 0 cocoon-img gc
	cmp "$blob" "$elf"
	cmp "$COCOON_ROOT_DIR/vm/$id/0/kernel" "$elf"
	# Another image of that kernel finds it there.
	t 0 cocoon-img import again l
	[ "$(cocoon-img resolve again | jq -r .vmlinux.path)" = "$blob" ]
	t 0 cocoon-img rm again
	t 0 cocoon-hv rm "$id"
	t 0 cocoon-img gc
	[[ $output = *"${blob##*/}"* ]]
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/blob")" ]
}

# ---- a VM's life ----

@test "life: boots after the commit, console, Ctrl-Alt-Del, start again" {
	real
	mini_run --fc --memory 64M --data-disk size=16M
	hv_is "$id" .hv.state running
	hv_is "$id" .plan.backend fc
	hv_is "$id" .hv.accel kvm
	keys "$id" 'xy?'
	wait_until 5 eval 'cocoon-hv logs "$id" | grep -q "xyhello guest"'
	t 0 cocoon-hv stop --timeout 20 "$id"
	hv_is "$id" .hv.state stopped
	hv_is "$id" .hv.ended.reason shutdown
	[ -z "$(ls "$COCOON_STATE_RUN/slot")" ]
	[ ! -e "$COCOON_ROOT_DIR/vm/$id/0/api.sock" ]
	[ ! -e "$COCOON_ROOT_DIR/vm/$id/0/vmm.fifo" ]
	t 0 eval 'cocoon-hv get "$id" | cocoon-hv start -'
	wait_until 20 greeted "$id" 2
	t 0 cocoon-hv rm --force "$id"
	no_vms_left
}

@test "life: a guest that resets has shut down; one that is deaf is ended" {
	real
	mini_run --fc
	keys "$id" q
	wait_until 10 hv_is "$id" .hv.state stopped
	hv_is "$id" .hv.ended.reason shutdown
	hv_is "$id" '.hv.ended.status // 0' 0
	t 0 eval 'cocoon-hv get "$id" | cocoon-hv start -'
	wait_until 20 greeted "$id" 2
	keys "$id" dz
	wait_until 5 eval 'cocoon-hv logs "$id" | grep -q dz'
	t 0 cocoon-hv stop --timeout 1 "$id"
	hv_is "$id" .hv.state stopped
	hv_is "$id" .hv.ended.reason killed
}

@test "life: killed, hung, and without its monitor" {
	real
	mini_run --fc
	kill -9 "$(vm_pid "$id")"
	wait_until 5 hv_is "$id" .hv.ended.reason killed
	t 0 eval 'cocoon-hv get "$id" | cocoon-hv start -'
	wait_until 20 greeted "$id" 2
	kill -STOP "$(vm_pid "$id")"
	t 0 cocoon-hv stop --timeout 1 "$id"
	hv_is "$id" .hv.state stopped
	t 0 eval 'cocoon-hv get "$id" | cocoon-hv start -'
	wait_until 20 greeted "$id" 3
	kill -9 "$(monitor_pid "$id")"
	wait_until 5 hv_is "$id" .hv.unattended true
	t 0 cocoon-hv stop --timeout 20 "$id"
	hv_is "$id" .hv.state stopped
}

@test "the process: a uid of its own, no capability, its own directory" {
	local pid

	real
	mini_run --fc
	pid=$(vm_pid "$id")
	[ "$(awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$pid/status" |
		tr ' ' '\n' | sort -u | wc -l)" = 1 ]
	[ "$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")" -ge 1900000000 ]
	[ "$(awk '/^Gid:/ { print $2 }' "/proc/$pid/status")" -ge 1900000000 ]
	grep -qE '^CapEff:[[:space:]]0+$' "/proc/$pid/status"
	grep -qE '^CapBnd:[[:space:]]0+$' "/proc/$pid/status"
	grep -qE '^NoNewPrivs:[[:space:]]1$' "/proc/$pid/status"
	[ "$(readlink "/proc/$pid/cwd")" = "$COCOON_ROOT_DIR/vm/$id/0" ]
	[ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	# No file but its own, the lock that it holds, and its devices.
	for fd in "/proc/$pid/fd/"*; do
		case $(readlink "$fd") in
		"$COCOON_ROOT_DIR/vm/$id/"* | /dev/null | /dev/kvm | \
			/dev/urandom | /dev/net/tun | /dev/pts/* | \
			anon_inode:* | socket:* | /memfd:* | pipe:*) ;;
		*)
			readlink "$fd" >&2
			return 1
			;;
		esac
	done
	# Nor does its configuration name a path.
	api "$id" GET /vm/config
	[ "$(jq -r '[(.drives | sort_by(.drive_id)[].path_on_host), ."boot-source".kernel_image_path,
		."boot-source".initrd_path] | join(" ")' <<<"$output")" = \
		"layers/0.erofs layers/1.erofs cow.raw seed.iso kernel initrd" ]
	[ "$(jq -r '[.drives | sort_by(.drive_id)[].cache_type] | join(" ")' <<<"$output")" = \
		"Unsafe Unsafe Writeback Unsafe" ]
}

# api VM METHOD PATH: what its API says, in $output
api() {
	t 0 python3 - "$COCOON_ROOT_DIR/vm/$1/0" "$2" "$3" <<-'END'
		import http.client, os, socket, sys
		os.chdir(sys.argv[1])
		c = http.client.HTTPConnection("localhost")
		c.sock = socket.socket(socket.AF_UNIX)
		c.sock.connect("api.sock")
		c.request(sys.argv[2], sys.argv[3])
		print(c.getresponse().read().decode())
	END
}

@test "the process: landlock denies all but its directory" {
	need cc
	[ -e /dev/kvm ] || skip_for "/dev/kvm is missing"
	[ "$(cocoon-hv doctor | jq -r 'select(.check == "landlock").status')" = \
		ok ] || skip_for "landlock is missing"
	open_nodes 0666
	# A place that every uid can reach.
	mount -t tmpfs -o mode=755 tmpfs /mnt
	MNT=1
	mkdir -m 777 /mnt/out
	echo open >/mnt/out/world-readable
	cat >vmm.c <<-'END'
		#include <errno.h>
		#include <fcntl.h>
		#include <stdio.h>
		#include <string.h>
		#include <unistd.h>
		static void try(const char *path, int flags)
		{
			int fd = open(path, flags, 0600);
			fprintf(stderr, "%s %s; ", path,
			    fd < 0 ? strerror(errno) : "opened");
		}
		int main(int n, char **v)
		{
			if (n > 1 && !strcmp(v[1], "--version")) {
				puts("Firecracker v1.16.1");
				return 0;
			}
			try("cow.raw", O_RDWR);
			try("/etc/passwd", O_RDONLY);
			try(OUT "/world-readable", O_RDONLY);
			try(OUT "/new", O_WRONLY | O_CREAT);
			try("..", O_RDONLY);
			try("kernel", O_RDWR);
			try("/dev/kvm", O_RDWR);
			try("/dev/net/tun", O_RDWR);
			return 1;
		}
	END
	cc -DOUT='"/mnt/out"' -o /mnt/firecracker vmm.c
	COCOON_FC_BINARY=/mnt/firecracker
	export COCOON_FC_BINARY
	doc=$(mini_create --fc)
	t 1 cocoon-hv start - <<<"$doc"
	messages 1
	says "cow.raw opened; /etc/passwd Permission denied"
	says "/world-readable Permission denied"
	says "/new Permission denied; .. Permission denied; kernel Permission denied; /dev/kvm opened"
	hv_is "$(field "$doc" .vm.id)" .hv.state created
	[ -z "$(ls "$COCOON_STATE_RUN/slot")" ]
	t 0 cocoon-hv rm --force "$(field "$doc" .vm.id)"
}

@test "the log: kept short, whatever the VMM writes" {
	local log

	real
	mini_run --fc
	log=$COCOON_ROOT_DIR/vm/$id/0/vmm.log
	[ "$(stat -c %a "$log")" = 600 ]
	yes 'a line of the log' | head -c 3000000 |
		timeout 20 tee "$COCOON_ROOT_DIR/vm/$id/0/vmm.fifo" >/dev/null
	wait_until 5 eval '[ "$(stat -c %s "$log")" -gt 100000 ]'
	[ "$(stat -c %s "$log")" -le 1100000 ]
	hv_is "$id" .hv.state running
}

@test "NICs: the tap of its own namespace, for its uid alone" {
	real
	ip netns add cn-test
	ip -n cn-test tuntap add cn0 mode tap vnet_hdr
	doc=$(mini_doc --fc | jq -c '.net = {netns: "cn-test", nics: [{tap: "cn0",
		mac: "02:00:00:00:00:01", mtu: 1450}]}')
	t 0 eval 'cocoon-hv create <<<"$doc" | cocoon-hv start -'
	id=$(field "$doc" .vm.id)
	wait_until 20 greeted "$id"
	[ "$(readlink "/proc/$(vm_pid "$id")/ns/net")" = \
		"$(ip netns exec cn-test readlink /proc/self/ns/net)" ]
	[ "$(ip netns exec cn-test cat /sys/class/net/cn0/owner)" = \
		"$(hv "$id" .hv.uid)" ]
	api "$id" GET /vm/config
	[ "$(jq -c '."network-interfaces"[0] | [.iface_id, .host_dev_name,
		.guest_mac]' <<<"$output")" = \
		'["eth0","cn0","02:00:00:00:00:01"]' ]
	# A second VM cannot have it, and says so.
	doc=$(jq -c '.vm.id = "B" * 26 | .vm.name = "second"' <<<"$doc")
	t 1 eval 'cocoon-hv create <<<"$doc" | cocoon-hv start -'
	says "cn0"
	t 0 cocoon-hv rm --force "$id" second
	# What is not there is not made.
	ip -n cn-test link del cn0
	doc=$(jq -c '.vm.id = "C" * 26 | .vm.name = "third"' <<<"$doc")
	t 4 eval 'cocoon-hv create <<<"$doc" | cocoon-hv start -'
	says "cn0: is not in the VM"
	t 0 cocoon-hv rm --force third
	ip netns del cn-test
}

@test "the command line: as long as cocoon-hint allows, and longer" {
	real
	doc=$(mini_doc --fc | jq -c '.boot.cmdline =
		"x" * (2047 - 40 * ((.plan.disks | length) + 2))')
	t 0 eval 'cocoon-hv create <<<"$doc" | cocoon-hv start -'
	id=$(field "$doc" .vm.id)
	wait_until 20 greeted "$id"
	t 0 cocoon-hv rm --force "$id"
	# Firecracker finds out when the guest is to run: nothing runs then.
	doc=$(mini_doc --fc | jq -c '.boot.cmdline = "x" * 2040')
	t 1 eval 'cocoon-hv create <<<"$doc" | cocoon-hv start -'
	says "fc: PUT /actions: Start microvm error"
	messages 1
	id=$(field "$doc" .vm.id)
	[[ $(hv "$id" .hv.state) =~ ^(stopped|error)$ ]]
	no_vm_processes
	[ -z "$(ls "$COCOON_STATE_RUN/slot")" ]
}

@test "resize: not while it runs, and says so" {
	real
	mini_run --fc
	t 7 cocoon-hv resize --memory 128M "$id"
	says "backend fc cannot resize what runs: stop it first"
	t 0 cocoon-hv stop --timeout 20 "$id"
	t 0 cocoon-hv resize --memory 128M "$id"
	t 0 eval 'cocoon-hv get "$id" | cocoon-hv start -'
	wait_until 20 greeted "$id" 2
	api "$id" GET /machine-config
	[ "$(field "$output" .mem_size_mib)" = 128 ]
}

@test "debug: a script that starts the same VM, and it runs" {
	real
	mini_doc --fc | cocoon-hv debug >script
	t 0 shellcheck -s sh script
	mkdir by-hand
	t 0 timeout 30 sh script by-hand < <(printf q)
	[[ $output == *"guest is up"* ]]
	[ "$(jq -r '.drives | length' by-hand/vm.json)" = 3 ]
}
