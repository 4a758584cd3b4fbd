# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# vm resize of a VM that runs, killed: the same command is done to its end, what
# is recorded is what the guest has, and it can be saved, stopped and started.
NEEDS="cocoon cocoon-hv cocoon-net cocoon-img cocoon-hint cocoon-snap cc ld
	qemu-system-x86_64 mkfs.ext4"
COMMAND='cocoon vm resize --cpu $(nproc) --memory 192M --storage 128M it'

prepare() {
	prepare_mini
}

setup() {
	copy_mini
	remember
	cocoon vm run --name it --nics 0 --cpu 1 --memory 64M --storage 64M \
		mini >/dev/null
}

next() {
	sh -c "$COMMAND" >/dev/null || return
	cocoon vm inspect it | jq -e --argjson cpu "$(nproc)" '.hv.state ==
		"running" and .plan.cpu == $cpu and .plan.memory == 201326592 and
		.spec.storage == 134217728' >/dev/null || return
	cocoon snapshot save --name new it && cocoon vm clone --name twin new &&
		cocoon vm rm --force twin && cocoon snapshot rm new &&
		cocoon vm stop --force it && cocoon vm start it &&
		cocoon vm rm --force it
}
