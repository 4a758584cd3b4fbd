#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# cocoon-net: NICs on bridges of the host, which stay their owners'.

load lib
load net

@test "--bridge: the host's end is a port, the guest asks by DHCP" {
	local d peer

	ip link add br0 mtu 1400 type bridge
	ip link set br0 up
	t 0 on "$A" '{"nic":0,"device":"br0"}'
	d=$output
	[ "$(field "$d" '.net.nics[0] | [.backend, .bridge, .mtu, .queues,
		.network, .addresses, .gateways, .dns] | join(" ")')" = \
		"bridge br0 1400 1    " ]
	peer=$(field "$d" '.net.nics[0].peer')
	[ "$(ip -j link show "$peer" | jq -r '.[0] | .master, .mtu' |
		xargs)" = "br0 1400" ]
	t 0 cocoon-net check $A
	# Nothing of the built-in network is needed, or made.
	! ip link show cocoon0
	[ -z "$(nft list tables)" ]
	[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ]
	t 0 cocoon-net list
	[[ ${lines[1]} = *" 1  dhcp" ]]
	t 0 cocoon-net del $A
	wait_until 5 no_ports br0
	ip link show br0 | grep -q UP
}

@test "--ip: addresses, gateways and DNS are the guest's; frames pass" {
	ip link add br0 type bridge
	ip addr add 192.0.2.1/24 dev br0
	ip link set br0 up
	t 0 on "$A" '{"nic":0,"device":"br0","addresses":["192.0.2.5/24",
		"2001:db8::5/64"],"gateways":["192.0.2.1","2001:db8::1"]}'
	[ "$(field "$output" '.net.nics[0] | [.addresses[], .gateways[],
		.dns[]] | join(" ")')" = \
		"192.0.2.5/24 2001:db8::5/64 192.0.2.1 2001:db8::1 1.1.1.1" ]
	start_guest "$output" 0
	t 0 ping -c 2 -i 0.05 -W 5 192.0.2.5
}

@test "--bridge mixed with the built-in network, in the order given" {
	ip link add br0 type bridge
	ip link add br1 type bridge
	t 0 on "$A" '{"nic":0,"device":"br1"},{"nic":2,"device":"br0"}' 4
	[ "$(field "$output" '[.net.nics[] | .ifname, .bridge, .addresses[0]] |
		join(" ")')" = \
		"eth0 br1  eth1 cocoon0 10.88.0.2/16 eth2 br0  eth3 cocoon0 10.88.0.3/16" ]
	t 0 cocoon-net check $A
	gone $A
	ip link show br0
}

@test "--bridge: what is none, is ours or is not there is refused" {
	local want rest

	ip link add br0 type bridge
	ip link add uplink type veth peer name other
	add $B
	while read -r want rest; do
		t "$want" on "$A" "$rest"
		no_record
	done <<-END
		4 {"nic":0,"device":"nosuch"}
		7 {"nic":0,"device":"uplink"}
		7 {"nic":0,"device":"lo"}
		7 {"nic":0,"device":"cocoon0"}
		3 {"nic":1,"device":"br0"}
		3 {"nic":0,"device":"br0"},{"nic":0,"device":"br0"}
		3 {"nic":0,"device":"../br0"}
		3 {"nic":0,"device":"br0","addresses":["192.0.2.5"]}
		3 {"nic":0,"device":"br0","gateways":["x"]}
		3 {"nic":0,"device":"br0","colour":"red"}
		3 {"nic":0}
	END
	t 4 on $A '{"nic":0,"device":"nosuch"}'
	[[ $stderr = *"bridge nosuch: there is no such device"*"ip link add"* ]]
	t 7 on $A '{"nic":0,"device":"uplink"}'
	[[ $stderr = *"bridge uplink: is no bridge (type veth)"* ]]
	t 7 on $A '{"nic":0,"device":"cocoon0"}'
	[[ $stderr = *"bridge cocoon0: is a built-in network's"* ]]
}

no_record() {
	[ ! -e "$NET/$A.json" ] && [ ! -e "/run/netns/cn-$A" ]
}

@test "check and ensure: a bridge that went, came back, has another MTU" {
	local peer

	ip link add br0 mtu 9000 type bridge
	DOC=$(on $A '{"nic":0,"device":"br0","addresses":["192.0.2.5/24"]}')
	peer=$(field "$DOC" '.net.nics[0].peer')
	broken "veth $peer is no port of br0" ip link set "$peer" nomaster
	broken "eth0: no veth $peer" ip link del "$peer"
	ip link del br0
	t 5 cocoon-net check $A
	[ "$output" = "$A: eth0: no bridge br0" ]
	t 4 cocoon-net add --ensure <<<"$DOC"
	[[ $stderr = *"eth0: bridge br0: there is no such device"* ]]
	# Wiring a port of another MTU would change the bridge's own.
	ip link add br0 mtu 9500 type bridge
	ip link del "$peer"
	t 0 cocoon-net add --ensure <<<"$DOC"
	[ "$(ip -j link show br0 | jq '.[0].mtu')" = 9500 ]
	[ "$(in_vm $A ip -j link show eth0 | jq '.[0].mtu')" = 9000 ]
	t 0 cocoon-net check $A
}

@test "--bridge after a reboot: the owner's bridge first, then all as it was" {
	local d

	ip link add br0 type bridge
	d=$(on $A '{"nic":0,"device":"br0","addresses":["192.0.2.5/24"],
		"gateways":["192.0.2.1"]},{"nic":2,"device":"br0"}' 3)
	ip link del br0
	reboot_host
	t 4 cocoon-net add --ensure <<<"$d"
	[[ $stderr = *"eth0: bridge br0: there is no such device"* ]]
	ip link add br0 type bridge
	ip addr add 192.0.2.1/24 dev br0
	ip link set br0 up
	t 0 cocoon-net add --ensure <<<"$d"
	[ "$output" = "$d" ]
	t 0 cocoon-net check $A
	[ "$(ip -br link show master br0 | wc -l)" = 2 ]
	start_guest "$d" 0
	start_guest "$d" 1
	wait_until 20 ping -q -c 1 -W 1 192.0.2.5
	wait_until 20 ping -q -c 1 -W 1 10.88.0.2
	kill $PIDS
	gone $A
	ip link show br0
}

@test "bridges are never cocoon's: gc, failures and kills keep them" {
	local n

	ip link add br0 type bridge
	on $A '{"nic":0,"device":"br0"}'
	t 0 cocoon-net gc --all
	wait_until 5 no_ports br0
	for n in 1 2 3 4 5 6 7 8; do
		on_doc $A '{"nic":0,"device":"br0"}' | strace -qq -f -o /dev/null \
			-e "inject=sendto:signal=KILL:when=$n" \
			cocoon-net add >/dev/null 2>&1 || :
		cocoon-net gc --all >/dev/null
		wait_until 5 no_ports br0
		[ -z "$(ls -A /run/netns)" ]
		ip link show br0 >/dev/null
	done
}
