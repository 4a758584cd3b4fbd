/* SPDX-License-Identifier: MIT */
/*
 * Is the EROFS image what the layer says? Names, types, owners, modes, times,
 * devices, links and extended attributes are compared with the tree that
 * mkfs.erofs read; the bytes of files with what came out of the archive, whose
 * digests `unpack` left in `content`. So both writes are checked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "erofs.h"
#include "file.h"
#include "layer.h"

#define XATTRS_MAX 65536
#define AT_ONCE ((uint64_t)8 << 20)

struct verify {
	struct erofs fs;
	struct tree tree;
	struct content *content; /* by inode, the last one counts */
	size_t n;
	void *linked; /* tsearch(3) of struct linked */
	char path[PATH_MAX];
	int dir_fd;
	size_t names;
	uint64_t mapped; /* that much was read since it was let go */
};

/* A file with several names is read once. */
struct linked {
	uint64_t nid, ino;
};

static int differs(
    const struct verify *v, const char *name, const char *what, struct err *err)
{
	return err_set(err, ERR_FAILED, "%.200s%s%.200s: %s differs", v->path,
	    *v->path ? "/" : "", name, what);
}

static int by_ino(const void *a, const void *b)
{
	const struct content *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static int load_content(struct verify *v, int out_fd, struct err *err)
{
	struct buf text = {0};

	if (file_read(out_fd, "content", &text, (size_t)1 << 30, err) < 0)
		return -1;
	v->content = (struct content *)(void *)text.data;
	v->n = text.len / sizeof(*v->content);
	if (v->n)
		qsort(v->content, v->n, sizeof(*v->content), by_ino);
	return 0;
}

static const struct content *find(const struct verify *v, uint64_t ino)
{
	size_t low = 0, high = v->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->content[mid].ino <= ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low && v->content[low - 1].ino == ino ? &v->content[low - 1]
						     : NULL;
}

static int by_nid(const void *a, const void *b)
{
	const struct linked *x = a, *y = b;

	return x->nid < y->nid ? -1 : x->nid > y->nid;
}

/* 1: its bytes were compared under another name. */
static int seen(struct verify *v, const struct erofs_inode *i,
    const struct stat *st, const char *name, struct err *err)
{
	struct linked *l, **found;

	if (i->nlink < 2)
		return 0;
	l = xcalloc(1, sizeof(*l));
	*l = (struct linked){i->nid, st->st_ino};
	found = tsearch(l, &v->linked, by_nid);
	if (!found)
		abort(); /* out of memory: the limit of this process */
	if (*found == l)
		return 0;
	free(l);
	return (*found)->ino == st->st_ino ? 1 : differs(v, name, "link", err);
}

/* What is mapped counts as this process's memory. */
static void let_go(struct verify *v, uint64_t len)
{
	v->mapped += len + 4096;
	if (v->mapped < AT_ONCE)
		return;
	madvise((void *)(uintptr_t)v->fs.p, v->fs.size, MADV_DONTNEED);
	v->mapped = 0;
}

static int check_bytes(struct verify *v, const struct erofs_inode *i,
    const struct stat *st, const char *name, struct err *err)
{
	const struct content *c = find(v, st->st_ino);
	struct evp_md_ctx_st *sha;
	const unsigned char *p;
	uint64_t len, at = 0;
	char digest[72];

	if (!c)
		return differs(v, name, "content (never written)", err);
	sha = sha_new();
	if (!sha)
		return err_set(err, ERR_FAILED, "sha256: cannot start");
	while ((p = erofs_data(&v->fs, i, at, &len))) {
		len = len < AT_ONCE ? len : AT_ONCE;
		sha_add(sha, p, len);
		at += len;
		let_go(v, len);
	}
	sha_end(sha, digest);
	return memcmp(digest + 7, c->sha, sizeof(c->sha))
		   ? differs(v, name, "content", err)
		   : 0;
}

struct attrs {
	struct verify *v;
	const char *name;
	char path[64 + NAME_MAX];
	size_t n;
};

static int check_xattr(
    const char *key, const void *value, size_t len, void *arg, struct err *err)
{
	static char have[XATTRS_MAX];
	struct attrs *a = arg;
	ssize_t n = lgetxattr(a->path, key, have, sizeof(have));

	a->n++;
	return n == (ssize_t)len && !memcmp(have, value, len)
		   ? 0
		   : differs(a->v, a->name, key, err);
}

static int check_xattrs(struct verify *v, const struct erofs_inode *i,
    const char *name, struct err *err)
{
	static char names[XATTRS_MAX];
	struct attrs a = {.v = v, .name = name};
	size_t want = 0;
	ssize_t n;

	snprintf(a.path, sizeof(a.path), "/proc/self/fd/%d/%s", v->dir_fd,
	    *name ? name : ".");
	n = llistxattr(a.path, names, sizeof(names));
	if (n < 0 && errno != ENOTSUP)
		return err_sys(err, errno, "%s: list attributes", name);
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
		want += xattr_kept(names + at) ||
			!strncmp(names + at, "trusted.overlay.", 16);
	if (!want && !i->xattr_len)
		return 0;
	if (erofs_each_xattr(&v->fs, i, check_xattr, &a, err) < 0)
		return -1;
	return a.n >= want ? 0 : differs(v, name, "number of attributes", err);
}

static int check_link(struct verify *v, const struct erofs_inode *i,
    const char *name, struct err *err)
{
	char have[PATH_MAX];
	ssize_t n = readlinkat(v->dir_fd, name, have, sizeof(have));
	uint64_t len, at = 0;
	const unsigned char *p;

	if (n < 0 || (uint64_t)n != i->size)
		return differs(v, name, "target", err);
	while ((p = erofs_data(&v->fs, i, at, &len))) {
		if (memcmp(p, have + at, len))
			return differs(v, name, "target", err);
		at += len;
	}
	return 0;
}

static int check_meta(const struct verify *v, const struct erofs_inode *i,
    const struct stat *st, const char *name, struct err *err)
{
	dev_t dev = makedev(
	    i->rdev >> 8 & 0xfff, (i->rdev & 0xff) | (i->rdev >> 12 & 0xfff00));

	if (i->mode != st->st_mode)
		return differs(v, name, "mode", err);
	if (i->uid != st->st_uid || i->gid != st->st_gid)
		return differs(v, name, "owner", err);
	if (!S_ISDIR(i->mode) && i->nlink != st->st_nlink)
		return differs(v, name, "number of links", err);
	if (S_ISREG(i->mode) && i->size != (uint64_t)st->st_size)
		return differs(v, name, "size", err);
	if ((S_ISCHR(i->mode) || S_ISBLK(i->mode)) && dev != st->st_rdev)
		return differs(v, name, "device", err);
	if (i->mtime != (uint64_t)st->st_mtim.tv_sec ||
	    i->nsec != (uint32_t)st->st_mtim.tv_nsec)
		return differs(v, name, "time", err);
	return 0;
}

static int check_name(
    const char *name, uint64_t nid, void *arg, struct err *err)
{
	struct verify *v = arg;
	struct erofs_inode i;
	struct stat st;
	int r;

	v->names++;
	if (fstatat(v->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return differs(v, name, "name", err);
	if (erofs_inode(&v->fs, nid, &i, err) < 0 ||
	    check_meta(v, &i, &st, name, err) < 0 ||
	    check_xattrs(v, &i, name, err) < 0)
		return -1;
	if (S_ISLNK(i.mode))
		return check_link(v, &i, name, err);
	if (!S_ISREG(i.mode))
		return 0;
	r = seen(v, &i, &st, name, err);
	return r ? (r < 0 ? -1 : 0) : check_bytes(v, &i, &st, name, err);
}

/* Every name of the image is in the tree; is there another one? */
static int check_names(const struct verify *v, struct err *err)
{
	int fd = openat(v->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;

	if (!d) {
		close_fd(&fd);
		return err_sys(err, errno, "%s: open", v->path);
	}
	while (readdir(d))
		n++;
	closedir(d);
	return n == v->names + 2 ? 0 : differs(v, ".", "number of names", err);
}

static int check_dir(struct verify *v, uint64_t nid, int depth, struct err *);

struct below {
	struct verify *v;
	int depth;
};

static int enter(const char *name, uint64_t nid, void *arg, struct err *err)
{
	struct below *b = arg;
	size_t len = strlen(b->v->path);
	struct erofs_inode i;
	int r;

	if (erofs_inode(&b->v->fs, nid, &i, err) < 0)
		return -1;
	if (!S_ISDIR(i.mode))
		return 0;
	if (len + strlen(name) + 2 > sizeof(b->v->path) ||
	    b->depth > NAME_DEPTH)
		return differs(b->v, name, "depth", err);
	snprintf(b->v->path + len, sizeof(b->v->path) - len, "%s%s",
	    len ? "/" : "", name);
	r = check_dir(b->v, nid, b->depth + 1, err);
	b->v->path[len] = '\0';
	return r;
}

/* What is in a directory first, then those below: one descriptor is open. */
static int check_dir(struct verify *v, uint64_t nid, int depth, struct err *err)
{
	struct below b = {v, depth};
	struct erofs_inode i;
	int r;

	if (erofs_inode(&v->fs, nid, &i, err) < 0)
		return -1;
	if (!S_ISDIR(i.mode))
		return differs(v, ".", "type", err);
	v->dir_fd = tree_open(&v->tree, v->path);
	if (v->dir_fd < 0)
		return err_sys(err, errno, "%s: open", v->path);
	v->names = 0;
	r = erofs_each(&v->fs, &i, check_name, v, err);
	if (r == 0)
		r = check_names(v, err);
	close_fd(&v->dir_fd);
	return r < 0 ? -1 : erofs_each(&v->fs, &i, enter, &b, err);
}

static int check_root(struct verify *v, struct err *err)
{
	struct erofs_inode i;
	struct stat st;
	int r;

	if (erofs_inode(&v->fs, v->fs.root, &i, err) < 0)
		return -1;
	if (fstat(v->tree.root_fd, &st) < 0)
		return err_sys(err, errno, "the tree: stat");
	v->dir_fd = v->tree.root_fd;
	r = check_meta(v, &i, &st, "", err) < 0 ||
		    check_xattrs(v, &i, "", err) < 0
		? -1
		: 0;
	v->dir_fd = -1;
	return r < 0 ? -1 : check_dir(v, v->fs.root, 0, err);
}

int layer_verify(
    int tree_fd, int out_fd, int erofs_fd, struct buf *out, struct err *err)
{
	static struct verify v;
	struct stat st;
	void *p;
	int r;

	v.tree.root_fd = tree_fd;
	v.tree.dir_fd = v.dir_fd = -1;
	if (fstat(erofs_fd, &st) < 0)
		return err_sys(err, errno, "the EROFS image: stat");
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, erofs_fd, 0);
	if (p == MAP_FAILED)
		return err_sys(err, errno, "the EROFS image: map");
	r = load_content(&v, out_fd, err);
	if (r == 0)
		r = erofs_open(&v.fs, p, (size_t)st.st_size, err);
	if (r == 0)
		r = check_root(&v, err);
	free(v.content);
	tdestroy(v.linked, free);
	munmap(p, (size_t)st.st_size);
	buf_str(out, "{}\n");
	return r;
}
