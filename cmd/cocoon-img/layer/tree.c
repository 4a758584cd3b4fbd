/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file.h"

bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* No symlink is followed, nothing outside the tree is reached. -1, errno. */
int tree_open(const struct tree *t, const char *path)
{
	struct open_how how = {
	    .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(
	    SYS_openat2, t->root_fd, *path ? path : ".", &how, sizeof(how));
}

int tree_leave(struct tree *t, struct err *err)
{
	AUTO_FD int fd = take_fd(&t->dir_fd);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, t->dir_mtime};

	if (fd >= 0 && futimens(fd, times) < 0)
		return err_sys(err, errno, "%s: set its time", t->dir);
	return 0;
}

/* Goes to the directory path[0..len). 1: it is not there, or is none. */
static int enter(struct tree *t, const char *path, size_t len, struct err *err)
{
	struct stat st;

	if (t->dir_fd >= 0 && t->dir_len == len && !memcmp(t->dir, path, len))
		return 0;
	if (tree_leave(t, err) < 0)
		return -1;
	memcpy(t->dir, path, len);
	t->dir[len] = '\0';
	t->dir_len = len;
	t->dir_fd = tree_open(t, t->dir);
	if (t->dir_fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 1;
	if (t->dir_fd < 0 && errno == ELOOP)
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: \"%.200s\" goes through a "
		    "symbolic link",
		    path, t->dir);
	if (t->dir_fd < 0 || fstat(t->dir_fd, &st) < 0)
		return err_sys(err, errno, "%s: open", t->dir);
	t->dir_mtime = st.st_mtim;
	return 0;
}

int tree_opaque(int dir_fd, const char *base, struct err *err)
{
	AUTO_FREE char *path = xasprintf("/proc/self/fd/%d/%s", dir_fd, base);

	if (lsetxattr(path, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return err_sys(
		    err, errno, "%s: set trusted.overlay.opaque", base);
	return 0;
}

/*
 * A directory in the open one. 1: it is there already. 2: in place of a
 * whiteout of this layer, so it hides what is below: opaque.
 */
static int make_dir(struct tree *t, const char *base, struct err *err)
{
	bool opaque = false;
	struct stat st;

	if (mkdirat(t->dir_fd, base, 0755) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(err, errno, "%s/%s: mkdir", t->dir, base);
	if (fstatat(t->dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s/%s: stat", t->dir, base);
	if (S_ISDIR(st.st_mode))
		return 1;
	opaque = is_whiteout(&st);
	if (unlinkat(t->dir_fd, base, 0) < 0 ||
	    mkdirat(t->dir_fd, base, 0755) < 0)
		return err_sys(err, errno, "%s/%s: mkdir", t->dir, base);
	if (!opaque)
		return 0;
	return tree_opaque(t->dir_fd, base, err) < 0 ? -1 : 2;
}

/* A parent that the archive has not named (yet): 0755, root's, time 0. */
static int make_parent(
    struct tree *t, const char *path, size_t at, size_t end, struct err *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
	AUTO_FREE char *base = xstrndup(path + at, end - at);
	AUTO_FREE char *dir = xstrndup(path, end);
	struct stat st;
	int r;

	if (enter(t, path, at ? at - 1 : 0, err) != 0)
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: its parent is gone", path);
	if (fstatat(t->dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !is_whiteout(&st))
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: \"%.200s\" is no directory",
		    path, dir);
	r = make_dir(t, base, err);
	if (r < 0)
		return -1;
	if (r == 0)
		dirs_implicit(t->dirs, dir);
	if (utimensat(t->dir_fd, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: set its time", dir);
	return 0;
}

int tree_parent(struct tree *t, const struct name *n, struct err *err)
{
	size_t len = n->base ? n->base - 1 : 0, at = 0;
	int r = enter(t, n->path, len, err);

	if (r == 0)
		return t->dir_fd;
	while (r >= 0 && at < len) {
		size_t end = at + strcspn(n->path + at, "/");

		r = enter(t, n->path, end, err);
		if (r == 1)
			r = make_parent(t, n->path, at, end, err);
		at = end + 1;
	}
	if (r < 0 || (r = enter(t, n->path, len, err)) < 0)
		return -1;
	if (r)
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: no directory to be in",
		    n->path);
	return t->dir_fd;
}

int tree_clear(struct tree *t, const struct name *n, struct err *err)
{
	const char *base = n->path + n->base;

	if (unlinkat(t->dir_fd, base, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return err_sys(err, errno, "%s: replace", n->path);
	if (unlinkat(t->dir_fd, base, AT_REMOVEDIR) == 0)
		return 0;
	return err_set(err, ERR_INPUT,
	    "entry \"%.200s\": refused: it would replace a directory that "
	    "is not empty",
	    n->path);
}

int tree_mkdir(struct tree *t, const struct name *n, struct err *err)
{
	return make_dir(t, n->path + n->base, err) < 0 ? -1 : 0;
}

int tree_whiteout(struct tree *t, const struct name *n, struct err *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
	const char *base = n->path + n->base;
	struct stat st;

	/* A whiteout is about the layers below: what this one has stays. */
	if (fstatat(t->dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? tree_opaque(t->dir_fd, base, err)
					   : 0;
	if (mknodat(t->dir_fd, base, S_IFCHR, makedev(0, 0)) < 0)
		return err_sys(err, errno, "%s: make a whiteout", n->path);
	if (utimensat(t->dir_fd, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: set its time", n->path);
	return 0;
}

/* What a hard link names must be in this layer's own tree. */
static int open_target(const struct tree *t, const struct name *target,
    const struct name *n, struct stat *st, struct err *err)
{
	AUTO_FREE char *dir =
	    xstrndup(target->path, target->base ? target->base - 1 : 0);
	AUTO_FD int fd = tree_open(t, dir);

	if (fd < 0 || fstatat(fd, target->path + target->base, st,
			  AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: hard link to \"%.200s\", "
		    "which is not in this layer",
		    n->path, target->path);
	if (S_ISDIR(st->st_mode) || is_whiteout(st))
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: hard link to \"%.200s\", "
		    "which is no file",
		    n->path, target->path);
	return take_fd(&fd);
}

int tree_link(struct tree *t, const struct name *n, const char *raw_target,
    struct err *err)
{
	const char *base = n->path + n->base;
	struct stat want, have;
	enum name_kind kind;
	AUTO_FD int from = -1;
	struct name target;

	if (name_parse(&target, raw_target, &kind, err) < 0)
		return err_wrap(err, "hard link \"%.100s\"", n->path);
	if (kind != NAME_PLAIN || !target.len)
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: hard link to \"%.200s\"",
		    n->path, raw_target);
	from = open_target(t, &target, n, &want, err);
	if (from < 0)
		return -1;
	if (fstatat(t->dir_fd, base, &have, AT_SYMLINK_NOFOLLOW) == 0 &&
	    have.st_ino == want.st_ino)
		return 0;
	if (tree_clear(t, n, err) < 0)
		return -1;
	if (linkat(from, target.path + target.base, t->dir_fd, base, 0) < 0)
		return err_sys(
		    err, errno, "%s: link to %s", n->path, target.path);
	return 0;
}
