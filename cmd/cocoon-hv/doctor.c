/* SPDX-License-Identifier: MIT */
/* doctor: what cocoon-hv needs of the host, a JSON line for each check. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "confine.h"
#include "disks.h"
#include "doctor.h"
#include "file.h"
#include "hv.h"
#include "proc.h"
#include "vmm.h"

#define LOW_SPACE (UINT64_C(2) << 30)

struct doctor_opts {
	bool fix;
};

static const struct opt opts[] = {
    {.name = "fix",
	.kind = OPT_FLAG,
	.offset = offsetof(struct doctor_opts, fix),
	.help = "set what udev would set on device nodes"},
};

/* Debian's udev rules: kvm 0660 root:kvm, tun 0666. */
static int fix_node(const char *path, mode_t mode, const char *group)
{
	const struct group *g = group ? getgrnam(group) : NULL;

	if (g && chown(path, 0, g->gr_gid) < 0)
		return -1;
	/* Without that group everybody: what else could let a uid in? */
	return chmod(path, group && !g ? 0666 : mode);
}

static void check_node(struct call *call, const char *check, const char *path,
    mode_t mode, const char *group)
{
	const struct doctor_opts *o = call->opts;
	char detail[100];
	struct stat st;
	gid_t gid;

	if (stat(path, &st) < 0) {
		snprintf(detail, sizeof(detail), "%s is not there", path);
		doctor_say(call, check, "warn", detail,
		    "guests run emulated, which is slow");
		return;
	}
	if (o->fix && !probe_node(path, &gid) &&
	    fix_node(path, mode, group) == 0)
		stat(path, &st);
	snprintf(
	    detail, sizeof(detail), "%s is %04o", path, st.st_mode & 07777);
	doctor_say(call, check, probe_node(path, &gid) ? "ok" : "warn", detail,
	    "run `cocoon doctor --fix`: it sets what udev would");
}

static void check_vmm(struct call *call, const struct vmm *v)
{
	AUTO_FREE char *path = proc_find(v->program);
	char version[64], detail[300];
	struct err err;

	if (!path) {
		doctor_say(call, v->name, "fail", "not installed",
		    "apt-get install qemu-system-x86");
		return;
	}
	if (v->version(path, version, &err) < 0) {
		doctor_say(call, v->name, "fail", err.msg, "install it anew");
		return;
	}
	snprintf(detail, sizeof(detail), "%s %s", path, version);
	doctor_say(call, v->name, "ok", detail, NULL);
}

static void check_program(
    struct call *call, const char *name, const char *package)
{
	AUTO_FREE char *path = proc_find(name);
	AUTO_FREE char *remedy = xasprintf("apt-get install %s", package);

	doctor_say(call, name, path ? "ok" : "fail",
	    path ? path : "not installed", remedy);
}

static void check_landlock(struct call *call)
{
	char detail[40];
	int abi = confine_landlock_abi();

	snprintf(detail, sizeof(detail), "ABI %d", abi);
	doctor_say(call, "landlock", abi ? "ok" : "warn",
	    abi ? detail : "the kernel has none",
	    "a hypervisor is confined by its uid alone");
}

static void check_space(struct call *call)
{
	AUTO_STATE struct state st = STATE_NONE;
	struct statvfs fs;
	struct err err;
	char detail[120], size[32];
	uint64_t free_bytes;

	if (state_open(&st, false, &err) < 0) {
		doctor_say(call, "space", "fail", err.msg,
		    "choose another --root-dir");
		return;
	}
	if (st.root_fd < 0 ? statvfs("/var/lib", &fs) < 0
			   : fstatvfs(st.root_fd, &fs) < 0)
		return;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	format_size(free_bytes, size);
	snprintf(detail, sizeof(detail), "%s free for %s", size, st.root);
	doctor_say(call, "space", free_bytes < LOW_SPACE ? "warn" : "ok",
	    detail, "free some, or choose another --root-dir");
}

static void check_root(struct call *call)
{
	doctor_say(call, "root", geteuid() == 0 ? "ok" : "fail",
	    geteuid() == 0 ? "running as root" : "not running as root",
	    "VMs need netns, uids and device nodes: use sudo");
}

static int doctor_run(struct call *call, struct err *err)
{
	AUTO_FREE char *seed = proc_helper("seed");

	(void)err;
	check_root(call);
	for (size_t i = 0; vmms[i]; i++)
		check_vmm(call, vmms[i]);
	check_node(call, "kvm", "/dev/kvm", 0660, "kvm");
	check_node(call, "tun", "/dev/net/tun", 0666, NULL);
	check_program(call, "mkfs.ext4", "e2fsprogs");
	doctor_say(call, "seed helper", access(seed, X_OK) == 0 ? "ok" : "fail",
	    seed, "install Cocoon anew");
	check_landlock(call);
	check_space(call);
	return 0;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "Check what the host must have; JSON lines.",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct doctor_opts),
    .run = doctor_run,
};
