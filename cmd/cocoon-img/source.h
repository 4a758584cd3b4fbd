/* SPDX-License-Identifier: MIT */
/* An image somewhere else: its layers, and where their bytes are. */
#ifndef COCOON_IMG_SOURCE_H
#define COCOON_IMG_SOURCE_H

#include "img.h"

/* ---- what is imported (layout.c) ---- */
struct source_layer {
	char digest[72]; /* "": known when it was read */
	char diff[72];   /* that its tar must have without compression, or "" */
	uint64_t size;
	char *path; /* below the directory, where it is no blob of a layout */
	int fds[2]; /* or these, after each other */
	size_t n_fds;
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
/* The same of a directory that is open, which it takes; what: in messages. */
int source_open_dir(struct source *src, int dir_fd, const char *what,
    const char *ref, struct err *err);
/* What `docker save` writes (docker.c): chooses by a tag. The directory is
 * src's already. */
int docker_open(struct source *src, const char *ref, struct err *err);
/* A regular file below the directory; ERR_INPUT. */
int source_file(const struct source *src, const char *path, uint64_t *size,
    struct err *err);
/* Its document. */
struct json_object *source_json(
    const struct source *src, const char *path, struct err *err);
/* "amd64", as an image spells this machine's architecture. */
const char *this_arch(void);
/* The key of layer i where it depends on those below it. */
int source_chain(
    const struct source *src, size_t i, char key[72], struct err *err);
/* A blob by its digest, of that size, opened; no link leads out. */
int source_blob(const struct source *src, const char *digest, uint64_t size,
    struct err *err);

#endif
