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
};

/* One entry of the archive, its data included. */
int entry_unpack(struct unpack *u, struct archive *a, struct archive_entry *e,
    struct err *err);

/* The compressed bytes: read, hashed, counted. */
struct stream;
struct stream *stream_new(int fd);
ssize_t stream_read(struct archive *a, void *stream, const void **data);
/* Reads what is left; the digest as "sha256:..." and the number of bytes. */
int stream_end(
    struct stream *s, char digest[72], uint64_t *bytes, struct err *err);

/* The whole layer on fd 0: into the tree, kernels and lists to out_fd, the
 * answer to *out. */
int layer_unpack(
    struct unpack *u, int out_fd, struct buf *out, struct err *err);

/* Adds a JSON array of what is there to boot from; copies of kernels and
 * initial RAM disks go to out_fd under their SHA-256. */
int boot_scan(struct tree *t, int out_fd, struct buf *json, struct err *err);

#endif
