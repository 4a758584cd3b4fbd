# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# vm hibernate, killed in any stage and in the monitor: the VM runs on, or it
# ended and its snapshot is whole; it can be started either way.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cocoon-snap cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon vm hibernate --name night it'

prepare() {
	prepare_mini
}

setup() {
	copy_mini
	remember
	cocoon vm run --name it --nics 0 --memory 64M --storage 64M mini \
		>/dev/null
}

next() {
	cocoon snapshot verify >/dev/null || return
	cocoon vm inspect it | jq -e '.hv.state == "running" or
		.hv.state == "hibernated"' >/dev/null || return
	# Ended, but not by us: then it was safe.
	cocoon vm inspect it | jq -e '.hv.state == "running"' >/dev/null ||
		cocoon snapshot inspect night >/dev/null || return
	cocoon vm start it >/dev/null || return
	cocoon snapshot inspect night >/dev/null 2>&1 ||
		sh -c "$COMMAND" >/dev/null || return
	cocoon vm rm --force it && cocoon snapshot rm night
}
