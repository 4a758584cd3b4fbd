/* SPDX-License-Identifier: MIT */
/*
 * Files by directory descriptor. Everything is opened CLOEXEC, nothing
 * follows a symlink in its last component unless it says so.
 */
#ifndef COCOON_FILE_H
#define COCOON_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attr.h"
#include "buf.h"
#include "err.h"

void close_fd(int *fd); /* closes *fd if >= 0, sets -1, keeps errno */
int take_fd(int *fd);   /* transfers ownership: returns *fd, leaves -1 */
#define AUTO_FD CLEANUP(close_fd)

/* Writes all of it; -1 with errno set. */
int write_all(int fd, const void *data, size_t len);
/* Reads to end of file, appended to *out; more than cap bytes: an error. */
int read_all(
    int fd, struct buf *out, size_t cap, const char *what, struct err *err);
/* The content of a regular file below dirfd, at most cap bytes. */
int file_read(
    int dirfd, const char *name, struct buf *out, size_t cap, struct err *err);

/*
 * Replaces name in dirfd by a whole new file, mode 0600: unique temporary,
 * rename. With durable also fsync of the file and of the directory.
 */
int file_replace(int dirfd, const char *name, const void *data, size_t len,
    bool durable, struct err *err);
/* As file_replace, but -1 with ERR_STATE if name exists: a claim. */
int file_claim(int dirfd, const char *name, const void *data, size_t len,
    bool durable, struct err *err);

/*
 * Opens path below dirfd and nowhere else: openat2(2) with RESOLVE_BENEATH
 * and RESOLVE_NO_SYMLINKS. Returns the descriptor or -1.
 */
int open_beneath(
    int dirfd, const char *path, int flags, mode_t mode, struct err *err);
/* A directory, made (mode) if it is not there; then opened, no symlink. */
int dir_open(int dirfd, const char *name, mode_t create_mode, struct err *err);
/* Removes name and all below it; never follows a symlink, never crosses a
 * mount. A name that is not there is fine. */
int tree_remove(int dirfd, const char *name, struct err *err);

/*
 * Gives dst (a new file, mode) the content of src by hard link, else by
 * reflink, else by sparse copy. Returns what it did, or -1.
 */
enum file_how { FILE_LINK, FILE_REFLINK, FILE_COPY };
int file_link_or_copy(int srcdir, const char *src, int dstdir, const char *dst,
    mode_t mode, struct err *err);
/* Same, without trying the hard link: dst gets bytes of its own. */
int file_clone(int srcdir, const char *src, int dstdir, const char *dst,
    mode_t mode, struct err *err);

/* Same, from what is open. */
int file_clone_fd(int in, const char *src, int dstdir, const char *dst,
    mode_t mode, struct err *err);

/*
 * The 4 KiB blocks of dir/name that are all zeros become holes. Where they are
 * most of it, the others are copied into a new file, the caller's, of the same
 * mode: XFS, btrfs, and ext4 before Linux 6.14 write what is
 * punched out to the disk first (xfs_flush_unmap_range, btrfs_punch_hole,
 * ext4_punch_hole). Where the disk is full they are punched, too; where the
 * file system has no holes, the file stays as it is. Nobody may make the file
 * shorter meanwhile: it is mapped. With leave its last GiB stays mapped until the
 * process ends, and so the old file: its pages take a while to be freed.
 */
int file_make_sparse(int dir, const char *name, bool leave, struct err *err);

/* flock(2) on fd, retried until timeout_ms (0: once, -1: for ever).
 * -1 with ERR_TIMEOUT, naming what. */
int file_lock(
    int fd, int how, int timeout_ms, const char *what, struct err *err);

int64_t now_ms(void);  /* CLOCK_MONOTONIC */
int64_t wall_ms(void); /* CLOCK_REALTIME since the epoch */
void sleep_ms(int ms);

#endif
