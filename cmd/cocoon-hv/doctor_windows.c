/* SPDX-License-Identifier: MIT */
/* doctor --windows: what a Windows guest needs besides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ch.h"
#include "doctor.h"
#include "proc.h"

static void check_version(struct call *call)
{
	AUTO_FREE char *path = vmm_program(&vmm_ch);
	char version[64], detail[300];
	const char *fault;
	struct err err;

	if (!path || vmm_ch.version(path, version, &err) < 0) {
		doctor_say(call, "windows hypervisor", "fail",
		    "Windows needs Cloud Hypervisor", vmm_ch.remedy);
		return;
	}
	fault = ch_fault(version);
	if (!fault)
		fault = ch_windows_fault(version_number(version));
	snprintf(detail, sizeof(detail), "cloud-hypervisor v%s%s%s", version,
	    fault ? ": " : "", fault ? fault : "");
	doctor_say(call, "windows hypervisor", fault ? "fail" : "ok", detail,
	    "install v52.0 or later");
}

static void check_firmware(struct call *call)
{
	const char *path = ch_firmware();
	struct stat st;
	char detail[300];

	if (stat(path, &st) < 0) {
		snprintf(detail, sizeof(detail), "%.250s is not there", path);
		doctor_say(call, "windows firmware", "fail", detail,
		    "put EDK2's CLOUDHV.fd there, or name it by "
		    "COCOON_CH_FIRMWARE");
		return;
	}
	snprintf(detail, sizeof(detail), "%.200s: %s", path,
	    ch_is_edk2(&st) ? "EDK2"
			    : "rust-hypervisor-firmware: up to 0.5.0 it "
			      "does not boot Windows");
	doctor_say(call, "windows firmware", ch_is_edk2(&st) ? "ok" : "warn",
	    detail, "use EDK2's CLOUDHV.fd");
}

/* Inside of the guest, where we see nothing: said, not checked. */
static void tell(struct call *call)
{
	doctor_say(call, "windows drivers", "warn",
	    "virtio-win from 0.1.285 on works with v52.0 and later only; "
	    "0.1.240 with all (cloud-hypervisor #7925)",
	    "look at the version inside of the guest");
	doctor_say(call, "windows power button", "warn",
	    "Windows ignores the power button of Cloud Hypervisor (#7929): "
	    "`vm stop` waits 90 s, then ends it firmly",
	    "shut it down by ssh or RDP, or use --force");
}

void doctor_windows(struct call *call)
{
	check_version(call);
	check_firmware(call);
	tell(call);
}
