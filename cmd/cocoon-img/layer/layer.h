/* SPDX-License-Identifier: MIT */
/*
 * The helper that reads what strangers packed: one layer tar, plain, gzip or
 * zstd, into a tree. It is started with few capabilities, below landlock
 * (sandbox.h of cocoon-img), with the blob on stdin, and answers with one
 * JSON line on stdout: what it found, or an error.
 */
#ifndef COCOON_LAYER_H
#define COCOON_LAYER_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"
#include "tree.h"

struct archive;
struct archive_entry;

struct limits {
	uint64_t bytes, entries;
};

struct unpack {
	struct tree tree;
	struct limits max, used;
	FILE *content; /* a struct content for each file that was written */
};

/* The bytes of a file of the tree, as the archive had them. */
struct content {
	uint64_t ino, serial; /* the later one of the same inode counts */
	char sha[64];         /* digits */
};

/* Compares an EROFS image with the tree and the contents (verify.c). */
int layer_verify(
    int tree_fd, int out_fd, int erofs_fd, struct buf *out, struct err *err);

/* One entry of the archive, its data included. */
int entry_unpack(struct unpack *u, struct archive *a, struct archive_entry *e,
    struct err *err);

/* SHA-256 by libcrypto; NULL: it cannot start. sha_end frees it. */
struct evp_md_ctx_st;
struct evp_md_ctx_st *sha_new(void);
void sha_add(struct evp_md_ctx_st *sha, const void *data, size_t len);
void sha_end(struct evp_md_ctx_st *sha, char digest[72]);

/* The compressed bytes: read, hashed, counted. */
struct stream;
struct stream *stream_new(int fd);
/* Descriptors by their numbers, read after each other; none: standard input. */
struct stream *stream_open(int n, char **fds, struct err *err);
ssize_t stream_read(struct archive *a, void *stream, const void **data);
/* Reads what is left; the digest as "sha256:..." and the number of bytes. */
int stream_end(
    struct stream *s, char digest[72], uint64_t *bytes, struct err *err);

/* The whole layer on s (which it frees): into the tree, kernels and lists to
 * out_fd, the answer to *out; with diff also the digest of the tar. */
int layer_unpack(struct unpack *u, struct stream *s, bool diff, int out_fd,
    struct buf *out, struct err *err);

/* What the archive says of its failure. */
int bad_archive(struct archive *a, struct err *err);

/*
 * The disk of a cloud image, from s (which it frees), unpacked if it is
 * compressed, to out_fd with holes for zeros: {"digest","size"} of it.
 */
int expand(struct stream *s, int out_fd, uint64_t max, struct buf *out,
    struct err *err);

/* The one file of a, to out_fd with holes; its digest and size. */
int expand_to(struct archive *a, int out_fd, uint64_t max, char digest[72],
    uint64_t *size, struct err *err);
/* The kernel on fd 0 as an ELF file: {"digest","size"}. */
int vmlinux(int out_fd, uint64_t max, struct buf *out, struct err *err);

/* {"kind":...}: tar of a root file system, image (the tar of one), disk. */
void sniff(struct stream *s, struct buf *out);
/* The tar of an image's layout, or what docker saves, into a directory. */
int explode(struct stream *s, int dir, const struct limits *max,
    struct buf *out, struct err *err);

/* Adds a JSON array of what is there to boot from; copies of kernels and
 * initial RAM disks go to out_fd under their SHA-256. */
int boot_scan(struct tree *t, int out_fd, struct buf *json, struct err *err);

#endif
