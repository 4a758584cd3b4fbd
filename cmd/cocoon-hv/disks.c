/* SPDX-License-Identifier: MIT */
/* The files of vm/ID/pin and vm/ID/N. */
#include "disks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "hv.h"
#include "log.h"
#include "proc.h"
#include "seed.h"

#define MKFS_MS 120000

/* "layers/0.erofs" -> "layers-0.erofs": pin/ is flat. */
void pin_name(const char *file, char out[128])
{
	snprintf(out, 128, "%s", file);
	for (char *p = out; *p; p++)
		if (*p == '/')
			*p = '-';
}

size_t linked_files(const struct vm *vm, struct linked *out, size_t max)
{
	const struct doc_disk *d = vm->plan.disks.v;
	size_t n = 0;

	for (size_t i = 0; i < vm->plan.disks.n && n < max; i++)
		if (d[i].source)
			out[n++] = (struct linked){d[i].file, d[i].source};
	const char *kernel =
	    vm->plan.kernel ? vm->plan.kernel : vm->image.kernel.path;

	if (kernel && n < max)
		out[n++] = (struct linked){"kernel", kernel};
	if (vm->image.initrd.path && n < max)
		out[n++] = (struct linked){"initrd", vm->image.initrd.path};
	if (cloud_is_overlay(&vm->image, &vm->plan) && n < max)
		out[n++] = (struct linked){
		    cloud_base(&vm->image), vm->image.disk.path};
	if (vm->plan.firmware.code && n < max)
		out[n++] = (struct linked){"firmware", vm->plan.firmware.code};
	return n;
}

/* A file name of a plan comes from a document: nothing but these shapes. */
int check_file(const char *file, struct err *err)
{
	size_t n = strspn(file, "abcdefghijklmnopqrstuvwxyz0123456789_-./");

	if (file[n] || n == 0 || n > 100 || file[0] == '/' || file[0] == '.' ||
	    strstr(file, "..") || strstr(file, "//") || file[n - 1] == '/')
		return err_set(err, ERR_INPUT,
		    ".plan.disks: file \"%.80s\" is no plain relative path",
		    file);
	return 0;
}

int disks_pin(const struct vm *vm, int pin_fd, struct err *err)
{
	struct linked l[MAX_LINKED];
	size_t n = linked_files(vm, l, MAX_LINKED);

	for (size_t i = 0; i < n; i++) {
		char name[128];
		int how;

		if (check_file(l[i].file, err) < 0)
			return -1;
		pin_name(l[i].file, name);
		how = file_link_or_copy(
		    AT_FDCWD, l[i].source, pin_fd, name, 0444, err);
		if (how < 0)
			return err_wrap(err, "pin");
		if (how != FILE_LINK && i == 0)
			log_info("%s: the image is on another file system: %s",
			    vm->id, how == FILE_COPY ? "copied" : "reflinked");
	}
	return 0;
}

/* The directory of "layers/0.erofs" below run_fd; run_fd itself if none. */
static int parent_dir(
    int run_fd, const char *file, const char **base, struct err *err)
{
	const char *slash = strchr(file, '/');
	char dir[128];

	if (!slash) {
		*base = file;
		return fcntl(run_fd, F_DUPFD_CLOEXEC, 3);
	}
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - file), file);
	*base = slash + 1;
	if (strchr(*base, '/'))
		return err_set(err, ERR_INPUT, "%s: too deep", file);
	return dir_open(run_fd, dir, 0755, err);
}

int disks_link(const struct vm *vm, int run_fd, int pin_fd, struct err *err)
{
	struct linked l[MAX_LINKED];
	size_t n = linked_files(vm, l, MAX_LINKED);

	if (tree_remove(run_fd, "layers", err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		AUTO_FD int dir = -1;
		const char *base;
		char name[128];

		pin_name(l[i].file, name);
		dir = parent_dir(run_fd, l[i].file, &base, err);
		if (dir < 0)
			return -1;
		/* umask is 077, and the VM's uid must pass. */
		if (fchmod(dir, base == l[i].file ? 0700 : 0755) < 0)
			return err_sys(err, errno, "%s: chmod", l[i].file);
		if (tree_remove(dir, base, err) < 0)
			return -1;
		if (file_link_or_copy(pin_fd, name, dir, base, 0444, err) < 0)
			return err_wrap(err, "link to pin/");
	}
	return 0;
}

static int mkfs_ext4(int fd, struct err *err)
{
	AUTO_PROC struct proc p = PROC_NONE;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	strv_add(&p.argv, "mkfs.ext4");
	strv_add(&p.argv, "-F");
	strv_add(&p.argv, "-q");
	strv_add(&p.argv, "-m0");
	/* 4 MiB for every VM; a mounted ext4 grows without it (meta_bg). */
	strv_add(&p.argv, "-O");
	strv_add(&p.argv, "^resize_inode");
	strv_add(&p.argv, "-E");
	strv_add(&p.argv, "lazy_itable_init=1,lazy_journal_init=1,nodiscard");
	strv_add(&p.argv, path);
	p.keep[p.n_keep++] = fd;
	return proc_run(&p, NULL, 0, NULL, 0, MKFS_MS, err);
}

/* template/ext4-SIZE: made once per size, then copied. */
static int make_template(
    int dir, const char *name, uint64_t size, struct err *err)
{
	AUTO_FREE char *tmp = xasprintf(".%s.%d", name, (int)getpid());
	AUTO_FD int fd = -1;
	int r;

	fd = openat(dir, tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%s: create", tmp);
	if (ftruncate(fd, (off_t)size) < 0)
		r = err_sys(err, errno, "%s: set its size", name);
	else
		r = mkfs_ext4(fd, err);
	/* What is copied for every VM should be what mkfs really wrote. */
	if (r == 0)
		r = file_make_sparse(dir, tmp, false, err);
	if (r == 0 && renameat(dir, tmp, dir, name) < 0)
		r = err_sys(err, errno, "%s: rename", name);
	if (r < 0)
		unlinkat(dir, tmp, 0);
	return r;
}

static int copy_template(
    const struct vm *vm, int run_fd, const struct doc_disk *d, struct err *err)
{
	AUTO_FD int dir =
	    state_dir((struct state *)&vm->st, "template", true, err);
	char name[40];

	if (dir < 0)
		return -1;
	snprintf(name, sizeof(name), "ext4-%llu", (unsigned long long)d->size);
	if (faccessat(dir, name, F_OK, 0) < 0 &&
	    make_template(dir, name, d->size, err) < 0)
		return -1;
	return file_clone(dir, name, run_fd, d->file, 0600, err) < 0 ? -1 : 0;
}

int disks_make(
    const struct vm *vm, int run_fd, const struct doc_disk *d, struct err *err)
{
	AUTO_FD int fd = -1;

	if (check_file(d->file, err) < 0)
		return -1;
	if (strchr(d->file, '/'))
		return err_set(err, ERR_INPUT,
		    ".plan.disks: %s: only links have a directory", d->file);
	if (!strcmp(d->format, "qcow2") ||
	    (vm->image.disk.path && !strcmp(d->role, "cow")))
		return cloud_disk(vm, run_fd, d, err);
	if (d->fstype && !strcmp(d->fstype, "ext4"))
		return copy_template(vm, run_fd, d, err);
	fd = openat(run_fd, d->file,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)d->size) < 0)
		return err_sys(err, errno, "%s: create", d->file);
	return 0;
}

bool disk_is_own(const struct doc_disk *d)
{
	return !d->source && strcmp(d->role, "cidata") != 0;
}

int disks_create(const struct vm *vm, int run_fd, int pin_fd, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;

	if (disks_pin(vm, pin_fd, err) < 0 ||
	    disks_link(vm, run_fd, pin_fd, err) < 0)
		return -1;
	for (size_t i = 0; i < vm->plan.disks.n; i++) {
		if (disk_is_own(&d[i]) &&
		    disks_make(vm, run_fd, &d[i], err) < 0)
			return -1;
		if (tool_check(err) < 0)
			return -1;
	}
	if (cloud_vars(vm, run_fd, err) < 0)
		return -1;
	return disks_seed(vm, run_fd, err);
}

int disks_seed(const struct vm *vm, int run_fd, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;

	for (size_t i = 0; i < vm->plan.disks.n; i++) {
		AUTO_FD int fd = -1;

		if (strcmp(d[i].role, "cidata"))
			continue;
		if (check_file(d[i].file, err) < 0 ||
		    tree_remove(run_fd, d[i].file, err) < 0)
			return -1;
		fd = openat(run_fd, d[i].file,
		    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return err_sys(err, errno, "%s: create", d[i].file);
		if (seed_image(&vm->boot.seed, fd, err) < 0)
			return err_wrap(err, "%s", d[i].file);
	}
	return 0;
}

/*
 * One file of the VM's own, through a descriptor: its uid could have put a
 * symlink, a device or a hard link to somebody else's file there.
 */
static int chown_own(int run_fd, const char *file, uid_t uid, struct err *err)
{
	AUTO_FD int fd = open_beneath(run_fd, file, O_PATH, 0, err);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s: stat", file);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    (st.st_uid != 0 && st.st_uid < SLOT_UID_BASE))
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: is no plain file of this VM: the run directory was "
		    "tampered with",
		    file);
	if (fchownat(fd, "", uid, uid, AT_EMPTY_PATH) < 0)
		return err_sys(err, errno, "%s: chown", file);
	return 0;
}

int disks_chown(const struct vm *vm, int run_fd, uid_t uid, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;

	/* The directory first when it is taken back: names stand still. */
	if (uid == 0 && fchown(run_fd, 0, 0) < 0)
		return err_sys(err, errno, "run directory: chown");
	for (size_t i = 0; i < vm->plan.disks.n; i++)
		if (!d[i].source && chown_own(run_fd, d[i].file, uid, err) < 0)
			return -1;
	if (vm->plan.firmware.vars &&
	    chown_own(run_fd, CLOUD_VARS, uid, err) < 0)
		return -1;
	if (uid && fchown(run_fd, uid, uid) < 0)
		return err_sys(err, errno, "run directory: chown");
	return 0;
}

void disks_clean(int run_fd)
{
	static const char *const names[] = {"api.sock", "vmm.fifo", "mem",
	    "vmstate", "s", "state.json", "memory-ranges", "config.json"};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (tree_remove(run_fd, names[i], &err) < 0)
			log_warn("%s", err.msg);
}
