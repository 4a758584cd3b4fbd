# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2009,SC2154
# What crash scenarios share.

ID=ABCDEFGHIJKLMNOPQRSTUVWX27
OTHER=BBBBBBBBBBBBBBBBBBBBBBBB27
KEPT=CCCCCCCCCCCCCCCCCCCCCCCC27

# Prints what the scenario cannot do without; false if all is there. A scenario
# overrides NEEDS.
NEEDS=
missing() {
	local x

	for x in $NEEDS; do
		command -v "$BIN/$x" >/dev/null || command -v "$x" >/dev/null || {
			echo "$x is missing"
			return 0
		}
	done
	return 1
}

# gc of every tool that is there; each must succeed.
gc_all() {
	local tool said

	for tool in cocoon-hv cocoon-net cocoon-snap cocoon-img; do
		[ -x "$BIN/$tool" ] || continue
		said=$("$tool" gc "$@" 2>&1) ||
			echo "$tool gc fails with $?: $said"
	done
}

# Everything that our commands could leave on a host, one a line.
host_state() {
	# Not ip: a dump that is interrupted may lack lines.
	find /sys/class/net -mindepth 1 -not -name lo -printf 'link %f\n'
	find /run/netns -mindepth 1 -printf 'netns %f\n'
	nft list tables | sed 's/^/nft: /'
	awk '$2 ~ "^/run/" && $2 != "/run/netns" { print "mount " $2 }' \
		/proc/self/mounts
	echo "ip_forward $(cat /proc/sys/net/ipv4/ip_forward)"
	echo "ip6_forward $(cat /proc/sys/net/ipv6/conf/all/forwarding)"
	if [ -d "$COCOON_STATE_RUN" ]; then
		find "$COCOON_STATE_RUN" -not -type d -printf 'run %P\n'
	fi
	ps -eo comm= | sed -nE 's/^(cocoon|qemu|nft|mkfs|layer|fetch|fake)/process &/p'
}

# Files of the state directory, but for locks, the memory of the last lease and
# the disks that others are copied from.
root_state() {
	find "$COCOON_ROOT_DIR" -not -type d -not -name lock \
		-not -name 'last_reserved_ip.*' -not -path '*/template/ext4-*' \
		-printf '%P\n' | sort
	find "$COCOON_ROOT_DIR" -mindepth 2 -type d -path '*/vm/*' \
		-printf '%P/\n' | sort
}

# same WHAT EXPECTED: prints how the output of WHAT differs. The kernel takes
# its time with a namespace that nobody has any more, and processes with dying.
same() {
	local until=$((SECONDS + 5)) said

	while said=$(diff <(printf '%s' "${2:+$2$'\n'}" | sort) \
		<("$1" | sort) |
		sed -n "s/^>/$1: left over:/p; s/^</$1: gone:/p") &&
		[ -n "$said" ] && [ "$SECONDS" -lt "$until" ]; do
		sleep 0.05
	done
	[ -z "$said" ] || printf '%s\n' "$said"
}

# In setup, what `unchanged` compares with.
remember() {
	host_state >"$W/before"
	root_state >"$W/before-root"
}

# What a scenario without a check of its own checks.
unchanged() {
	same host_state "$(cat "$W/before")"
	same root_state "$(cat "$W/before-root")"
}

# doc ID [NICS]: a document for cocoon-net.
doc() {
	printf '{"v":1,"vm":{"id":"%s"},"spec":{"nics":%s}}\n' "$1" "${2:-1}"
}

# layout NAME <SCRIPT: a layout in $P (see tests/double/oci-layout).
layout() {
	"$here/../double/oci-layout" "$P/$1"
}

# shellcheck source=tests/nodes.bash
. "$here/../nodes.bash"

# The hypervisor of the VMs: qemu, or fc, the one of COCOON_TEST_FC.
CRASH_BACKEND=${CRASH_BACKEND:-qemu}
export COCOON_FC_BINARY=/nonexistent COCOON_CH_BINARY=/nonexistent
if [ "$CRASH_BACKEND" = fc ]; then
	export COCOON_KVM=yes COCOON_FC_BINARY=${COCOON_TEST_FC:?}
fi

# The guest of VM N/ really runs: its hypervisor says so.
guest_runs() { # DIRECTORY
	if [ "$CRASH_BACKEND" = fc ]; then
		(cd "$1" && curl -s --max-time 10 --unix-socket api.sock \
			http://localhost/) | grep -q '"state": *"Running"'
		return
	fi
	printf '%s\n' '{"execute":"qmp_capabilities"}' \
		'{"execute":"query-status"}' |
		timeout 10 python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
os.chdir(sys.argv[1])
s.connect("api.sock")
s.sendall(sys.stdin.buffer.read())
f = s.makefile()
while (line := f.readline()) and "status" not in line:
    pass
sys.exit("running" not in line.replace("\"running\": false", ""))' "$1"
}

# An image that boots in a blink, and what plan found out about the host,
# in $P, for copy_mini.
prepare_mini() {
	local dir=$P/guest

	mkdir "$dir"
	if [ "$CRASH_BACKEND" = fc ]; then
		"$here/../double/pvh-build" "$dir"
		mv "$dir/pvh" "$dir/kernel"
	else
		cc -m32 -c -o "$dir/guest.o" "$here/../double/miniguest.S"
		ld -m elf_i386 -Ttext 0x100000 -o "$dir/kernel" "$dir/guest.o"
	fi
	export COCOON_ROOT_DIR=$P/root COCOON_STATE_RUN=$P/run
	mkdir -m 700 "$P/root" "$P/run"
	printf '%s\n' layer 'd boot' "copy boot/vmlinuz-1 $dir/kernel" \
		'f boot/initrd.img-1 initrd' | layout mini
	cocoon-img import mini "$P/mini"
	cocoon-hv spec --nics 0 --storage 64M mini | cocoon-img resolve |
		cocoon-hv plan | tee "$P/plan"
	[ "$(jq -r .plan.backend "$P/plan")" = "$CRASH_BACKEND" ]
}

copy_mini() {
	mkdir -p "$COCOON_STATE_RUN"
	cp -a "$P/root/." "$COCOON_ROOT_DIR"
	cp -a "$P/run/." "$COCOON_STATE_RUN"
}

# there VM: it exists.
there() {
	cocoon vm inspect "$1" >/dev/null 2>&1
}
