# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# vm rm --force of a running VM, killed; the same again. Another VM runs on.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon vm rm --force gone'

prepare() {
	prepare_mini
}

setup() {
	copy_mini
	cocoon vm run --name kept --memory 64M --storage 64M mini >/dev/null
	remember
	cocoon vm run --name gone --memory 64M --storage 64M mini >/dev/null
}

next() {
	local status=0

	cocoon vm list >/dev/null || return
	cocoon vm rm --force gone || status=$?
	[ "$status" = 0 ] || [ "$status" = 4 ]
}

check() {
	unchanged
	cocoon vm inspect kept | jq -e '.hv.state == "running"' >/dev/null ||
		echo "the other VM does not run any more"
}
