/* SPDX-License-Identifier: MIT */
#include "layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file.h"

#define CANDIDATES_MAX 64
#define SAFE \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~/-"

struct scan {
	struct tree *tree;
	int out_fd;
	struct buf *json;
	unsigned int n;
};

static bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* The characters need no escape in JSON and mean nothing in a path. */
static bool candidate(const char *name)
{
	static const char *const not [] = {".old", ".bak", ".tmp", ".new",
	    ".dpkg-bak", ".dpkg-new", ".dpkg-old"};
	size_t len = strlen(name);

	if (strspn(name, SAFE) != len || strchr(name, '/'))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(not ); i++)
		if (len > strlen(not [i]) &&
		    !strcmp(name + len - strlen(not [i]), not [i]))
			return false;
	return has_prefix(name, "vmlinuz") || has_prefix(name, "vmlinux") ||
	       has_prefix(name, "initrd") || has_prefix(name, "initramfs");
}

static void open_item(struct scan *s, const char *path, const char *type)
{
	buf_addf(s->json, "%s{\"path\":\"%s\",\"type\":\"%s\"",
	    s->n++ ? "," : "", path, type);
}

static void add_item(struct scan *s, const char *path, const char *type)
{
	open_item(s, path, type);
	buf_ch(s->json, '}');
}

static int copy_all(int in, int out, uint64_t size)
{
	while (size > 0) {
		ssize_t n = copy_file_range(
		    in, NULL, out, NULL, size > 1 << 30 ? 1 << 30 : size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		size -= (uint64_t)n;
	}
	return 0;
}

/* A copy under its own digest, so that the image can name its bytes. */
static int keep_file(struct scan *s, int fd, const char *path,
    const struct stat *st, struct err *err)
{
	struct stream *sha = stream_new(fd);
	AUTO_FD int out = -1;
	char digest[72];
	uint64_t size;

	if (!sha)
		return err_set(err, ERR_FAILED, "sha256: cannot start");
	if (stream_end(sha, digest, &size, err) < 0)
		return -1;
	open_item(s, path, "file");
	buf_addf(s->json, ",\"digest\":\"%s\",\"size\":%llu}", digest,
	    (unsigned long long)size);
	out = openat(s->out_fd, digest + 7,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (out < 0 && errno == EEXIST)
		return 0; /* the same bytes under two names */
	if (out < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    copy_all(fd, out, (uint64_t)st->st_size) < 0)
		return err_sys(err, errno, "%s: copy", path);
	return 0;
}

/* Follows symlinks inside this tree only; what it ends at. -1: nothing. */
static int open_in_root(struct tree *t, const char *path)
{
	struct open_how how = {
	    .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, t->root_fd, path, &how, sizeof(how));
}

/* A link whose end another layer may have. */
static void add_link(
    struct scan *s, int dir, const char *name, const char *path)
{
	char target[512];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n <= 0 || n == sizeof(target) - 1)
		return add_item(s, path, "other");
	target[n] = '\0';
	if (strspn(target, SAFE) != (size_t)n)
		return add_item(s, path, "other");
	open_item(s, path, "link");
	buf_addf(s->json, ",\"target\":\"%s\"}", target);
}

static int add_name(
    struct scan *s, int dir, const char *in, const char *name, struct err *err)
{
	AUTO_FREE char *path = xasprintf("%s%s%s", in, *in ? "/" : "", name);
	AUTO_FD int fd = -1;
	struct stat st, end;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: stat", path);
	if (is_whiteout(&st))
		return add_item(s, path, "whiteout"), 0;
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return add_item(s, path, "other"), 0;
	fd = open_in_root(s->tree, path);
	if (fd < 0 || fstat(fd, &end) < 0) {
		if (S_ISREG(st.st_mode))
			return err_sys(err, errno, "%s: open", path);
		return add_link(s, dir, name, path), 0;
	}
	if (!S_ISREG(end.st_mode) || !end.st_size)
		return add_item(s, path, "other"), 0;
	return keep_file(s, fd, path, &end, err);
}

static int scan_dir(struct scan *s, const char *path, struct err *err)
{
	int fd = openat(s->tree->root_fd, *path ? path : ".",
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	char mark = 0;
	int r = 0;

	if (!d) {
		close_fd(&fd);
		return err_sys(err, errno, "%s: open", path);
	}
	if (fgetxattr(fd, "trusted.overlay.opaque", &mark, 1) == 1)
		add_item(s, path, "opaque");
	while (r == 0 && s->n < CANDIDATES_MAX && (de = readdir(d)))
		if (candidate(de->d_name))
			r = add_name(s, fd, path, de->d_name, err);
	closedir(d);
	return r;
}

int boot_scan(struct tree *t, int out_fd, struct buf *json, struct err *err)
{
	struct scan s = {t, out_fd, json, 0};
	struct stat st;
	int r;

	buf_ch(json, '[');
	r = scan_dir(&s, "", err);
	if (r == 0 &&
	    fstatat(t->root_fd, "boot", &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			r = scan_dir(&s, "boot", err);
		else
			add_item(&s, "boot",
			    is_whiteout(&st) ? "whiteout" : "other");
	}
	buf_ch(json, ']');
	return r;
}
