/* SPDX-License-Identifier: MIT */
/* The tree that a layer becomes, and the names in it. */
#ifndef COCOON_LAYER_TREE_H
#define COCOON_LAYER_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "err.h"

struct archive_entry;

#define NAME_DEPTH 256 /* who removes the tree holds a descriptor a level */

/* A path of the archive, taken apart: no leading "./", no "..", no "//". */
struct name {
	char path[PATH_MAX];
	size_t len;  /* 0: the root of the layer */
	size_t base; /* where the last component begins */
};

enum name_kind {
	NAME_PLAIN,
	NAME_WHITEOUT, /* base was cut to what it hides */
	NAME_OPAQUE,   /* ".wh..wh..opq" of the directory before base */
	NAME_SKIP,     /* other bookkeeping of aufs */
};

/* ERR_INPUT for what no layer may name; *kind for whiteouts. */
int name_parse(
    struct name *n, const char *raw, enum name_kind *kind, struct err *err);

/*
 * The tree below root_fd. One directory is kept open, since entries come in
 * the order of a walk; what happens in it does not change its mtime, which is
 * put back when it is left: so no list of directories is needed.
 */
struct tree {
	int root_fd;
	int dir_fd; /* of `dir`; -1: none */
	char dir[PATH_MAX];
	size_t dir_len;
	struct timespec dir_mtime;
	struct dirs *dirs;
};

/* Opens the directory that name is in, making what is missing. Returns a
 * borrowed descriptor, or -1. */
int tree_parent(struct tree *t, const struct name *n, struct err *err);
/* Puts the open directory's mtime back and closes it. */
int tree_leave(struct tree *t, struct err *err);
/* Makes room for something that is no directory. */
int tree_clear(struct tree *t, const struct name *n, struct err *err);
/* A directory; one that is there stays. */
int tree_mkdir(struct tree *t, const struct name *n, struct err *err);
int tree_whiteout(struct tree *t, const struct name *n, struct err *err);
int tree_opaque(int dir_fd, const char *base, struct err *err);
/* The content of name in the open parent, as overlayfs marks a removal. */
bool is_whiteout(const struct stat *st);
int tree_link(struct tree *t, const struct name *n, const char *raw_target,
    struct err *err);

/* Owner, mode, extended attributes, mtime of what was just made. */
int meta_apply(
    int dir_fd, const char *base, struct archive_entry *e, struct err *err);
bool xattr_kept(const char *name);

/*
 * Directories. A layer may hold files in a directory without an entry for it:
 * the directory is the one of the layers below, with their owner and mode.
 * In overlayfs the upper one's attributes count, so they must be copied. For
 * that a layer's `dirs` file has the attributes of the directories that it has
 * entries for, and `implicit` the paths of those that it has not.
 */
struct dirs;
struct dirs *dirs_new(int out_fd, struct err *err);
/* A new file there; close_out says whether all of it was written. */
FILE *open_out(int out_fd, const char *name, struct err *err);
int close_out(FILE *f, const char *name, struct err *err);
/* n was made since something is in it; or has its entry now. */
void dirs_implicit(struct dirs *d, const char *path);
int dirs_explicit(struct dirs *d, const struct name *n, struct archive_entry *e,
    struct err *err);
/* Writes `implicit`, says how many there are, frees d. */
int dirs_end(struct dirs *d, uint64_t *n_implicit, struct err *err);
/* Gives the implicit directories of the tree what the `dirs` files of the
 * layers below, on in_fd, bottom first, say. */
int dirs_adopt(const struct tree *t, int out_fd, int in_fd, struct err *err);
/* A directory of the tree; no symlink is followed. -1 and errno. */
int tree_open(const struct tree *t, const char *path);

#endif
