#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# run: first
# build: plain
# Real guests, as a user has them. A boot takes its time without KVM, so there
# are two VMs for all of it: big (NICs, a data disk) and small (nothing). The
# tests go on from each other, in this order.

load lib
load hv
load vm-image

VM="--cpu 1 --memory 512M --storage 2G"
VM_NEEDS="$STORE_NEEDS ping ssh ssh-keygen"
BOOT=240 # seconds at most

environment() {
	export COCOON_ROOT_DIR=$BATS_FILE_TMPDIR/root
	export COCOON_STATE_RUN=$BATS_FILE_TMPDIR/run
	KEY=$BATS_FILE_TMPDIR/key
}

setup_file() {
	host_netns
	environment
	mkdir -m 700 "$COCOON_ROOT_DIR"
	mkdir "$COCOON_STATE_RUN"
	have $VM_NEEDS || return 0
	layout=$(vm_image) || return 0
	cocoon-img import debian "$layout" >/dev/null
	ssh-keygen -q -t ed25519 -N '' -f "$KEY"
	printf 'Sesame, open!\n' >"$BATS_FILE_TMPDIR/password"
	cocoon vm run $VM --name small --nics 0 \
		--password-file "$BATS_FILE_TMPDIR/password" debian \
		2>&1 3>&- | cat
	cocoon vm run $VM --name big --nics 2 --ssh-key-file "$KEY.pub" \
		--password-file "$BATS_FILE_TMPDIR/password" \
		--data-disk size=64M,name=db,mount=/srv/db debian \
		2>&1 3>&- | cat
	wait_until $BOOT guest true
	wait_until $BOOT prompted small 1
}

setup() {
	need $VM_NEEDS
	environment
	need_vm_image
	cd "$BATS_TEST_TMPDIR"
}

teardown_file() {
	environment
	[ -d "$COCOON_ROOT_DIR/vm" ] || return 0
	mini_teardown
	cocoon gc --all >/dev/null
}

# address N: of big's NIC
address() {
	hv big ".net.nics[$1].addresses[0]" | cut -d/ -f1
}

# guest COMMAND: by ssh, as root
guest() {
	ssh -F none -i "$KEY" -o BatchMode=yes -o ConnectTimeout=5 \
		-o UserKnownHostsFile="$BATS_FILE_TMPDIR/known" \
		-o StrictHostKeyChecking=accept-new \
		"root@$(address 0)" "$@" </dev/null
}

# prompted VM TIMES: getty asked for a name that often.
prompted() {
	[ "$(cocoon-hv logs "$1" | grep -c "^$1 login:")" -ge "$2" ]
}

@test "both addresses answer; the key opens the door" {
	wait_until 20 ping -q -c 1 -W 1 "$(address 0)"
	wait_until 20 ping -q -c 1 -W 1 "$(address 1)"
	[ "$(guest hostname)" = big ]
	[ "$(guest id -u)" = 0 ]
}

@test "the guest has what the document says of its NICs" {
	local i want

	for i in 0 1; do
		want=$(hv big ".net.nics[$i] | \"\(.mac) \(.addresses[0])\"")
		[ "$(guest ip -j addr show eth$i | jq -r '.[0] |
			"\(.address) \(.addr_info[] | select(.family == "inet") |
			"\(.local)/\(.prefixlen)")"')" = "$want" ]
	done
	[ "$(guest ip -j route show default | jq -r '.[0].gateway')" = \
		"$(hv big '.net.nics[0].gateways[0]')" ]
	guest cat /etc/resolv.conf | grep -q '^nameserver 8.8.8.8'
}

@test "the data disk is mounted, the root is writable, all units run" {
	[ "$(guest findmnt -no FSTYPE /srv/db)" = ext4 ]
	guest 'echo kept >/srv/db/file && echo kept >/root/file && sync'
	running() { [ "$(guest systemctl is-system-running)" = running ]; }
	wait_until 120 running || {
		guest systemctl --failed >&2
		guest systemctl list-jobs >&2
		return 1
	}
	[ -z "$(guest systemctl --failed --no-legend)" ]
	guest cat /etc/machine-id >"$BATS_FILE_TMPDIR/machine-id"
	[[ $(cat "$BATS_FILE_TMPDIR/machine-id") =~ ^[0-9a-f]{32}$ ]]
}

@test "list and inspect: fields; the hash is shown nowhere" {
	local hash id

	id=$(hv big .vm.id)
	t 0 cocoon vm list
	[[ $(tr -s ' ' <<<"$output" | grep ' big ') == "$id big running 1 512MiB 2GiB $(address 0),$(address 1) debian 20"* ]]
	t 0 cocoon vm inspect big
	[ "$(field "$output" '[.hv.state, .hv.generation, .hv.version ==
		.plan.version, .hv.accel == .plan.accel, .hv.pid > 1,
		.hv.uid >= 1900000000, .net.by, .vm.name] | join(" ")')" = \
		"running 0 true true true true cocoon big" ]
	hash=$(cocoon-hv get big | jq -r .boot.password_hash)
	[[ $hash == '$'*'$'* ]]
	[[ $output != *"$hash"* ]]
	t 0 cocoon vm list -o json
	[[ $output != *"$hash"* ]]
	t 0 cocoon vm start -o json big
	[[ $output$stderr != *"$hash"* ]]
	! grep -aqF "$hash" /proc/"$(vm_pid big)"/cmdline
}

@test "the VMM in /proc: who it is, where it is, what it may" {
	local p id

	id=$(hv big .vm.id)
	p=/proc/$(vm_pid big)
	[ "$(awk '/^(Uid|Gid):/ { print $2, $3, $4, $5 }' $p/status |
		sort -u)" = "$(hv big '[.hv.uid, .hv.uid, .hv.uid, .hv.uid] |
		join(" ")')" ]
	[ "$(awk '/^Cap/ { print $2 }' $p/status | sort -u)" = \
		0000000000000000 ]
	[ "$(awk '/^(NoNewPrivs|Seccomp):/ { print $2 }' $p/status |
		xargs)" = "1 2" ]
	# Every thread of it.
	[ "$(cat $p/task/*/status | awk '/^(CapEff|Seccomp):/ { print $2 }' |
		sort -u | xargs)" = "0000000000000000 2" ]
	[ "$(stat -Lc %i $p/ns/net)" = "$(stat -Lc %i "/run/netns/cn-$id")" ]
	[ "$(stat -Lc %i $p/ns/net)" != "$(stat -Lc %i /proc/self/ns/net)" ]
	[ "$(readlink $p/cwd)" = "$COCOON_ROOT_DIR/vm/$id/0" ]
	for fd in "$p"/fd/*; do
		case $(readlink "$fd") in
		/dev/null | /dev/kvm | /dev/urandom | /dev/net/tun | \
			anon_inode:* | socket:* | /memfd:* | \
			"$COCOON_ROOT_DIR/vm/$id"/*) ;;
		*)
			ls -l "$fd"
			return 1
			;;
		esac
	done
	# Two VMs, two uids.
	[ "$(hv big .hv.uid)" != "$(hv small .hv.uid)" ]
	# Without NICs: a namespace of its own with nothing in it.
	p=/proc/$(vm_pid small)
	[ "$(stat -Lc %i $p/ns/net)" != "$(stat -Lc %i /proc/self/ns/net)" ]
	[ "$(awk 'NR > 2 { print $1 }' $p/net/dev)" = lo: ]
}

@test "the monitor: the VM's uid, at most 512 KiB of its own" {
	local vm p

	for vm in big small; do
		p=/proc/$(monitor_pid $vm)
		[ "$(awk '/^Uid:/ { print $2 }' $p/status)" = \
			"$(hv $vm .hv.uid)" ]
		[ "$(awk '/^CapEff:/ { print $2 }' $p/status)" = \
			0000000000000000 ]
		[ "$(awk '/^Private_(Clean|Dirty):/ { n += $2 }
			END { print n }' $p/smaps_rollup)" -le 512 ]
	done
}

@test "console: the root password opens it, a second client sees it all" {
	mkfifo keys silent
	exec 6<>keys 7<>silent
	timeout 120 "$BIN/cocoon" vm console small <silent >second 2>err2 3>&- &
	timeout 120 "$BIN/cocoon" vm console small <keys >first 2>err1 3>&- &
	wait_until 10 grep -q Connected err1
	wait_until 10 grep -q Connected err2
	printf '\n' >&6
	wait_until 60 grep -q 'small login:' first
	printf 'root\n' >&6
	wait_until 60 grep -q 'Password:' first
	printf 'Sesame, open!\n' >&6
	wait_until 60 grep -q 'root@small' first
	printf 'echo answer-$((6 * 7))\n' >&6
	wait_until 60 grep -q answer-42 first
	wait_until 10 grep -q answer-42 second
	printf 'exit\n' >&6
	printf '\035.' >&6
	printf '\035.' >&7
	wait_until 10 grep -q Disconnected err1
	wait_until 10 grep -q Disconnected err2
	exec 6>&- 7>&-
	! grep -q 'Sesame' first second
	t 0 cocoon vm logs small
	[[ $output == *"answer-42"* ]]
}

@test "logs -f shows what comes, --tail the end" {
	local pid

	cocoon vm logs -f big >followed 2>&1 3>&- &
	pid=$!
	wait_until 10 grep -q 'login:' followed
	guest 'echo "marked $((3 * 7))" >/dev/ttyS0'
	wait_until 10 grep -q 'marked 21' followed
	kill $pid
	t 0 cocoon vm logs --tail 3 big
	[ "${#lines[@]}" -le 3 ]
}

@test "rm refuses what runs, and says how" {
	t 5 cocoon vm rm big
	says "stop before delete: running (force required)"
	messages 1
	guest true
}

@test "the guest's reboot is none of the VM's end" {
	local pid

	pid=$(vm_pid small)
	guest true
	guest systemctl reboot || :
	wait_until $BOOT prompted big 2
	hv_is big .hv.state running
	hv_is big .hv.generation 0
	wait_until $BOOT guest true
	[ "$(guest cat /srv/db/file /root/file | xargs)" = "kept kept" ]
	[ "$(vm_pid small)" = "$pid" ]
}

@test "stop is graceful; start: the same machine, the same disks" {
	t 0 cocoon vm stop --timeout 120 big
	[ "$output" = "stopped: $(hv big .vm.id)  big  $(address 0),$(address 1)" ]
	hv_is big '"\(.hv.state) \(.hv.ended.reason)"' "stopped shutdown"
	# What only an orderly end says.
	cocoon vm logs big | grep -qE 'reboot: Power down|Powering off'
	t 0 cocoon vm start big
	wait_until $BOOT guest true
	[ "$(guest cat /etc/machine-id)" = \
		"$(cat "$BATS_FILE_TMPDIR/machine-id")" ]
	[ "$(guest cat /srv/db/file /root/file | xargs)" = "kept kept" ]
	wait_until 20 ping -q -c 1 -W 1 "$(address 1)"
	# The address is the same, and so is the host key: ssh would tell.
}

@test "stop --force does not ask" {
	t 0 cocoon vm stop --force big
	[[ $(hv big '"\(.hv.state) \(.hv.ended.reason)"') =~ \
		^"stopped "(killed|stopped)$ ]]
}

@test "without its monitor a VM runs on, and stops in order" {
	kill -9 "$(monitor_pid small)"
	wait_until 10 hv_is small .hv.unattended true
	t 0 cocoon vm stop --timeout 120 small
	hv_is small '"\(.hv.state) \(.hv.ended.reason)"' "stopped stopped"
	no_vm_processes
	# The file systems were left in order: it was the power button.
	cow=$(echo "$COCOON_ROOT_DIR"/vm/"$(hv small .vm.id)"/0/cow.raw)
	t 0 e2fsck -fn "$cow"
	[[ $stderr$output != *"recovering journal"* ]]
}

@test "run --wait: SIGTERM is the power button, its status the VM's" {
	local pid rc=0

	cocoon vm rm big small >/dev/null
	"$BIN/cocoon" vm run $VM --wait --name small --nics 0 \
		--password-file "$BATS_FILE_TMPDIR/password" debian \
		>out 2>err </dev/null 3>&- &
	pid=$!
	wait_until $BOOT prompted small 1
	[ "$(monitor_pid small)" = $pid ]
	t 6 cocoon vm wait --timeout 1 small
	kill $pid
	wait $pid || rc=$?
	[ "$rc" = 0 ]
	hv_is small .hv.ended.reason shutdown
	t 0 cocoon vm wait small
	t 0 cocoon vm rm small
}

@test "debug: the script boots the guest up to its login" {
	local pid

	need shellcheck
	t 0 cocoon vm debug $VM --name byhand debian
	printf '%s\n' "$output" >vm.sh
	shellcheck vm.sh
	mkdir here
	sh vm.sh "$PWD/here" </dev/null >console 2>&1 3>&- &
	pid=$!
	wait_until $BOOT grep -q 'login:' console
	kill $pid
	wait $pid || :
}

@test "afterwards nothing is left" {
	nothing_left
	t 0 cocoon gc
	[ -z "$output" ]
}
