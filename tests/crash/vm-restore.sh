# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# vm restore, killed in any stage and in the monitor: the VM is the old one or
# the new one, running or stopped, can be restored again, and nothing runs that
# its record does not name.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cocoon-snap cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon vm restore it snap'

prepare() {
	prepare_mini
}

setup() {
	copy_mini
	remember
	cocoon vm run --name it --memory 64M --storage 64M mini >/dev/null
	cocoon snapshot save --name snap it >/dev/null
}

next() {
	there it && sh -c "$COMMAND" >/dev/null &&
		cocoon vm inspect it |
		jq -e '.hv.state == "running"' >/dev/null &&
		[ "$(pgrep -c '^(qemu-system|firecracker)')" = 1 ] &&
		cocoon vm rm --force it && cocoon snapshot rm snap
}
