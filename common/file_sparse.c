/* SPDX-License-Identifier: MIT */
/* Copies that keep holes, and files that get them. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* At most len bytes at the same place in both; 0 at the end. */
static ssize_t copy_chunk(int in, int out, off_t at, size_t len)
{
	char chunk[65536];
	ssize_t n;

	do
		n = pread(
		    in, chunk, len < sizeof(chunk) ? len : sizeof(chunk), at);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n;
	return pwrite(out, chunk, (size_t)n, at);
}

/* Same, by the kernel where it can: not between file systems of different
 * kinds. */
static ssize_t copy_some(int in, int out, off_t at, size_t len)
{
	off_t from = at, to = at;
	ssize_t n;

	do
		n = copy_file_range(in, &from, out, &to, len, 0);
	while (n < 0 && errno == EINTR);
	if (n >= 0 || (errno != EXDEV && errno != EINVAL &&
			  errno != EOPNOTSUPP && errno != ENOSYS))
		return n;
	return copy_chunk(in, out, at, len);
}

/* Copies the data ranges of in to out; holes stay holes. */
static int copy_sparse(int in, int out, off_t size)
{
	off_t at = 0;

	if (ftruncate(out, size) < 0)
		return -1;
	while (at < size) {
		off_t data = lseek(in, at, SEEK_DATA), hole;

		if (data < 0)
			return errno == ENXIO ? 0 : -1;
		hole = lseek(in, data, SEEK_HOLE);
		if (hole < 0)
			return -1;
		for (at = data; at < hole;) {
			ssize_t n = copy_some(in, out, at, (size_t)(hole - at));

			if (n < 0)
				return -1;
			if (n == 0)
				return 0; /* the file shrank meanwhile */
			at += n;
		}
	}
	return 0;
}

int file_clone(int srcdir, const char *src, int dstdir, const char *dst,
    mode_t mode, struct err *err)
{
	AUTO_FD int in = openat(srcdir, src, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (in < 0)
		return err_sys(err, errno, "%s: open", src);
	return file_clone_fd(in, src, dstdir, dst, mode, err);
}

int file_clone_fd(int in, const char *src, int dstdir, const char *dst,
    mode_t mode, struct err *err)
{
	AUTO_FD int out = -1;
	struct stat st;
	int how = FILE_REFLINK;

	if (fstat(in, &st) < 0)
		return err_sys(err, errno, "%s: stat", src);
	out = openat(dstdir, dst, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (out < 0)
		return err_sys(err, errno, "%s: create", dst);
	if (fchmod(out, mode) < 0) /* whatever the umask */
		return err_sys(err, errno, "%s: chmod", dst);
	if (ioctl(out, FICLONE, in) < 0) {
		how = FILE_COPY;
		if (copy_sparse(in, out, st.st_size) < 0) {
			err_sys(err, errno, "%s: copy to %s", src, dst);
			unlinkat(dstdir, dst, 0);
			return -1;
		}
	}
	return how;
}

int file_link_or_copy(int srcdir, const char *src, int dstdir, const char *dst,
    mode_t mode, struct err *err)
{
	if (linkat(srcdir, src, dstdir, dst, 0) == 0)
		return FILE_LINK;
	if (errno != EXDEV && errno != EMLINK && errno != EPERM)
		return err_sys(err, errno, "%s: link to %s", src, dst);
	return file_clone(srcdir, src, dstdir, dst, mode, err);
}

#define BLOCK 4096
#define WINDOW ((off_t)1 << 30)
#define MOSTLY 4 /* zeros to one of the rest: below, copying takes longer */

/* Of a file, a window of which is mapped: where it has something. */
struct data {
	int fd;
	off_t size;
	const char *map;
	off_t from, to; /* of the window */
	struct run {
		off_t at, end;
	} * runs;
	size_t n, room;
	off_t bytes, zeros; /* of what is no hole */
};

static void close_window(struct data *d)
{
	if (d->map)
		munmap((void *)d->map, (size_t)(d->to - d->from));
	d->map = NULL;
	d->from = d->to = 0;
}

static int open_window(struct data *d, off_t at)
{
	off_t from = at & -WINDOW;
	off_t to = d->size - from < WINDOW ? d->size : from + WINDOW;
	void *map;

	if (at >= d->from && at < d->to)
		return 0;
	close_window(d);
	map =
	    mmap(NULL, (size_t)(to - from), PROT_READ, MAP_SHARED, d->fd, from);
	if (map == MAP_FAILED)
		return -1;
	d->map = map;
	d->from = from;
	d->to = to;
	return 0;
}

static void look_at(struct data *d, off_t at)
{
	static const char zeros[BLOCK];
	off_t end = d->size - at < BLOCK ? d->size : at + BLOCK;

	if (!memcmp(d->map + (at - d->from), zeros, (size_t)(end - at))) {
		d->zeros += end - at;
		return;
	}
	d->bytes += end - at;
	if (d->n && d->runs[d->n - 1].end == at) {
		d->runs[d->n - 1].end = end;
		return;
	}
	if (d->n == d->room) {
		d->room = d->room ? 2 * d->room : 64;
		d->runs = xrealloc(d->runs, d->room * sizeof(*d->runs));
	}
	d->runs[d->n++] = (struct run){at, end};
}

static int look(struct data *d)
{
	for (off_t at = 0; at < d->size;) {
		off_t data = lseek(d->fd, at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(d->fd, data, SEEK_HOLE);

		if (hole < 0)
			return errno == ENXIO ? 0 : -1;
		for (at = data & -BLOCK; at < hole; at += BLOCK) {
			if (open_window(d, at) < 0)
				return -1;
			look_at(d, at);
		}
	}
	return 0;
}

/* Between the runs; what is a hole there already stays one. */
static void punch(const struct data *d)
{
	off_t at = 0;

	for (size_t i = 0; i <= d->n; i++) {
		off_t end = i < d->n ? d->runs[i].at : d->size;

		if (end > at)
			(void)fallocate(d->fd,
			    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
			    end - at);
		at = i < d->n ? d->runs[i].end : end;
	}
}

static int copy_runs(const struct data *d, int out)
{
	if (ftruncate(out, d->size) < 0)
		return -1;
	for (size_t i = 0; i < d->n; i++)
		for (off_t at = d->runs[i].at, end = d->runs[i].end;
		     at < end;) {
			ssize_t n =
			    copy_chunk(d->fd, out, at, (size_t)(end - at));

			if (n <= 0)
				return -1;
			at += n;
		}
	return 0;
}

/* The runs, in a new file in the old one's place. */
static int replace(const struct data *d, int dir, const char *name, mode_t mode)
{
	AUTO_FREE char *tmp = xasprintf(".%s.%d", name, (int)getpid());
	AUTO_FD int out =
	    openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int r;

	if (out < 0)
		return -1;
	r = fchmod(out, mode); /* whatever the umask */
	if (r == 0)
		r = copy_runs(d, out);
	if (r == 0)
		r = renameat(dir, tmp, dir, name);
	if (r < 0)
		unlinkat(dir, tmp, 0);
	return r;
}

int file_make_sparse(int dir, const char *name, bool leave, struct err *err)
{
	AUTO_FD int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct data d = {.fd = fd};
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s: open", name);
	d.size = st.st_size;
	r = look(&d);
	if (r < 0)
		err_sys(err, errno, "%s: look for zeros", name);
	else if (d.zeros && (d.zeros < MOSTLY * d.bytes ||
				replace(&d, dir, name, st.st_mode & 07777) < 0))
		punch(&d);
	if (!leave)
		close_window(&d);
	free(d.runs);
	return r;
}
