/* SPDX-License-Identifier: MIT */
/* doctor: what cocoon-hv needs of the host, a JSON line for each check. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "confine.h"
#include "disks.h"
#include "doctor.h"
#include "file.h"
#include "hv.h"
#include "proc.h"
#include "vmm.h"

#define MODPROBE_MS 10000
#define LOW_SPACE (UINT64_C(2) << 30)

struct doctor_opts {
	bool fix, windows;
};

static const struct opt opts[] = {
    {.name = "fix",
	.kind = OPT_FLAG,
	.offset = offsetof(struct doctor_opts, fix),
	.help = "set what udev would set on device nodes"},
    {.name = "windows",
	.kind = OPT_FLAG,
	.offset = offsetof(struct doctor_opts, windows),
	.help = "also what a Windows guest needs"},
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

/* A device node, and the modules that bring it: the first that loads. */
struct node {
	const char *check, *path, *group, *without;
	mode_t mode;
	const char *modules[3];
};
static const struct node kvm = {"kvm", "/dev/kvm", "kvm",
    "guests run emulated, which is slow", 0660, {"kvm_intel", "kvm_amd", NULL}};
static const struct node tun = {
    "tun", "/dev/net/tun", NULL, "VMs have no NICs", 0666, {"tun", NULL}};

static void load_module(const struct node *n)
{
	for (size_t i = 0; n->modules[i] && access(n->path, F_OK) < 0; i++) {
		AUTO_PROC struct proc p = PROC_NONE;
		struct err ignored;

		strv_add(&p.argv, "modprobe");
		strv_add(&p.argv, n->modules[i]);
		(void)proc_run(&p, NULL, 0, NULL, 0, MODPROBE_MS, &ignored);
	}
}

static void check_node(struct call *call, const struct node *n)
{
	const struct doctor_opts *o = call->opts;
	char detail[100];
	struct stat st;
	gid_t gid;

	if (o->fix)
		load_module(n);
	if (stat(n->path, &st) < 0) {
		snprintf(detail, sizeof(detail), "%s is not there: %s", n->path,
		    n->without);
		AUTO_FREE char *remedy = xasprintf("modprobe %s%s%s",
		    n->modules[0], n->modules[1] ? " or " : "",
		    n->modules[1] ? n->modules[1] : "");
		doctor_say(call, n->check, "warn", detail, remedy);
		return;
	}
	if (o->fix && !probe_node(n->path, &gid) &&
	    fix_node(n->path, n->mode, n->group) == 0)
		stat(n->path, &st);
	snprintf(
	    detail, sizeof(detail), "%s is %04o", n->path, st.st_mode & 07777);
	doctor_say(call, n->check, probe_node(n->path, &gid) ? "ok" : "warn",
	    detail, "run `cocoon doctor --fix`: it sets what udev would");
}

/* True if a VM can run on it. */
static bool check_vmm(struct call *call, const struct vmm *v)
{
	AUTO_FREE char *path = vmm_program(v);
	char version[64], detail[500];
	const char *fault;
	struct err err;

	if (!path) {
		doctor_say(call, v->name, "warn", "not installed", v->remedy);
		return false;
	}
	if (v->version(path, version, &err) < 0) {
		doctor_say(call, v->name, "warn", err.msg, "install it anew");
		return false;
	}
	fault = v->fault ? v->fault(version) : NULL;
	snprintf(detail, sizeof(detail), "%s %s%s%s", path, version,
	    fault ? ": " : "", fault ? fault : "");
	doctor_say(call, v->name, fault ? "warn" : "ok", detail,
	    "install a version without that fault");
	return true;
}

static void check_vmms(struct call *call)
{
	bool any = false;

	for (size_t i = 0; vmms[i]; i++)
		any |= check_vmm(call, vmms[i]);
	doctor_say(call, "hypervisor", any ? "ok" : "fail",
	    any ? "there is one" : "none of them is installed",
	    vmm_qemu.remedy);
}

/* By this host's own kernel, unless a VM's has been tried since the boot. */
static void check_stock_kernel(struct call *call)
{
	AUTO_FREE char *qemu = vmm_program(&vmm_qemu);
	struct utsname u;
	char why[200];
	bool good;

	if (access("/dev/kvm", F_OK) < 0 || uname(&u) < 0)
		return;
	AUTO_FREE char *kernel = xasprintf("/boot/vmlinuz-%s", u.release);

	good = probe_kvm(qemu, access(kernel, R_OK) == 0 ? kernel : NULL, why);
	doctor_say(call, "kvm guests", good ? "ok" : "warn",
	    good ? "KVM is taken for able to run a stock kernel" : why,
	    "QEMU emulates guests, which is slow; ch and fc need KVM");
}

static void check_program(
    struct call *call, const char *name, const char *package)
{
	AUTO_FREE char *path = proc_find(name);
	AUTO_FREE char *remedy = xasprintf("apt-get install %s", package);

	doctor_say(call, name, path ? "ok" : "fail",
	    path ? path : "not installed", remedy);
}

/* Cloud images alone need it. */
static void check_firmware(struct call *call)
{
	struct doc_firmware f = {0};
	struct err err;

	if (cloud_firmware(&f, &err) == 0)
		doctor_say(call, "uefi", "ok", f.code, NULL);
	else
		doctor_say(call, "uefi", "warn",
		    "no firmware: QEMU cannot boot cloud images",
		    "apt-get install ovmf");
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

/* Two files without names, one a clone of the other; nothing is left. */
static bool can_reflink(const char *root)
{
	AUTO_FD int a = open(root, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	AUTO_FD int b = open(root, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char block[4096] = {1};

	return a >= 0 && b >= 0 &&
	       write(a, block, sizeof(block)) == sizeof(block) &&
	       ioctl(b, FICLONE, a) == 0;
}

static void check_reflink(struct call *call)
{
	AUTO_STATE struct state st = STATE_NONE;
	struct err ignored;
	bool good;

	if (state_open(&st, false, &ignored) < 0)
		return;
	good = can_reflink(st.root_fd < 0 ? "/var/lib" : st.root);
	doctor_say(call, "reflink", good ? "ok" : "warn",
	    good ? "disks are copied by reference"
		 : "disks are copied byte by byte",
	    "a file system such as XFS or Btrfs makes that quick");
}

/* Memory that a guest was promised must be there when it wants it, or not be
 * counted: strict accounting counts all of every guest's. */
static void check_overcommit(struct call *call)
{
	AUTO_FD int fd =
	    open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
	char c = '0';

	if (fd < 0 || read(fd, &c, 1) != 1)
		return;
	doctor_say(call, "overcommit", c == '2' ? "warn" : "ok",
	    c == '2' ? "vm.overcommit_memory is 2: all memory of all guests "
		       "is counted"
		     : "memory is counted when it is used",
	    "sysctl vm.overcommit_memory=0");
}

static void check_root(struct call *call)
{
	doctor_say(call, "root", geteuid() == 0 ? "ok" : "fail",
	    geteuid() == 0 ? "running as root" : "not running as root",
	    "VMs need netns, uids and device nodes: use sudo");
}

static int doctor_run(struct call *call, struct err *err)
{
	(void)err;
	check_root(call);
	check_vmms(call);
	check_node(call, &kvm);
	check_node(call, &tun);
	check_stock_kernel(call);
	check_program(call, "mkfs.ext4", "e2fsprogs");
	check_program(call, "qemu-img", "qemu-utils");
	check_firmware(call);
	check_landlock(call);
	check_space(call);
	check_reflink(call);
	check_overcommit(call);
	if (((const struct doctor_opts *)call->opts)->windows)
		doctor_windows(call);
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
