# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2086,SC2154
# What the files on cocoon-net share.

A=AAAAAAAAAAAAAAAAAAAAAAAAAA
B=BBBBBBBBBBBBBBBBBBBBBBBBBB

setup_file() {
	host_netns
	need cc ip nft tc jq strace ping
	cc -O1 -o "$BATS_FILE_TMPDIR/tapguest" \
		"$BATS_TEST_DIRNAME/../double/tapguest.c"
	cc -O1 -o "$BATS_FILE_TMPDIR/tapwire" \
		"$BATS_TEST_DIRNAME/../double/tapwire.c"
}

setup() {
	host_netns
	setup_root
	NET=$COCOON_ROOT_DIR/net
	LEASES=$NET/lease/cocoon
	PIDS=
}

teardown() {
	local pid

	for pid in $PIDS; do
		kill "$pid" 2>/dev/null || :
	done
	cocoon-net gc --all >/dev/null
	if [ -e "$BATS_TEST_TMPDIR/root2" ]; then
		COCOON_ROOT_DIR=$BATS_TEST_TMPDIR/root2 \
			cocoon-net gc --all >/dev/null
	fi
	ip netns del outside 2>/dev/null || :
	ip netns del guest 2>/dev/null || :
	ip link del uplink 2>/dev/null || :
	ip link del br0 2>/dev/null || :
	ip link del br1 2>/dev/null || :
	wait_until 5 nothing_left
}

# What a reboot leaves of the network of A: the disk.
reboot_host() {
	ip netns del "cn-$A"
	ip link del cocoon0
	nft delete table inet cocoon0
	rm -rf "$COCOON_STATE_RUN"
	mkdir "$COCOON_STATE_RUN"
	echo 0 >/proc/sys/net/ipv4/ip_forward
	echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
	wait_until 5 no_links
}

# doc ID [NICS]
doc() {
	printf '{"v":1,"vm":{"id":"%s"},"spec":{"nics":%s}}\n' "$1" "${2:-1}"
}

# vid N: a valid id that is N's own.
vid() {
	printf '%026d' "$1" | tr 0-9 A-J
}

add() {
	doc "$@" | cocoon-net add
}

# field DOCUMENT EXPRESSION
field() {
	jq -r "$2" <<<"$1"
}

no_links() {
	! ip -br link | grep -E '^(cn|cocoon)'
}

nothing_left() {
	no_links &&
		[ -z "$(ls -A /run/netns)" ] &&
		[ -z "$(nft list tables)" ] &&
		[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ] &&
		[ "$(cat /proc/sys/net/ipv6/conf/all/forwarding)" = 0 ] &&
		[ -z "$(ls -A "$COCOON_STATE_RUN")" ] &&
		only_bookkeeping "$COCOON_ROOT_DIR"
}

only_bookkeeping() {
	[ -z "$(find "$1" -type f ! -name lock ! -name last_reserved_ip.0)" ]
}

# Everything made by A alone is gone.
gone() {
	t 0 cocoon-net del "$1"
	wait_until 5 nothing_left
}

in_vm() {
	ip netns exec "cn-$1" "${@:2}"
}

# guest DOCUMENT N: something behind NIC N's tap that answers.
guest() {
	local i=$2

	$EXEC ip netns exec "cn-$(field "$1" .vm.id)" \
		"$BATS_FILE_TMPDIR/tapguest" "cn$i" \
		"$(field "$1" ".net.nics[$i].mac")" \
		"$(address "$1" "$i")" "${@:3}"
}

address() {
	field "$1" ".net.nics[$2].addresses[0]" | cut -d/ -f1
}

# a_host TAP NAMESPACE: the kernel of another namespace, called "guest", is the
# guest behind a tap: dev eth0 in it.
a_host() {
	ip netns add guest
	"$BATS_FILE_TMPDIR/tapwire" "/run/netns/$2" "$1" /run/netns/guest \
		eth0 "$(in_vm "${2#cn-}" cat /sys/class/net/eth0/address)" \
		</dev/null >"$BATS_TEST_TMPDIR/wire.log" 2>&1 3>&- &
	PIDS="$PIDS $!"
	wait_until 5 ip -n guest link show eth0
	ip -n guest link set eth0 up
}

start_guest() {
	# EXEC: so that the pid is the guest's own.
	EXEC="exec" guest "$@" </dev/null >"$BATS_TEST_TMPDIR/guest.log" \
		2>&1 3>&- &
	PIDS="$PIDS $!"
}

# broken LINE COMMAND...: COMMAND breaks it, check says LINE, ensure mends it.
broken() {
	local want=$1

	shift
	"$@"
	t 5 cocoon-net check $A
	[[ $output = *"$want"* ]] || {
		echo "check said: $output" >&2
		return 1
	}
	t 0 cocoon-net add --ensure <<<"$DOC"
	[ "$output" = "$DOC" ]
	t 0 cocoon-net check $A
}

# on_doc ID BRIDGES [NICS]: BRIDGES is the inside of spec.bridges.
on_doc() {
	printf '{"v":1,"vm":{"id":"%s"},"spec":{"nics":%s,"bridges":[%s],
		"dns":["1.1.1.1"]}}' "$1" "${3:-1}" "$2" | tr -d '\n\t'
	echo
}

on() {
	on_doc "$@" | cocoon-net add
}

# The kernel takes its time to remove what a namespace held.
no_ports() { # BRIDGE
	[ -z "$(ip -br link show master "$1")" ]
}
