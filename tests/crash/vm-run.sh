# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# vm run, killed in any stage and in the monitor; what is there can be removed,
# and gc ends what nobody can name.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon vm run --name new --memory 64M --storage 64M mini'

prepare() {
	prepare_mini
}

setup() {
	copy_mini
	remember
}

next() {
	cocoon vm list >/dev/null || return
	# What was not killed may still be about to commit it.
	there new || sh -c "$COMMAND" >/dev/null || there new || return
	cocoon vm status -o json new >/dev/null 2>&1 || :
	# What is left of the killed pipeline may undo it first.
	cocoon vm rm --force new || ! there new
}
