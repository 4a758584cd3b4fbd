/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void close_fd(int *fd)
{
	int saved = errno;

	/* Never retried on EINTR: on Linux the descriptor is gone. */
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int take_fd(int *fd)
{
	int was = *fd;

	*fd = -1;
	return was;
}

int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int read_all(
    int fd, struct buf *out, size_t cap, const char *what, struct err *err)
{
	size_t start = out->len;

	for (;;) {
		ssize_t n;

		buf_reserve(out, 4096);
		n = read(fd, out->data + out->len, out->cap - out->len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "%s: read", what);
		out->len += (size_t)n;
		out->data[out->len] = '\0';
		if (n == 0)
			return 0;
		if (out->len - start > cap)
			return err_set(err, ERR_FAILED,
			    "%s: larger than %zu bytes", what, cap);
	}
}

int file_read(
    int dirfd, const char *name, struct buf *out, size_t cap, struct err *err)
{
	AUTO_FD int fd = -1;
	struct stat st;

	fd =
	    openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "%s: open", name);
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s: stat", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_FAILED, "%s: not a regular file", name);
	return read_all(fd, out, cap, name, err);
}

/* Makes NAME.tmp-RANDOM with the content; its name goes to tmp. */
static int write_temporary(int dirfd, const char *name, const void *data,
    size_t len, bool durable, char tmp[300], struct err *err)
{
	AUTO_FD int fd = -1;
	unsigned int r;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		return err_sys(err, errno, "getrandom");
	snprintf(tmp, 300, ".%.200s.tmp-%08x", name, r);
	fd = openat(dirfd, tmp,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%s: create", tmp);
	if (write_all(fd, data, len) < 0 || (durable && fsync(fd) < 0)) {
		err_sys(err, errno, "%s: write", name);
		unlinkat(dirfd, tmp, 0);
		return -1;
	}
	return 0;
}

int file_replace(int dirfd, const char *name, const void *data, size_t len,
    bool durable, struct err *err)
{
	char tmp[300];

	if (write_temporary(dirfd, name, data, len, durable, tmp, err) < 0)
		return -1;
	if (renameat(dirfd, tmp, dirfd, name) < 0) {
		err_sys(err, errno, "%s: rename", name);
		unlinkat(dirfd, tmp, 0);
		return -1;
	}
	if (durable && fsync(dirfd) < 0)
		return err_sys(err, errno, "%s: fsync of its directory", name);
	return 0;
}

int file_claim(int dirfd, const char *name, const void *data, size_t len,
    bool durable, struct err *err)
{
	char tmp[300];
	int r;

	if (write_temporary(dirfd, name, data, len, durable, tmp, err) < 0)
		return -1;
	r = renameat2(dirfd, tmp, dirfd, name, RENAME_NOREPLACE);
	if (r < 0) {
		err_sys(err, errno, "%s: claim", name);
		unlinkat(dirfd, tmp, 0);
		return -1;
	}
	if (durable && fsync(dirfd) < 0)
		return err_sys(err, errno, "%s: fsync of its directory", name);
	return 0;
}

int open_beneath(
    int dirfd, const char *path, int flags, mode_t mode, struct err *err)
{
	struct open_how how = {
	    .flags = (unsigned int)(flags | O_CLOEXEC),
	    .mode = flags & O_CREAT ? mode : 0,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

	if (fd < 0)
		return err_sys(err, errno, "%s: open", path);
	return (int)fd;
}

int dir_open(int dirfd, const char *name, mode_t create_mode, struct err *err)
{
	int fd;

	if (create_mode && mkdirat(dirfd, name, create_mode) < 0 &&
	    errno != EEXIST)
		return err_sys(err, errno, "%s: mkdir", name);
	fd = openat(
	    dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s: open", name);
	return fd;
}

/* A tree being removed. What lies deep is moved up first, since a tree may
 * nest deeper than there are descriptors. */
struct removal {
	int top;
	unsigned int lifted;
};
#define REMOVE_DEPTH 16

static int lift(struct removal *r, int fd, const char *name, struct err *err)
{
	char to[40];
	int result;

	do {
		snprintf(to, sizeof(to), ".removed-%u", r->lifted++);
		result = renameat2(fd, name, r->top, to, RENAME_NOREPLACE);
	} while (result < 0 && errno == EEXIST);
	if (result < 0)
		return err_sys(err, errno, "%s: move up to remove it", name);
	return 0;
}

/* Opens a directory, but none that something is mounted on. */
static int open_unmounted(int dirfd, const char *name, struct err *err)
{
	struct open_how how = {
	    .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
	    .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	if (fd < 0 && errno == EXDEV)
		return err_set(err, ERR_STATE,
		    "%s: something is mounted there; unmount it", name);
	if (fd < 0)
		return err_sys(err, errno, "%s: open", name);
	return (int)fd;
}

static int empty_dir(struct removal *r, int fd, int depth, struct err *err);

static int remove_entry(
    struct removal *r, int fd, const char *name, int depth, struct err *err)
{
	int sub;

	if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_sys(err, errno, "%s: unlink", name);
	if (unlinkat(fd, name, AT_REMOVEDIR) == 0)
		return 0;
	if (depth == REMOVE_DEPTH)
		return lift(r, fd, name, err);
	sub = open_unmounted(fd, name, err);
	if (sub < 0 || empty_dir(r, sub, depth + 1, err) < 0)
		return -1;
	if (unlinkat(fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s: rmdir", name);
	return 0;
}

/* Empties the directory open at fd, which it closes. */
static int empty_dir(struct removal *r, int fd, int depth, struct err *err)
{
	DIR *d = fdopendir(fd);
	struct dirent *de;
	int result = 0;

	if (!d) {
		close(fd);
		return err_sys(err, errno, "open a directory to remove");
	}
	while (result == 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			result = remove_entry(r, fd, de->d_name, depth, err);
	closedir(d);
	return result;
}

int tree_remove(int dirfd, const char *name, struct err *err)
{
	struct removal r = {.top = -1};
	AUTO_FD int top = -1;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_sys(err, errno, "%s: unlink", name);
	r.top = top = open_unmounted(dirfd, name, err);
	if (top < 0)
		return -1;
	/* Again while something was moved up meanwhile. */
	for (unsigned int before = ~0U; before != r.lifted;) {
		int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return err_sys(err, errno, "%s: open", name);
		before = r.lifted;
		if (empty_dir(&r, fd, 0, err) < 0)
			return err_wrap(err, "%s", name);
	}
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s: rmdir", name);
	return 0;
}

int file_lock(
    int fd, int how, int timeout_ms, const char *what, struct err *err)
{
	int64_t until = now_ms() + timeout_ms;
	int wait = 1;

	while (flock(fd, timeout_ms < 0 ? how : how | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return err_sys(err, errno, "%s: lock", what);
		if (now_ms() >= until)
			return err_set(err, ERR_TIMEOUT,
			    "%s: lock: held by another command", what);
		sleep_ms(wait);
		wait = wait < 20 ? wait * 2 : 20;
	}
	return 0;
}

static int64_t clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

int64_t wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

void sleep_ms(int ms)
{
	struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}
