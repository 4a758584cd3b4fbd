#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The doubles of hypervisors answer as the real ones did: tests/record.

load lib

# like VERSION: the double as that version gives the record of that version.
like() {
	local record=$TOP/tests/record/cloud-hypervisor-$1.jsonl

	COCOON_DOUBLE_VERSION=$1 "$TOP/tests/record/cloud-hypervisor" \
		"$TOP/tests/double/cloud-hypervisor" "$record" \
		>"$BATS_TEST_TMPDIR/answers"
	diff "$record" "$BATS_TEST_TMPDIR/answers"
}

@test "the double of Cloud Hypervisor answers as v51.2 did" {
	need python3
	like 51.2.0
}

@test "the double of Cloud Hypervisor answers as v53.0 did" {
	need python3
	like 53.0.0
}

@test "COCOON_DOUBLE_STRICT refuses what the real one drops" {
	need python3
	export COCOON_DOUBLE_STRICT=1
	t 1 like 53.0.0
	[[ $output == *'"nonsense": 1'* ]]
	[ "$(grep -c '^>' <<<"$output")" = 1 ]
}
