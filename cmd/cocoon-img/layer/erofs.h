/* SPDX-License-Identifier: MIT */
/*
 * A reader of EROFS images as we have them made: not compressed, no chunks
 * (Linux, fs/erofs/erofs_fs.h). It trusts no number of the image.
 */
#ifndef COCOON_LAYER_EROFS_H
#define COCOON_LAYER_EROFS_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct erofs {
	const unsigned char *p; /* the whole file */
	uint64_t size, meta, xattrs, build_time;
	uint32_t build_nsec;
	unsigned int bits; /* of the block size */
	uint64_t root;
};

struct erofs_inode {
	uint64_t nid, size, mtime;
	uint32_t mode, uid, gid, nlink, nsec, rdev; /* rdev as mknod has it */
	/* Where its bytes are: whole blocks, then the tail. */
	uint64_t at, split, tail;
	uint64_t xattr_at, xattr_len;
};

int erofs_open(struct erofs *fs, const void *p, size_t size, struct err *err);
int erofs_inode(const struct erofs *fs, uint64_t nid, struct erofs_inode *out,
    struct err *err);
/* The bytes from offset on; *len: as many as are together. NULL: none. */
const unsigned char *erofs_data(const struct erofs *fs,
    const struct erofs_inode *i, uint64_t offset, uint64_t *len);
/* Names without "." and ".."; in ascending order, or it is an error. */
int erofs_each(const struct erofs *fs, const struct erofs_inode *dir,
    int (*fn)(const char *name, uint64_t nid, void *arg, struct err *err),
    void *arg, struct err *err);
int erofs_each_xattr(const struct erofs *fs, const struct erofs_inode *i,
    int (*fn)(const char *name, const void *value, size_t len, void *arg,
	struct err *err),
    void *arg, struct err *err);

#endif
