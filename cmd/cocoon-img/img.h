/* SPDX-License-Identifier: MIT */
/*
 * cocoon-img: the image store.
 *
 * image/blob/HEX.erofs   a layer; HEX is the digest of the (compressed) layer
 *                        blob as the manifest names it; where the layer has
 *                        files in directories that only lower layers have
 *                        entries for, of the chain of layers up to it
 * image/blob/HEX.dirs    attributes of its directories, for layers above it
 * image/blob/HEX.json    what is known of it (struct layer_info); renamed into
 *                        place last, so a layer is there when this is
 * image/blob/HEX.kernel  kernels and initial RAM disks that were found in
 * image/blob/HEX.initrd  layers; HEX is the SHA-256 of their bytes
 * image/blob/HEX.vmlinux the chosen kernel unpacked, by its own SHA-256
 * image/blob/HEX.qcow2   disks of cloud images, by the SHA-256 of the file;
 * image/blob/HEX.raw     0444, and never written
 * image/ref/NAME         an image: struct doc_image without paths. The ref is
 *                        the commit.
 * image/tmp/import-ID/   an import in progress, which holds its flock
 */
#ifndef COCOON_IMG_H
#define COCOON_IMG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doc.h"
#include "err.h"
#include "file.h"
#include "jdoc.h"
#include "state.h"
#include "tool.h"

extern const struct verb verb_import, verb_resolve, verb_list, verb_inspect,
    verb_rm, verb_verify, verb_gc, verb_doctor, verb_pull;

/* ---- the store (store.c) ---- */
struct store {
	struct state st;
	int image_fd, blob_fd, ref_fd, tmp_fd; /* -1: not there (yet) */
};
#define STORE_NONE                                                             \
	{                                                                      \
		.st = STATE_NONE, .image_fd = -1, .blob_fd = -1, .ref_fd = -1, \
		.tmp_fd = -1                                                   \
	}

/* Without create, what is not there is empty. */
int store_open(struct store *s, bool create, struct err *err);
void store_close(struct store *s);
#define AUTO_STORE CLEANUP(store_close)
/* Calls fn for every entry of a directory; a dirfd of -1 has none. Stops at
 * the first that is not 0 and returns it. */
int store_each(int dirfd, int (*fn)(const char *name, void *arg), void *arg,
    struct err *err);

/* What a layer holds, HEX.json; the helper answers with a part of it. */
struct boot_item {
	const char *path;   /* "vmlinuz-6.1", "boot/initrd.img-6.1", "boot" */
	const char *type;   /* file link whiteout opaque other */
	const char *target; /* link */
	const char *digest; /* file */
	uint64_t size;
};
struct layer_info {
	const char *key;            /* "sha256:HEX", HEX of the file names */
	const char *digest;         /* of the layer blob */
	const char *diff;           /* of its tar, where it was asked for */
	uint64_t source_size;       /* bytes of the layer blob */
	uint64_t entries, implicit; /* implicit: directories without entry */
	const char *erofs_digest;   /* of HEX.erofs */
	uint64_t erofs_size;
	struct jarr boot; /* struct boot_item */
};
extern const struct jtable layer_info_table;

/* Parses and checks; strings live as long as *json. */
int layer_info_parse(const char *text, size_t len, struct layer_info *out,
    struct json_object **json, struct err *err);
/* HEX.json of a layer; ERR_NOTFOUND. */
int layer_info_load(int blob_fd, const char *key, struct layer_info *out,
    struct json_object **json, struct err *err);

/* "HEX.SUFFIX" */
char *blob_name(const char *digest, const char *suffix);
/* "kernel" or "initrd" by a file's name. */
const char *boot_suffix(const char *path);
/* Bytes of a blob, or -1 with ERR_NOTFOUND or ERR_FAILED. */
int64_t blob_size(int blob_fd, const char *name, struct err *err);
/* True if the layer is there with all its files. Above others a layer with
 * implicit directories is only good under the key of its chain. */
bool layer_present(
    const struct store *s, const char *key, const char *digest, bool above);

#endif
