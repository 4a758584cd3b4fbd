/* SPDX-License-Identifier: MIT */
/*
 * After a load: a state is a stranger's word on what to open. Landlock holds the
 * VMM to its directory where the kernel has that; this does everywhere.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "monitor.h"

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_at(int dir_fd, const char *name, const struct stat *st)
{
	struct stat own;

	return fstatat(dir_fd, name, &own, AT_SYMLINK_NOFOLLOW) == 0 &&
	       is_same(&own, st);
}

static bool is_own(const struct monitor *m, const struct stat *st)
{
	const struct doc_disk *d = m->vm->plan.disks.v;
	struct stat log;

	if (fstat(m->log_fd, &log) == 0 && is_same(&log, st))
		return true;
	for (size_t i = 0; i < m->vm->plan.disks.n; i++)
		if (!d[i].ro && is_at(m->run_fd, d[i].file, st))
			return true;
	return m->vm->plan.firmware.code && is_at(m->run_fd, CLOUD_VARS, st);
}

/* Of /proc/PID/fd, whose links have the mode that the file was opened with. 1:
 * is, 0: is not, -1: who knows (errno). */
static int is_stray(const struct monitor *m, int dir_fd, const char *name)
{
	struct stat link, st, run;

	if (fstatat(dir_fd, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISLNK(link.st_mode) || !(link.st_mode & S_IWUSR))
		return 0;
	if (fstatat(dir_fd, name, &st, 0) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return 0;
	/* Memory of its own is a file, too, but nowhere. */
	if (!st.st_nlink &&
	    (fstat(m->run_fd, &run) < 0 || st.st_dev != run.st_dev))
		return 0;
	return !is_own(m, &st);
}

int monitor_check_files(const struct monitor *m, struct err *err)
{
	struct dirent *de;
	char path[32], what[256];
	DIR *d;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)m->pid);
	d = opendir(path);
	if (!d)
		return err_sys(err, errno, "%s: look at it", path);
	while (r == 0 && (de = readdir(d))) {
		int stray = is_stray(m, dirfd(d), de->d_name);
		ssize_t n;

		if (stray < 0)
			r = err_sys(err, errno, "%s: look at it", path);
		if (stray <= 0)
			continue;
		n = readlinkat(dirfd(d), de->d_name, what, sizeof(what) - 1);
		what[n < 0 ? 0 : n] = '\0';
		r = err_set(err, ERR_INPUT,
		    "the snapshot's state made it open %s, which is not this "
		    "VM's",
		    what);
	}
	closedir(d);
	return r;
}
