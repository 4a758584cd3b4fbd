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
struct source {
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
	char name[64]; /* below image/tmp */
	int fd;
};

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
