/* SPDX-License-Identifier: MIT */
/* doctor: what snapshots need of the host, a JSON line for each check. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "doctor.h"
#include "file.h"
#include "snap.h"

/* Files without names: nothing is left of them. */
static bool reflinks(const char *dir)
{
	AUTO_FD int a = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	AUTO_FD int b = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char block[4096] = "x";

	return a >= 0 && b >= 0 && write(a, block, sizeof(block)) > 0 &&
	       ioctl(b, FICLONE, a) == 0;
}

static int doctor_run(struct call *call, struct err *err)
{
	AUTO_STATE struct state st = STATE_NONE;
	bool ok;

	if (state_open(&st, false, err) < 0)
		return -1;
	ok = reflinks(st.root_fd < 0 ? "/var/lib" : st.root);
	doctor_say(call, "reflink", ok ? "ok" : "warn",
	    ok ? "disks are saved and cloned without copying"
	       : "the file system copies: a VM stands still while its disks "
		 "are copied",
	    "have the state directory on XFS or Btrfs");
	return 0;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "Check what the host must have; JSON lines.",
    .run = doctor_run,
};
