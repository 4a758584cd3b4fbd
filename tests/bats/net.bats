#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# cocoon-net: everything that can be seen of it in the kernel.

load lib
load net

@test "add writes .net and keeps the rest; check finds all there" {
	t 0 bash -c 'echo "{\"v\":1,\"vm\":{\"id\":\"'$A'\"},\"x\":[1.5],
		\"spec\":{\"nics\":2,\"dns\":[\"1.1.1.1\",\"2001:db8::1\"]}}" |
		cocoon-net add'
	[ "$(field "$output" '.x[0]')" = 1.5 ]
	[ "$(field "$output" '.made | join(",")')" = net ]
	[ "$(field "$output" .net.by)" = hand ]
	[ "$(field "$output" .net.netns)" = "cn-$A" ]
	[ "$(field "$output" '[.net.nics[] |
		.tap, .ifname, .backend, .network, .mtu, .queues,
		.addresses[0], .gateways[0], .dns[1]] | join(" ")')" = \
		"cn0 eth0 builtin cocoon 1500 1 10.88.0.2/16 10.88.0.1 2001:db8::1 cn1 eth1 builtin cocoon 1500 1 10.88.0.3/16 10.88.0.1 2001:db8::1" ]
	[ "$(cat "$LEASES/10.88.0.3")" = "$A"$'\r\neth1' ]
	t 0 cocoon-net check $A
	[ -z "$output" ]
	t 0 cocoon-net list
	[ "${lines[1]}" = "$A  hand    cn-$A     2  10.88.0.2,10.88.0.3" ]
	t 0 cocoon-net list -o json
	[ "$(field "$output" '.[0].id, .[0].nics[1].tap' | xargs)" = "$A cn1" ]
	gone $A
}

@test "what a VM finds: taps with a header, quiet veths, no addresses" {
	local d

	d=$(add $A)
	in_vm $A ip -d link show cn0 | grep -q 'tun type tap pi off vnet_hdr on persist on'
	[ "$(in_vm $A cat /sys/class/net/eth0/address 2>/dev/null ||
		in_vm $A ip -j link show eth0 | jq -r '.[0].address')" = \
		"$(field "$d" '.net.nics[0].mac')" ]
	[ "$(in_vm $A ip -o addr show | grep -cv ' lo ')" = 0 ]
	[ "$(in_vm $A ip -j -s link show eth0 | jq '.[0].stats64.tx.packets')" = 0 ]
	# Locally administered, no multicast.
	[[ $(field "$d" '.net.nics[0].mac') =~ ^.[26ae]: ]]
	[ "$(ip -j link show cocoon0 | jq -r '.[0].address')" = 0a:58:0a:58:00:01 ]
}

@test "traffic: host to guest, guest to guest, guest to the world and no way in" {
	local a b

	ip netns add outside
	ip link add uplink type veth peer name eth0 netns outside
	ip addr add 192.0.2.1/24 dev uplink
	ip link set uplink up
	ip -n outside addr add 192.0.2.2/24 dev eth0
	ip -n outside link set eth0 up
	ip -n outside route add 10.88.0.0/16 via 192.0.2.1
	a=$(add $A 2)
	b=$(add $B)
	start_guest "$a" 0
	start_guest "$a" 1
	t 0 ping -c 3 -i 0.05 -W 5 10.88.0.2
	wait_until 20 ping -q -c 1 -W 1 10.88.0.3
	wait_until 20 ping -q -c 1 -W 1 -s 1400 10.88.0.2
	t 0 guest "$b" 0 ping 10.88.0.2
	t 0 guest "$b" 0 ping 10.88.0.1
	# Masqueraded: the world outside has no way to 10.88.0.4 that counts.
	ip -n outside route del 10.88.0.0/16
	t 0 guest "$b" 0 ping 192.0.2.2 10.88.0.1
	ip -n outside route add 10.88.0.0/16 via 192.0.2.1
	t 1 ip netns exec outside ping -c 1 -W 1 10.88.0.2
}

@test "stats: what the guest sent and received, NIC by NIC" {
	local a

	a=$(add $A 2)
	add $B
	start_guest "$a" 1
	t 0 ping -c 3 -i 0.05 -W 5 10.88.0.3
	t 0 cocoon-net stats
	[ "${#lines[@]}" = 4 ]
	t 0 cocoon-net stats -o json $A
	# An answer to each ping and to ARP, of 98 and of 42 bytes.
	[ "$(field "$output" '.[1] | .tap == "cn1" and .sent.packets >= 4 and
		.sent.bytes >= 3 * 98 + 42 and .received.packets >= 4 and
		.sent.dropped == 0')" = true ]
	[ "$(field "$output" '.[0].sent.packets, length' | xargs)" = "0 2" ]
	t 2 cocoon-net stats x
	t 4 cocoon-net stats "$(vid 9)"
	ip netns del "cn-$B"
	t 4 cocoon-net stats -o json
	[ "$(field "$output" '[.[].id] | unique | join(" ")')" = $A ]
}

@test "no NIC: nothing is created; a wrong wish: refused before any effect" {
	rmdir "$COCOON_ROOT_DIR"
	t 0 add $A 0
	[ "$(field "$output" '.net | tojson')" = '{"by":"hand","nics":[]}' ]
	[ "$(field "$output" .made)" = null ]
	t 3 add $A 17
	t 3 add $A '"1"'
	t 3 add short 1
	t 4 bash -c "echo '{\"v\":1,\"vm\":{\"id\":\"$A\"},\"spec\":{\"network\":\"lan\"}}' | cocoon-net add"
	[[ $stderr = *'network "lan": there is no such one in '*' there are: cocoon' ]]
	t 3 bash -c "echo '{\"v\":1,\"vm\":{\"id\":\"$A\"},\"spec\":{\"dns\":[\"x\"]}}' | cocoon-net add"
	t 5 bash -c "echo '{\"v\":1,\"vm\":{\"id\":\"$A\"},\"net\":{\"nics\":[]}}' | cocoon-net add"
	[ "$(field "$output" .error.code)" = 5 ]
	[ ! -e "$COCOON_ROOT_DIR" ]
	mkdir "$COCOON_ROOT_DIR"
}

@test "del of a VM that still runs cuts its wire" {
	local d

	d=$(add $A)
	start_guest "$d" 0
	wait_until 20 ping -q -c 1 -W 1 10.88.0.2
	add $B
	t 0 cocoon-net del $A
	ip link show "$(field "$d" '.net.nics[0].peer')" | grep -q 'state DOWN'
	t 1 ping -c 1 -W 1 10.88.0.2
}

@test "a second add: code 5, and the first one is not touched" {
	local d

	d=$(add $A)
	t 5 add $A
	[ "$(field "$output" '.error.kind')" = state ]
	[ "$(field "$output" .made)" = null ]
	t 0 cocoon-net check $A
	t 0 bash -c "cocoon-net add --ensure <<<'$d'"
	[ "$output" = "$d" ]
	# A record is not written by a document's wishes.
	t 3 cocoon-net add --ensure <<<"$(jq -c ".vm.id = \"$B\"" <<<"$d")"
	t 3 cocoon-net add --ensure <<<"$(jq -c ".vm.id = \"$B\" |
		.net.netns = \"cn-$B\" | .net.nics[0].peer = \"lo\"" <<<"$d")"
	t 5 cocoon-net add --ensure <<<"$(jq -c ".vm.id = \"$B\" |
		.net.netns = \"cn-$B\" | .net.nics[0].peer = \"cnB\"" <<<"$d")"
	[[ $stderr = *"address 10.88.0.2: leased to $A"* ]]
	t 5 cocoon-net check $B
	[ "$output" = "$B: no record" ]
}

@test "del: once, twice, by filter, by undo; the last one restores the host" {
	local d

	add $A
	add $B
	[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ]
	t 0 cocoon-net del $A
	t 0 cocoon-net del $A
	ip link show cocoon0
	t 0 bash -c "echo '{\"v\":1,\"vm\":{\"id\":\"$B\"},\"net\":{},\"x\":1}' | cocoon-net del"
	[ "$output" = "{\"v\":1,\"vm\":{\"id\":\"$B\"},\"x\":1}" ]
	wait_until 5 nothing_left
	t 2 cocoon-net del nonsense

	# undo: only error lines whose network this run made.
	d=$(add $A)
	t 0 cocoon-net del --undo <<<"$d"
	[ "$output" = "$d" ]
	t 0 cocoon-net check $A
	d=$(jq -c '.error = {code: 1, message: "x"}' <<<"$d")
	# The status is the error's, as of every stage.
	t 1 cocoon-net del --undo <<<"$(jq -c 'del(.made)' <<<"$d")"
	t 0 cocoon-net check $A
	t 1 cocoon-net del --undo <<<"$d"
	[ "$output" = "$d" ]
	wait_until 5 nothing_left
	# An error line of an earlier stage is passed on, with its code.
	t 6 cocoon-net del <<<'{"v":1,"error":{"code":6,"message":"x"}}'
}

@test "del and add again at once; ip_forward that was on stays on" {
	local i

	for i in 1 2 3 4 5; do
		add $A
		cocoon-net del $A
	done
	add $A
	t 0 cocoon-net check $A
	gone $A
	echo 1 >/proc/sys/net/ipv4/ip_forward
	add $A
	cocoon-net del $A
	[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ]
	echo 0 >/proc/sys/net/ipv4/ip_forward
}

# rule_gone CHAIN WORD: the first rule with it
rule_gone() {
	nft delete rule inet cocoon0 "$1" handle "$(nft -a list chain inet \
		cocoon0 "$1" | sed -n "/$2/s/.*handle //p" | head -n 1)"
}

@test "check names each single thing that is missing, ensure mends it" {
	local peer

	DOC=$(add $A 2)
	peer=$(field "$DOC" '.net.nics[0].peer')
	broken "eth0: no tap cn0" in_vm $A ip link del cn0
	broken "eth1: no veth eth1" in_vm $A ip link del eth1
	broken "eth0: no veth $peer" ip link del "$peer"
	broken "eth0: no ingress qdisc on eth0" in_vm $A tc qdisc del dev eth0 ingress
	broken "eth0: no filter on cn0" in_vm $A tc filter del dev cn0 ingress
	broken "eth0: cn0 is down" in_vm $A ip link set cn0 down
	broken "eth0: eth0 is down" in_vm $A ip link set eth0 down
	broken "eth0: cn0 has MTU 1400" in_vm $A ip link set cn0 mtu 1400
	broken "eth0: eth0 has MAC 02:00:00:00:00:09" \
		in_vm $A ip link set eth0 address 02:00:00:00:00:09
	broken "veth $peer is down" ip link set "$peer" down
	broken "veth $peer is no port of cocoon0" ip link set "$peer" nomaster
	broken "no network namespace cn-$A" ip netns del "cn-$A"
	broken "no bridge cocoon0" ip link del cocoon0
	broken "bridge cocoon0 is down" ip link set cocoon0 down
	broken "no nftables table inet cocoon0" nft delete table inet cocoon0
	broken "nftables table inet cocoon0: 3 of 4 rules in chain forward" \
		rule_gone forward accept
	broken "nftables table inet cocoon0: 1 of 2 rules in chain postrouting" \
		rule_gone postrouting masquerade
	broken "nftables table inet cocoon0: 0 of 4 rules in chain forward" \
		nft delete chain inet cocoon0 forward
	broken "net.ipv4.ip_forward is 0" sysctl -qw net.ipv4.ip_forward=0
	broken "net.ipv6.conf.all.forwarding is 0" \
		sysctl -qw net.ipv6.conf.all.forwarding=0
	broken "eth1: no lease of 10.88.0.3" rm "$LEASES/10.88.0.3"
	broken "no record" rm "$NET/$A.json"
	# An address alone is not looked for at every start: down and up.
	ip addr flush dev cocoon0
	broken "no address on cocoon0" ip link set cocoon0 down
	ip -6 addr flush dev cocoon0
	broken "no IPv6 address on cocoon0" ip link set cocoon0 down
	t 0 cocoon-net check <<<"$DOC"
	gone $A
}

# The network of all guests, fd.../64.
net6() {
	jq -r .subnet6 "$NET/cocoon.json"
}

@test "IPv6: a ULA, the IPv4 address in it, out by NAT and no way in" {
	local d guest gateway

	ip netns add outside
	ip link add uplink type veth peer name eth0 netns outside
	ip addr add 2001:db8:1::1/64 dev uplink nodad
	ip link set uplink up
	ip -n outside addr add 2001:db8:1::2/64 dev eth0 nodad
	ip -n outside link set eth0 up
	d=$(add $A)
	guest=$(field "$d" '.net.nics[0].addresses[1]')
	gateway=$(field "$d" '.net.nics[0].gateways[1]')
	[[ $(net6) = fd*::/64 ]]
	[ "$guest" = "$(net6 | sed 's|/64|a58:2/64|')" ]
	[ "$gateway" = "$(net6 | sed 's|/64|1|')" ]
	a_host cn0 "cn-$A"
	ip -n guest addr add "$guest" dev eth0 nodad
	ip -n guest route add default via "$gateway"
	wait_until 20 ping -q -c 1 -W 1 "${guest%/64}"
	wait_until 20 ip netns exec guest ping -q -c 1 -W 1 "$gateway"
	# Outside has no route to the ULA: only NAT brings the answer home.
	wait_until 20 ip netns exec guest ping -q -c 1 -W 1 2001:db8:1::2
	ip -n outside route add "$(net6)" via 2001:db8:1::1
	t 1 ip netns exec outside ping -c 1 -W 1 "${guest%/64}"
	t 0 cocoon-net check $A
}

# left_over TAP: frames that the tap has for who opens it, nobody sending.
left_over() {
	in_vm $A "$BATS_FILE_TMPDIR/tapguest" "$1" 02:00:00:00:00:01 \
		10.88.0.2 waiting
}

@test "the tap of a stopped VM: what comes for it is dropped, nothing waits" {
	local d

	d=$(add $A)
	start_guest "$d" 0
	wait_until 20 ping -q -c 1 -W 1 10.88.0.2
	# One that is frozen and not gone has its frames kept, so many of them.
	kill -STOP $PIDS
	t 1 ping -c 3 -i 0.05 -W 1 10.88.0.2
	kill -CONT $PIDS
	wait_until 20 ping -q -c 1 -W 1 10.88.0.2
	kill -KILL $PIDS
	wait $PIDS || :
	# More than any queue holds; the neighbour is known, so all are sent.
	t 1 ping -f -c 3000 -W 1 10.88.0.2
	[ "$(in_vm $A tc -s -j qdisc show |
		jq '[.[].backlog // 0] | add')" = 0 ]
	[ "$(in_vm $A tc -s -j filter show dev eth0 ingress |
		jq '[.[].options.actions[]?.stats.overlimits] | add')" -ge 1000 ]
	[ "$(left_over cn0)" = 0 ]
	t 0 cocoon-net check $A
	PIDS=
	start_guest "$d" 0
	wait_until 20 ping -q -c 1 -W 1 10.88.0.2
}

# What host-local is told to share the built-in subnet: cocoon-net(8).
host_local() { # COMMAND CONTAINER
	jq -n --arg d "$NET/lease" '{cniVersion: "1.0.0", name: "cocoon",
		ipam: {type: "host-local", dataDir: $d,
		ranges: [[{subnet: "10.88.0.0/16"}]]}}' |
		CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_IFNAME=eth0 \
			CNI_NETNS=/none CNI_PATH=/usr/lib/cni \
			/usr/lib/cni/host-local
}

# It is in flock(2).
host_local_waits() {
	cat /proc/"$(pgrep -x host-local)"/task/*/syscall | grep '^73 '
}

@test "CNI's host-local in the same subnet: one lock, no address twice" {
	local i pids= out=$BATS_TEST_TMPDIR/out

	need /usr/lib/cni/host-local
	mkdir "$out"
	t 0 add $A
	t 0 host_local ADD one
	[ "$(field "$output" '.ips[0].address')" = 10.88.0.3/16 ]
	[ "$(cat "$LEASES/10.88.0.3")" = one$'\r\neth0' ]
	t 0 add $B
	[ "$(address "$output" 0)" = 10.88.0.4 ]
	# Who holds the lock lets nobody go on.
	exec 9<"$LEASES/lock"
	flock 9
	add "$(vid 3)" >"$out/a" 2>&1 3>&- 9>&- &
	pids=$!
	host_local ADD two >"$out/b" 2>&1 3>&- 9>&- &
	pids="$pids $!"
	wait_until 10 host_local_waits
	[ ! -s "$out/a" ]
	[ ! -s "$out/b" ]
	flock -u 9
	exec 9<&-
	for i in $pids; do
		wait "$i"
	done
	pids=
	for i in $(seq 4 13); do
		add "$(vid "$i")" >"$out/a.$i" 2>&1 3>&- &
		pids="$pids $!"
		host_local ADD "more$i" >"$out/b.$i" 2>&1 3>&- &
		pids="$pids $!"
	done
	for i in $pids; do
		wait "$i"
	done
	[ "$(cat "$out"/* | jq -r '.ips[0].address // .net.nics[0].addresses[0]' |
		sort -u | wc -l)" = 22 ]
	# Each removes its own, gc nothing of the other's.
	t 0 cocoon-net gc --all
	[ "$(find "$LEASES" -name '10.*' | wc -l)" = 12 ]
	for i in one two $(seq -f more%g 4 13); do
		t 0 host_local DEL "$i"
	done
}

@test "IPv6: the same network next time, another one, or none" {
	local first

	add $A
	first=$(net6)
	t 0 cocoon-net del $A
	add $A
	[ "$(net6)" = "$first" ]
	COCOON_SUBNET6=fd00:1::/64 t 5 add $B
	[[ $stderr = *COCOON_SUBNET6* ]]
	t 0 cocoon-net del $A
	COCOON_SUBNET6=fd00:1::/64 t 0 add $A
	[ "$(field "$output" '.net.nics[0] | .addresses[1], .gateways[1]' |
		sed 's/58:[0-9]/58:N/' | xargs)" = "fd00:1::a58:N/64 fd00:1::1" ]
	t 0 cocoon-net del $A
	COCOON_SUBNET6=none t 0 add $A
	[ "$(field "$output" '.net.nics[0].addresses | length')" = 1 ]
	[ "$(cat /proc/sys/net/ipv6/conf/all/forwarding)" = 0 ]
	t 0 cocoon-net check $A
	t 0 cocoon-net del $A
	for first in fe80::/64 ff02::/64 fd00::/48 fd00::1 10.0.0.0/24 x; do
		COCOON_SUBNET6=$first t 2 add $A
	done
	ip link add uplink type veth peer name other
	ip link set uplink up
	ip route add fd00:2::/32 dev uplink
	COCOON_SUBNET6=fd00:2::/64 t 5 add $A
	[[ $stderr = *"the host has a route into it; set COCOON_SUBNET6"* ]]
	# Forwarding that was on stays on.
	echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
	add $A
	t 0 cocoon-net del $A
	[ "$(cat /proc/sys/net/ipv6/conf/all/forwarding)" = 1 ]
	echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
}

@test "IPv6: a host without it, or with an advertised route, has none" {
	echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
	t 0 add $A
	[ "$(field "$output" '.net.nics[0].addresses | length')" = 1 ]
	COCOON_SUBNET6=fd00:1::/64 t 5 add $B
	t 0 cocoon-net del $A
	COCOON_SUBNET6=fd00:1::/64 t 7 add $A
	[[ $stderr = *"the host has no IPv6"* ]]
	echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6
}

@test "after a reboot: ensure gives the same addresses, del cleans up" {
	local d

	d=$(add $A 2)
	reboot_host
	t 0 cocoon-net add --ensure <<<"$d"
	[ "$output" = "$d" ]
	t 0 cocoon-net check $A
	start_guest "$d" 1
	wait_until 20 ping -q -c 1 -W 1 10.88.0.3
	kill $PIDS
	reboot_host
	gone $A
}

@test "gc: what cocoon made for VMs that are gone, nothing else" {
	exec 8>>"$COCOON_ROOT_DIR/lock"
	COCOON_LOCK_FD=8 add $A
	COCOON_LOCK_FD=8 add $B
	exec 8>&-
	add "$(vid 3)"
	mkdir -p "$COCOON_ROOT_DIR/vm/$B"
	printf '%s\r\neth0' "$(vid 9)" >"$LEASES/10.88.7.7"
	printf 'container-1\r\neth0' >"$LEASES/10.88.7.8"
	: >"$LEASES/10.88.7.9"
	: >"$NET/.$A.json.tmp-0badcafe"
	t 0 cocoon-net gc -n
	[ "$(sort <<<"$output")" = "$(sort <<-EOF
		would remove net $A (no such VM)
		kept net $(vid 3) (made by hand; --all removes it)
		would remove lease 10.88.7.7 (no network has it)
		would remove lease 10.88.7.9 (no network has it)
		would remove file .$A.json.tmp-0badcafe (left by a command that was killed)
	EOF
	)" ]
	t 0 cocoon-net check $A $B "$(vid 3)"
	t 0 cocoon-net gc
	[ "$(grep -c ^removed <<<"$output")" = 4 ]
	t 0 cocoon-net check $B "$(vid 3)"
	t 5 cocoon-net check $A
	[ "$output" = "$A: no record" ]
	t 0 cocoon-net gc --all -o json
	[ "$(field "$output" .object)" = "$(vid 3)" ]
	t 0 cocoon-net check $B
	rmdir "$COCOON_ROOT_DIR/vm/$B"
	rm "$LEASES/10.88.7.8"
	t 0 cocoon-net gc
	[ "$output" = "removed net $B (no such VM)" ]
	wait_until 5 nothing_left
}

@test "gc waits for who creates, ten seconds at most" {
	add $A
	(
		flock -s 9
		exec timeout 30 sleep 30
	) 9>>"$COCOON_ROOT_DIR/lock" </dev/null >/dev/null 2>&1 3>&- &
	PIDS=$!
	wait_until 5 bash -c '! flock -n "$COCOON_ROOT_DIR/lock" true'
	t 6 cocoon-net gc
	kill $PIDS
	wait $PIDS || :
}

@test "a bridge, a table, a route of somebody else: refused, with a way out" {
	ip link add cocoon0 type bridge
	t 5 add $A
	[[ $stderr = *"cocoon0: a device of this name is there and not ours"*COCOON_BRIDGE* ]]
	ip link del cocoon0
	nft add table inet cocoon0
	t 5 add $A
	[[ $stderr = *"table inet cocoon0: is there and not ours"* ]]
	nft list table inet cocoon0
	nft delete table inet cocoon0
	ip link add uplink type veth peer name other
	ip addr add 10.88.3.1/24 dev uplink
	ip link set uplink up
	t 5 add $A
	[[ $stderr = *"subnet 10.88.0.0/16: the host has a route to 10.88.3.0/24 by uplink; set COCOON_SUBNET"* ]]
	nothing_left
	COCOON_SUBNET=10.77.5.9/24 COCOON_BRIDGE=br_x t 0 add $A
	[ "$(field "$output" '.net.nics[0] | .addresses[0], .bridge' | xargs)" = \
		"10.77.5.2/24 br_x" ]
	# Recorded: later commands need no environment, and cannot change it.
	t 0 add $B
	[ "$(field "$output" '.net.nics[0].addresses[0]')" = 10.77.5.3/24 ]
	COCOON_SUBNET=10.99.0.0/16 t 5 add "$(vid 3)"
	COCOON_SUBNET=rubbish t 2 add "$(vid 3)"
	t 0 cocoon-net check $A $B
}

@test "the MTU of a narrow way out becomes the guests'" {
	ip link add uplink mtu 1420 type veth peer name other
	ip addr add 192.0.2.1/24 dev uplink
	ip link set uplink up
	ip route add default via 192.0.2.2
	t 0 add $A
	[ "$(field "$output" '.net.nics[0].mtu')" = 1420 ]
	t 0 cocoon-net check $A
}

@test "two installations on one host do not cross" {
	local one=$COCOON_ROOT_DIR two=$BATS_TEST_TMPDIR/root2

	add $A
	COCOON_ROOT_DIR=$two t 5 add $B
	COCOON_ROOT_DIR=$two COCOON_BRIDGE=cocoon1 COCOON_SUBNET=10.89.0.0/16 \
		t 0 add $B
	COCOON_ROOT_DIR=$two t 0 cocoon-net check $B
	# The first one set ip_forward; the second still needs it.
	t 0 cocoon-net del $A
	COCOON_ROOT_DIR=$two t 0 cocoon-net check $B
	COCOON_ROOT_DIR=$two t 0 cocoon-net del $B
	wait_until 5 nothing_left
	only_bookkeeping "$one"
	only_bookkeeping "$two"
}

@test "addresses: in turn, never twice, and the end of them is said" {
	local k

	export COCOON_SUBNET=10.77.0.0/29
	for k in 1 2 3 4 5; do
		t 0 add "$(vid $k)"
		[ "$(address "$output" 0)" = "10.77.0.$((k + 1))" ]
	done
	t 1 add "$(vid 6)"
	[[ $stderr = *"subnet 10.77.0.0/29: no free address left"* ]]
	t 0 cocoon-net del "$(vid 2)" "$(vid 4)"
	t 0 add "$(vid 7)"
	[ "$(address "$output" 0)" = 10.77.0.3 ]
	t 1 add "$(vid 8)" 2
	t 0 add "$(vid 8)"
	[ "$(address "$output" 0)" = 10.77.0.5 ]
	t 0 cocoon-net del "$(vid 1)" "$(vid 3)" "$(vid 5)" "$(vid 7)" "$(vid 8)"
	wait_until 5 nothing_left
}

@test "thirty adds at once, then thirty dels: no address twice, nothing left" {
	local i out=$BATS_TEST_TMPDIR/out pids=

	mkdir "$out"
	for i in $(seq 30); do
		add "$(vid "$i")" >"$out/$i" 2>&1 3>&- &
		pids="$pids $!"
	done
	for i in $pids; do
		wait "$i"
	done
	[ "$(cat "$out"/* | jq -r '.net.nics[0].addresses[0]' | sort -u |
		wc -l)" = 30 ]
	t 0 cocoon-net check $(for i in $(seq 30); do vid "$i"; echo; done)
	pids=
	for i in $(seq 30); do
		cocoon-net del "$(vid "$i")" 3>&- &
		pids="$pids $!"
	done
	for i in $pids; do
		wait "$i"
	done
	wait_until 10 nothing_left
}

@test "adds and dels of the first and the last, crossing: the bridge holds" {
	local i pids=

	for i in $(seq 12); do
		{
			add "$(vid "$i")" && cocoon-net check "$(vid "$i")" &&
				cocoon-net del "$(vid "$i")"
		} >/dev/null 3>&- &
		pids="$pids $!"
	done
	for i in $pids; do
		wait "$i"
	done
	wait_until 10 nothing_left
}

@test "a stream: one answer a line, an error passes and stops nothing" {
	t 5 cocoon-net add <<-EOF
		$(doc $A)
		$(doc $A)
		{"v":1,"vm":{"id":"$(vid 5)"},"error":{"code":6,"message":"x"}}
		$(doc $B)
	EOF
	[ "$(jq -r '.error.code // .net.nics[0].addresses[0]' <<<"$output" |
		xargs)" = "10.88.0.2/16 5 6 10.88.0.3/16" ]
}

@test "a document that cannot be handed on is undone" {
	t 1 bash -c "doc() { $(declare -f doc | sed 1d); }; doc $A | cocoon-net add >/dev/full"
	wait_until 5 nothing_left
	doc $A | cocoon-net add | :
	wait_until 5 nothing_left
}

@test "without nft: code 7 and the package; nft that fails: its words" {
	local bin=$BATS_TEST_TMPDIR/bin nft

	nft=$(readlink -f "$(command -v nft)")
	mount --bind /dev/null "$nft"
	run --separate-stderr add $A
	umount "$nft"
	[ "$status" = 7 ]
	[[ $stderr = *"the program nft is missing"*"apt-get install nftables"* ]]
	nothing_left

	mkdir "$bin"
	printf '#!/bin/sh\necho "syntax error" >&2\nexit 1\n' >"$bin/nft"
	chmod +x "$bin/nft"
	PATH=$bin:$PATH t 1 add $A
	[[ $stderr = *"NAT for cocoon0: nft: exit status 1: syntax error"* ]]
	nothing_left
}

@test "failures of single calls are undone" {
	local call n r

	for call in unshare mount umount2 ioctl sendto; do
		for n in $(seq 12); do
			r=0
			doc $A 2 | strace -qq -o "$BATS_TEST_TMPDIR/trace" \
				-e "inject=$call:error=EIO:when=$n" \
				cocoon-net add >"$BATS_TEST_TMPDIR/out" 2>&1 ||
				r=$?
			if ! grep -q INJECTED "$BATS_TEST_TMPDIR/trace"; then
				break
			fi
			# The kernel could not be asked for the table: nft
			# replaces it, and all is well.
			if [ "$r" = 0 ]; then
				t 0 cocoon-net check $A
				cocoon-net del $A
			fi
			[ "$r" -le 7 ] || {
				cat "$BATS_TEST_TMPDIR/out" >&2
				return 1
			}
			wait_until 5 nothing_left
		done
		gone $A
	done
}

@test "an interrupt undoes" {
	local call sig

	for sig in INT TERM HUP; do
		for call in unshare fsync ioctl; do
			t 1 strace -qq -o /dev/null \
				-e "inject=$call:signal=$sig:when=2+" \
				-e "inject=unshare:signal=$sig" \
				cocoon-net add <<<"$(doc $A 2)"
			[ "$(field "$output" .error.message)" = interrupted ]
			wait_until 5 nothing_left
		done
	done
}

# killed VERB CALL: kills VERB at every CALL in turn; true when all of it is
# gone each time after what follows.
killed() {
	local verb=$1 call=$2 n

	for n in $(seq 40); do
		[ "$verb" = add ] || add $A 2 >/dev/null
		case $verb in
		add) doc $A 2 | traced "$call" "$n" add || : ;;
		del) traced "$call" "$n" del $A || : ;;
		esac
		if [ $((n % 2)) = 0 ]; then
			cocoon-net del $A
			cocoon-net gc
		else
			cocoon-net gc --all
		fi >/dev/null
		wait_until 5 nothing_left || {
			echo "after SIGKILL at $call number $n of $verb" >&2
			return 1
		}
		grep -q 'killed by SIGKILL' "$BATS_TEST_TMPDIR/trace" || return 0
	done
}

# In a shell of its own that says nothing of the kill.
traced() {
	( traced_now "$@" ) 2>/dev/null
}

traced_now() {
	strace -qq -f -o "$BATS_TEST_TMPDIR/trace" \
		-e "inject=$1:signal=KILL:when=$2" \
		cocoon-net "${@:3}" >/dev/null 2>&1
}

@test "add killed at every changing call: del and gc leave nothing" {
	local call

	for call in sendto ioctl mount unshare setns write renameat2 \
		unlinkat fsync; do
		killed add $call
	done
}

@test "del killed at every changing call: del and gc leave nothing" {
	local call

	for call in sendto umount2 unlink unlinkat write; do
		killed del $call
	done
}

@test "doctor says what is there, and what is not" {
	t 0 cocoon-net doctor
	[ "$(jq -r .check <<<"$output" | xargs)" = \
		"root tun wires nft firewall ip_forward subnet cni" ]
	[ "$(jq -r .status <<<"$output" | sort -u)" = ok ]
	nft 'add table ip x; add chain ip x f { type filter hook forward priority 0; policy drop; }'
	t 0 cocoon-net doctor
	[ "$(jq -r 'select(.check == "firewall").status' <<<"$output")" = warn ]
	nft delete table ip x
	COCOON_SUBNET=nonsense t 7 cocoon-net doctor
	nothing_left
}
