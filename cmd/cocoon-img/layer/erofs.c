/* SPDX-License-Identifier: MIT */
#include "erofs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MAGIC 0xe0f5e1e2U
#define SUPER 1024
#define PLAIN 0
#define INLINE 2
#define NAME_LEN 255

static int bad(struct err *err, const char *why)
{
	return err_set(err, ERR_FAILED, "the EROFS image: %s", why);
}

static uint64_t le(const unsigned char *p, size_t bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

static const unsigned char *at(
    const struct erofs *fs, uint64_t offset, uint64_t len)
{
	return offset <= fs->size && len <= fs->size - offset ? fs->p + offset
							      : NULL;
}

int erofs_open(struct erofs *fs, const void *p, size_t size, struct err *err)
{
	const unsigned char *s = p;

	*fs = (struct erofs){.p = p, .size = size};
	if (size < SUPER + 128 || le(s + SUPER, 4) != MAGIC)
		return bad(err, "is none");
	s += SUPER;
	fs->bits = s[12];
	if (fs->bits < 9 || fs->bits > 16)
		return bad(err, "bad block size");
	fs->root = le(s + 14, 2);
	fs->build_time = le(s + 24, 8);
	fs->build_nsec = (uint32_t)le(s + 32, 4);
	fs->meta = le(s + 40, 4) << fs->bits;
	fs->xattrs = le(s + 44, 4) << fs->bits;
	return 0;
}

static void read_compact(
    const struct erofs *fs, const unsigned char *p, struct erofs_inode *i)
{
	i->nlink = (uint32_t)le(p + 6, 2);
	i->size = le(p + 8, 4);
	i->uid = (uint32_t)le(p + 24, 2);
	i->gid = (uint32_t)le(p + 26, 2);
	i->mtime = fs->build_time;
	i->nsec = fs->build_nsec;
}

static void read_extended(const unsigned char *p, struct erofs_inode *i)
{
	i->size = le(p + 8, 8);
	i->uid = (uint32_t)le(p + 24, 4);
	i->gid = (uint32_t)le(p + 28, 4);
	i->mtime = le(p + 32, 8);
	i->nsec = (uint32_t)le(p + 40, 4);
	i->nlink = (uint32_t)le(p + 44, 4);
}

int erofs_inode(const struct erofs *fs, uint64_t nid, struct erofs_inode *out,
    struct err *err)
{
	uint64_t offset = fs->meta + nid * 32, u, len, blocks;
	const unsigned char *p = nid < fs->size ? at(fs, offset, 32) : NULL;
	unsigned int layout, count;

	*out = (struct erofs_inode){.nid = nid};
	if (!p)
		return bad(err, "an inode beyond its end");
	len = p[0] & 1 ? 64 : 32;
	layout = p[0] >> 1 & 7;
	count = (unsigned int)le(p + 2, 2);
	if (!at(fs, offset, len) || (layout != PLAIN && layout != INLINE))
		return bad(err, "an inode that is not as we make them");
	out->mode = (uint32_t)le(p + 4, 2);
	if (len == 64)
		read_extended(p, out);
	else
		read_compact(fs, p, out);
	u = le(p + 16, 4);
	out->rdev = (uint32_t)u;
	out->xattr_at = offset + len;
	out->xattr_len = count ? 12 + (uint64_t)(count - 1) * 4 : 0;
	if (!at(fs, out->xattr_at, out->xattr_len))
		return bad(err, "extended attributes beyond its end");
	blocks =
	    (out->size >> fs->bits) + !!(out->size & ((1U << fs->bits) - 1));
	out->at = u << fs->bits;
	out->split = out->size;
	if (layout == INLINE && blocks)
		out->split = (blocks - 1) << fs->bits;
	out->tail = out->xattr_at + out->xattr_len;
	if (S_ISREG(out->mode) || S_ISDIR(out->mode) || S_ISLNK(out->mode))
		if ((out->split && !at(fs, out->at, out->split)) ||
		    !at(fs, out->tail, out->size - out->split))
			return bad(err, "a file beyond its end");
	return 0;
}

const unsigned char *erofs_data(const struct erofs *fs,
    const struct erofs_inode *i, uint64_t offset, uint64_t *len)
{
	*len = 0;
	if (offset >= i->size)
		return NULL;
	if (offset < i->split) {
		*len = i->split - offset;
		return fs->p + i->at + offset;
	}
	*len = i->size - offset;
	return fs->p + i->tail + (offset - i->split);
}

struct walk {
	char last[NAME_LEN + 1];
	int (*fn)(const char *name, uint64_t nid, void *arg, struct err *err);
	void *arg;
};

static int each_block(
    struct walk *w, const unsigned char *b, size_t len, struct err *err)
{
	size_t n = len >= 12 ? le(b + 8, 2) / 12 : 0;

	if (!n || n * 12 > len)
		return bad(err, "a directory without names");
	for (size_t i = 0; i < n; i++) {
		size_t from = le(b + i * 12 + 8, 2);
		size_t to = i + 1 < n ? le(b + i * 12 + 20, 2) : len;
		char name[NAME_LEN + 1] = "";
		size_t size;

		if (from < n * 12 || to > len || from >= to)
			return bad(err, "a name beyond its block");
		size = strnlen((const char *)b + from, to - from);
		if (!size || size > NAME_LEN)
			return bad(err, "a name that is none");
		memcpy(name, b + from, size);
		if (strcmp(name, w->last) <= 0 || strchr(name, '/'))
			return bad(err, "names out of order");
		memcpy(w->last, name, sizeof(name));
		if (strcmp(name, ".") && strcmp(name, "..") &&
		    w->fn(name, le(b + i * 12, 8), w->arg, err) < 0)
			return -1;
	}
	return 0;
}

int erofs_each(const struct erofs *fs, const struct erofs_inode *dir,
    int (*fn)(const char *name, uint64_t nid, void *arg, struct err *err),
    void *arg, struct err *err)
{
	struct walk w = {.fn = fn, .arg = arg};
	uint64_t block = 1ULL << fs->bits;

	for (uint64_t o = 0; o < dir->size; o += block) {
		uint64_t len;
		const unsigned char *p = erofs_data(fs, dir, o, &len);

		if (each_block(&w, p, len < block ? len : block, err) < 0)
			return -1;
	}
	return 0;
}

/* One entry; *used: its bytes. */
static int xattr(const struct erofs *fs, uint64_t offset, uint64_t *used,
    int (*fn)(const char *name, const void *value, size_t len, void *arg,
	struct err *err),
    void *arg, struct err *err)
{
	static const char *const prefixes[] = {NULL, "user.",
	    "system.posix_acl_access", "system.posix_acl_default", "trusted.",
	    "lustre.", "security."};
	const unsigned char *p = at(fs, offset, 4);
	uint64_t name_len = p ? p[0] : 0, len = p ? le(p + 2, 2) : 0;
	char name[300];

	p = p ? at(fs, offset, 4 + name_len + len) : NULL;
	if (!p || p[1] >= ARRAY_LEN(prefixes) || !prefixes[p[1]])
		return bad(err, "an extended attribute that is none");
	snprintf(name, sizeof(name), "%s%.*s", prefixes[p[1]], (int)name_len,
	    (const char *)p + 4);
	*used = (4 + name_len + len + 3) & ~(uint64_t)3;
	return fn(name, p + 4 + name_len, len, arg, err);
}

int erofs_each_xattr(const struct erofs *fs, const struct erofs_inode *i,
    int (*fn)(const char *name, const void *value, size_t len, void *arg,
	struct err *err),
    void *arg, struct err *err)
{
	uint64_t end = i->xattr_at + i->xattr_len, o = i->xattr_at + 12, used;
	unsigned int shared;

	if (!i->xattr_len)
		return 0;
	shared = fs->p[i->xattr_at + 4];
	if (o + shared * 4 > end)
		return bad(err, "shared attributes beyond their inode");
	for (unsigned int k = 0; k < shared; k++, o += 4)
		if (xattr(fs, fs->xattrs + le(fs->p + o, 4) * 4, &used, fn, arg,
			err) < 0)
			return -1;
	for (; o + 4 <= end; o += used)
		if (xattr(fs, o, &used, fn, arg, err) < 0)
			return -1;
	return 0;
}
