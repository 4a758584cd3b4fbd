#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# cocoon-net: networks by CNI plugins, Debian's and one that misbehaves.

load lib
load net

setup_file() {
	host_netns
	need cc ip nft tc jq ping /usr/lib/cni/bridge iptables
	cc -O1 -o "$BATS_FILE_TMPDIR/tapguest" \
		"$BATS_TEST_DIRNAME/../double/tapguest.c"
	mkdir "$BATS_FILE_TMPDIR/bin"
	cp "$BATS_TEST_DIRNAME/../double/cni-fake" "$BATS_FILE_TMPDIR/bin/fake"
}

setup() {
	host_netns
	setup_root
	NET=$COCOON_ROOT_DIR/net
	CONF=$BATS_TEST_TMPDIR/conf
	IPAM=$BATS_TEST_TMPDIR/ipam
	mkdir "$CONF"
	export COCOON_CNI_CONF_DIR=$CONF
	export COCOON_CNI_BIN_DIR=$BATS_FILE_TMPDIR/bin:/usr/lib/cni
	export FAKE_LOG=$BATS_TEST_TMPDIR/fake
	: >"$FAKE_LOG"
	PIDS=
}

teardown() {
	local pid

	for pid in $PIDS; do
		kill "$pid" 2>/dev/null || :
	done
	cocoon-net gc --all >/dev/null || :
	ip link del lan0 2>/dev/null || :
	ip link del lan1 2>/dev/null || :
	ip link del uplink 2>/dev/null || :
	nft flush ruleset
	rm -rf /var/lib/cni
	echo 0 >/proc/sys/net/ipv4/ip_forward
	# The plugins leave it on.
	echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
	wait_until 5 no_fakes
	wait_until 5 nothing_left
}

no_fakes() {
	! ip -br link | grep -E '^(fk|veth)'
}

# conflist FILE NAME PLUGINS [VERSION]
conflist() {
	jq -n --argjson p "[$3]" --arg n "$2" --arg v "${4:-1.0.0}" \
		'{cniVersion: $v, name: $n, plugins: $p}' >"$CONF/$1"
}

# bridge_conf RANGES [ROUTES]: with host-local.
bridge_conf() {
	printf '{"type":"bridge","bridge":"lan0","isGateway":true,"ipam":{
		"type":"host-local","dataDir":"%s","ranges":[%s],
		"routes":[%s]}}' "$IPAM" "$1" "${2-}"
}

# named ID NAME...: a NIC on each of these networks.
named() {
	local id=$1

	shift
	jq -nc --arg id "$id" '{v: 1, vm: {id: $id},
		spec: {nics: ($ARGS.positional | length),
		networks: $ARGS.positional}}' --args "$@" | cocoon-net add
}

fake_asked() { # what the plugins were asked, as one line
	paste -sd, "$FAKE_LOG"
}

nic() { # DOCUMENT N MEMBER...: compact
	local d=$1 i=$2

	shift 2
	jq -c ".net.nics[$i] | [$(printf '.%s,' "$@" | sed 's/,$//')]" <<<"$d"
}

leases() {
	find "$IPAM" -type f ! -name 'last_*' ! -name lock 2>/dev/null | wc -l
}

R4='[{"subnet":"10.90.0.0/24"}]'
R6='[{"subnet":"fd00:90::/64"}]'

@test "bridge, host-local, portmap, bandwidth, firewall, tuning in a chain" {
	local d

	conflist 10.conflist lan "$(bridge_conf "$R4,$R6" \
		'{"dst":"0.0.0.0/0"},{"dst":"10.77.0.0/16","gw":"10.90.0.9"}' |
		jq '.dns = {nameservers: ["9.9.9.9"], search: ["a.test", "b.test"],
			options: ["ndots:2"]}'),"'
		{"type":"portmap","capabilities":{"portMappings":true}},
		{"type":"bandwidth","ingressRate":8000000,"ingressBurst":800000,
			"egressRate":8000000,"egressBurst":800000},
		{"type":"firewall"}, {"type":"tuning","mtu":1400}'
	t 0 eval 'doc $A | jq -c ".spec.runtime_config = {portMappings:
		[{hostPort: 8080, containerPort: 80, protocol: \"tcp\"}]}" |
		cocoon-net add'
	d=$output
	[ "$(nic "$d" 0 backend network addresses gateways routes mtu dns \
		search options peer bridge)" = '["cni","lan",["10.90.0.2/24","fd00:90::2/64"],["10.90.0.1","fd00:90::1"],[{"dst":"10.77.0.0/16","via":"10.90.0.9"}],1400,["9.9.9.9"],["a.test","b.test"],["ndots:2"],null,null]' ]
	[ "$(in_vm $A ip -j link show eth0 | jq -r '.[0].address')" = \
		"$(field "$d" '.net.nics[0].mac')" ]
	[ "$(in_vm $A ip -j link show cn0 | jq '.[0].mtu')" = 1400 ]
	iptables-save | grep -q 'dport 8080 -j DNAT --to-destination 10.90.0.2:80'
	# portmap's CHECK has a defect there, which is told apart.
	t 0 cocoon-net check $A
	t 0 cocoon-net check -v $A
	[[ $stderr = *"portmap: CHECK"*"a defect of this plugin"* ]]
	t 0 guest "$d" 0 ping 10.90.0.1
	start_guest "$d" 0
	# The neighbour is known: what comes before the guest listens is lost.
	wait_until 5 ping -c 1 -W 1 10.90.0.2
	in_vm $A ip addr del 10.90.0.2/24 dev eth0
	t 5 cocoon-net check $A
	[[ $output = *"eth0: network lan: plugin bridge: CHECK:"* ]]
	[ "$(leases)" = 2 ]
	t 0 cocoon-net del $A
	[ "$(leases)" = 0 ]
	! iptables-save | grep 8080
}

@test "ptp: nothing on the link but the gateway; macvlan; static; IPv6 only" {
	local d

	conflist 1.conflist routed '{"type":"ptp","mtu":1300,"ipam":{"type":
		"host-local","dataDir":"'"$IPAM"'","subnet":"10.91.0.0/24",
		"routes":[{"dst":"0.0.0.0/0"}]}}' 0.4.0
	conflist 2.conflist office '{"type":"macvlan","master":"uplink",
		"ipam":{}}'
	conflist 3.conflist fixed '{"type":"bridge","bridge":"lan1","ipam":
		{"type":"static","addresses":[{"address":"192.0.2.10/24"}]}}'
	conflist 4.conflist six "$(bridge_conf "$R6" '{"dst":"::/0"}')"
	ip link add uplink type veth peer name uplink2
	ip link set uplink up
	t 0 named $A routed office fixed six
	d=$output
	[ "$(nic "$d" 0 addresses gateways routes mtu)" = '[["10.91.0.2/32"],["10.91.0.1"],[{"dst":"10.91.0.0/24","via":"10.91.0.1"},{"dst":"10.91.0.1/32"}],1300]' ]
	# No address: the guest asks by DHCP.
	[ "$(nic "$d" 1 addresses gateways routes)" = '[null,null,null]' ]
	[ "$(nic "$d" 2 addresses gateways)" = '[["192.0.2.10/24"],null]' ]
	[ "$(nic "$d" 3 addresses gateways)" = '[["fd00:90::2/64"],["fd00:90::1"]]' ]
	t 0 guest "$d" 0 ping 10.91.0.1
	t 0 cocoon-net list
	[[ $output = *"  4  10.91.0.2,dhcp,192.0.2.10,fd00:90::2" ]]
	t 0 cocoon-net del $A
	[ "$(leases)" = 0 ]
}

@test "which network: by file name, by --network, the built-in one" {
	conflist 20.conflist second '{"type":"fake","tag":"s"}'
	conflist 10.conflist first '{"type":"fake","tag":"f"}' 0.3.1
	echo '{"cniVersion":"1.1.0","name":"single","type":"fake","tag":"1"}' \
		>"$CONF/30.conf"
	conflist 00.conf lo '{"type":"loopback"}'
	conflist 05.txt no '{"type":"fake","tag":"no"}'
	t 0 add $A
	[ "$(nic "$output" 0 network backend)" = '["first","cni"]' ]
	t 0 named "$(vid 1)" second single cocoon
	[ "$(field "$output" '.net.nics | map(.network, .backend) | join(" ")')" = \
		"second cni single cni cocoon builtin" ]
	t 4 named "$(vid 2)" third
	[[ $stderr = *'"third": there is no such one in '*': lo, first, second, single, cocoon' ]]
	# Of a name, the last file counts.
	conflist 40.conflist first '{"type":"fake","tag":"f2"}'
	: >"$FAKE_LOG"
	t 0 add "$(vid 3)"
	[[ $(fake_asked) = "ADD f2 eth0 "* ]]
	rm "$CONF"/*
	conflist 00.conf lo '{"type":"loopback"}'
	t 0 add "$(vid 4)"
	[ "$(nic "$output" 0 network)" = '["cocoon"]' ]
	COCOON_CNI_CONF_DIR=/nonexistent t 0 add "$(vid 5)"
	[ "$(nic "$output" 0 network)" = '["cocoon"]' ]
}

@test "a bad file is told, and no other suffers; what cannot be used says why" {
	local line

	echo '{"cniVersion":' >"$CONF/01.conflist"
	echo '{"cniVersion":"1.0.0","plugins":[{"type":"fake"}]}' \
		>"$CONF/02.conflist"
	conflist 03.conflist none ''
	conflist 04.conflist path '{"type":"../fake"}'
	conflist 05.conflist old '{"type":"fake"}' 0.2.0
	conflist 06.conflist new '{"type":"fake"}' 2.0.0
	echo '[]' >"$CONF/07.conf"
	mkfifo "$CONF/08.conf"
	t 1 add $A
	[[ $stderr = *"/01.conflist: "*"--network cocoon is the built-in one"* ]]
	conflist 50.conflist good '{"type":"fake"}'
	conflist 60.conflist dhcp '{"type":"macvlan","ipam":{"type":"dhcp"}}'
	conflist 70.conflist gone '{"type":"nosuch"}'
	t 0 add $A
	[ "$(nic "$output" 0 network)" = '["good"]' ]
	for line in '01.conflist: not JSON' '02.conflist: name: want' \
		'03.conflist: plugins: want' '04.conflist: plugins[0].type: ' \
		'05.conflist: cniVersion 0.2.0: want 0.3.0 to 1.1.0' \
		'06.conflist: cniVersion 2.0.0: want' '07.conf: no object' \
		'08.conf: no regular file'; do
		[[ $stderr = *"$line"* ]] || {
			echo "not told: $line" >&2
			false
		}
	done
	t 7 named $B dhcp
	[[ $stderr = *"network dhcp: 60.conflist: ipam.type dhcp: the host would"* ]]
	t 7 named $B gone
	[[ $stderr = *"network gone: plugin nosuch: not in "* ]]
	[ ! -e "$NET/$B.json" ]
	t 0 cocoon-net doctor
	[ "$(jq -sr 'map(select(.check == "cni") | .status) | join(" ")' \
		<<<"$output")" = "warn warn warn warn warn warn warn warn ok warn warn" ]
	[[ $output = *"70.conflist: network gone: no such plugin in "*" nosuch"* ]]
	# What only some VMs ask for is not the others' business.
	t 0 named $B cocoon
}

# Each answer of the second of three plugins, what is said, and the status.
@test "a plugin that misbehaves: told apart, undone in reverse" {
	local does code words

	while read -r does code words; do
		: >"$FAKE_LOG"
		conflist 1.conflist n '{"type":"fake","tag":"1"},
			{"type":"fake","tag":"2","does":{"ADD":"'"$does"'"}},
			{"type":"fake","tag":"3"}'
		# Time enough for the others, on a busy machine too.
		[ "$does" != hang ] || export COCOON_CNI_TIMEOUT_SECONDS=5
		t "$code" add $A 2
		unset COCOON_CNI_TIMEOUT_SECONDS
		[[ $stderr = *"network n: plugin fake: ADD: "*"$words"* ]] || {
			echo "$does: $stderr" >&2
			false
		}
		[ "$(fake_asked)" = "ADD 1 eth0 cn-$A,ADD 2 eth0 cn-$A,DEL 2 eth0 cn-$A,DEL 1 eth0 cn-$A" ]
		[ ! -e "$NET/$A.json" ]
		[ ! -e "/run/netns/cn-$A" ]
	done <<-END
		fail 1 try later: no luck (code 11)
		die 1 exit status 3: cannot go on
		error0 1 bad configuration (code 7)
		hang 6 no end within 5000 ms
		rubbish 1 the result is no JSON
		empty 1 exit status 0 and no result
		flood 1 bytes of answer
	END
	# What a plugin had started is gone with it.
	wait_until 5 dead "$(cat "$FAKE_LOG.pid")"
}

dead() {
	! kill -0 "$1" 2>/dev/null
}

@test "results that are none; no device; stderr and status 0 is no failure" {
	local answer words d

	while IFS='|' read -r answer words; do
		conflist 1.conflist n '{"type":"fake","answer":'"$answer"'}'
		t "${words%% *}" add $A
		[[ $stderr = *"${words#* }"* ]] || {
			echo "$answer: $stderr" >&2
			false
		}
	done <<-'END'
		{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24"}}|7 of cniVersion 0.2.0
		{"cniVersion":"2.1.0"}|7 has cniVersion 2.1.0
		{"ips":[{"address":"10.0.0.2"}]}|1 ips[].address: not valid: "10.0.0.2"
		{"ips":[{"address":"10.0.0.2/24","gateway":"fe80::1"}]}|1 ips[].gateway: not valid
		{"routes":[{"dst":"default"}]}|1 routes[].dst: not valid
		{"dns":{"nameservers":["x"]}}|1 dns.nameservers: not valid
		["a"]|1 the result is no object
	END
	conflist 1.conflist n '{"type":"fake","bare":true}'
	t 1 add $A
	[[ $stderr = *"its plugins are content, but made no eth0"* ]]
	conflist 1.conflist n '{"type":"fake","does":{"ADD":"stderr"},"answer":
		{"cniVersion":"0.3.1","ips":[
		{"version":"4","address":"10.0.0.2/24","gateway":"10.0.0.1"},
		{"version":"4","address":"10.0.0.3/24"}]}},{"type":"fake","tag":"2"}'
	t 0 bash -c "$(declare -f doc); doc $A | cocoon-net add -v"
	[[ $stderr = *"fake: ADD: a warning of no account"* ]]
	# Without any route the gateway is the default one.
	[ "$(nic "$output" 0 addresses gateways routes)" = \
		'[["10.0.0.2/24","10.0.0.3/24"],["10.0.0.1"],null]' ]
	# The next plugin sees it in the words of the list's version.
	[ "$(jq -sc '.[] | select(.tag == "2") | .prevResult |
		[.cniVersion, .ips[0].version]' "$FAKE_LOG.in")" = '["1.0.0",null]' ]
}

@test "Calico's way: /32, a gateway on the link, and a result without either" {
	conflist 1.conflist calico '{"type":"fake","prepare":[
		"addr add 192.168.7.5/32 dev eth0",
		"route add 169.254.1.1 dev eth0 scope link",
		"route add default via 169.254.1.1 dev eth0"],
		"answer":{"cniVersion":"1.0.0","interfaces":[{"name":"cali1"}],
		"ips":[{"address":"192.168.7.5/32"}],"dns":{}}}'
	t 0 add $A
	[ "$(nic "$output" 0 addresses gateways routes)" = '[["192.168.7.5/32"],["169.254.1.1"],[{"dst":"169.254.1.1/32"}]]' ]
}

@test "what plugins are told: environment, capabilities, cached result" {
	conflist 1.conflist n '{"type":"fake","tag":"1","capabilities":
		{"portMappings":true,"mac":false}},{"type":"fake","tag":"2",
		"answer":{"ips":[{"address":"10.0.0.2/24"}]}}'
	t 0 eval 'doc $A | jq -c ".spec.runtime_config = {mac: \"x\",
		portMappings: [{hostPort: 1}]}" | cocoon-net add'
	# The file is another one meanwhile, then gone.
	conflist 1.conflist n '{"type":"fake","tag":"new"}'
	t 0 cocoon-net check $A
	rm "$CONF/1.conflist"
	t 0 cocoon-net del $A
	[ "$(fake_asked)" = "ADD 1 eth0 cn-$A,ADD 2 eth0 cn-$A,CHECK 1 eth0 cn-$A,CHECK 2 eth0 cn-$A,DEL 2 eth0 cn-$A,DEL 1 eth0 cn-$A" ]
	[ "$(jq -sc '.[0] | [.cniVersion, .name, .runtimeConfig, .capabilities,
		.prevResult]' "$FAKE_LOG.in")" = \
		'["1.0.0","n",{"portMappings":[{"hostPort":1}]},null,null]' ]
	[ "$(jq -sc '.[1:] | map(.runtimeConfig, .prevResult.ips[0].address) |
		unique' "$FAKE_LOG.in")" = \
		'[null,"10.0.0.2/24",{"portMappings":[{"hostPort":1}]}]' ]
}

@test "after a reboot: the same address, MAC and all; or what is left" {
	local d

	conflist 10.conflist lan "$(bridge_conf "$R4,$R6" '{"dst":"0.0.0.0/0"}')"
	t 0 add $A
	d=$output
	ip netns del cn-$A
	t 5 cocoon-net check $A
	add "$(vid 1)" >/dev/null
	t 0 cocoon-net add --ensure <<<"$d"
	[ "$output" = "$d" ]
	t 0 cocoon-net check $A
	# Nothing is missing: no plugin is asked, the file is not even needed.
	rm "$CONF/10.conflist"
	COCOON_CNI_BIN_DIR=/nonexistent t 0 cocoon-net add --ensure <<<"$d"
	[ "$output" = "$d" ]
	# Somebody else got the address: the guest is told of another one.
	ip netns del cn-$A
	rm "$IPAM"/lan/10.90.0.2
	echo "somebody" >"$IPAM/lan/10.90.0.2"
	t 0 cocoon-net add --ensure <<<"$d"
	[[ $stderr = *"asking for any address"* ]]
	[[ $stderr = *"the one it was made with is used"* ]]
	[ "$(nic "$output" 0 addresses)" = '["10.90.0.4/24","fd00:90::4/64"]' ] ||
		[ "$(nic "$output" 0 addresses)" != "$(nic "$d" 0 addresses)" ]
	[ "$(nic "$output" 0 mac)" = "$(nic "$d" 0 mac)" ]
	[ "$(jq -c '.net.nics[0].addresses' "$NET/$A.json")" = \
		"$(jq -c '.net.nics[0].addresses' <<<"$output")" ]
	t 0 cocoon-net check $A
}

@test "four NICs on three networks, before a reboot and after it" {
	local d i

	conflist 10.conflist lan "$(bridge_conf "$R4,$R6" '{"dst":"0.0.0.0/0"}')"
	ip link add br0 type bridge
	ip addr add 192.0.2.1/24 dev br0
	ip link set br0 up
	d=$(on_doc $A '{"nic":2,"device":"br0","addresses":["192.0.2.5/24"]}' 4 |
		jq -c '.spec.networks = ["lan", "cocoon", "lan"]' |
		cocoon-net add)
	[ "$(field "$d" '[.net.nics[] | .ifname, .backend, .addresses[0]] |
		join(" ")')" = "eth0 cni 10.90.0.2/24 eth1 builtin 10.88.0.2/16 eth2 bridge 192.0.2.5/24 eth3 cni 10.90.0.3/24" ]
	for i in before after; do
		t 0 cocoon-net check $A
		t 0 guest "$d" 0 ping 10.90.0.1
		t 0 guest "$d" 1 ping 10.88.0.1
		t 0 guest "$d" 2 ping 192.0.2.1
		t 0 guest "$d" 3 ping 10.90.0.1
		[ $i = before ] || break
		reboot_host
		t 0 cocoon-net add --ensure <<<"$d"
		[ "$output" = "$d" ]
	done
	t 0 cocoon-net del $A
	[ "$(leases)" = 0 ]
	ip link del br0
}

@test "an edited file: start goes by the new one, DEL by the old one" {
	local d

	conflist 1.conflist n '{"type":"fake","tag":"old"}'
	d=$(add $A)
	conflist 1.conflist n '{"type":"fake","tag":"new"}'
	ip netns del cn-$A
	# The plugins leave it on.
	echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
	wait_until 5 no_fakes
	t 0 cocoon-net add --ensure <<<"$d"
	# There is no namespace any more that DEL could name.
	[ "$(fake_asked)" = "ADD old eth0 cn-$A,DEL old eth0,ADD new eth0 cn-$A" ]
	t 0 cocoon-net del $A
	[ "$(tail -n 1 "$FAKE_LOG")" = "DEL new eth0 cn-$A" ]
}

@test "killed in the middle of a chain: del and gc know what to do" {
	local pid d

	conflist 1.conflist n '{"type":"fake","tag":"1"},
		{"type":"fake","tag":"2","does":{"ADD":"hang"}}'
	doc $A >"$BATS_TEST_TMPDIR/doc"
	for verb in "del $A" "gc --all"; do
		: >"$FAKE_LOG"
		cocoon-net add <"$BATS_TEST_TMPDIR/doc" >/dev/null 2>&1 3>&- &
		pid=$!
		wait_until 10 grep -q 'ADD 2' "$FAKE_LOG"
		kill -9 $pid
		wait $pid || :
		[ -e "$NET/$A.json" ]
		# shellcheck disable=SC2086
		t 0 cocoon-net $verb
		[ "$(tail -n 2 "$FAKE_LOG" | paste -sd,)" = \
			"DEL 2 eth0 cn-$A,DEL 1 eth0 cn-$A" ]
		[ ! -e "$NET/$A.json" ]
	done
}

@test "interrupted while a plugin hangs: at once, and undone" {
	local pid status=0

	conflist 1.conflist n '{"type":"fake","does":{"ADD":"hang"}}'
	doc $A >"$BATS_TEST_TMPDIR/doc"
	cocoon-net add <"$BATS_TEST_TMPDIR/doc" \
		>/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	pid=$!
	wait_until 10 grep -q ADD "$FAKE_LOG"
	kill -TERM $pid
	wait $pid || status=$?
	[ "$status" = 1 ]
	grep -q interrupted "$BATS_TEST_TMPDIR/err"
	[ "$(tail -n 1 "$FAKE_LOG")" = "DEL eth0 cn-$A" ] ||
		[ "$(tail -n 1 "$FAKE_LOG")" = "DEL  eth0 cn-$A" ]
	[ ! -e "$NET/$A.json" ]
}

@test "DEL that fails: the record stays; del --force gives it up" {
	conflist 1.conflist n '{"type":"fake","tag":"1"},
		{"type":"fake","tag":"2","does":{"DEL":"fail"}}'
	add $A >/dev/null
	t 1 cocoon-net del $A
	[[ $stderr = *"(del --force goes on without it)"*"plugin fake: DEL: try later"* ]]
	# The other one was asked all the same.
	[ "$(tail -n 1 "$FAKE_LOG")" = "DEL 1 eth0 cn-$A" ]
	[ -e "$NET/$A.json" ]
	t 0 cocoon-net del --force $A
	[[ $stderr = *"try later"*"ignoring"* ]]
	[ ! -e "$NET/$A.json" ]
}

@test "STATUS and GC where the version knows them" {
	conflist 1.conflist one '{"type":"fake","tag":"1","does":
		{"STATUS":"fail"}}' 1.1.0
	conflist 2.conflist two '{"type":"fake","tag":"2"}' 1.0.0
	named $A one two one >/dev/null
	t 0 cocoon-net doctor
	[[ $output = *"1.conflist: network one: plugin fake: STATUS: try later"* ]]
	[ "$(grep -c STATUS "$FAKE_LOG")" = 1 ]
	t 0 cocoon-net gc --cni one
	[ "$(grep -c GC "$FAKE_LOG")" = 1 ]
	[ "$(tail -n 1 "$FAKE_LOG.in" | jq -c '."cni.dev/valid-attachments" |
		map(.containerID, .ifname)')" = \
		"[\"$A\",\"eth0\",\"$A\",\"eth2\"]" ]
	t 7 cocoon-net gc --cni two
	[[ $stderr = *"GC came with cniVersion 1.1.0, it has 1.0.0"* ]]
	t 4 cocoon-net gc --cni three
	# Never by itself: others may share the network.
	t 0 cocoon-net gc
	[ "$(grep -c GC "$FAKE_LOG")" = 1 ]
}

@test "50 at a time: no address twice, none left" {
	local i

	conflist 10.conflist lan "$(bridge_conf "$R4")"
	for i in $(seq 50); do
		add "$(vid "$i")" >"$BATS_TEST_TMPDIR/out.$i" 2>&1 3>&- &
		PIDS="$PIDS $!"
	done
	for i in $PIDS; do
		wait "$i"
	done
	PIDS=
	[ "$(cat "$BATS_TEST_TMPDIR"/out.* |
		jq -r '.net.nics[0].addresses[0]' | sort -u | wc -l)" = 50 ]
	[ "$(leases)" = 50 ]
	t 0 eval 'for i in $(seq 50); do vid $i; echo; done |
		xargs -n 5 -P 10 cocoon-net del'
	[ "$(leases)" = 0 ]
}

@test "two at a time for one VM: one wins, nothing of the other stays" {
	local a b ok=0

	conflist 1.conflist n '{"type":"fake"}'
	add $A >/dev/null 2>&1 3>&- &
	a=$!
	add $A >/dev/null 2>&1 3>&- &
	b=$!
	wait $a && ok=$((ok + 1))
	wait $b && ok=$((ok + 1))
	[ $ok = 1 ]
	t 0 cocoon-net check $A
	t 0 cocoon-net del $A
}

@test "contrib/cni: each example makes a network" {
	local f d name

	ip link add eth0 type veth peer name eth0b
	ip link set eth0 up
	for f in "$TOP"/contrib/cni/*.conflist; do
		cp "$f" "$CONF"
		name=$(jq -r .name "$f")
		t 0 named $A "$name"
		d=$output
		[ "$(nic "$d" 0 network)" = "[\"$name\"]" ]
		t 0 cocoon-net check $A || [[ $output = *"macvlan"* ]]
		t 0 cocoon-net del $A
	done
	ip link del eth0
	t 0 cocoon-net doctor
	[[ $output = *"10-bridge.conflist: network lan, the default one"* ]]
}
