/* SPDX-License-Identifier: MIT */
#include "layer.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file.h"

#define XATTR_NAME_MAX_ 255
#define XATTR_SIZE_MAX_ 65536

/* A record of `dirs`: this, the path, then n_xattrs times a struct attr, its
 * name and its value. The file never leaves the host. */
struct record {
	uint32_t path_len, mode, uid, gid, nsec, n_xattrs;
	int64_t sec;
};
struct attr {
	uint32_t name_len, value_len;
};

struct dirs {
	int out_fd;
	FILE *file;
	void *implicit; /* tsearch(3) of strings */
};

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

FILE *open_out(int out_fd, const char *name, struct err *err)
{
	AUTO_FD int fd = openat(out_fd, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f)
		err_sys(err, errno, "%s: create", name);
	else
		take_fd(&fd);
	return f;
}

int close_out(FILE *f, const char *name, struct err *err)
{
	bool bad = fflush(f) != 0 || ferror(f);
	int saved = errno;

	fclose(f);
	return bad ? err_sys(err, saved, "%s: write", name) : 0;
}

struct dirs *dirs_new(int out_fd, struct err *err)
{
	struct dirs *d = xcalloc(1, sizeof(*d));

	d->out_fd = out_fd;
	d->file = open_out(out_fd, "dirs", err);
	if (!d->file)
		free_ptr(&d);
	return d;
}

static void insert(void **set, const char *path)
{
	char *copy = xstrdup(path);
	char **found = tsearch(copy, set, compare);

	if (!found)
		abort(); /* out of memory: the limit of this process */
	if (*found != copy)
		free(copy);
}

void dirs_implicit(struct dirs *d, const char *path)
{
	insert(&d->implicit, path);
}

static void forget(struct dirs *d, const char *path)
{
	char **found = tfind(path, &d->implicit, compare);
	char *copy = found ? *found : NULL;

	if (copy)
		tdelete(path, &d->implicit, compare);
	free(copy);
}

static void put_xattrs(struct dirs *d, struct archive_entry *e)
{
	const char *name;
	const void *value;
	size_t size;

	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &size) == 0) {
		struct attr a = {(uint32_t)strlen(name), (uint32_t)size};

		fwrite(&a, sizeof(a), 1, d->file);
		fwrite(name, 1, a.name_len, d->file);
		fwrite(value, 1, size, d->file);
	}
}

int dirs_explicit(struct dirs *d, const struct name *n, struct archive_entry *e,
    struct err *err)
{
	struct record r = {.path_len = (uint32_t)n->len,
	    .mode = archive_entry_perm(e) & 07777,
	    .uid = (uint32_t)archive_entry_uid(e),
	    .gid = (uint32_t)archive_entry_gid(e),
	    .sec = archive_entry_mtime(e),
	    .nsec = (uint32_t)archive_entry_mtime_nsec(e),
	    .n_xattrs = (uint32_t)archive_entry_xattr_count(e)};

	forget(d, n->path);
	fwrite(&r, sizeof(r), 1, d->file);
	fwrite(n->path, 1, n->len, d->file);
	put_xattrs(d, e);
	return ferror(d->file) ? err_sys(err, errno, "dirs: write") : 0;
}

struct list {
	FILE *file;
	uint64_t n;
};

static void write_path(const void *node, VISIT order, void *arg)
{
	const char *path = *(char *const *)node;
	struct list *l = arg;

	if (order != postorder && order != leaf)
		return;
	fwrite(path, 1, strlen(path) + 1, l->file);
	l->n++;
}

int dirs_end(struct dirs *d, uint64_t *n_implicit, struct err *err)
{
	struct list l = {open_out(d->out_fd, "implicit", err), 0};

	if (!l.file)
		return -1;
	twalk_r(d->implicit, write_path, &l);
	*n_implicit = l.n;
	tdestroy(d->implicit, free);
	if (close_out(l.file, "implicit", err) < 0 ||
	    close_out(d->file, "dirs", err) < 0)
		return -1;
	free(d);
	return 0;
}

static int read_implicit(int out_fd, void **set, struct err *err)
{
	AUTO_BUF struct buf text = {0};

	if (file_read(out_fd, "implicit", &text, (size_t)1 << 30, err) < 0)
		return -1;
	for (size_t at = 0; at < text.len; at += strlen(text.data + at) + 1)
		insert(set, text.data + at);
	return 0;
}

static int bad_dirs(struct err *err)
{
	return err_set(err, ERR_FAILED, "dirs: damaged");
}

/* What an upper layer's entry does not have goes. */
static void clear_xattrs(int fd)
{
	char names[4096];
	ssize_t len = flistxattr(fd, names, sizeof(names));

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1)
		if (xattr_kept(names + at) &&
		    strncmp(names + at, "trusted.overlay.", 16))
			fremovexattr(fd, names + at);
}

/* The attributes of a record; fd -1: only read past them. */
static int take_xattrs(FILE *in, uint32_t n, int fd, struct err *err)
{
	AUTO_FREE char *value = xmalloc(XATTR_SIZE_MAX_);
	char name[XATTR_NAME_MAX_ + 1];
	struct attr a;

	for (uint32_t i = 0; i < n; i++) {
		if (fread(&a, sizeof(a), 1, in) != 1 ||
		    a.name_len > XATTR_NAME_MAX_ ||
		    a.value_len > XATTR_SIZE_MAX_ ||
		    fread(name, 1, a.name_len, in) != a.name_len ||
		    fread(value, 1, a.value_len, in) != a.value_len)
			return bad_dirs(err);
		name[a.name_len] = '\0';
		if (fd < 0 || !xattr_kept(name) ||
		    !strncmp(name, "trusted.overlay.", 16))
			continue;
		if (fsetxattr(fd, name, value, a.value_len, 0) < 0)
			return err_sys(err, errno, "set %s", name);
	}
	return 0;
}

static int take_record(const struct tree *t, FILE *in, const struct record *r,
    const char *path, struct err *err)
{
	struct timespec times[2] = {
	    {.tv_nsec = UTIME_OMIT}, {r->sec < 0 ? 0 : r->sec, r->nsec}};
	AUTO_FD int fd = tree_open(t, path);

	/* An entry that came later has put something else there. */
	if (fd < 0)
		return take_xattrs(in, r->n_xattrs, -1, err);
	if (fchown(fd, r->uid, r->gid) < 0 || fchmod(fd, r->mode & 07777) < 0)
		return err_sys(err, errno, "%s: set owner and mode", path);
	clear_xattrs(fd);
	if (take_xattrs(in, r->n_xattrs, fd, err) < 0)
		return err_wrap(err, "%s", path);
	if (futimens(fd, times) < 0)
		return err_sys(err, errno, "%s: set its time", path);
	return 0;
}

int dirs_adopt(const struct tree *t, int out_fd, int in_fd, struct err *err)
{
	FILE *in = fdopen(in_fd, "r");
	char path[PATH_MAX];
	void *set = NULL;
	struct record r;
	int e = 0;

	if (!in)
		return err_sys(err, errno, "dirs: open");
	if (read_implicit(out_fd, &set, err) < 0)
		e = -1;
	while (e == 0 && fread(&r, sizeof(r), 1, in) == 1) {
		if (r.path_len >= sizeof(path) ||
		    fread(path, 1, r.path_len, in) != r.path_len) {
			e = bad_dirs(err);
			break;
		}
		path[r.path_len] = '\0';
		e = tfind(path, &set, compare)
			? take_record(t, in, &r, path, err)
			: take_xattrs(in, r.n_xattrs, -1, err);
	}
	tdestroy(set, free);
	fclose(in);
	return e;
}
