# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# snapshot save, killed in any stage: the VM goes on, the next save works, and
# a snapshot is complete or garbage.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cocoon-snap cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon snapshot save --name new it'

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
	cocoon vm inspect it | jq -e '.hv.state == "running"' >/dev/null ||
		return
	cocoon snapshot verify >/dev/null || return
	cocoon snapshot inspect new >/dev/null 2>&1 ||
		sh -c "$COMMAND" >/dev/null || return
	guest_runs "$COCOON_ROOT_DIR/vm-name/it/0" || return
	cocoon vm rm --force it && cocoon snapshot rm new
}
