# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# vm create, killed in any stage; the same again if it was not committed. A VM
# that was there stays.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon vm create --name new --memory 64M --storage 64M mini'

prepare() {
	prepare_mini
}

setup() {
	copy_mini
	cocoon vm create --name kept --memory 64M --storage 64M mini >/dev/null
	remember
}

next() {
	cocoon vm list >/dev/null || return
	# What was not killed may still be about to commit it.
	there new || sh -c "$COMMAND" >/dev/null || there new || return
	cocoon vm rm new
}

check() {
	unchanged
	there kept || echo "the other VM is gone"
}
