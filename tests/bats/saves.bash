# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2086,SC2154
# What every hypervisor that saves VMs must do, with a guest that counts in its
# memory. Needs lib and hv, $BACKEND, $STATE and $MEMORY (the names of its
# files), `writes VM N` (what it has counted, N, is on its disk) and `reads VM N`
# (that is there).

# run_vm NAME [OPTION]...: by the dispatcher, up.
run_vm() {
	t 0 cocoon vm run $SMALL --backend "$BACKEND" --name "$@" mini
	wait_until 20 greeted "$1"
}

lines() { # VM TEXT
	cocoon vm logs "$1" | tr -d '\r' | grep -cx "$2" || true
}

more_lines() { # N VM TEXT
	[ "$(lines "$2" "$3")" -gt "$1" ]
}

# The disk that a VM writes is in its own directory, and so is all it has open.
own_files() { # VM
	local dir

	dir=$(readlink -f "$COCOON_ROOT_DIR/vm-name/$1")
	find "/proc/$(vm_pid "$1")/fd" -type l -printf '%l\n' >open-files
	grep -qx "$dir/$(hv "$1" .hv.generation)/cow.raw" open-files &&
		! grep "^$COCOON_ROOT_DIR" open-files | grep -v "^$dir/"
}

# at CALL N SIGNAL COMMAND...: sent to cocoon-hv at its N-th such system call.
# sendmsg (its 4th: what writes the dump); renameat: its directory, two files.
at() {
	local call=$1 n=$2 signal=$3

	shift 3
	strace -f -qq -o /dev/null -e trace="$call" \
		-e inject="$call:signal=$signal:when=$n" "$@"
}

saves_keep() {
	local dir

	run_vm web --memory 128M
	dir=$COCOON_ROOT_DIR/vm-name/web/0
	counts web 1
	save one web
	counts web 2
	hv_is web .hv.state running
	no_capture_left
	[ "$(ls "$snap" | xargs)" = "cow.raw initrd kernel layers-0.erofs \
layers-1.erofs $MEMORY snap.json $STATE" ]
	[ -z "$(find "$snap" ! -user root -o -perm /077 ! -perm 444)" ]
	# Its memory, of which the file has what is not zero.
	[ "$(stat -c %s "$snap/$MEMORY")" = 134217728 ]
	[ "$(stat -c %b "$snap/$MEMORY")" -lt 8192 ]
	# Nothing of it stays in the run directory, nor of this host in it.
	[ ! -e "$dir/s" ] && [ ! -e "$dir/config.json" ]
	[ "$(grep -c "$COCOON_ROOT_DIR" "$snap/$STATE")" = 0 ]
	t 0 cocoon snapshot inspect one
	[ "$(field "$output" '.backend + " " + .version')" = \
		"$BACKEND $(hv web .hv.version)" ]
	t 0 cocoon snapshot verify one
}

saves_restore() {
	local n

	run_vm web
	counts web 1
	writes web 1
	save one web
	counts web 2
	writes web 2
	reads web 2
	t 0 cocoon vm restore web one
	reads web 1
	own_files web
	hv_is web .hv.state running
	n=$(lines web "count 000002")
	key web +
	wait_until 20 more_lines "$n" web "count 000002"
	writes web 2
	t 0 cocoon vm stop --force web
	t 0 cocoon vm restore web one
	reads web 1
	n=$(lines web "count 000002")
	key web +
	wait_until 20 more_lines "$n" web "count 000002"
	# The files of the state are not needed any more.
	[ ! -e "$COCOON_ROOT_DIR/vm-name/web/2/$MEMORY" ]
}

saves_hibernate() {
	run_vm web
	counts web 1
	writes web 1
	t 0 cocoon vm hibernate web
	hv_is web .hv.state hibernated
	hv_is web .hv.ended.reason hibernated
	no_vm_processes
	t 0 cocoon vm start web
	counts web 2
	reads web 1
	hv_is web .hv.state running
	# Paused or not is kept in mind.
	t 0 cocoon vm pause web
	hv_is web .hv.state paused
	save still web
	hv_is web .hv.state paused
	t 0 cocoon vm resume web
	counts web 3
}

saves_clones() {
	local vm last=web

	run_vm web --nics 2
	counts web 1
	writes web 1
	for vm in a b c; do
		save "of-$last" "$last"
		t 0 cocoon vm clone --name "$vm" "of-$last"
		t 0 cocoon vm stop --force "$last"
		t 0 cocoon vm rm "$last"
		key "$vm" +
		reads "$vm" 1
		last=$vm
	done
	wait_until 20 said c "count 000004"
	own_files c
	save fan c
	t 0 cocoon vm clone --name leaf -n 3 fan
	for vm in 1 2 3; do
		reads "leaf-$vm" 1
		for _ in $(seq "$vm"); do
			key "leaf-$vm" +
		done
		wait_until 20 said "leaf-$vm" "count 00000$((4 + vm))"
		writes "leaf-$vm" $((4 + vm))
	done
	for vm in 1 2 3; do
		unsaid "leaf-$vm" "count 00000$((5 + vm))"
		reads "leaf-$vm" $((4 + vm))
		own_files "leaf-$vm"
	done
	[ "$(hv leaf-1 '.net.nics[0].mac')" != "$(hv leaf-2 '.net.nics[0].mac')" ]
	# It can be started anew, as itself.
	t 0 cocoon vm stop --force leaf-1
	t 0 cocoon vm start leaf-1
	wait_until 20 greeted leaf-1
	reads leaf-1 5
	hv_is leaf-1 '.hv.guest // [] | length' 0
}

saves_interrupted() {
	local dir

	need strace
	run_vm web --nics 0 --memory 256M
	dir=$COCOON_ROOT_DIR/vm-name/web
	counts web 1
	run at sendmsg 4 INT cocoon-hv capture web
	[ "$status" = 1 ]
	[[ $output == *interrupted* ]]
	no_capture_left
	[ ! -e "$dir/0/s" ]
	counts web 2
	run at renameat 2 KILL cocoon-hv capture web
	[ "$status" = 137 ]
	# Its monitor has seen it.
	wait_until 20 grep -q '"resumed"' "$dir/events"
	counts web 3
	hv_is web .hv.state running
	t 0 cocoon gc
	no_capture_left
	[ ! -e "$dir/0/s" ]
	save one web
	[ ! -e "$dir/0/s" ]
	# One that is paused stays so.
	t 0 cocoon vm pause web
	run at sendmsg 4 KILL cocoon-hv capture web
	key web +
	hv_is web .hv.state paused
	unsaid web "count 000004"
	t 0 cocoon vm resume web
	wait_until 20 said web "count 000004"
}

# saves_version VARIABLE VERSION: the binary that it names is another.
saves_version() {
	run_vm web --nics 0
	save one web
	printf '#!/bin/sh\necho "%s"\n' "$2" >other
	chmod +x other
	export "$1=$PWD/other"
	t 7 cocoon vm clone --name twin one
	says "this host has ${2##*v}"
	says "$1"
	messages 1
}

# saves_damaged COMMAND...: it damages $snap/$STATE.
saves_damaged() {
	run_vm web --nics 0
	counts web 1
	save one web
	counts web 2
	writes web 2
	chmod u+w "$snap/$STATE"
	"$@"
	t 1 cocoon vm restore web one
	says "it is stopped"
	no_vm_processes
	hv_is web .hv.state stopped
	hv_is web .hv.generation 0
	t 1 cocoon vm clone --name twin one
	t 4 cocoon vm inspect twin
	t 0 cocoon vm start web
	wait_until 20 greeted web 2
	reads web 2
}

# Of its uid, where the directory is to be: all of it goes.
saves_foreign() {
	local dir

	run_vm web --nics 0
	dir=$COCOON_ROOT_DIR/vm-name/web/0
	mkdir "$dir/s" && ln -s /etc/passwd "$dir/s/$STATE"
	save one web
	[ ! -e "$dir/s" ]
	[ "$(stat -c %F "$snap/$STATE")" = "regular file" ]
}
