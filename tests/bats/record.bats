#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The doubles of hypervisors answer as the real ones did: tests/record.

load lib
load hv

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

@test "the double of Cloud Hypervisor answers as v52.0 did" {
	need python3
	like 52.0.0
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

# fc_like VERSION: the same, of Firecracker
fc_like() {
	local record=$TOP/tests/record/firecracker-$1.jsonl

	COCOON_DOUBLE_VERSION=$1 "$TOP/tests/record/firecracker" \
		"$TOP/tests/double/firecracker" "$BIN/cocoon-hv" \
		>"$BATS_TEST_TMPDIR/answers"
	diff "$record" "$BATS_TEST_TMPDIR/answers"
}

@test "the double of Firecracker answers as v1.12.1 did" {
	need python3
	fc_like 1.12.1
}

@test "the double of Firecracker answers as v1.14.4 did" {
	need python3
	fc_like 1.14.4
}

@test "the double of Firecracker answers as v1.16.1 did" {
	need python3
	fc_like 1.16.1
}

@test "the double of Firecracker answers as the real one does now" {
	local dir=$BATS_TEST_TMPDIR fc seed version

	fc=${COCOON_TEST_FC:-$(command -v firecracker || true)}
	[ -n "$fc" ] || skip_for "COCOON_TEST_FC or a firecracker in PATH is missing"
	need python3 cc ld objcopy /dev/kvm
	BATS_FILE_TMPDIR=$dir pvh_build
	version=$("$fc" --version | sed -n 's/^Firecracker v//p')
	# Each body with something wrong in it.
	for seed in 1 2 3 "$RANDOM"; do
		"$TOP/tests/record/firecracker" "$fc" "$dir/mini/pvh" "$seed" \
			>"$dir/real"
		COCOON_DOUBLE_VERSION=$version "$TOP/tests/record/firecracker" \
			"$TOP/tests/double/firecracker" "$dir/mini/pvh" "$seed" \
			>"$dir/double"
		echo "seed $seed" >&2
		diff "$dir/real" "$dir/double" >&2
	done
}
