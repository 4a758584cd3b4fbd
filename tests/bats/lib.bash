# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# What every bats file loads. $BIN is the build directory; the file itself runs
# in a scratch host (tests/scratch-host): start it by
#     tests/run --bats BUILD tests/bats/FILE.bats
bats_require_minimum_version 1.5.0

BIN=${COCOON_TEST_BIN:?run this by tests/run --bats BUILD}
# For the test files.
# shellcheck disable=SC2034
TOP=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
PATH=$BIN:$PATH:/usr/sbin:/sbin

# Ends the test: skipped, or with COCOON_TEST_STRICT=1 failed.
skip_for() {
	if [ "${COCOON_TEST_STRICT-}" = 1 ]; then
		echo "must not be skipped: $*" >&2
		exit 1
	fi
	skip "$*"
}

# need PROGRAM|/PATH...: what the test cannot do without.
need() {
	local x

	for x; do
		case $x in
		/*) [ -e "$x" ] || skip_for "$x is missing" ;;
		*)
			command -v "$x" >/dev/null ||
				skip_for "the program $x is missing"
			;;
		esac
	done
}

# The test changes the network or mounts: only in a scratch host.
host_netns() {
	[ "$(id -u)" = 0 ] || skip_for "root is missing"
	if [ "${COCOON_TEST_HOST-}" != scratch ]; then
		echo "start it by: tests/run --bats $BIN ${BATS_TEST_FILENAME}" >&2
		exit 1
	fi
}

# in_netns: as host_netns. in_netns COMMAND...: in a fresh network and mount
# namespace below the scratch host, with a /run/netns of its own.
in_netns() {
	host_netns
	[ $# -gt 0 ] || return 0
	unshare --net --mount --propagation private bash -c '
		mount -t tmpfs tmpfs /run/netns && ip link set lo up && "$@"
	' in_netns "$@"
}

# A state directory of this test's own.
setup_root() {
	export COCOON_ROOT_DIR=$BATS_TEST_TMPDIR/root
	export COCOON_STATE_RUN=$BATS_TEST_TMPDIR/run
	mkdir -m 700 "$COCOON_ROOT_DIR" "$COCOON_STATE_RUN"
}

# What a sanitizer reported since the file began; they exit with 99, too, but
# whoever started the process may have hidden that.
sanitizer_reports() {
	local f

	[ -n "${COCOON_TEST_SAN-}" ] || return 0
	for f in "$COCOON_TEST_SAN"/*; do
		if [ -e "$f" ]; then
			cat "$f"
		fi
	done
}

# t CODE COMMAND...: runs it; its stdout is in $output, stderr in $stderr. Fails
# unless the exit status is exactly CODE, so that no crash passes for a failure.
t() {
	local want=$1 report

	shift
	run --separate-stderr "$@"
	report=$(sanitizer_reports)
	# run sets $status, $output and $stderr.
	if [ "$status" = "$want" ] && [ -z "$report" ]; then
		return 0
	fi
	{
		echo "command: $*"
		echo "exit status: $status, expected $want"
		printf 'stdout: %.2000s\nstderr: %.2000s\n' "$output" "$stderr"
		printf '%s' "$report"
	} >&2
	return 1
}

# wait_until SECONDS COMMAND...: true as soon as COMMAND is.
wait_until() {
	local until=$((SECONDS + $1))

	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$until" ]; then
			echo "not within the time: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}
