/* SPDX-License-Identifier: MIT */
/* Into the store: layers (layout.c, convert.c, select.c, commit.c) and disks
 * (cloud.c). */
#ifndef COCOON_IMG_IMPORT_H
#define COCOON_IMG_IMPORT_H

#include "source.h"

/* ---- one directory of an import in progress (convert.c) ---- */
struct convert {
	struct source *src;
	int work_fd; /* holds the flock; children inherit it */
	int blob_fd; /* the store's, for layers that are there */
	uint64_t max_bytes, max_entries;
};

/* work/N, of layer N, made by convert_layers. */
#define WORK_EROFS "erofs"
#define WORK_JSON "json"
#define WORK_DIRS "out/dirs"
#define WORK_BOOT "out" /* kernels by their SHA-256 */

/*
 * Makes work/N of each layer N that is listed, ascending, two at once, and
 * sets its key. What it leaves on failure is in work.
 */
int convert_layers(
    const struct convert *c, const size_t *want, size_t n, struct err *err);

/* ---- an import (work.c, import.c, commit.c) ---- */
struct work {
	struct store store;
	struct source src;
	char name[96];   /* below image/tmp */
	int fd;          /* that directory, its flock held */
	size_t mark;     /* of the undo list */
	const char *did; /* "imported" */
	bool force;      /* make layers that are there again */
	/* The ELF file of which kernel, in the store or the work directory;
	 * "": none (vmlinux.c). */
	char vmlinux_of[72], vmlinux[72];
	uint64_t vmlinux_size;
};
#define WORK_NONE                                                     \
	{                                                             \
		.store = STORE_NONE, .src = {.dir_fd = -1}, .fd = -1, \
		.did = "imported"                                     \
	}

/* The store, and a directory in image/tmp that goes with work_close. */
int work_open(struct work *w, struct err *err);
void work_close(struct work *w);
/* For a commit: gc and other commits wait until w and this are closed. */
int work_lock(struct work *w, struct err *err);

struct import_limits {
	uint64_t bytes, entries; /* of a layer */
};
#define IMPORT_LIMITS                                            \
	{                                                        \
		.bytes = (uint64_t)64 << 30, .entries = 2000000, \
	}

/* Converts what is missing and commits it under the name; says so in out. */
int import_layers(struct work *w, const struct import_limits *max,
    const char *name, struct buf *out, struct err *err);

/* The layers that are neither in the store nor converted; want has room for
 * all. Sets the keys of the others. */
int import_missing(struct work *w, size_t *want, size_t *n, struct err *err);
int import_sync(const struct work *w, struct err *err);
/* 1: gc removed a layer that was there when this import began. */
int import_commit(
    struct work *w, const char *name, struct buf *out, struct err *err);

/* The kernel that will be chosen as an ELF file, if it can be one: into the
 * work directory, before the commit puts it into the store. */
int vmlinux_make(struct work *w, struct err *err);
int vmlinux_publish(struct work *w, const struct doc_blob *kernel,
    struct doc_blob *out, struct err *err);

/* ---- which kernel (select.c) ---- */
struct boot_choice {
	struct doc_blob kernel, initrd; /* digest NULL: none */
};
/* infos: bottom first. Strings are the infos'. */
void boot_select(
    const struct layer_info *infos, size_t n, struct boot_choice *out);

#endif
