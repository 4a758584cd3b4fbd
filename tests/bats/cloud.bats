#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# run: first
# build: plain
# A real cloud image (tests/cloud-image): UEFI, a boot loader, cloud-init. One
# VM and two boots of it; the tests go on from each other.

load lib
load hv

NEEDS="$STORE_NEEDS qemu-img ssh ssh-keygen /usr/share/OVMF/OVMF_CODE_4M.fd"
CACHE=$(cd "$BIN/.." && pwd)/cloud-image-test
BOOT=280 # seconds at most

environment() {
	export COCOON_ROOT_DIR=$BATS_FILE_TMPDIR/root
	export COCOON_STATE_RUN=$BATS_FILE_TMPDIR/run
	KEY=$BATS_FILE_TMPDIR/key
	BASE=$BATS_FILE_TMPDIR/base.qcow2
}

# What the store would say of the image.
image() {
	jq -cn --arg p "$BASE" --argjson v "$(qemu-img info --output json \
		"$BASE" | jq '.["virtual-size"]')" '{name: "cl",
		type: "cloudimg", digest: ("sha256:" + "0" * 64),
		disk: {path: $p, format: "qcow2", virtual_size: $v}}'
}

setup_file() {
	local base

	host_netns
	environment
	mkdir -m 700 "$COCOON_ROOT_DIR"
	mkdir "$COCOON_STATE_RUN"
	have ${NEEDS% *} || return 0
	base=$("$TOP/tests/cloud-image" --cached "$CACHE") || return 0
	cp "$base" "$BASE"
	chmod 444 "$BASE"
	sha256sum "$BASE" >"$BASE.sum"
	ssh-keygen -q -t ed25519 -N '' -f "$KEY"
	cat >"$BATS_FILE_TMPDIR/ud" <<-'END'
	#cloud-config
	write_files:
	- {path: /etc/mine, content: "hello\n"}
	users:
	- default
	- {name: carol}
	END
	cocoon-hv spec --name c --nics 2 --cpu 2 --memory 1G --storage 3G \
		--data-disk size=64M,name=db,mount=/srv/db cl |
		jq -c --argjson i "$(image)" '.image = $i' |
		cocoon-hv plan | cocoon-net add | jq -c '
			.net.nics[1].routes = [{dst: "192.168.77.0/24",
			via: "10.99.9.9", metric: 50, mtu: 1400}]' |
		cocoon-hint boot --user alice --ssh-key-file "$KEY.pub" \
			--password-file <(echo sesame) \
			--user-data "$BATS_FILE_TMPDIR/ud" |
		cocoon-hv create | cocoon-hv start - >/dev/null 3>&-
	# On its way it restarts sshd, which lets people in before.
	wait_until $BOOT guest test -e /run/cloud-init/result.json
}

setup() {
	need $NEEDS
	environment
	[ -e "$BASE" ] ||
		skip_for "there is no cloud image: set" \
			"COCOON_TEST_CLOUD_IMAGE, or run tests/cloud-image $CACHE"
}

teardown_file() {
	environment
	[ -d "$COCOON_ROOT_DIR/vm" ] || return 0
	mini_teardown
	cocoon gc --all >/dev/null
}

address() {
	hv c ".net.nics[$1].addresses[0]" | cut -d/ -f1
}

guest() {
	ssh -F none -i "$KEY" -o BatchMode=yes -o ConnectTimeout=5 \
		-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
		-o StrictHostKeyChecking=no "alice@$(address 0)" "$@" </dev/null
}

@test "cloud-init ran to its end, without a complaint" {
	t 0 guest cat /run/cloud-init/result.json
	[ "$(field "$output" '.v1.errors | join("; ")')" = "" ] || {
		echo "$output" >&2
		return 1
	}
	[ "$(guest hostname)" = c ]
}

@test "both NICs: addresses, routes, metrics, MTU" {
	[ "$(guest ip -j addr show scope global | jq -c '[.[] |
		[.addr_info[] | select(.local) | "\(.local)/\(.prefixlen)"]]')" = \
		"$(hv c '[.net.nics[].addresses]' | jq -c .)" ]
	[ "$(guest ip -j route show default | jq -c '[.[] | .metric // 0]')" = \
		'[0,1025]' ]
	[[ $(guest ip route show 192.168.77.0/24) == *"via 10.99.9.9"*"metric 50 onlink mtu 1400"* ]]
	guest resolvectl dns | grep -q 8.8.8.8
}

@test "both users: of the options, and of --user-data" {
	[ "$(guest sudo id -u)" = 0 ]
	[ "$(guest sudo grep alice /etc/shadow | cut -d: -f2)" = \
		"$(cocoon-hv get c | jq -r .boot.password_hash)" ]
	guest id carol
	[ "$(guest cat /etc/mine)" = hello ]
}

@test "the root has grown, the data disk is mounted" {
	[ "$(guest df --output=size -B1M / | tail -n 1)" -gt 2000 ]
	[ "$(guest findmnt -no FSTYPE /srv/db)" = ext4 ]
}

@test "a changed network counts at the next start; the rest stays" {
	guest 'echo kept | sudo tee /root/file >/dev/null; sync'
	t 0 cocoon vm stop c
	t 0 eval 'cocoon-hv get c | jq -c "
		.net.nics[1].routes[0].dst = \"192.168.78.0/24\"" |
		cocoon-hint boot | cocoon-hv start -'
	wait_until $BOOT guest test -e /run/cloud-init/result.json
	wait_until 60 eval '[ -n "$(guest ip route show 192.168.78.0/24)" ]'
	[ -z "$(guest ip route show 192.168.77.0/24)" ]
	[ "$(guest sudo cat /root/file)" = kept ]
	[ "$(guest sudo grep -c ^alice /etc/passwd)" = 1 ]
}

@test "the base is as it was" {
	t 0 sha256sum -c "$BASE.sum"
	[ "$(qemu-img info -U --output json \
		"$COCOON_ROOT_DIR"/vm/*/0/overlay.qcow2 |
		jq -r '.["backing-filename"]')" = layers/base.qcow2 ]
}
