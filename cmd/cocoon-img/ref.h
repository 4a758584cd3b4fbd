/* SPDX-License-Identifier: MIT */
/* Names, and the images that they stand for. */
#ifndef COCOON_IMG_REF_H
#define COCOON_IMG_REF_H

#include "img.h"

/* ---- names (name.c) ---- */
int name_check(const char *name, struct err *err);
char *name_escape(const char *name);   /* to a file name */
char *name_unescape(const char *file); /* NULL: it is no escaped name */
/* "debian:12" to "docker.io/library/debian:12"; what is no reference of a
 * registry stays as it is. */
char *name_normal(const char *name);

/* ---- refs (ref.c) ---- */
struct image {
	struct json_object *json; /* owns the strings of doc */
	struct doc_image doc;
};
#define AUTO_IMAGE CLEANUP(image_release)
void image_release(struct image *img);

int ref_load(const struct store *s, const char *name, struct image *out,
    struct err *err);
int ref_write(
    const struct store *s, const struct doc_image *doc, struct err *err);
/* The names in the store, sorted. */
int ref_names(const struct store *s, struct strv *names, struct err *err);
/*
 * All names that ref stands for: the exact name; else what normalises to the
 * same; else by digest, whole or at least 12 digits of it. All have the same
 * digest. ERR_NOTFOUND; ERR_STATE when several images match.
 */
int ref_find(const struct store *s, const char *ref, struct strv *names,
    struct err *err);
/* ref_find and ref_load of the first. */
int ref_open(
    const struct store *s, const char *ref, struct image *out, struct err *err);
/* Fills in the paths, and checks that the files are what was recorded.
 * The paths are kept in *paths. */
int image_paths(const struct store *s, struct doc_image *doc,
    struct strv *paths, struct err *err);

#endif
