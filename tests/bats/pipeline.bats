#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# Stages together: composed by hand and by the dispatcher, failing at each
# position, killed, interrupted. What is asked each time: one message, the
# right exit status, nothing left.

load lib
load hv

setup_file() {
	host_netns
	have $STORE_NEEDS || return 0
	mini_build
	mini_store
}

setup() {
	host_netns
	need $STORE_NEEDS
	setup_root
	mini_setup
	mini_store_setup
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	net_teardown
}

names() {
	ls "$COCOON_ROOT_DIR/vm-name" 2>/dev/null | xargs
}

links() {
	ip -br link | cut -d' ' -f1 | cut -d@ -f1
}

# ---- by hand ----

by_hand() {
	cocoon-hv spec --cpu 1 --memory 64M --storage 64M "$@" mini | $J |
		cocoon-img resolve | $J | cocoon-hv plan | $J |
		cocoon-net add | $J |
		cocoon-hint boot --password-file "$PW" | $J |
		cocoon-hv create | $J | cocoon-hv start - | $J |
		cocoon-hv report -o json
}

@test "by hand, with jq between the stages, compact and pretty" {
	J="jq -c ." t 0 by_hand --name a
	[ "$(field "$output" '[.hv.state, .net.nics[0].tap, .net.by] |
		join(" ")')" = "running cn0 hand" ]
	J="jq ." t 0 by_hand --name b -n 2 --nics 0
	[ "${#lines[@]}" = 2 ]
	J=cat t 0 by_hand --name c --nics 0
	# Sorted keys, wide indents: still the same document.
	J="jq --indent 7 -S ." t 0 by_hand --name d --nics 0
	[ "$(names)" = "a b-1 b-2 c d" ]
	t 0 eval 'cocoon-hv rm --force a b-1 b-2 c d | jq . | cocoon-net del |
		cocoon-hv report --as deleted'
	[ "${#lines[@]}" = 5 ]
	nothing_left
}

@test "a tap has a pair of queues for each CPU, and QEMU has them all" {
	local id pid

	[ "$(nproc)" -ge 2 ] || skip_for "a second CPU is missing"
	ip link add br9 type bridge
	J=cat t 0 by_hand --name mq --cpu 2 --bridge br9 --network cocoon
	[ "$(field "$output" '[.net.nics[] | .bridge, .queues] |
		join(" ")')" = "br9 2 cocoon0 2" ]
	id=$(field "$output" .vm.id)
	pid=$(field "$output" .hv.pid)
	ip netns exec "cn-$id" ip -d link show cn1 | grep -q multi_queue
	[ "$(ls -l "/proc/$pid/fd" | grep -c /dev/net/tun)" = 4 ]
	tr '\0' '\n' <"/proc/$pid/cmdline" >argv
	[ "$(grep -Ec '^tap,fds=[0-9]+:[0-9]+,vhost=off,id=n[01]$' argv)" = 2 ]
	[ "$(grep -c 'mq=on,vectors=6' argv)" = 2 ]
	t 0 eval 'cocoon-hv rm --force mq | cocoon-net del'
	ip link del br9
	nothing_left
}

@test "by hand: a stage that is a shell script" {
	cat >my-net <<-'END'
		#!/bin/sh
		while read -r line; do
			printf '%s\n' "${line%\}},\"net\":{\"nics\":[]}}"
		done
	END
	cat >my-image <<-'END'
		#!/bin/sh
		jq -c --argjson i "$(cocoon-img resolve mini)" '.image = $i'
	END
	chmod +x my-net my-image
	t 0 eval 'cocoon-hv spec -n 3 --name web --nics 0 anything | ./my-image |
		cocoon-hv plan | ./my-net |
		cocoon-hint boot --password-file "$PW" | cocoon-hv create |
		cocoon-hv report'
	[ "$(names)" = "web-1 web-2 web-3" ]
}

@test "by hand: an edited dry run is created as it was edited" {
	t 0 cocoon vm create $SMALL --nics 0 --name web --dry-run mini
	jq '.spec.storage = 134217728 | .plan.disks |= map(if .role == "cow"
		then .size = 134217728 else . end) | .vm.name = "edited" |
		.note = "mine"' <<<"$output" >doc.json
	t 0 cocoon vm create -f doc.json --password-file "$PW"
	[ "$(stat -c %s "$COCOON_ROOT_DIR"/vm/*/0/cow.raw)" = 134217728 ]
	[ "$(hv edited .note)" = mine ]
}

@test "input: empty, none, garbage, too few: 3, and said once" {
	local stage

	for stage in "cocoon-img resolve" "cocoon-hv plan" "cocoon-net add" \
		"cocoon-hint boot" "cocoon-hv create" "cocoon-hv start -"; do
		t 3 $stage </dev/null
		messages 1
		COCOON_EXPECT=1 t 3 $stage </dev/null
		says "0 of 1 documents came: an earlier stage died"
		t 3 eval "echo garbage | $stage"
		messages 1
		t 3 eval "echo '{\"v\":1' | $stage"
		t 3 eval "echo '{\"v\":7}' | $stage"
	done
	[ -z "$(names)" ]
	cocoon-hv spec -n 2 --nics 0 mini | cocoon-img resolve >two
	COCOON_EXPECT=3 t 3 cocoon-hv plan <two
	# What did come was done.
	[ "$(jq -r 'select(.plan).plan.backend' <<<"$output" | xargs)" = \
		"qemu qemu" ]
	says "2 of 3 documents came"
	COCOON_EXPECT=2 t 0 cocoon-hv plan <two
}

# ---- a failing stage at each position ----

# fails CODE TEXT COMMAND...: one message, that has TEXT, nothing left.
fails() {
	local code=$1 text=$2

	shift 2
	t "$code" "$@"
	says "$text"
	messages 1
	nothing_left
}

@test "a failing stage, at each position, create and run" {
	local verb

	echo 'no key' >nokey
	for verb in create run; do
		fails 2 --cpu cocoon vm $verb $SMALL --cpu 0 mini
		fails 4 nothere cocoon vm $verb $SMALL nothere
		fails 7 vCPUs cocoon vm $verb $SMALL --cpu 1000 mini
		fails 4 nosuch cocoon vm $verb $SMALL --network nosuch mini
		fails 4 bridge cocoon vm $verb $SMALL --bridge nobridge mini
		fails 4 /nofile cocoon vm $verb $SMALL --ssh-key-file /nofile \
			mini
		fails 2 --user cocoon vm $verb $SMALL --user 'x y' mini
		# Not the root: a directory that cannot be made.
		ln -s /nonexistent/x "$COCOON_ROOT_DIR/template"
		t 1 cocoon vm $verb $SMALL mini
		messages 1
		rm "$COCOON_ROOT_DIR/template"
		nothing_left
	done
}

@test "a stage that fails by its nature: a script that exits 1" {
	local tool

	for tool in cocoon-img cocoon-net cocoon-hint; do
		shadow $tool <<<'echo "$0: no" >&2; exit 1'
		t 3 "$SHADOW/cocoon" vm create $SMALL mini
		nothing_left
		rm -rf "$SHADOW"
	done
	# One that is missing.
	shadow cocoon-hint <<<''
	rm "$SHADOW/cocoon-hint"
	t 3 env PATH="$SHADOW:/usr/bin:/bin:/usr/sbin:/sbin" \
		"$SHADOW/cocoon" vm create $SMALL mini
	nothing_left
}

@test "a name that is taken: the first stays, the second leaves nothing" {
	t 0 cocoon vm create $SMALL --name web mini
	links >links.before
	t 5 cocoon vm create $SMALL --name web mini
	says 'vm name "web" already exists'
	messages 1
	t 5 cocoon vm run $SMALL --name web mini
	[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = 1 ]
	[ "$(ls /run/netns | wc -l)" = 1 ]
	same_links() { links | diff links.before -; }
	wait_until 5 same_links
	[ "$(nets)" = 1 ]
	t 0 cocoon vm rm web
	nothing_left
}

# five JQ-PROGRAM: the second of five documents is spoilt by the program behind
# the stage $AT.
five() {
	local n=0 stage
	local small="--cpu 1 --memory 64M --storage 64M"
	local -a stages=("cocoon-hv spec $small -n 5 --name web mini"
		"cocoon-img resolve" "cocoon-hv plan" "cocoon-net add"
		"cocoon-hint boot --password-file $PW" "cocoon-hv create"
		"cocoon-hv start -")
	local line=

	for stage in "${stages[@]}"; do
		line="$line${line:+ | }$stage"
		[ "$n" != "$AT" ] || line="$line | jq -c 'if .vm.name == \"web-2\"
			then $1 else . end'"
		n=$((n + 1))
	done
	export COCOON_EXPECT=5
	eval "$line | cocoon-net del --undo | cocoon-hv report"
}

@test "one bad line of five: the other four are done, its code is the status" {
	local i

	while read -r AT code program; do
		t $code five "$program"
		messages 1
		[ "$(grep -c '^done: ' <<<"$output")" = 4 ]
		[ "$(names)" = "web-1 web-3 web-4 web-5" ]
		[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = 4 ]
		[ "$(ls /run/netns | wc -l)" = 4 ]
		for i in 1 3 4 5; do
			hv_is web-$i .hv.state running
		done
		t 0 eval "cocoon-hv rm --force $(names) | cocoon-net del \
			>/dev/null"
		nothing_left
	done <<-'END'
		0 4 .spec.image = "nothere"
		1 3 .image.layers = 7
		2 3 .spec.nics = "two"
		3 3 .net.nics[0].mac = 7
		4 3 .plan.disks[0].file = "../x"
	END
	# Made, then not started: it stays, stopped, as after `vm run`.
	AT=5 t 3 five '.vm.id = "x"'
	messages 1
	[ "$(names)" = "web-1 web-2 web-3 web-4 web-5" ]
	hv_is web-2 .hv.state created
	t 0 eval "cocoon-hv rm --force $(names) | cocoon-net del >/dev/null"
}

@test "a usage error with -n is told once, too" {
	t 2 cocoon vm create $SMALL -n 5 --cpu 0 mini
	messages 1
	nothing_left
}

@test "two bad lines: a message each, the first one's code" {
	t 4 eval 'cocoon-hv spec -n 3 --cpu 1 --nics 0 --name web mini |
		jq -c "if .vm.name == \"web-1\" then .spec.image = \"nothere\"
			elif .vm.name == \"web-3\" then .spec.cpu = 1000
			else . end" |
		cocoon-img resolve | cocoon-hv plan'
	messages 2
	[ "$(jq -r '.error.code // 0' <<<"$output" | xargs)" = "4 0 7" ]
	[ "$(jq -r '.error.tool // 0' <<<"$output" | xargs)" = \
		"cocoon-img resolve 0 cocoon-hv plan" ]
}

@test "an error line passes every stage untouched" {
	local line

	line='{"v":1,"vm":{"id":"AAAAAAAAAAAAAAAAAAAAAAAAAA"},"error":{"code":6,"kind":"timeout","tool":"mine","message":"too \"slow\"\n"},"x":[1.0]}'
	t 6 eval 'printf "%s\n" "$line" | cocoon-img resolve | cocoon-hv plan |
		cocoon-net add | cocoon-hint boot | cocoon-hv create |
		cocoon-hv start - | cocoon-hv rm --undo | cocoon-net del --undo'
	[ "$(jq -cS . <<<"$output")" = "$(jq -cS . <<<"$line")" ]
	[ -z "$stderr" ]
	nothing_left
}

# ---- killed stages ----

# What a wrapped stage is: two documents of five by the real tool, then the end.
half_dead='if [ "$1" != "$VERB" ]; then exec "$REAL" "$@"; fi
head -n 2 >"$TMP.in"
COCOON_EXPECT=2 "$REAL" "$@" <"$TMP.in"
kill -9 $$'

@test "a stage killed in the middle of a stream of five" {
	local tool verb

	export TMP=$BATS_TEST_TMPDIR/half VERB
	while read -r tool VERB; do
		rm -rf "$BATS_TEST_TMPDIR/shadow-bin"
		shadow $tool <<<"$half_dead"
		t 3 "$SHADOW/cocoon" vm create $SMALL -n 5 --name web mini
		says "2 of 5 documents came: an earlier stage died"
		[ "$(grep -c '^created: ' <<<"$output")" = 2 ]
		[ "$(names)" = "web-1 web-2" ]
		t 0 cocoon vm start web-1 web-2
		t 0 cocoon gc
		[ "$(ls /run/netns | wc -l)" = 2 ]
		[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = 2 ]
		hv_is web-2 .hv.state running
		t 0 cocoon vm rm --force web-1 web-2
		nothing_left
	done <<-END
		cocoon-img resolve
		cocoon-hv plan
		cocoon-net add
		cocoon-hint boot
	END
}

@test "create killed between two VMs: gc takes what it had not told" {
	# It makes the third, says nothing of it, and dies.
	export TMP=$BATS_TEST_TMPDIR/half
	shadow cocoon-hv <<-'END'
		[ "$1" = create ] || exec "$REAL" "$@"
		head -n 3 >"$TMP.in"
		COCOON_EXPECT=3 "$REAL" "$@" <"$TMP.in" | head -n 2
		cat >/dev/null
		kill -9 $$
	END
	t 137 "$SHADOW/cocoon" vm create $SMALL -n 5 --name web mini
	[ "$(grep -c '^created: ' <<<"$output")" = 2 ]
	# The third may have got its name before its reader went.
	t 0 cocoon gc
	[ "$(ls /run/netns | wc -l)" = "$(names | wc -w)" ]
	[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = "$(names | wc -w)" ]
	t 0 cocoon vm rm $(names)
	nothing_left
}

@test "kill -9 of the dispatcher in mid-create: gc, then as new" {
	local pid

	slow_mkfs
	setsid "$BIN/cocoon" vm create $SMALL --name web mini >out 2>err \
		</dev/null 3>&- &
	pid=$!
	wait_until 10 test -e mkfs.started
	kill -9 -- -$pid
	wait $pid || :
	[ -z "$(names)" ]
	rm -r slow
	t 0 cocoon gc
	nothing_left
	t 0 cocoon vm create $SMALL --name web mini
	t 0 cocoon vm rm web
	nothing_left
}

# ---- interrupted ----

# A mkfs.ext4 that says when it begins, and takes its time.
slow_mkfs() {
	local real

	real=$(command -v mkfs.ext4)
	mkdir slow
	cat >slow/mkfs.ext4 <<-END
		#!/bin/sh
		: >$PWD/mkfs.started
		sleep \${MKFS_SLEEP-1}
		exec $real "\$@"
	END
	chmod +x slow/mkfs.ext4
	PATH=$PWD/slow:$PATH
}

# own_session WORD...: the dispatcher, as from a terminal of its own: a
# background job ignores INT otherwise. $pid is its and its group's.
own_session() {
	env --default-signal=INT,QUIT setsid "$BIN/cocoon" "$@" >out 2>err \
		</dev/null 3>&- &
	pid=$!
}

@test "INT, TERM, HUP of the dispatcher in mid-create: all is undone" {
	local sig verb pid status

	slow_mkfs
	for verb in create run "run --wait"; do
		for sig in INT TERM HUP; do
			rm -rf mkfs.started "$COCOON_ROOT_DIR/template"
			own_session vm $verb $SMALL --name web mini
			wait_until 10 test -e mkfs.started
			kill -$sig $pid
			status=0
			wait $pid || status=$?
			[ "$status" != 0 ]
			! grep -v ': interrupted$' err
			nothing_left || {
				echo "$verb $sig: status $status"
				cat out err
				return 1
			}
		done
	done
	t 0 cocoon gc
	[ -z "$output" ]
}

@test "Ctrl-C of the whole group in a stream of three: told once, undone" {
	local pid

	slow_mkfs
	own_session vm create $SMALL -n 3 --name web mini
	wait_until 10 test -e mkfs.started
	kill -INT -- -$pid
	status=0
	wait $pid || status=$?
	[ "$status" = 130 ]
	nothing_left
}

@test "Ctrl-C somewhere in a stream of twenty: each is made, or is not" {
	local pid after

	for after in 0.02 0.05 0.1 0.2 0.3 0.5; do
		own_session vm create $SMALL -n 20 --name web mini
		sleep "$after"
		kill -INT -- -$pid 2>/dev/null || :
		wait $pid || :
		# No gc needed: as many networks as VMs, and all of them whole.
		[ "$(ls "$COCOON_ROOT_DIR/vm" 2>/dev/null | wc -l)" = \
			"$(names | wc -w)" ]
		[ "$(nets)" = "$(names | wc -w)" ]
		[ "$(ls /run/netns | wc -l)" = "$(names | wc -w)" ]
		[ "$(grep -c '^created' out)" = "$(names | wc -w)" ]
		if [ -n "$(names)" ]; then
			t 0 cocoon vm rm $(names)
		fi
		nothing_left
	done
}

@test "nobody reads what was made: it is made, or it is not" {
	run eval '(cocoon vm create $SMALL --name web mini; echo $? >status) |
		true'
	[ "$(cat status)" != 0 ]
	if [ -n "$(names)" ]; then
		t 0 cocoon vm start web
		t 0 cocoon vm rm --force web
	fi
	nothing_left
	# The last stage that changes something undoes it itself.
	t 1 eval 'cocoon vm create $SMALL --nics 0 --name web --dry-run mini |
		cocoon-net add | cocoon-hint boot --password-file "$PW" |
		cocoon-hv create >/dev/full'
	nothing_left
}

# ---- -n, dry runs, files ----

@test "-n 3: three names, three ids, three networks; numbered anew" {
	t 0 cocoon vm create $SMALL -n 3 --name web mini
	[ "$(awk '{ print $3 }' <<<"$output" | xargs)" = "web-1 web-2 web-3" ]
	[ "$(awk '{ print $2 }' <<<"$output" | sort -u | wc -l)" = 3 ]
	[ "$(awk '{ print $4 }' <<<"$output" | sort -u | wc -l)" = 3 ]
	# Two of the names are taken: one VM is made.
	t 0 cocoon vm rm web-2
	t 5 cocoon vm create $SMALL -n 3 --name web mini
	messages 2
	[ "$(names)" = "web-1 web-2 web-3" ]
	[ "$(ls /run/netns | wc -l)" = 3 ]
	t 0 cocoon vm create $SMALL -n 3 -o json --nics 0 mini
	[ "$(jq -r .vm.name <<<"$output" | sort -u | wc -l)" = 3 ]
	[[ $output != *'$6$'* ]]
}

@test "--dry-run changes nothing, and is a file that create takes" {
	local verb

	root_listing >before
	ip -br link >links
	for verb in create run; do
		t 0 cocoon vm $verb $SMALL --name web -n 2 --nics 2 \
			--dry-run mini
		[ "${#lines[@]}" = 2 ]
		[ "$(jq -r 'keys_unsorted | join(" ")' <<<"$output" |
			sort -u)" = "v vm spec image plan" ]
		t 4 cocoon vm $verb --dry-run nothere
	done
	root_listing | diff before -
	ip -br link | diff links -
	[ ! -e "$COCOON_STATE_RUN/slot" ]
	# As a user without a root directory of his own.
	COCOON_ROOT_DIR=$PWD/none t 4 cocoon vm create --dry-run mini
	[ ! -e none ]
}

@test "the same dry run twice: a given name is taken, a default is not" {
	t 0 cocoon vm create $SMALL --nics 0 --name web --dry-run mini
	printf '%s\n' "$output" >given
	t 0 cocoon vm create $SMALL --nics 0 --dry-run mini
	printf '%s\n' "$output" >default
	t 0 cocoon vm create -f given --password-file "$PW"
	t 5 cocoon vm create -f given --password-file "$PW"
	says 'already exists'
	messages 1
	t 0 cocoon vm create -f default --password-file "$PW"
	t 0 cocoon vm create -f default --password-file "$PW"
	t 0 cocoon vm create -f - --password-file "$PW" <default
	[ "$(names | wc -w)" = 4 ]
	t 0 cocoon vm create -f given --name other --password-file "$PW"
	[[ " $(names) " == *" other "* ]]
	t 0 eval 'cat given default default | jq -c "del(.vm.name)" |
		cocoon vm create -f - --password-file "$PW"'
	[ "${#lines[@]}" = 3 ]
}

@test "create -f: what was made, what is none, what is missing" {
	t 0 cocoon vm create $SMALL --name web mini
	cocoon-hv get web >made
	jq 'del(.hv)' made >net
	jq 'del(.net)' made >hv
	for f in made net hv; do
		t 3 cocoon vm create -f $f --password-file "$PW"
		says 'is there already'
		messages 1
	done
	echo '{"v":1}' >none
	t 3 cocoon vm create -f none
	: >empty
	t 3 cocoon vm create -f empty
	t 4 cocoon vm create -f missing
	t 2 cocoon vm create -f made mini
	[ "$(names)" = web ]
	# With a plan that was never planned.
	jq 'del(.hv, .net, .plan)' made >noplan
	t 3 cocoon vm create -f noplan --name x --password-file "$PW"
	messages 1
	[ "$(names)" = web ]
	t 0 cocoon vm rm web
	nothing_left
}

@test "two creates of one name at once: one wins, nothing of the other" {
	local i a b pid

	for i in 1 2 3; do
		cocoon vm create $SMALL --name web$i mini >a.out 2>a.err 3>&- &
		pid=$!
		b=0
		cocoon vm create $SMALL --name web$i mini >b.out 2>b.err || b=$?
		a=0
		wait $pid || a=$?
		[ "$a $b" = "0 5" ] || [ "$a $b" = "5 0" ]
		cat a.err b.err >err
		[ "$(grep -c 'already exists' err)" = 1 ]
		[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = $i ]
		[ "$(ls /run/netns | wc -l)" = $i ]
		[ "$(nets)" = $i ]
	done
	t 0 cocoon vm rm web1 web2 web3
	nothing_left
}

# ---- run ----

# An image whose kernel is none.
bad_image() {
	"$TOP/tests/double/oci-layout" bad <<-END
		layer
		d boot
		f boot/vmlinuz-1 nonsense
		f boot/initrd.img-1 initrd
	END
	cocoon-img import bad bad >/dev/null
}

@test "run: the whole way, and back" {
	t 0 cocoon vm run $SMALL --name web --nics 2 mini
	[[ $output =~ ^"started: "[A-Z2-7]{26}"  web  "[0-9.]+,[0-9.]+$ ]]
	hv_is web .hv.state running
	hv_is web .net.by cocoon
	t 5 cocoon vm rm web
	t 0 cocoon vm stop web
	[[ $output == "stopped: "*"  web"* ]]
	t 0 cocoon vm start web
	[[ $output == "started: "*"  web"* ]]
	t 0 cocoon vm rm --force web
	[[ $output == "deleted: "*"  web"* ]]
	nothing_left
}

@test "run: a VM that does not start stays, code 1; --rm takes it away" {
	bad_image
	t 1 cocoon vm run $SMALL --name web bad
	messages 1
	says web
	[ "$(names)" = web ]
	[ "$(ls /run/netns | wc -l)" = 1 ]
	t 0 cocoon vm rm web
	nothing_left
	t 1 cocoon vm run $SMALL --rm --name web bad
	messages 1
	nothing_left
}

@test "run --wait: this pid is the monitor; its end is the VM's" {
	local pid status=0

	"$BIN/cocoon" vm run $SMALL --wait --name web mini >out 2>err \
		</dev/null 3>&- &
	pid=$!
	wait_until 20 greeted web
	[ "$(monitor_pid web)" = $pid ]
	kill $pid
	wait $pid || status=$?
	[ "$status" = 0 ]
	hv_is web .hv.ended.reason shutdown
	# gc and others are not locked out meanwhile: see below.
	t 0 cocoon vm rm web
	nothing_left
}

@test "run --wait --rm: nothing is left after the end, however it came" {
	local pid status how

	for how in TERM KILL; do
		"$BIN/cocoon" vm run $SMALL --wait --rm --name web mini >out \
			2>err </dev/null 3>&- &
		pid=$!
		wait_until 20 greeted web
		t 0 cocoon gc
		case $how in
		TERM) kill $pid ;;
		KILL) kill -9 "$(vm_pid web)" ;;
		esac
		status=0
		wait $pid || status=$?
		[ "$how" != TERM ] || [ "$status" = 0 ]
		[ "$how" != KILL ] || [ "$status" = 1 ]
		nothing_left
	done
}

@test "run --wait: what fails before the start has its code" {
	bad_image
	fails 4 nothere cocoon vm run $SMALL --wait nothere
	fails 7 vCPUs cocoon vm run $SMALL --wait --cpu 1000 mini
	fails 4 nosuch cocoon vm run $SMALL --wait --network nosuch mini
	t 1 cocoon vm run $SMALL --wait --name web bad
	messages 1
	t 0 cocoon vm rm web
	nothing_left
	t 1 cocoon vm run $SMALL --wait --rm --name web bad
	nothing_left
	t 0 cocoon vm create $SMALL --name web mini
	t 5 cocoon vm run $SMALL --wait --name web mini
	messages 1
	[ "$(ls /run/netns | wc -l)" = 1 ]
	t 2 cocoon vm run $SMALL --wait -n 2 mini
}

@test "start, stop, rm of several: one that is unknown, twice the same" {
	t 0 cocoon vm create $SMALL -n 2 --name web mini
	for verb in start stop rm; do
		t 4 cocoon vm $verb web-1 nobody
		says "nobody"
		messages 1
		[ -z "$output" ]
	done
	[ "$(names)" = "web-1 web-2" ]
	t 0 cocoon vm start web-1 web-1 web-2
	[ "${#lines[@]}" = 3 ]
	t 0 cocoon vm start -o json web-1 web-2
	[ "$(field "$output" '.succeeded | length')" = 2 ]
	t 0 cocoon vm stop -o json web-1 web-2
	[ "$(field "$output" '.succeeded | length')" = 2 ]
	t 0 cocoon vm rm -o json web-1 web-2 web-1
	[ "$(field "$output" '.succeeded | unique | length')" = 2 ]
	nothing_left
}

@test "CNI networks from the command line; start tells what is new" {
	local id

	need /usr/lib/cni/bridge
	mkdir conf
	for net in lan1 lan2; do
		jq -n --arg n $net --arg dir "$PWD/ipam" '{cniVersion: "1.0.0",
			name: $n, plugins: [{type: "bridge", bridge: $n,
			isGateway: true, ipam: {type: "host-local",
			dataDir: $dir, subnet: "10.9\($n[3:]).0.0/24"}}]}' \
			>conf/$net.conflist
	done
	t 0 cocoon --cni-conf-dir "$PWD/conf" --cni-bin-dir /usr/lib/cni \
		vm run $SMALL --name web --network lan2 --network cocoon \
		--network lan1 --nics 4 mini
	[ "$(hv web '[.net.nics[] | .network, .addresses[0]] | join(" ")')" = \
		"lan2 10.92.0.2/24 cocoon 10.88.0.2/16 lan1 10.91.0.2/24 lan1 10.91.0.3/24" ]
	t 0 cocoon vm stop --force web
	# A reboot, and an address that is somebody else's now.
	id=$(hv web .vm.id)
	ip netns del "cn-$id"
	echo somebody >ipam/lan2/10.92.0.2
	rm -r conf
	t 0 cocoon --cni-bin-dir /usr/lib/cni vm start web
	[[ $stderr = *"asking for any address"* ]]
	[ "$(hv web '[.net.nics[].addresses[0]] | join(" ")')" = \
		"10.92.0.3/24 10.88.0.2/16 10.91.0.2/24 10.91.0.3/24" ]
	cocoon-hv get web | jq -r .boot.cmdline | grep -q 'ip=10.92.0.3::10.92.0.1:'
	t 0 cocoon net check "$id"
	t 0 cocoon vm rm --force web
	[ "$(find ipam -name '10.*' -printf '%f\n')" = 10.92.0.2 ]
	ip link del lan1
	ip link del lan2
	echo 0 >/proc/sys/net/ipv4/ip_forward
	nothing_left
}

@test "start: what is gone of the network comes back, as it was" {
	local before

	t 0 cocoon vm create $SMALL --name web mini
	before=$(hv web '.net.nics[0] | "\(.mac) \(.addresses[0])"')
	# As after a reboot of the host.
	ip netns del "cn-$(hv web .vm.id)"
	ip link del "$(hv web '.net.nics[0].bridge')" 2>/dev/null || :
	rm -rf "${COCOON_STATE_RUN:?}"/slot
	t 0 cocoon vm start web
	[ "$(hv web '.net.nics[0] | "\(.mac) \(.addresses[0])"')" = "$before" ]
	hv_is web .hv.state running
	t 0 cocoon vm rm --force web
	nothing_left
}

@test "gc waits for a create, and takes nothing of it" {
	local pid

	slow_mkfs
	cocoon vm create $SMALL --name web mini >out 2>err 3>&- &
	pid=$!
	wait_until 10 test -e mkfs.started
	t 0 cocoon gc
	wait $pid
	[ "$(names)" = web ]
	t 0 cocoon vm start web
	t 0 cocoon vm rm --force web
	nothing_left
}

@test "doctor, list and inspect write nothing" {
	t 0 cocoon vm create $SMALL --name web mini
	root_listing >before
	t 0 cocoon vm list
	t 0 cocoon vm inspect web
	t 0 cocoon image list
	t 0 cocoon net list
	t 0 cocoon gc -n
	run cocoon doctor
	root_listing | diff before -
}
