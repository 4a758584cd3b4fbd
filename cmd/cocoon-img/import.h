/* SPDX-License-Identifier: MIT */
/* From an OCI image layout to the store: import.c, layout.c, convert.c,
 * select.c. */
#ifndef COCOON_IMG_IMPORT_H
#define COCOON_IMG_IMPORT_H

#include "img.h"

/* ---- what is imported (layout.c) ---- */
struct source_layer {
	char digest[72];
	uint64_t size;
	char key[72];   /* names its files in the store; "" as yet */
	bool converted; /* they are in the work directory */
};
/* Brings the blobs of a layout that are still elsewhere (pull). */
struct bringer {
	/* A manifest, an index or (config) a configuration; waits for it. */
	int (*document)(struct bringer *b, const char *digest, uint64_t size,
	    bool config, struct err *err);
	/* Gets on with the layers. 1: layer i is there, 0: not yet. */
	int (*layer)(struct bringer *b, size_t i, struct err *err);
	int fd; /* readable when a layer may have come */
};
struct source {
	struct bringer *bring; /* NULL: all is there */
	int dir_fd;
	char digest[72]; /* of the manifest */
	struct source_layer *layers;
	size_t n;
};
#define AUTO_SOURCE CLEANUP(source_release)
void source_release(struct source *src);

/*
 * Opens the layout in directory path and chooses this machine's image; ref
 * (or NULL) by its org.opencontainers.image.ref.name.
 */
int source_open(
    struct source *src, const char *path, const char *ref, struct err *err);
/* The key of layer i where it depends on those below it. */
int source_chain(
    const struct source *src, size_t i, char key[72], struct err *err);
/* A blob by its digest, of that size, opened; no link leads out. */
int source_blob(const struct source *src, const char *digest, uint64_t size,
    struct err *err);

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

/* ---- an import (import.c, commit.c) ---- */
struct work {
	struct store store;
	struct source src;
	char name[96]; /* below image/tmp */
	int fd;
	const char *did; /* "imported" */
	bool force;      /* make layers that are there again */
};
#define WORK_NONE                                                     \
	{                                                             \
		.store = STORE_NONE, .src = {.dir_fd = -1}, .fd = -1, \
		.did = "imported"                                     \
	}

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

/* ---- which kernel (select.c) ---- */
struct boot_choice {
	struct doc_blob kernel, initrd; /* digest NULL: none */
};
/* infos: bottom first. Strings are the infos'. */
void boot_select(
    const struct layer_info *infos, size_t n, struct boot_choice *out);

#endif
