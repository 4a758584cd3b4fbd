/* SPDX-License-Identifier: MIT */
/* The files of a VM into a snapshot, and out of one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hv.h"

int disks_note(struct jarr *files, int dir_fd, const char *name,
    const char *role, struct err *err)
{
	struct doc_file *f = files->v;
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: stat", name);
	f = xrealloc(f, (files->n + 1) * sizeof(*f));
	f[files->n++] = (struct doc_file){
	    .name = xstrdup(name), .role = role, .size = (uint64_t)st.st_size};
	files->v = f;
	return 0;
}

int disks_save_image(const struct vm *vm, int pin_fd, int dir_fd,
    struct jarr *files, struct err *err)
{
	struct linked l[MAX_LINKED];
	size_t n = linked_files(vm, l, MAX_LINKED);

	for (size_t i = 0; i < n; i++) {
		char name[128];

		pin_name(l[i].file, name);
		if (file_link_or_copy(pin_fd, name, dir_fd, name, 0444, err) <
			0 ||
		    disks_note(files, dir_fd, name, "image", err) < 0)
			return -1;
	}
	return 0;
}

/* The VMM may write it while we look, the VM's uid may have replaced it. */
static int open_own(int run_fd, const char *file, struct err *err)
{
	AUTO_FD int fd = open_beneath(run_fd, file, O_RDONLY, 0, err);
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
	return take_fd(&fd);
}

int disks_save_own(const struct vm *vm, int run_fd, int dir_fd,
    struct jarr *files, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;

	for (size_t i = 0; i < vm->plan.disks.n; i++) {
		AUTO_FD int in = -1;

		if (!disk_is_own(&d[i]))
			continue;
		in = open_own(run_fd, d[i].file, err);
		if (in < 0 || file_clone_fd(in, d[i].file, dir_fd, d[i].file,
				  0600, err) < 0)
			return -1;
		if (disks_note(files, dir_fd, d[i].file, "disk", err) < 0 ||
		    tool_check(err) < 0)
			return -1;
	}
	return 0;
}

static bool has_file(const struct doc_snap *snap, const char *name)
{
	const struct doc_file *f = snap->files.v;

	for (size_t i = 0; i < snap->files.n; i++)
		if (!strcmp(f[i].name, name))
			return true;
	return false;
}

size_t disks_new(const struct vm *vm, const struct doc_snap *snap)
{
	const struct doc_disk *d = vm->plan.disks.v;
	size_t n = vm->plan.disks.n, i = n;

	while (
	    i > 0 && disk_is_own(&d[i - 1]) && !has_file(snap, d[i - 1].file))
		i--;
	return n - i;
}

int disks_load_own(const struct vm *vm, int dir_fd, int run_fd, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;
	size_t n = vm->plan.disks.n;

	for (size_t i = 0; i < n; i++) {
		if (!disk_is_own(&d[i]))
			continue;
		if (check_file(d[i].file, err) < 0)
			return -1;
		if (i >= n - vm->new_disks
			? disks_make(vm, run_fd, &d[i], err) < 0
			: file_clone(dir_fd, d[i].file, run_fd, d[i].file, 0600,
			      err) < 0)
			return -1;
		if (tool_check(err) < 0)
			return -1;
	}
	return 0;
}
