/* SPDX-License-Identifier: MIT */
/*
 * What the VMM writes of a VM that is saved: as its own uid, into a directory in
 * N/, the only place that it may write to; root takes the files over.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "live.h"
#include "vmm.h"

#define API_MS 20000
#define SLOW 10000 /* bytes a millisecond: the slowest disk */

int dump_ms(const struct vm *vm)
{
	uint64_t ms = API_MS + vm->plan.memory / SLOW;

	return ms > INT_MAX / 2 ? INT_MAX / 2 : (int)ms;
}

/* It is made where only root is: in N/ it could be exchanged before it is
 * opened. */
int dump_dir(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err)
{
	uid_t uid = live_check(vm->fd, vm->hv.generation).uid;
	AUTO_FD int fd = -1;

	if (tree_remove(l->run_fd, DUMP_DIR, err) < 0)
		return -1;
	fd = dir_open(dir_fd, DUMP_DIR, 0700, err);
	if (fd < 0)
		return -1;
	if (fchown(fd, uid, uid) < 0)
		return err_sys(err, errno, "%s: chown", DUMP_DIR);
	if (renameat(dir_fd, DUMP_DIR, l->run_fd, DUMP_DIR) < 0)
		return err_sys(err, errno, "%s: rename", DUMP_DIR);
	return take_fd(&fd);
}

/* Only what is in dir_fd cannot be exchanged any more. */
static int take_file(int out, const char *name, int dir_fd, struct err *err)
{
	AUTO_FD int fd = -1;
	struct stat st;

	if (renameat(out, name, dir_fd, name) < 0)
		return err_sys(err, errno, "%s: take over", name);
	fd = openat(
	    dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s: open", name);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    (st.st_uid != 0 && st.st_uid < SLOT_UID_BASE))
		return err_set(
		    err, ERR_UNSUPPORTED, "%s: is no plain file", name);
	return 0;
}

int dump_take(
    const struct vmm_file *files, int out, int dir_fd, struct err *err)
{
	for (; files->name; files++)
		if (take_file(out, files->name, dir_fd, err) < 0)
			return -1;
	return 0;
}

/* Holds nothing but the old file's pages: its end frees them. */
static NORETURN void sparse_process(
    int dir_fd, const char *memory, int report_fd)
{
	struct err e = {0};

	(void)file_make_sparse(dir_fd, memory, true, &e);
	if (report_fd > 0)
		close_range(0, (unsigned int)report_fd - 1, 0);
	close_range((unsigned int)report_fd + 1, ~0U, 0);
	(void)!write(report_fd, &e, sizeof(e));
	_exit(0);
}

/* By a process of its own, for whose end nobody waits. */
static int make_sparse(int dir_fd, const char *memory, struct err *err)
{
	struct err e;
	int end[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(end, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	pid = fork();
	if (pid == 0)
		sparse_process(dir_fd, memory, end[1]);
	if (pid < 0)
		err_sys(err, errno, "fork");
	close(end[1]);
	do
		n = read(end[0], &e, sizeof(e));
	while (n < 0 && errno == EINTR);
	close(end[0]);
	if (pid < 0)
		return -1;
	if (n != sizeof(e))
		return err_set(err, ERR_FAILED,
		    "%s: what should make it small ended early", memory);
	if (e.code == ERR_NONE)
		return 0;
	*err = e;
	return -1;
}

int dump_settle(
    const struct vm *vm, int dir_fd, const char *memory, struct err *err)
{
	struct stat st;

	if (fstatat(dir_fd, memory, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: stat", memory);
	if ((uint64_t)st.st_size != vm->plan.memory)
		return err_set(err, ERR_FAILED,
		    "%s: has %lld bytes of the %llu: is the disk full?", memory,
		    (long long)st.st_size, (unsigned long long)vm->plan.memory);
	return make_sparse(dir_fd, memory, err);
}
