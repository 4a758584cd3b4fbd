#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# cocoon-hint and the helper seed.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load lib

ID=ABCDEFGHIJKLMNOPQRSTUVWXYZ
KEY='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeFakeFakeFakeFakeFakeFakeFakeFakeFake me@here'
BASE='console=ttyS0 loglevel=3 boot=cocoon-overlay'

# run_script DEVICE: the words behind all others
run_script() {
	echo " init=/bin/sh -- -c \"cd /run;[ -e cocoon/hostname ]||{ mkdir c;mount -oro -tiso9660 $1 c;sh c/cocoon.sh;umount c;rmdir c;};cd /;exec /sbin/init\""
}

setup() {
	need jq
	cd "$BATS_TEST_TMPDIR" || exit 1
	echo "$KEY" >key.pub
}

# doc LAYERS [FILTER]: a document with that many layers, a cow and a seed.
doc() {
	jq -cn --arg id "$ID" --argjson layers "$1" '
	def disk(role; file): {role: role, file: file, format: "raw", ro: false};
	{v: 1, vm: {id: $id, name: "web1"},
	 spec: {nics: 0, dns: ["8.8.8.8", "1.1.1.1"]},
	 image: {digest: ("sha256:" + "0" * 64), type: "oci"},
	 plan: {backend: "qemu", binary: "/bin/true", accel: "tcg",
	  console: "ttyS0", cpu: 1, memory: 1073741824, disks:
	  ([range($layers) | disk("layer"; "layers/\(.).erofs")
	    + {serial: "cocoon-layer\(.)", ro: true}]
	   + [disk("cow"; "cow.raw") + {serial: "cocoon-cow"},
	      disk("cidata"; "seed.iso") + {ro: true}])}}
	| def nic(i): {tap: "cn\(i)", mac: "02:00:00:00:00:0\(i)"};
	'"${2-.}"
}

# boot LAYERS [FILTER [OPTION...]]: the document after cocoon-hint.
boot() {
	local layers=$1 filter=${2-.}

	shift
	[ $# -eq 0 ] || shift
	doc "$layers" "$filter" | cocoon-hint boot --ssh-key-file key.pub "$@"
}

get() {
	jq -r ".boot.$1" <<<"$output"
}

# yaml TEXT: as JSON, by a reader of YAML 1.1.
yaml() {
	python3 -c 'import json, sys, yaml
print(json.dumps(yaml.safe_load(sys.stdin.read()), sort_keys=True))' <<<"$1"
}

need_yaml() {
	need python3
	python3 -c 'import yaml' 2>/dev/null || skip_for "python3-yaml is missing"
}

@test "command line: one layer, no NIC" {
	t 0 boot 1
	[ "$(get cmdline)" = "$BASE cocoon.layers=cocoon-layer0 cocoon.cow=cocoon-cow rw$(run_script /dev/vdc)" ]
	[ -z "$stderr" ]
}

@test "command line: three layers, top first; a static NIC" {
	t 0 boot 3 '.net.nics = [nic(0) + {addresses: ["10.88.0.7/16"],
		gateways: ["10.88.0.1"]}]'
	[ "$(get cmdline)" = "$BASE cocoon.layers=cocoon-layer2,cocoon-layer1,cocoon-layer0 cocoon.cow=cocoon-cow rw net.ifnames=0 cocoon.hostname=web1 ip=10.88.0.7::10.88.0.1:255.255.0.0:web1:eth0:off:8.8.8.8:1.1.1.1$(run_script /dev/vde)" ]
}

@test "command line: four NICs: DHCP, /32, IPv6 alone, three name servers" {
	t 0 boot 1 '.net.nics = [nic(0),
		nic(1) + {addresses: ["fd00::7/64", "10.1.0.7/32"],
			gateways: ["fd00::1", "10.1.0.1"]},
		nic(2) + {addresses: ["fd00::8/64"]},
		nic(3) + {addresses: ["10.3.0.7/24"],
			dns: ["fd00::53", "10.3.0.1", "10.3.0.2", "10.3.0.3"]}]'
	[ "$(get cmdline)" = "$BASE cocoon.layers=cocoon-layer0 cocoon.cow=cocoon-cow rw net.ifnames=0 cocoon.hostname=web1 ip=10.1.0.7::10.1.0.1:255.255.255.255:web1:eth1:off:8.8.8.8:1.1.1.1 ip=10.3.0.7:::255.255.255.0:web1:eth3:off:10.3.0.1:10.3.0.2$(run_script /dev/vdc)" ]
}

@test "command line: disks without a serial go by their position" {
	t 0 boot 2 'del(.plan.disks[].serial)'
	[ "$(get cmdline)" = "$BASE cocoon.layers=/dev/vdb,/dev/vda cocoon.cow=/dev/vdc rw$(run_script /dev/vdd)" ]
	t 0 boot 28 'del(.plan.disks[].serial)'
	[[ $(get cmdline) == *cocoon.layers=/dev/vdab,/dev/vdaa,/dev/vdz,/dev/vdy,* ]]
	[[ $(get cmdline) == *" cocoon.cow=/dev/vdac rw init="*" /dev/vdad c;sh "* ]]
}

@test "command line: the words of each backend" {
	t 0 boot 1 '.plan.accel = "kvm"'
	[ "$(get cmdline)" = "$BASE cocoon.layers=cocoon-layer0 cocoon.cow=cocoon-cow clocksource=kvm-clock rw$(run_script /dev/vdc)" ]
	t 0 boot 1 '.plan |= (.backend = "ch" | del(.accel, .console))'
	[ "$(get cmdline)" = "console=hvc0 loglevel=3 boot=cocoon-overlay cocoon.layers=cocoon-layer0 cocoon.cow=cocoon-cow clocksource=kvm-clock rw$(run_script /dev/vdc)" ]
	t 0 boot 1 '.plan |= (.backend = "fc" | del(.accel, .console, .disks[].serial))'
	[ "$(get cmdline)" = "console=ttyS0 reboot=k loglevel=3 pci=off i8042.noaux 8250.nr_uarts=1 boot=cocoon-overlay cocoon.layers=/dev/vda cocoon.cow=/dev/vdb clocksource=kvm-clock rw$(run_script /dev/vdc)" ]
	# Where memory can be added.
	t 0 boot 1 '.plan.max_memory = 4294967296'
	[ "$(get cmdline)" = "$BASE cocoon.layers=cocoon-layer0 cocoon.cow=cocoon-cow rw memhp_default_state=online swiotlb=noforce$(run_script /dev/vdc)" ]
	t 0 boot 1 '.plan |= (.backend = "ch" | .max_memory = 4294967296)'
	[[ $(get cmdline) == *" rw memhp_default_state=online init="* ]]
}

NICS='.net.nics = [range(60) | {tap: "cn\(.)", mac: "02:00:00:00:00:\(10 + .)",
	addresses: ["10.\(.).100.100/24"], gateways: ["10.\(.).100.1"]}]'

@test "command line: ip= words that do not fit are left to the seed" {
	t 0 boot 1 "$NICS"
	line=$(get cmdline)
	[ ${#line} -le 2047 ]
	[ ${#line} -gt 1960 ]
	[[ $line == *":web1:eth22:off:8.8.8.8:1.1.1.1$(run_script /dev/vdc)" ]]
	[ "$(get seed.cocoon_conf | grep -c '^address ')" = 60 ]
	# Firecracker adds words of its own.
	t 0 boot 1 "$NICS | .net.nics |= .[:30] | .plan.backend = \"fc\""
	line=$(get cmdline)
	[ $((${#line} + 33 * 36)) -le 2047 ]
}

@test "command line: too long without a seed, or by its layers: 7" {
	t 7 boot 1 "$NICS | .plan.disks |= map(select(.role != \"cidata\"))"
	[[ $stderr == *"command line: 4"???" bytes, there is room for 2047"* ]]
	t 7 boot 150
	[[ $stderr == *"command line: 2"???" bytes, there is room for 2047"* ]]
	[ "$(jq -r .error.code <<<"$output")" = 7 ]
}

@test "an image without layers or cow: 3" {
	t 3 boot 0
	[[ $stderr == *".plan.disks: want layers and one cow"* ]]
	t 3 boot 1 '.plan.disks |= map(select(.role != "cow"))'
	t 3 boot 1 'del(.image)'
	t 3 boot 1 'del(.vm.name)'
}

@test "a cloud image gets a seed and no command line, Windows neither" {
	t 0 boot 0 '.image.type = "cloudimg" | .plan.disks |= map(select(.role != "layer"))'
	[ "$(jq -c '.boot | keys' <<<"$output")" = '["keys","seed","user"]' ]
	t 0 boot 0 '.image.type = "cloudimg" | .spec.windows = true'
	[ "$(jq -c .boot <<<"$output")" = '{}' ]
	[[ $stderr == *"a Windows guest reads neither"* ]]
}

@test "host names have no underscore" {
	t 0 boot 1 '.vm.name = "a_b.c_" | .net.nics = [nic(0)]'
	[[ $(get cmdline) == *" cocoon.hostname=a-b.c init="* ]]
	[ "$(get seed.meta_data)" = $'instance-id: "'$ID$'"\nlocal-hostname: "a-b.c"' ]
}

@test "user-data: quotes, colons and Unicode survive YAML" {
	need_yaml
	printf '\n# mine\n\t%s  \r\n%s\n' "$KEY \"a\": \\b 'c' #d %e" \
		"$KEY jérôme 🦥" >more.pub
	t 0 boot 1 '.plan.disks += [{role: "data", file: "data-db.raw",
		format: "raw", serial: "db", fstype: "ext4",
		mount: "/srv/my \"db\": ü", ro: false},
		{role: "data", file: "data-raw.raw", format: "raw",
		serial: "raw", fstype: "none", ro: false},
		{role: "data", file: "data-x.raw", format: "raw",
		fstype: "ext4", mount: "/x", ro: false}]' \
		--ssh-key-file more.pub --user alice
	got=$(yaml "$(get seed.user_data)")
	[ "$(get seed.user_data | head -n 1)" = '#cloud-config' ]
	[ "$(jq -c '.users[1].ssh_authorized_keys' <<<"$got")" = \
		"$(jq -cn --arg k "$KEY" '[$k, $k + " \"a\": \\b '\''c'\'' #d %e", $k + " jérôme 🦥"]')" ]
	[ "$(jq -c '.users[1] | del(.ssh_authorized_keys)' <<<"$got")" = \
		'{"lock_passwd":true,"name":"alice","shell":"/bin/bash","sudo":"ALL=(ALL) NOPASSWD:ALL"}' ]
	[ "$(jq -c '.mounts' <<<"$got")" = '[["/dev/disk/by-id/virtio-db","/srv/my \"db\": ü","ext4","defaults,nofail","0","2"],["/dev/vdf","/x","ext4","defaults,nofail","0","2"]]' ]
	[ "$(get seed.cocoon_conf | tail -n 3)" = $'disk db ext4 /srv/my "db": ü\ndisk /dev/vdf ext4 /x' ]
}

@test "user-data: a changed network counts at the next boot" {
	need_yaml
	t 0 boot 1 '.net.nics = [nic(0)]'
	[ "$(yaml "$(get seed.user_data)" | jq -c .updates)" = \
		'{"network":{"when":["boot-new-instance","boot"]}}' ]
}

@test "user-data: root with a password" {
	need_yaml
	printf 'secret\nnot this\n' >pw
	t 0 boot 1 . --password-file pw
	got=$(yaml "$(get seed.user_data)")
	[ "$(jq -r '.users[1].hashed_passwd' <<<"$got")" = "$(get password_hash)" ]
	[ "$(jq -c 'del(.users[1].hashed_passwd, .users[1].ssh_authorized_keys)' <<<"$got")" = \
		'{"disable_root":false,"ssh_pwauth":true,"users":["default",{"lock_passwd":false,"name":"root"}]}' ]
}

NETS='.net.nics = [
	nic(0) + {mtu: 1450, addresses: ["10.0.0.5/32", "fd00::5/64"],
		gateways: ["169.254.1.1", "fd00::1"],
		routes: [{dst: "0.0.0.0/0", via: "169.254.1.1"},
			{dst: "192.168.0.0/16", via: "10.9.9.9"},
			{dst: "10.2.0.0/24", metric: 7, mtu: 1400}],
		dns: ["fd00::53"], search: ["example.org"],
		options: ["ndots:2"]},
	nic(1),
	nic(2) + {addresses: ["10.3.0.7/24"], gateways: ["10.3.0.1"]}]'

@test "network-config: /32, on-link gateway, IPv6, MTU, DNS, DHCP" {
	need_yaml
	t 0 boot 1 "$NETS"
	got=$(yaml "$(get seed.network_config)")
	want='{"version": 2, "ethernets": {
	"id0": {"match": {"macaddress": "02:00:00:00:00:00"}, "mtu": 1450,
	 "dhcp4": false, "accept-ra": false,
	 "addresses": ["10.0.0.5/32", "fd00::5/64"],
	 "routes": [{"to": "0.0.0.0/0", "via": "169.254.1.1", "on-link": true},
	  {"to": "::/0", "via": "fd00::1"},
	  {"to": "192.168.0.0/16", "via": "10.9.9.9", "on-link": true},
	  {"to": "10.2.0.0/24", "metric": 7, "mtu": 1400, "scope": "link"}],
	 "nameservers": {"addresses": ["fd00::53"], "search": ["example.org"]}},
	"id1": {"match": {"macaddress": "02:00:00:00:00:01"}, "optional": true,
	 "dhcp4": true, "dhcp-identifier": "mac",
	 "dhcp4-overrides": {"route-metric": 1025}},
	"id2": {"match": {"macaddress": "02:00:00:00:00:02"}, "optional": true,
	 "dhcp4": false, "accept-ra": false, "addresses": ["10.3.0.7/24"],
	 "routes": [{"to": "0.0.0.0/0", "via": "10.3.0.1", "metric": 1026}],
	 "nameservers": {"addresses": ["8.8.8.8", "1.1.1.1"]}}}}'
	[ "$(jq -cS . <<<"$got")" = "$(jq -cS . <<<"$want")" ]
	t 0 boot 1
	[ "$(get seed.network_config)" = null ]
}

@test "the script: what it writes, for an initramfs that reads no seed" {
	local mac=/etc/systemd/network/10-020000000000.network

	t 0 boot 1 "$NETS"' | .plan.disks += [{role: "data", file: "data-x.raw",
		format: "raw", fstype: "ext4", mount: "/my #x", ro: false}]' \
		--user alice --password-file <(echo "it's")
	get seed.script >script
	sh -n script
	# Everything but the account, in a directory in place of the root.
	mkdir -p tree/etc tree/var tree/proc/sys/kernel/random
	: >tree/etc/machine-id
	printf '/dev/vda / ext4 defaults 0 0\n# cocoon: data disks\nx\n# cocoon: end\n' \
		>tree/etc/fstab
	echo 12-34 >tree/proc/sys/kernel/random/uuid
	sed -e '/^account() (/,$d' -e "s,/etc/\|/var/\|/proc/,$PWD/tree&,g" \
		-e '/^PATH=/d' script >local
	sh -eu local
	[ "$(cat tree/etc/machine-id)" = 1234 ]
	[ "$(cat tree/etc/hostname)" = web1 ]
	diff - tree/etc/fstab <<-'END'
	/dev/vda / ext4 defaults 0 0
	# cocoon: data disks, written at every boot
	/dev/vdd /my\040\043x ext4 defaults,nofail,x-systemd.device-timeout=30s 0 0
	# cocoon: end
	END
	diff - tree/etc/resolv.conf <<-END
	# Made by cocoon at every boot.
	search example.org
	nameserver fd00::53
	nameserver 8.8.8.8
	nameserver 1.1.1.1
	options ndots:2
	END
	diff - tree$mac <<-END
	# Made by cocoon at every boot.
	[Match]
	MACAddress=02:00:00:00:00:00
	Kind=!*

	[Link]
	RequiredForOnline=yes
	MTUBytes=1450

	[Network]
	DNS=fd00::53
	Domains=example.org
	LinkLocalAddressing=ipv6
	IPv6AcceptRA=no

	[Address]
	Address=10.0.0.5/32

	[Address]
	Address=fd00::5/64

	[Route]
	Destination=0.0.0.0/0
	Gateway=169.254.1.1
	GatewayOnLink=yes

	[Route]
	Destination=::/0
	Gateway=fd00::1
	GatewayOnLink=yes

	[Route]
	Destination=192.168.0.0/16
	Gateway=10.9.9.9
	GatewayOnLink=yes

	[Route]
	Destination=10.2.0.0/24
	Scope=link
	Metric=7
	MTUBytes=1400
	END
	grep -q '^RouteMetric=1025$' tree${mac/00.net/01.net}
	grep -q '^Metric=1026$' tree${mac/00.net/02.net}
	# Again, and nothing is there twice.
	sh -eu local
	[ "$(grep -c ext4 tree/etc/fstab)" = 2 ]
	[ "$(cat tree/etc/machine-id)" = 1234 ]
	# The account: what reaches it.
	{
		echo 'account() { echo "$@"; cat; }; state=.'
		sed '1,/^)$/d' script
	} >local
	[ "$(sh -eu local)" = "alice $(get password_hash)"$'\n'"$KEY" ]
	[ -z "$(sh -eu local)" ]
}

@test "command line: no room for the script behind Firecracker's words" {
	t 0 boot 1 '.net.nics = [range(40) | {tap: "cn\(.)",
		mac: "02:00:00:00:00:\(10 + .)"}] | .plan.backend = "fc"' -v
	[[ $(get cmdline) == *" cocoon.hostname=web1" ]]
	[[ $stderr == *"no room on the command line for what runs the seed"* ]]
}

@test "cocoon.conf, line by line" {
	t 0 boot 1 "$NETS"' | .boot = {user: "alice", password_hash: "$6$salt$hash"}'
	diff - <(get seed.cocoon_conf) <<-END
	instance $ID
	hostname web1
	user alice
	password \$6\$salt\$hash
	key $KEY
	dns fd00::53
	search example.org
	option ndots:2
	dns 8.8.8.8
	dns 1.1.1.1
	nic 02:00:00:00:00:00 static 1450
	address 02:00:00:00:00:00 10.0.0.5/32
	address 02:00:00:00:00:00 fd00::5/64
	gateway 02:00:00:00:00:00 169.254.1.1
	gateway 02:00:00:00:00:00 fd00::1
	route 02:00:00:00:00:00 192.168.0.0/16 10.9.9.9
	route 02:00:00:00:00:00 10.2.0.0/24 - 7 1400
	nic 02:00:00:00:00:01 dhcp
	nic 02:00:00:00:00:02 static
	address 02:00:00:00:00:02 10.3.0.7/24
	gateway 02:00:00:00:00:02 10.3.0.1

	END
}

# The hash in $output is that of the password $1, which is nowhere itself.
hash_of() {
	local hash

	hash=$(get password_hash)
	[[ $hash == '$6$'????????????????'$'* ]]
	[ "$(perl -e 'print crypt($ARGV[0], $ARGV[1])' "$1" "$hash")" = "$hash" ]
	[[ $output$stderr != *"$1"* ]]
}

# parts TEXT: what a reader of mail finds in it, as cloud-init does
parts() {
	python3 -c 'import email, json, sys
print(json.dumps([[p.get_content_type(), p.get("Merge-Type"),
    p.get_payload(decode=True).decode()]
    for p in email.message_from_string(sys.stdin.read()).walk()
    if not p.is_multipart()]))' <<<"$1"
}

@test "--user-data: the user's part and ours, as MIME" {
	need_yaml
	printf '#cloud-config\npackages: ["é"]\n' >ud
	t 0 boot 1 . --user alice --user-data ud
	got=$(parts "$(get seed.user_data)")
	[ "$(jq -c '[.[][0]]' <<<"$got")" = '["text/plain","text/cloud-config"]' ]
	[ "$(jq -r '.[0][2]' <<<"$got")" = "$(cat ud)" ]
	[ "$(jq -r '.[1][1]' <<<"$got")" = "list(append)+dict(recurse_array)+str()" ]
	got=$(yaml "$(jq -r '.[1][2]' <<<"$got")")
	[ "$(jq -r '.users[1].name' <<<"$got")" = alice ]
	# It stays in the record, and an option replaces it.
	echo "$output" >record
	t 0 cocoon-hint boot <record
	diff record <(echo "$output")
	printf '#!/bin/sh\necho %02000d\n' 1 >ud2
	t 0 cocoon-hint boot --user-data ud2 <record
	[ "$(parts "$(get seed.user_data)" | jq -r '.[0][2]')" = "$(cat ud2)" ]
	[ "$(get seed.user_data | grep -v : | wc -L)" -le 76 ]
}

@test "--user-data: a MIME message becomes a part with its own parts" {
	printf 'Content-Type: multipart/mixed; boundary="B"\nMIME-Version: 1.0\n\n--B\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--B--\n' >ud
	t 0 boot 1 . --user-data ud
	[ "$(parts "$(get seed.user_data)" | jq -c '[.[][0]]')" = \
		'["text/x-shellscript","text/cloud-config"]' ]
}

@test "--user-data: what is refused" {
	echo 'packages: []' >ud
	t 2 boot 1 . --user-data ud
	[[ $stderr == *"ud: not user-data: the first line must be #cloud-config"* ]]
	printf '#!/bin/sh\n\xff\n' >ud
	t 2 boot 1 . --user-data ud
	printf '#!/bin/sh\n\0\n' >ud
	t 2 boot 1 . --user-data ud
	[[ $stderr == *"not a text in UTF-8"* ]]
	echo '#!/bin/sh' | gzip >ud
	t 2 boot 1 . --user-data ud
	[[ $stderr == *"is compressed: unpack it"* ]]
	: >ud
	t 2 boot 1 . --user-data ud
	{ echo '#!'; head -c 600000 /dev/zero | tr '\0' x; } >ud
	t 1 boot 1 . --user-data ud
	t 4 boot 1 . --user-data missing
	doc 1 '.boot = {user: "root", user_data: "***"}' >in
	t 3 cocoon-hint boot <in
	[[ $stderr == *"redacted"* ]]
}

@test "passwords: file, descriptor, argument; only the hash goes on" {
	need perl
	printf 'p: "ä$;\\ word\nrest\n' >pw
	t 0 boot 1 . --password-file pw
	hash_of 'p: "ä$;\ word'
	[ -z "$stderr" ]
	first=$(get password_hash)
	t 0 boot 1 . --password-file pw
	[ "$(get password_hash)" != "$first" ]
	printf 'no newline' >pw
	t 0 boot 1 . --password-fd 7 7<pw
	hash_of 'no newline'
	t 0 boot 1 . --password-file <(echo piped)
	hash_of piped
	t 0 boot 1 . --password in-the-open
	hash_of in-the-open
	[[ $stderr == *"--password shows the password"* ]]
}

@test "passwords: what is refused" {
	: >empty
	printf 'a\0b\n' >nul
	printf 'tab\there\n' >control
	head -c 600 /dev/zero | tr '\0' x >long
	t 2 boot 1 . --password-file empty
	[[ $stderr == *"empty: the password is empty"* ]]
	t 2 boot 1 . --password-file nul
	t 2 boot 1 . --password-file control
	t 2 boot 1 . --password-file long
	t 2 boot 1 . --password=
	t 2 boot 1 . --password-file nul --password-fd 5 5<empty
	t 2 boot 1 . --password-fd 0
	t 4 boot 1 . --password-file missing
	t 1 boot 1 . --password-fd 99
	[ "$(jq -r .error.kind <<<"$output")" = failed ]
}

@test "user names" {
	t 0 boot 1 . --user _a-b1
	[ "$(get user)" = _a-b1 ]
	t 0 boot 1
	[ "$(get user)" = root ]
	for bad in '' -x 1a Root 'a b' "a'" "$(printf 'a\nb')" \
		aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do
		t 2 boot 1 . "--user=$bad"
	done
}

@test "key files: what is refused, by file and line" {
	printf '%s\nhello\n' "$KEY" >two.pub
	t 2 boot 1 . --ssh-key-file two.pub
	[[ $stderr == *"two.pub:2: not a public key"* ]]
	printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n' >id
	t 2 boot 1 . --ssh-key-file id
	[[ $stderr == *"id: a private key: give the public one, mostly id.pub"* ]]
	printf '%s \xff\xfe\n' "$KEY" >latin
	t 2 boot 1 . --ssh-key-file latin
	printf '# only this\n\n' >none
	t 2 boot 1 . --ssh-key-file none
	[[ $stderr == *"none: no key in it"* ]]
	t 4 boot 1 . --ssh-key-file missing
	for i in {1..257}; do echo "$KEY"; done >many
	t 2 boot 1 . --ssh-key-file many
	[[ $stderr == *"many:256: too many keys"* ]]
	for kind in ecdsa-sha2-nistp256 sk-ssh-ed25519@openssh.com ssh-rsa; do
		echo "$kind ${KEY#* }" >kind.pub
		t 0 boot 1 . --ssh-key-file kind.pub
		[ "$(get 'keys[1]')" = "$kind ${KEY#* }" ]
	done
}

@test "nobody can log in: said once, and not at a start" {
	doc 1 '., .' >docs
	t 0 cocoon-hint boot <docs
	[ "$stderr" = "cocoon-hint: boot: nobody can log in: give --ssh-key-file or --password-file" ]
	echo "$output" >booted
	t 0 cocoon-hint boot <booted
	[ -z "$stderr" ]
	diff booted <(echo "$output")
}

@test "what the record has stays, unless an option says otherwise" {
	boot 1 . --user alice --password-file <(echo one) >record
	t 0 cocoon-hint boot <record
	diff record <(echo "$output")
	output=$(jq -c '.net.nics = [{tap: "cn0", mac: "02:00:00:00:00:00"}]' \
		record | cocoon-hint boot --user bob)
	[[ $(get cmdline) == *" cocoon.hostname=web1 init="* ]]
	[ "$(get user) $(get 'keys[0]')" = "bob $KEY" ]
	[ "$(get password_hash)" = "$(jq -r .boot.password_hash record)" ]
	[[ $(get seed.cocoon_conf) == *"nic 02:00:00:00:00:00 dhcp"* ]]
}

@test "nothing gets into a text that could break out of it" {
	for filter in '.boot.keys = ["'"$KEY"'\nuser eve"]' \
		'.boot.password_hash = "$6$x:0:0"' \
		'.boot.password_hash = "a\nb"' \
		'.boot.user = "a\nb"' \
		'.vm.name = "a b"' \
		'.vm.id = "x"' \
		'.plan.console = "ttyS0 init=/bin/sh"' \
		'.plan.disks[0].serial = "a,b"' \
		'.plan.disks[0].serial = "a b"' \
		'.plan.disks[1] += {role: "data", fstype: "ext4\n", mount: "/x"}' \
		'.plan.disks[1] += {role: "data", fstype: "ext4", mount: "/x\ny"}' \
		'.plan.disks[1] += {role: "data", fstype: "ext4", mount: "x"}' \
		'.spec.dns = ["8.8.8.8 x"]' \
		'.net.nics = [nic(0) + {mac: "02:00:00:00:00:0\n"}]' \
		'.net.nics = [nic(0) + {addresses: ["10.0.0.1"]}]' \
		'.net.nics = [nic(0) + {addresses: ["10.0.0.1/33"]}]' \
		'.net.nics = [nic(0) + {addresses: ["fe80::1%eth0/64"]}]' \
		'.net.nics = [nic(0) + {gateways: ["10.0.0.1/24"]}]' \
		'.net.nics = [nic(0) + {search: ["a\nb"]}]' \
		'.net.nics = [nic(0) + {mtu: 20}]' \
		'.net.nics = [nic(0) + {options: ["a b"]}]' \
		'.net.nics = [nic(0) + {routes: [{dst: "::/0", mtu: 99999}]}]' \
		'.net.nics = [nic(0) + {routes: [{dst: "::/0", metric: 4294967296}]}]' \
		'.net.nics = [nic(0) + {routes: [{dst: "default"}]}]' \
		'.net.nics = [nic(0) + {routes: [{dst: "::/0", via: "1.1.1.1"}]}]'; do
		doc 1 "$filter" >in
		t 3 cocoon-hint boot <in
		[ "$(jq -r .error.kind <<<"$output")" = input ]
	done
}

@test "a redacted document is refused" {
	doc 1 '.boot = {user: "root", password_hash: "***"}' >in
	t 3 cocoon-hint boot <in
	[[ $stderr == *"redacted"* ]]
}

@test "a stream: every line is answered, one bad one among them" {
	{
		doc 1
		doc 1 '.error = {code: 5, message: "x"}'
		doc 1 'del(.plan)'
		doc 2
	} >in
	t 5 cocoon-hint boot --ssh-key-file key.pub <in
	[ "$(jq -c '[.error.code, (.boot | type)]' <<<"$output")" = \
		$'[null,"object"]\n[5,"null"]\n[3,"null"]\n[null,"object"]' ]
	[ "${#stderr_lines[@]}" = 1 ]
	[[ $stderr == *".plan: missing: an earlier stage writes it"* ]]
}

@test "an option's error is in every document" {
	doc 1 '., .' >in
	t 2 cocoon-hint boot --password-fd 9 9</dev/null <in
	[ "$(jq -r '.error.message' <<<"$output")" = \
		$'--password-fd: the password is empty\n--password-fd: the password is empty' ]
}

@test "the host stays as it is" {
	export COCOON_ROOT_DIR=$PWD/none
	t 0 boot 3 "$NETS"
	[ ! -e none ]
}

seed() {
	"${COCOON_LIBEXEC:-$BIN/libexec}/seed"
}

# frame NAME TEXT
frame() {
	printf '%s %d\n%s' "$1" "$(printf %s "$2" | wc -c)" "$2"
}

@test "seed: an ISO 9660 image, label CIDATA, exact names, the same each time" {
	need bsdtar blkid
	big=$(head -c 5000 /dev/zero | tr '\0' x)
	frames() {
		frame user-data "$big"
		frame meta-data $'instance-id: x\n'
		frame network-config ''
		frame cocoon.conf 'hé'
	}
	frames | seed >a.iso
	frames | seed >b.iso
	cmp a.iso b.iso
	[ $(($(stat -c %s a.iso) % 4096)) = 0 ]
	[ "$(blkid -p -o value -s LABEL a.iso)" = CIDATA ]
	[ "$(blkid -p -o value -s TYPE a.iso)" = iso9660 ]
	# By Rock Ridge, then by Joliet.
	[ "$(bsdtar tf a.iso | sort | tr '\n' ' ')" = \
		'. cocoon.conf meta-data network-config user-data ' ]
	[ "$(bsdtar --options '!rockridge' -tf a.iso | sort | tr '\n' ' ')" = \
		'. cocoon.conf meta-data network-config user-data ' ]
	[ "$(bsdtar tvf a.iso meta-data | cut -c 1-10)" = -r--r--r-- ]
	[ "$(bsdtar xOf a.iso user-data)" = "$big" ]
	[ "$(bsdtar xOf a.iso meta-data)" = 'instance-id: x' ]
	[ "$(bsdtar xOf a.iso cocoon.conf)" = 'hé' ]
	[ -z "$(bsdtar xOf a.iso network-config)" ]
}

@test "seed: the kernel reads it" {
	[ "$(id -u)" = 0 ] || skip_for "root is missing"
	modprobe isofs 2>/dev/null || :
	grep -qw iso9660 /proc/filesystems || skip_for "iso9660 is not in this kernel"
	frame meta-data hello | seed >a.iso
	mkdir m
	unshare --mount sh -c 'mount -o loop,ro -t iso9660 a.iso m && ls m && cat m/meta-data' >out
	[ "$(cat out)" = $'meta-data\nhello' ]
}

@test "seed: what is refused" {
	for bad in '' 'x' 'x y' 'x 1' 'x 3
ab' '../x 0
' '.x 0
' 'X 0
' ' 0
' 'x -1
' 'x 99999999999
' 'a.b.c 0
a-b.c 0
' 'x 0
x 0
'; do
		printf %s "$bad" >in
		t 3 seed <in
		[ -z "$output" ]
		[[ $stderr == seed:* ]]
	done
	for i in 1 2 3 4 5 6 7 8 9; do echo "f$i 0"; done >in
	t 3 seed <in
	[[ $stderr == *"too many files"* ]]
	head -c 9000000 /dev/zero >in
	t 3 seed <in
	[[ $stderr == *"more than 8 MiB"* ]]
}

@test "seed: runs with nothing but its descriptors" {
	need strace
	frame meta-data hello >in
	strace -o calls "$BIN/libexec/seed" <in >out.iso
	# Behind the last lock: read and write, then the end.
	sed '1,/SECCOMP_MODE_STRICT/d' calls | cut -d '(' -f 1 | sort -u >after
	diff - after <<-END
	+++ exited with 0 +++
	exit
	read
	write
	END
	grep -q 'PR_SET_NO_NEW_PRIVS, 1.* = 0' calls
	[ "$(ldd "$BIN/libexec/seed" | grep -c -e archive -e json -e crypt)" = 0 ]
}

@test "doctor" {
	t 0 cocoon-hint doctor
	[ "$(jq -r '.check + " " + .status' <<<"$output")" = $'crypt ok\nseed ok' ]
	COCOON_LIBEXEC=$PWD t 7 cocoon-hint doctor
	[ "$(jq -r '.check + " " + .status' <<<"$output")" = $'crypt ok\nseed fail' ]
	[ "$(jq -r '.remedy // empty' <<<"$output")" ]
}

@test "the manual: cocoon-document(5)'s example is a document" {
	sed -n '/^{$/,/^}$/p' "$TOP/man/cocoon-document.5" >in
	t 0 cocoon-hint boot --ssh-key-file key.pub <in
	[ "$(get cmdline)" = "$BASE cocoon.layers=cocoon-layer0 cocoon.cow=cocoon-cow clocksource=kvm-clock rw$(run_script /dev/vdc)" ]
}

@test "the manual: cocoon-hint(8)'s synopsis has the options of --help" {
	need mandoc
	t 0 cocoon-hint boot --help
	want=$(sed -n 's/^  [ -].[ ,] --\([a-z-]* [A-Z][A-Z]*\) .*/--\1/p' <<<"$output")
	got=$(mandoc -Tascii "$TOP/man/cocoon-hint.8" | col -b |
		sed -n '/^SYNOPSIS/,/^DESCRIPTION/p' | grep -o -e "--[a-z-]* [A-Z][A-Z]*")
	[ -n "$want" ]
	[ "$got" = "$want" ]
}

# ---- clone ----

# A clone with two NICs, the second one by DHCP.
CLONE='.vm.name = "twin_1" | .spec.nics = 2
	| .net = {nics: [nic(5) + {addresses: ["10.0.0.5/24", "fd00::5/64"],
		gateways: ["10.0.0.1", "fd00::1"], dns: ["10.0.0.1"]}, nic(6)]}
	| .hv = {generation: 0, guest: [
		{mac: "02:00:00:00:00:01", addresses: ["10.0.0.4/24"]},
		{mac: "02:00:00:00:00:02"}]}'

@test "clone: a script of its own values, for any shell" {
	t 0 eval 'doc 1 "$CLONE" | cocoon-hint clone -o script'
	sh -n - <<<"$output"
	if have shellcheck; then
		shellcheck -s sh - <<<"$output"
	fi
	grep -qx 'echo twin-1 >/etc/hostname' <<<"$output"
	grep -qx 'nic0=$(device 02:00:00:00:00:01 02:00:00:00:00:05)' <<<"$output"
	grep -qx 'nic1=$(device 02:00:00:00:00:02 02:00:00:00:00:06)' <<<"$output"
	grep -qx 'ip link set dev "$nic1" address 02:00:00:00:00:06' <<<"$output"
	grep -qx '    ip addr add fd00::5/64 dev "$nic0" nodad' <<<"$output"
	grep -qx '        dhclient "$nic1"' <<<"$output"
	# Pasted at a prompt a tab would ask for completion, and `set -e` would
	# end the login at the next error.
	[[ $output != *$'\t'* ]]
	[ "$(sed -n '3p; $p' <<<"$output" | xargs)" = "( )" ]
	# The clock goes forward to when it was made.
	grep -qE '^\[ "\$\(date \+%s\)" -ge [0-9]+ \] \|\| date -s @[0-9]+ ' <<<"$output"
	# A clone of a clone: that one has become itself, or not.
	t 0 eval 'doc 1 "$CLONE | .hv.guest[0].since = [\"02:00:00:00:00:09\"]" |
		cocoon-hint clone -o script'
	grep -qx 'nic0=$(device 02:00:00:00:00:01 02:00:00:00:00:09 02:00:00:00:00:05)' <<<"$output"
	# Random numbers of its own, each time.
	seed=$(grep 'urandom$' <<<"$output")
	[ ${#seed} -gt 128 ]
	t 0 eval 'doc 1 "$CLONE" | cocoon-hint clone --format script'
	[ "$(grep 'urandom$' <<<"$output")" != "$seed" ]
}

@test "clone: text and JSON; what is not a clone; Windows" {
	t 0 eval 'doc 1 "$CLONE" | cocoon-hint clone'
	[[ $output == *"NIC 1: MAC 02:00:00:00:00:01, becomes 02:00:00:00:00:05; addresses 10.0.0.4/24, become 10.0.0.5/24, fd00::5/64"* ]]
	[[ $output == *"NIC 2: "*"addresses by DHCP, become by DHCP"* ]]
	[[ $output == *"#!/bin/sh"* ]]
	t 0 eval 'doc 1 "$CLONE" | cocoon-hint clone -o json'
	[ "$(jq -c '[.hostname, .nics[0].was_mac, .nics[0].mac,
		.nics[1].addresses, (.script | startswith("#!/bin/sh"))]' \
		<<<"$output")" = \
		'["twin-1","02:00:00:00:00:01","02:00:00:00:00:05",[],true]' ]
	# One that believes what is so, and one without NICs: name and id.
	t 0 eval 'doc 1 "$CLONE | del(.hv)" | cocoon-hint clone -o script'
	grep -qx 'nic0=$(device 02:00:00:00:00:05 02:00:00:00:00:05)' <<<"$output"
	t 0 eval 'doc 1 | cocoon-hint clone -o script'
	[[ $output != *device* ]]
	# One that has booted.
	t 0 eval 'doc 1 "$CLONE | .hv.started_at = 1" | cocoon-hint clone'
	[ "$output" = "twin_1 has booted as itself: there is nothing to do." ]
	t 0 eval 'doc 1 "$CLONE | .hv.started_at = 1" |
		cocoon-hint clone -o script'
	[[ $output != *hostname* ]]
	sh - <<<"$output"
	t 0 eval 'doc 1 "$CLONE | .hv += {started_at: 1, loaded: true}" |
		cocoon-hint clone -o script'
	[[ $output == *hostname* ]]
	t 0 eval 'doc 1 "$CLONE | .spec.windows = true" | cocoon-hint clone'
	[[ $output == *"Rename-Computer -NewName twin-1"* ]]
	[[ $output != *"/bin/sh"* ]]
	t 7 eval 'doc 1 "$CLONE | .spec.windows = true" |
		cocoon-hint clone -o script'
}

@test "clone: nothing of a document gets out of its line" {
	for f in '.vm.name = "a;reboot"' '.vm.name = "$(reboot)"' \
		'.net.nics[0].addresses[0] = "10.0.0.5/24;x"' \
		'.net.nics[0].mac = "02:00:00:00:00:05 x"' \
		'.hv.guest[0].mac = "$(reboot)"' '.hv.guest |= .[:1]' \
		'.hv.guest[0].since = ["$(reboot)"]'; do
		t 3 eval 'doc 1 "$CLONE | $f" | cocoon-hint clone -o script'
		[ -z "$output" ]
	done
	t 2 cocoon-hint clone -o yaml </dev/null
	t 3 cocoon-hint clone </dev/null
}
