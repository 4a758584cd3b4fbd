/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "confine.h"
#include "doctor.h"
#include "img.h"
#include "proc.h"
#include "sandbox.h"

#define LOW_SPACE ((uint64_t)4 << 30)

static void check_program(
    struct call *call, const char *name, const char *flag, const char *remedy)
{
	AUTO_FREE char *path = proc_find(name);
	AUTO_BUF struct buf out = {0};
	AUTO_PROC struct proc p;
	struct err ignored;

	if (!path) {
		doctor_say(call, name, "fail", "not found", remedy);
		return;
	}
	/* mkfs.erofs 1.5 prints its version, and then that it has no -V: the
	 * exit status says nothing. */
	proc_init(&p);
	strv_add(&p.argv, path);
	strv_add(&p.argv, flag);
	(void)!proc_run(&p, NULL, 0, &out, 200, 5000, &ignored);
	if (out.len)
		out.data[strcspn(out.data, "\n")] = '\0';
	doctor_say(call, name, "ok", out.len ? out.data : path, NULL);
}

static void check_helper(struct call *call)
{
	struct err err = {0};
	char digest[72];

	if (digest_of_text("abc", 3, digest, &err) == 0 &&
	    !strncmp(digest, "sha256:ba7816bf", 15))
		doctor_say(call, "layer", "ok", "the helper runs", NULL);
	else
		doctor_say(call, "layer", "fail", err.msg,
		    "install the helper beside the tools, or set "
		    "COCOON_LIBEXEC");
}

static void check_landlock(struct call *call)
{
	char text[60];
	int abi = confine_landlock_abi();

	snprintf(text, sizeof(text), "landlock ABI %d", abi);
	if (abi >= 2)
		doctor_say(call, "landlock", "ok", text, NULL);
	else
		doctor_say(call, "landlock", "warn", text,
		    "a kernel of 5.19 or later with landlock enabled confines "
		    "the helpers that read images");
}

static void check_space(struct call *call, const struct store *s)
{
	char text[120], free_text[32];
	struct statvfs v;
	uint64_t bytes;

	if (fstatvfs(s->blob_fd, &v) < 0) {
		doctor_say(call, "space", "warn", strerror(errno), NULL);
		return;
	}
	bytes = (uint64_t)v.f_bavail * v.f_frsize;
	format_size(bytes, free_text);
	snprintf(text, sizeof(text), "%s free", free_text);
	doctor_say(call, "space", bytes < LOW_SPACE ? "warn" : "ok", text,
	    bytes < LOW_SPACE ? "an import needs room for the image twice"
			      : NULL);
}

/* Two files without a name; what they hold goes with them. */
static void check_reflink(struct call *call, const struct store *s)
{
	AUTO_FD int a =
	    openat(s->tmp_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	AUTO_FD int b =
	    openat(s->tmp_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (a >= 0 && b >= 0 && write_all(a, "x", 1) == 0 &&
	    ioctl(b, FICLONE, a) == 0)
		doctor_say(
		    call, "reflink", "ok", "files share their blocks", NULL);
	else
		doctor_say(call, "reflink", "warn",
		    "the file system cannot share blocks between files",
		    "snapshots and clones are faster on xfs or btrfs");
}

static void check_store(struct call *call)
{
	AUTO_STORE struct store s = STORE_NONE;
	struct err err = {0};
	AUTO_FD int fd = -1;

	if (store_open(&s, false, &err) < 0) {
		doctor_say(call, "store", "fail", err.msg, "see --root-dir");
		return;
	}
	if (s.tmp_fd < 0) {
		doctor_say(call, "store", "ok",
		    "empty: the first import makes it", NULL);
		return;
	}
	fd = openat(s.tmp_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && errno != EOPNOTSUPP) {
		doctor_say(call, "store", "fail", strerror(errno),
		    "it must be writable by root");
		return;
	}
	doctor_say(call, "store", "ok", s.st.root, NULL);
	check_space(call, &s);
	check_reflink(call, &s);
}

static int doctor_run(struct call *call, struct err *err)
{
	(void)err;
	check_program(call, "mkfs.erofs", "-V", "apt-get install erofs-utils");
	check_program(call, "qemu-img", "-V", "apt-get install qemu-utils");
	check_helper(call);
	check_landlock(call);
	check_store(call);
	return 0;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "checks what this tool needs of the host",
    .run = doctor_run,
};
