#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# run: first
# build: plain
# A real guest of an image that came from a registry and whose initramfs is as
# the Go program's images have it: it reads no seed, and sets up one NIC of the
# ip= words. Its four NICs are on three networks: the built-in one, one by the
# CNI plugin ptp, and a bridge of the host with a DHCP server. The tests go on
# from each other.

load lib
load hv
load vm-image

NEEDS="$STORE_NEEDS ping ssh ssh-keygen cpio lz4 docker-registry skopeo
	dnsmasq /usr/lib/cni/ptp"
AT=127.0.0.1:5058
VM=p
BOOT=240 # seconds at most

environment() {
	export COCOON_ROOT_DIR=$BATS_FILE_TMPDIR/root
	export COCOON_STATE_RUN=$BATS_FILE_TMPDIR/run
	export COCOON_CNI_CONF_DIR=$BATS_FILE_TMPDIR/conf
	KEY=$BATS_FILE_TMPDIR/key
	LEASES=$BATS_FILE_TMPDIR/dhcp
}

# pull_from_registry LAYOUT: it is in the store as $AT/peer:1 then.
pull_from_registry() {
	local registry

	cat >"$BATS_FILE_TMPDIR/reg.yml" <<-END
		version: 0.1
		log: {level: error}
		storage: {filesystem: {rootdirectory: $BATS_FILE_TMPDIR/reg}}
		http: {addr: "$AT"}
	END
	docker-registry serve "$BATS_FILE_TMPDIR/reg.yml" >/dev/null 2>&1 \
		3>&- </dev/null &
	registry=$!
	wait_until 20 bash -c "exec 9<>/dev/tcp/${AT%:*}/${AT#*:}"
	skopeo copy -q --dest-tls-verify=false "oci:$1" "docker://$AT/peer:1"
	HOME=$BATS_FILE_TMPDIR cocoon image pull "$AT/peer:1" >/dev/null
	kill "$registry"
	rm -rf "$BATS_FILE_TMPDIR/reg"
}

networks() {
	mkdir "$COCOON_CNI_CONF_DIR"
	jq -n --arg dir "$BATS_FILE_TMPDIR/ipam" '{cniVersion: "1.0.0",
		name: "routed", plugins: [{type: "ptp", mtu: 1400,
		dns: {nameservers: ["9.9.9.9"], search: ["a.test"],
			options: ["ndots:2"]},
		ipam: {type: "host-local", dataDir: $dir,
		ranges: [[{subnet: "10.91.0.0/24"}],
			[{subnet: "fd00:91::/64"}]],
		routes: [{dst: "0.0.0.0/0"}, {dst: "::/0"}]}}]}' \
		>"$COCOON_CNI_CONF_DIR/1.conflist"
	ip link add br0 type bridge
	ip addr add 192.0.2.1/24 dev br0
	ip link set br0 up
	dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 \
		--user=root --pid-file= --interface=br0 --bind-interfaces \
		--dhcp-range=192.0.2.50,192.0.2.60 \
		--dhcp-leasefile="$LEASES" >/dev/null 2>&1 3>&- </dev/null &
	echo $! >"$BATS_FILE_TMPDIR/dnsmasq"
}

# run_guest NAME IMAGE [OPTION]...
run_guest() {
	cocoon vm run --cpu 1 --memory 512M --storage 1G --name "$1" \
		--network cocoon --network routed --bridge br0 \
		--network cocoon --user alice --ssh-key-file "$KEY.pub" \
		"${@:3}" "$2" 2>&1 3>&- | cat
}

setup_file() {
	host_netns
	environment
	mkdir -m 700 "$COCOON_ROOT_DIR"
	mkdir "$COCOON_STATE_RUN"
	have $NEEDS || return 0
	layout=$(vm_image) || return 0
	"$TOP/tests/double/peer-image" "$layout" "$BATS_FILE_TMPDIR/peer"
	pull_from_registry "$BATS_FILE_TMPDIR/peer"
	rm -rf "$BATS_FILE_TMPDIR/peer"
	networks
	ssh-keygen -q -t ed25519 -N '' -f "$KEY"
	run_guest p "$AT/peer:1" --password-file <(echo sesame) \
		--data-disk 'size=64M,name=db,mount=/srv/my db'
	wait_until $BOOT guest true
}

setup() {
	need $NEEDS
	environment
	need_vm_image
}

teardown_file() {
	environment
	[ -d "$COCOON_ROOT_DIR/vm" ] || return 0
	mini_teardown
	cocoon gc --all >/dev/null
	kill "$(cat "$BATS_FILE_TMPDIR/dnsmasq")"
}

address() {
	hv "$VM" ".net.nics[$1].addresses[0]" | cut -d/ -f1
}

guest() {
	ssh -F none -i "$KEY" -o BatchMode=yes -o ConnectTimeout=5 \
		-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
		-o StrictHostKeyChecking=no "alice@$(address 0)" "$@" </dev/null
}

# What the DHCP server gave to the third NIC.
leased() {
	awk -v mac="$(hv "$VM" '.net.nics[2].mac')" '$2 == mac { print $3 }' "$LEASES"
}

# As recorded; a NIC with none has one of the DHCP server's.
same_addresses() {
	[ -n "$(leased)" ]
	[ "$(guest ip -j addr show scope global | jq -c '[.[] |
		[.addr_info[] | select(.local) | "\(.local)/\(.prefixlen)"]]')" = \
		"$(hv "$VM" '[.net.nics[].addresses]' |
			jq -c --arg a "$(leased)/24" 'map(. // [$a])')" ]
}

# all_answer MTU: it is the second NIC's.
all_answer() {
	wait_until 30 same_addresses
	for i in 0 1 3; do
		wait_until 20 ping -q -c 1 -W 1 "$(address $i)"
		wait_until 20 ping -q -c 1 -W 1 "$(hv "$VM" ".net.nics[$i].addresses[1]" |
			cut -d/ -f1)"
	done
	wait_until 20 ping -q -c 1 -W 1 "$(leased)"
	[ "$(guest ip -j link show | jq -c '[.[] | select(.ifname != "lo") |
		.mtu]')" = "[1500,$1,1500,1500]" ]
}

@test "the image reads no seed by itself" {
	t 0 guest 'ls /run/cocoon /usr/lib/cocoon/account; cat /proc/1/comm'
	[[ $stderr == *"/run/cocoon"*"/usr/lib/cocoon/account"* ]]
	[ "$output" = systemd ]
}

@test "every NIC has its addresses at the first boot, and answers" {
	ula=$(jq -r .subnet6 "$COCOON_ROOT_DIR/net/cocoon.json")
	ula=${ula%::/64}
	[ "$(hv p '.net.nics | map(.backend, .addresses[0], .addresses[1]) |
		join(" ")')" = \
		"builtin 10.88.0.2/16 $ula::a58:2/64 cni 10.91.0.2/32 fd00:91::2/128 bridge   builtin 10.88.0.3/16 $ula::a58:3/64" ]
	all_answer 1400
}

@test "routes: the first NIC's before the others', IPv6 too, /32 on the link" {
	[ "$(guest ip -j route show default |
		jq -c '[.[] | [.dev, .gateway, .metric // 0]]')" = \
		'[["eth0","10.88.0.1",0],["eth1","10.91.0.1",1025],["eth2","192.0.2.1",1026],["eth3","10.88.0.1",1027]]' ]
	[ "$(guest ip -j -6 route show default | jq -c '[.[] | .dev]')" = \
		'["eth0","eth1","eth3"]' ]
	# By the gateway that is on no network of the NIC.
	wait_until 20 guest ping -q -c 1 -W 1 -I eth1 10.91.0.1
	wait_until 20 guest ping -q -c 1 -W 1 -I eth2 192.0.2.1
}

@test "host name, DNS, user, sudo, password, data disk" {
	[ "$(guest hostname)" = p ]
	[ "$(guest grep -v '^#' /etc/resolv.conf | paste -sd,)" = \
		"search a.test,nameserver 8.8.8.8,nameserver 1.1.1.1,nameserver 9.9.9.9,options ndots:2" ]
	[ "$(guest sudo id -u)" = 0 ]
	[ "$(guest sudo grep alice /etc/shadow | cut -d: -f2)" = \
		"$(cocoon-hv get p | jq -r .boot.password_hash)" ]
	[ "$(guest 'findmnt -no FSTYPE "/srv/my db"')" = ext4 ]
	guest cat /etc/machine-id >"$BATS_FILE_TMPDIR/machine-id"
}

# A reboot of the host, and a network that was edited meanwhile.
@test "a second boot: all of it again, and the same machine-id" {
	local before

	before=$(hv p '.net.nics[] | .mac, .addresses')
	t 0 cocoon vm stop p
	ip netns del "cn-$(hv p .vm.id)"
	ip link del cocoon0
	nft delete table inet cocoon0
	rm -rf "${COCOON_STATE_RUN:?}"/*
	sed -i 's/1400/1300/' "$COCOON_CNI_CONF_DIR/1.conflist"
	t 0 cocoon vm start p
	wait_until $BOOT guest true
	all_answer 1300
	[ "$(hv p '.net.nics[] | .mac, .addresses')" = "$before" ]
	[ "$(guest cat /etc/machine-id)" = \
		"$(cat "$BATS_FILE_TMPDIR/machine-id")" ]
	[ "$(guest grep -c 'virtio-db' /etc/fstab)" = 1 ]
	t 0 cocoon vm rm --force p
}

@test "an image that reads the seed has the same of these networks" {
	VM=q
	cocoon-img import debian "$(vm_image)" >/dev/null
	run_guest q debian
	wait_until $BOOT guest true
	all_answer 1300
	[ "$(guest ip -j route show default | jq -c '[.[] | [.dev,
		.gateway, .metric // 0]]')" = '[["eth0","10.88.0.1",0],["eth1","10.91.0.1",1025],["eth2","192.0.2.1",1026],["eth3","10.88.0.1",1027]]' ]
	guest ls /run/cocoon/hostname
	[ "$(guest grep -v '^#' /etc/resolv.conf | paste -sd,)" = \
		"search a.test,nameserver 8.8.8.8,nameserver 1.1.1.1,nameserver 9.9.9.9,options ndots:2" ]
}
