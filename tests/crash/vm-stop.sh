# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# vm stop --force and start, killed; the VM can be stopped and started again.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon vm stop --force it && cocoon vm start it'

prepare() {
	prepare_mini
}

setup() {
	copy_mini
	remember
	cocoon vm run --name it --memory 64M --storage 64M mini >/dev/null
}

next() {
	there it && cocoon vm stop --force it && cocoon vm start it &&
		cocoon vm inspect it |
		jq -e '.hv.state == "running"' >/dev/null &&
		cocoon vm rm --force it
}
