# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# vm clone, killed in any stage and in the monitor: a clone is there and runs,
# or it is garbage; the source and the snapshot are untouched.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cocoon-snap cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon vm clone --name new snap'

prepare() {
	prepare_mini
	cocoon vm run --name it --memory 64M --storage 64M mini >/dev/null
	cocoon snapshot save --name snap it
	cocoon vm rm --force it
}

setup() {
	copy_mini
	remember
}

next() {
	cocoon snapshot verify >/dev/null || return
	there new || sh -c "$COMMAND" >/dev/null || there new || return
	# What is left of the killed pipeline may undo it first.
	cocoon vm rm --force new || ! there new
}
