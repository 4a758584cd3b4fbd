#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What every tool and every verb has in common. Tools are found in the build
# directory, verbs and options in their --help: a new one is tested by being
# there. Only which verbs are filters must be said here.

# shellcheck disable=SC2015,SC2030,SC2031,SC2154,SC2094,SC2013
load lib

# Verbs that read documents, with the operands that make them; + if they write
# documents, too.
FILTERS='
cocoon-hv plan +
cocoon-hv plan --clone +
cocoon-hv create +
cocoon-hv load +
cocoon-hv revert +
cocoon-hv start - +
cocoon-hv rm - +
cocoon-hv debug
cocoon-hv report
cocoon-net add +
cocoon-net del +
cocoon-net check
cocoon-snap add +
cocoon-img resolve +
cocoon-hint boot +
cocoon-hint clone
'
GLOBALS='help version verbose quiet'
ERR6='{"v":1,"vm":{"id":"ABCDEFGHIJKLMNOPQRSTUVWX27"},"x":[1.50,"\u00fc/"],"error":{"code":6,"kind":"timeout","tool":"sooner","message":"no"}}'
ERR4='{"v":1,"error":{"code":4,"kind":"not-found","tool":"sooner","message":"no"}}'

setup() {
	setup_root
	need jq
}

tools() {
	local f

	for f in "$BIN"/cocoon-*; do
		echo "${f##*/}"
	done
}

# verbs TOOL
verbs() {
	"$1" --help | sed -n '/^verbs:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'
}

# each_verb FUNCTION: with TOOL VERB; goes on after a failure, fails at the end.
each_verb() {
	local tool verb bad=0

	for tool in $(tools); do
		for verb in $(verbs "$tool"); do
			"$@" "$tool" "$verb" || bad=1
		done
	done
	return "$bad"
}

each_tool() {
	local tool bad=0

	for tool in $(tools); do
		"$@" "$tool" || bad=1
	done
	return "$bad"
}

# each_filter [+] FUNCTION: with TOOL VERB...; with + only those that emit.
each_filter() {
	local line bad=0 all=1 emits

	if [ "$1" = + ]; then
		all=0
		shift
	fi
	while read -r line; do
		[ -n "$line" ] || continue
		emits=${line##*[! +]}
		line=${line% +}
		[ "$all$emits" != 0 ] || continue
		[ -x "$BIN/${line%% *}" ] || continue
		# Words.
		# shellcheck disable=SC2086
		"$@" $line || bad=1
	done <<<"$FILTERS"
	return "$bad"
}

say() {
	echo "$*" >&2
	return 1
}

lines() {
	[ -z "$1" ] || grep -c '' <<<"$1"
}

# Long options of a verb, the global ones left out.
long_options() {
	local o

	"$1" "$2" --help | sed -nE 's/^  (-.,|   ) --([a-z][a-z0-9-]*).*/\2/p' |
		while read -r o; do
			case " $GLOBALS " in
			*" $o "*) ;;
			*) echo "$o" ;;
			esac
		done
}

# ---- help, version ----

check_help() {
	local wide

	t 0 "$@" --help || return
	[ -n "$output" ] || say "$*: empty help" || return
	[ -z "$stderr" ] || say "$*: help on stderr" || return
	wide=$(awk 'length > 80' <<<"$output")
	[ -z "$wide" ] || say "$*: more than 80 columns: $wide" || return
	[[ $output == "usage: $1 "* ]] || say "$*: help begins otherwise"
}

@test "there are tools, and they have verbs" {
	[ "$(tools | wc -l)" -ge 4 ]
	for tool in $(tools); do
		[ "$(verbs "$tool" | wc -l)" -ge 2 ]
	done
}

@test "--help of every tool" {
	each_tool check_help
}

@test "--help of every verb" {
	each_verb check_help
}

check_short_help() {
	local long

	long=$("$1" --help)
	t 0 "$1" -h && [ "$output" = "$long" ] || say "$1 -h"
}

@test "-h is --help" {
	each_tool check_short_help
}

check_version() {
	t 0 "$1" --version &&
		[[ $output =~ ^"$1 "[0-9]+\.[0-9.]+[a-z0-9.+-]*$ ]] ||
		say "$1 --version: $output"
}

@test "--version of every tool" {
	each_tool check_version
}

# ---- usage errors ----

# One line on stderr that begins with the tool's name.
one_message() {
	[ "$(lines "$stderr")" = 1 ] && [[ $stderr == "$1: "* ]] ||
		say "$*: not one message: $stderr"
}

# $output is one document with an error of this code.
error_document() {
	[ "$(lines "$output")" = 1 ] &&
		jq -e --argjson c "$1" '.v == 1 and .error.code == $c and
			(.error.message | length > 0) and
			(.error.tool | startswith("cocoon-"))' \
			<<<"$output" >/dev/null ||
		say "not one error document: $output"
}

check_unknown_verb() {
	t 2 "$1" no-such-verb && one_message "$1" && error_document 2 &&
		t 2 "$1" && one_message "$1" && error_document 2 &&
		t 2 "$1" --no-such-option && one_message "$1" &&
		error_document 2
}

@test "an unknown verb, none, or an unknown option before it: 2" {
	each_tool check_unknown_verb
}

check_no_document_in_a_file() {
	local status=0

	"$1" no-such-verb >"$BATS_TEST_TMPDIR/out" 2>/dev/null || status=$?
	[ "$status" = 2 ] && [ ! -s "$BATS_TEST_TMPDIR/out" ] ||
		say "$1: writes an error document to a file"
}

@test "a usage error writes its document to a pipe, not to a file" {
	each_tool check_no_document_in_a_file
}

check_unknown_option() {
	t 2 "$1" "$2" --no-such-option </dev/null && one_message "$1" &&
		[[ $stderr == *--no-such-option* ]] || say "$*" || return
	t 2 "$1" "$2" -Z </dev/null || say "$* -Z"
}

@test "an unknown option of every verb: 2" {
	each_verb check_unknown_option
}

check_usage_document() {
	t 2 "$@" --no-such-option </dev/null && error_document 2 || say "$*"
}

@test "a usage error of a verb that writes documents is a document" {
	each_filter + check_usage_document
}

check_abbreviation() {
	local o short

	for o in $(long_options "$1" "$2"); do
		short=${o%?}
		long_options "$1" "$2" | grep -qx -- "$short" && continue
		t 2 "$1" "$2" "--$short" </dev/null &&
			[[ $stderr == *"unknown option --$short"* ]] ||
			say "$1 $2 --$short is taken for --$o" || return
	done
}

@test "options do not abbreviate" {
	each_verb check_abbreviation
}

check_errors_json() {
	COCOON_ERRORS=json t 2 "$1" no-such-verb || return
	[ "$(lines "$stderr")" = 1 ] &&
		jq -e '.error | .code == 2 and .kind == "usage" and
			(.message | length > 0)' <<<"$stderr" >/dev/null ||
		say "$1: $stderr"
}

@test "COCOON_ERRORS=json makes the message an object" {
	each_tool check_errors_json
}

# ---- bad input ----

# bad_input NAME: writes it.
bad_input() {
	case $1 in
	empty) ;;
	space) printf ' \n\t\n' ;;
	garbage) echo 'hello, world' ;;
	binary) head -c 4096 /dev/urandom ;;
	nul) printf '{"v":1,"vm":{"id":"A\0B"}}\n' ;;
	nul-escape) printf '%s\n' '{"v":1,"a\u0000b":1}' ;;
	behind-nul) printf '{"v":1}\0' ;;
	large) printf '{"v":1,"x":"' && head -c 5242880 /dev/zero | tr '\0' x &&
		printf '"}\n' ;;
	deep) printf '{"v":1,"x":' && head -c 200 /dev/zero | tr '\0' '[' &&
		head -c 200 /dev/zero | tr '\0' ']' && printf '}\n' ;;
	deepest) head -c 1000000 /dev/zero | tr '\0' '{' ;;
	version) echo '{"v":2}' ;;
	no-version) echo '{}' ;;
	version-text) echo '{"v":"1"}' ;;
	array) echo '[{"v":1}]' ;;
	cut) printf '{"v":1' ;;
	duplicate) echo '{"v":1,"v":1}' ;;
	comment) echo '{"v":1 /* c */}' ;;
	utf8) printf '{"v":1,"x":"\377"}\n' ;;
	esac
}

check_bad_input() {
	local kind bad=0

	for kind in empty space garbage binary nul nul-escape behind-nul large \
		deep deepest version no-version version-text array cut \
		duplicate comment utf8; do
		bad_input $kind >"$BATS_TEST_TMPDIR/in"
		t 3 "$@" <"$BATS_TEST_TMPDIR/in" ||
			{ bad=1; say "$*: $kind"; continue; }
		[[ $stderr == "$1: "* ]] ||
			{ bad=1; say "$*: $kind: no message"; }
	done
	return "$bad"
}

@test "bad input of every filter: 3" {
	each_filter check_bad_input
}

check_bad_input_document() {
	local kind

	for kind in empty garbage nul large version cut; do
		bad_input $kind >"$BATS_TEST_TMPDIR/in"
		t 3 "$@" <"$BATS_TEST_TMPDIR/in" || return
		jq -e -s 'length == 1 and .[0].error.code == 3' \
			<<<"$output" >/dev/null ||
			say "$*: $kind: $output" || return
	done
}

@test "bad input of a filter is an error in the stream" {
	each_filter + check_bad_input_document
}

@test "nothing was made of bad input" {
	each_filter check_bad_input
	run find "$COCOON_ROOT_DIR" "$COCOON_STATE_RUN" -type f -not -name lock
	[ -z "$output" ]
}

# ---- the stream ----

check_pass() {
	t 6 "$@" <<<"$ERR6" || say "$*" || return
	[ "$(jq -cS . <<<"$output")" = "$(jq -cS . <<<"$ERR6")" ] &&
		[ "$(lines "$output")" = 1 ] ||
		say "$*: the error line changed: $output" || return
	[ -z "$stderr" ] || say "$*: a second message: $stderr"
}

@test "an error line passes unchanged, says nothing, is the exit status" {
	each_filter + check_pass
}

check_first_counts() {
	t 6 "$@" <<<"$ERR6
{\"v\":2,\"n\":2}
$ERR4" || say "$*" || return
	[ "$(jq -s -c 'map(.error.code)' <<<"$output")" = '[6,3,4]' ] ||
		say "$*: not three answers in order: $output" || return
	one_message "$1"
}

@test "one bad line of three stops no other; the first error counts" {
	each_filter + check_first_counts
}

check_pretty() {
	t 6 "$@" < <(jq . <<<"$ERR6$ERR4") &&
		[ "$(jq -s -c 'map(.error.code)' <<<"$output")" = '[6,4]' ] &&
		[ "$(lines "$output")" = 2 ] || say "$*: $output"
}

@test "input may be pretty-printed, output is a line each" {
	each_filter + check_pretty
}

check_at_once() {
	local first

	coproc { "$@" 2>"$BATS_TEST_TMPDIR/err"; }
	# The variable goes when the process does.
	local pid=$COPROC_PID in=${COPROC[1]} out=${COPROC[0]}
	echo "$ERR6" >&"$in"
	read -r -t 20 first <&"$out" || say "$*: waits for more" || return
	exec {in}>&-
	wait "$pid" || [ $? = 6 ] || say "$*"
	[[ $first == *'"code":6'* ]] || say "$*: $first"
}

@test "an answer comes before the input ends" {
	each_filter + check_at_once
}

check_expect() {
	# Who wrote the error line said why the others do not come.
	COCOON_EXPECT=2 t 6 "$@" <<<"$ERR6" && [ -z "$stderr" ] ||
		say "$*: $stderr" || return
	COCOON_EXPECT=2 t 3 "$@" </dev/null || say "$*: empty" || return
	[[ $stderr == *"0 of 2 documents"* ]] || say "$*: $stderr" || return
	COCOON_EXPECT=1 t 6 "$@" <<<"$ERR6" && [ -z "$stderr" ] ||
		say "$*: as many as expected: $stderr"
}

@test "fewer documents than COCOON_EXPECT: an earlier stage died, 3" {
	each_filter + check_expect
}

@test "one document of two that came is done, then 3" {
	host_netns
	COCOON_EXPECT=2 t 3 cocoon-net add <<-END
		{"v":1,"vm":{"id":"ABCDEFGHIJKLMNOPQRSTUVWX27"},"spec":{"nics":0}}
	END
	[[ $stderr == *"1 of 2 documents"* ]]
	[ "$(jq -s -c 'map(.error.code)' <<<"$output")" = '[null,3]' ]
}

# ---- descriptors ----

check_full() {
	local status=0

	"$@" >/dev/full 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = 1 ] && grep -q 'No space left' "$BATS_TEST_TMPDIR/err" ||
		say "$*: exit status $status on a full device"
}

help_on_full() {
	check_full "$1" --help && check_full "$1" --version
}

@test "output that could not be written: 1" {
	each_tool help_on_full
}

check_full_filter() {
	local status=0

	"$@" <<<"$ERR6" >/dev/full 2>/dev/null || status=$?
	[ "$status" = 6 ] || [ "$status" = 1 ] || say "$*: $status"
}

@test "a document that could not be written is a failure" {
	each_filter + check_full_filter
}

# A command with these descriptors closed ends by itself, not by a signal.
check_closed() {
	local fds status=0

	for fds in '<&-' '>&-' '2>&-' '<&- >&-' '<&- >&- 2>&-'; do
		status=0
		bash -c "\"\$@\" $fds" closed "$@" </dev/null >/dev/null \
			2>&1 || status=$?
		[ "$status" -le 7 ] ||
			say "$*: $fds: exit status $status" || return
	done
	[ -z "$(sanitizer_reports)" ] || say "$*: $(sanitizer_reports)"
}

help_closed() {
	local status=0

	check_closed "$1" --help || return
	"$1" --help >&- 2>/dev/null || status=$?
	[ "$status" = 1 ] || say "$1 --help >&-: $status"
}

@test "descriptors 0-2 may be closed" {
	each_tool help_closed
	each_filter check_closed
}

# The reader is gone before there is output: SIGPIPE or a plain failure.
gone_reader() {
	local dir=$BATS_TEST_TMPDIR status=0

	rm -f "$dir/pipe"
	mkfifo "$dir/pipe"
	# A pipe whose only reader closed it before the command begins.
	exec 8<>"$dir/pipe" 7>"$dir/pipe"
	exec 8>&-
	"$@" <<<"$ERR6" >&7 2>"$dir/err" 7>&- || status=$?
	exec 7>&-
	case $status in
	1 | 6 | 141) ;;
	*) say "$*: exit status $status without a reader" || return ;;
	esac
	[ "$(wc -l <"$dir/err")" -le 1 ] || say "$*: $(cat "$dir/err")" ||
		return
	[ "$status" != 141 ] || [ ! -s "$dir/err" ] ||
		say "$*: a message although the reader just left"
}

help_gone_reader() {
	gone_reader "$1" --help
}

@test "the reader is gone: no crash, no storm of messages" {
	each_tool help_gone_reader
	each_filter gone_reader
}

@test "SIGPIPE ignored by the parent changes nothing for --help" {
	for tool in $(tools); do
		run bash -c 'trap "" PIPE; "$1" --help | :; exit ${PIPESTATUS[0]}' \
			x "$tool"
		[ "$status" = 0 ] || [ "$status" = 141 ] || [ "$status" = 1 ]
		run bash -c 'trap "" PIPE; "$1" --version' x "$tool"
		[ "$status" = 0 ]
	done
}

@test "nothing but 0-2 reaches the programs that are called" {
	local seen=$BATS_TEST_TMPDIR/seen dir=$BATS_TEST_TMPDIR/shadow p real

	host_netns
	mkdir "$dir" "$seen"
	for p in nft mkfs.erofs qemu-img mkfs.ext4 qemu-system-x86_64; do
		real=$(command -v "$p") || continue
		cat >"$dir/$p" <<-END
			#!/bin/sh
			echo \$(ls /proc/self/fd) >$seen/$p.\$\$
			exec $real "\$@"
		END
		chmod +x "$dir/$p"
	done
	exec 21</dev/null 22</dev/null
	printf '{"v":1,"vm":{"id":"%s"},"spec":{"nics":1}}\n' \
		ABCDEFGHIJKLMNOPQRSTUVWX27 |
		PATH=$dir:$PATH cocoon-net add >/dev/null
	PATH=$dir:$PATH cocoon-net del ABCDEFGHIJKLMNOPQRSTUVWX27
	for tool in $(tools); do
		PATH=$dir:$PATH "$tool" doctor >/dev/null 2>&1 || :
	done
	exec 21>&- 22>&-
	[ -n "$(find "$seen" -name 'nft.*')" ]
	# ls has one of its own.
	[ "$(cat "$seen"/* | sort -u)" = "0 1 2 3" ]
}

# ---- the state directory ----

check_reading() {
	local root=$BATS_TEST_TMPDIR/not-there

	case $2 in
	list | check) ;;
	*) return 0 ;;
	esac
	COCOON_ROOT_DIR=$root t 0 "$1" "$2" </dev/null ||
		COCOON_ROOT_DIR=$root t 3 "$1" "$2" </dev/null || return
	[ ! -e "$root" ] || say "$1 $2 makes the state directory"
}

@test "reading makes nothing, and needs nothing to be there" {
	each_verb check_reading
}

# ---- doctor ----

check_doctor() {
	verbs "$1" | grep -qx doctor || say "$1 has no doctor" || return
	run --separate-stderr "$1" doctor
	[ "$status" -le 7 ] || say "$1 doctor: $status $stderr" || return
	jq -e -s 'length > 0 and all(.[]; (.check | length > 0) and
		(.status | IN("ok", "warn", "fail")) and has("detail"))' \
		<<<"$output" >/dev/null || say "$1 doctor: $output"
}

@test "every tool has a doctor" {
	each_tool check_doctor
}

# ---- the manual ----

# SYNOPSIS of a tool's page, a line a verb: "VERB [OPTIONS]...".
synopsis() {
	mandoc -T utf8 "$TOP/man/$1.8" | col -bx |
		sed -n '/^SYNOPSIS/,/^[A-Z]/{/^[A-Z]/d;p}' | tr -s ' \n' ' ' |
		sed "s/ $1 /\\n/g" | sed '/^ *$/d'
}

check_page() {
	local page=$TOP/man/$1.8

	[ -e "$page" ] || say "man/$1.8 is missing" || return
	diff <(verbs "$1" | sort -u) \
		<(synopsis "$1" | sed 's/ .*//' | sort -u) >&2 ||
		say "$1: verbs: < --help, > man/$1.8"
}

@test "the manual's SYNOPSIS has every verb, and no other" {
	need mandoc
	each_tool check_page
}

check_page_options() {
	local o letter line

	[ -e "$TOP/man/$1.8" ] || return 0
	line=$(synopsis "$1" | sed -n "s/^$2\( \|\$\)/ /p")
	for o in $(long_options "$1" "$2"); do
		letter=$("$1" "$2" --help |
			sed -n "s/^  \(-[a-z]\), --$o\( .*\|\$\)/\1/p")
		grep -qE -- "--$o\b|\[${letter:---$o}\b" <<<"$line" ||
			say "man/$1.8: SYNOPSIS of $2 lacks --$o" || return
	done
	for o in $(grep -oE -- '--[a-z][a-z0-9-]+' <<<"$line"); do
		long_options "$1" "$2" | grep -qx -- "${o#--}" ||
			say "man/$1.8: SYNOPSIS of $2 has $o" || return
	done
}

@test "the manual's SYNOPSIS has every option of every verb, and no other" {
	need mandoc
	each_verb check_page_options
}

# ---- libraries ----

allowed_libraries() {
	echo 'linux-vdso|ld-linux-x86-64|libc'
	case $1 in
	cocoon-net | cocoon-hv) echo 'libjson-c|libmnl' ;;
	cocoon-hint) echo 'libjson-c|libcrypt' ;;
	cocoon-*) echo libjson-c ;;
	# Helpers read what comes from outside.
	layer) echo 'libarchive|libcrypto|libjson-c' ;;
	seed) echo 'libarchive' ;;
	fetch) echo 'libcurl|libcrypto|libjson-c' ;;
	archive) echo 'libarchive|libzstd|libcrypto|libjson-c' ;;
	readfs) echo 'libext2fs|libcom_err|libjson-c' ;;
	esac
	# A sanitized build.
	echo 'libasan|libubsan|libm|libgcc_s|libstdc++|libdl|libpthread|librt'
}

check_libraries() {
	local needed

	# What it names itself: a library's own needs are the library's.
	needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\.so.*/\1/p' |
		grep -vxE "$(allowed_libraries "${1##*/}" | paste -sd '|')")
	[ -z "$needed" ] || say "${1##*/} links $needed"
}

@test "each program links only what it may" {
	local f bad=0

	need readelf
	for f in "$BIN"/cocoon-* "$BIN"/libexec/*; do
		[ -x "$f" ] || continue
		check_libraries "$f" || bad=1
	done
	[ "$bad" = 0 ]
}

@test "the five tools load neither curl nor crypto" {
	local tool

	for tool in $(tools); do
		run ldd "$BIN/$tool"
		[ "$status" = 0 ]
		[[ $output != *libcurl* && $output != *libcrypto* ]]
		[[ $output != *libarchive* && $output != *'not found'* ]]
	done
}
