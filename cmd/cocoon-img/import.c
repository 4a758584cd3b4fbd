/* SPDX-License-Identifier: MIT */
/* import: conversion in a directory of its own without any lock of the root,
 * then the commit (commit.c). */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "log.h"
#include "ref.h"
#include "sandbox.h"

#define TRIES_MAX 5

struct import_opts {
	const char *ref;
	struct import_limits max;
};

static const struct import_opts defaults = {
    .max = IMPORT_LIMITS,
};
static const struct opt opts[] = {
    {.name = "ref",
	.kind = OPT_STRING,
	.metavar = "TAG",
	.offset = offsetof(struct import_opts, ref),
	.help = "which image, where the layout has several"},
    {.name = "max-size",
	.kind = OPT_SIZE,
	.metavar = "SIZE",
	.offset = offsetof(struct import_opts, max.bytes),
	.help = "most bytes in a layer (default: 64G)"},
    {.name = "max-entries",
	.kind = OPT_U64,
	.metavar = "N",
	.offset = offsetof(struct import_opts, max.entries),
	.help = "most files in a layer (default: 2000000)"},
};

/* Tars have no manifest: their digests are the image's. */
static int name_source(struct source *src, struct err *err)
{
	AUTO_BUF struct buf text = {0};

	buf_str(&text, "cocoon: an image of tars\n");
	for (size_t i = 0; i < src->n; i++)
		buf_addf(&text, "%s\n", src->layers[i].digest);
	return digest_of_text(text.data, text.len, src->digest, err);
}

int import_layers(struct work *w, const struct import_limits *max,
    const char *name, struct buf *out, struct err *err)
{
	const struct convert c = {.src = &w->src,
	    .work_fd = w->fd,
	    .blob_fd = w->store.blob_fd,
	    .max_bytes = max->bytes,
	    .max_entries = max->entries};
	AUTO_FREE size_t *want = xcalloc(w->src.n, sizeof(*want));
	int r = 1;

	for (int i = 0; r == 1 && i < TRIES_MAX; i++) {
		size_t n;

		if (import_missing(w, want, &n, err) < 0)
			return -1;
		if (n)
			log_info("converting %zu of %zu layers", n, w->src.n);
		if (convert_layers(&c, want, n, err) < 0 ||
		    (n && import_sync(w, err) < 0))
			return -1;
		if (vmlinux_make(w, err) < 0)
			return -1;
		if (!w->src.digest[0] && name_source(&w->src, err) < 0)
			return -1;
		r = import_commit(w, name, out, err);
	}
	if (r == 1)
		return err_set(err, ERR_FAILED,
		    "gc removes layers faster than they are made; try again");
	return r;
}

/* The tar of an image: unpacked into the work directory, then as one there. */
static int import_archive(struct work *w, const struct input *in,
    const struct import_opts *o, struct err *err)
{
	AUTO_FD int dir = dir_open(w->fd, "layout", 0700, err);
	struct stat st;

	if (dir < 0 ||
	    input_explode(in, dir, o->max.bytes, o->max.entries, err) < 0)
		return -1;
	if (fstatat(dir, "oci-layout", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return source_open_dir(
		    &w->src, take_fd(&dir), "the archive", o->ref, err);
	w->src.dir_fd = take_fd(&dir);
	return docker_open(&w->src, o->ref, err);
}

/* Each file a layer, the lowest first; a stream is one. */
static int import_tars(struct work *w, const struct input *in, struct err *err)
{
	w->src.n = in->stream ? 1 : in->n;
	w->src.layers = xcalloc(w->src.n, sizeof(*w->src.layers));
	for (size_t i = 0; i < w->src.n; i++) {
		struct source_layer *l = &w->src.layers[i];
		enum input_kind kind;

		l->fds[0] = in->fds[i];
		l->fds[1] = in->stream ? in->fds[1] : -1;
		l->n_fds = in->stream ? 2 : 1;
		if (i && input_sniff(in, i, 1, &kind, err) < 0)
			return -1;
		if (i && kind != INPUT_TAR)
			return err_set(err, ERR_INPUT,
			    "file %zu is no tar, as the first is", i + 1);
		/* One alone need not be read twice. */
		if (w->src.n > 1 &&
		    digest_of_fd(l->fds[0], l->digest, &l->size, err) < 0)
			return -1;
	}
	return 0;
}

static int import_files(struct work *w, const struct call *call,
    const struct input *in, struct buf *out, struct err *err)
{
	const struct import_opts *o = call->opts;
	const char *name = call->args.v[0];
	const struct cloud from = {
	    .fds = in->fds, .n = in->n, .max_bytes = o->max.bytes};
	enum input_kind kind;
	int r;

	if (input_sniff(in, 0, in->n, &kind, err) < 0)
		return -1;
	if (o->ref && kind != INPUT_IMAGE)
		return err_set(err, ERR_USAGE,
		    "--ref: what is imported has no names in it");
	if (kind == INPUT_DISK)
		return cloud_import(w, name, &from, out, err);
	if (kind == INPUT_IMAGE && in->n > 1 && !in->stream)
		return err_set(
		    err, ERR_USAGE, "an image's archive is imported alone");
	r = kind == INPUT_TAR ? import_tars(w, in, err)
			      : import_archive(w, in, o, err);
	return r < 0 ? -1 : import_layers(w, &o->max, name, out, err);
}

static bool is_directory(const struct call *call)
{
	struct stat st;

	return call->args.n == 2 && stat(call->args.v[1], &st) == 0 &&
	       S_ISDIR(st.st_mode);
}

static int import_one(struct work *w, struct call *call, struct err *err)
{
	const struct import_opts *o = call->opts;
	CLEANUP(input_close) struct input in = INPUT_NONE;

	if (is_directory(call)) {
		if (source_open(&w->src, call->args.v[1], o->ref, err) < 0 ||
		    work_open(w, err) < 0)
			return -1;
		return import_layers(
		    w, &o->max, call->args.v[0], &call->out, err);
	}
	if (input_open(&in, call->args.v + 1, call->args.n - 1, err) < 0 ||
	    work_open(w, err) < 0)
		return -1;
	return import_files(w, call, &in, &call->out, err);
}

static int import_run(struct call *call, struct err *err)
{
	struct work w = WORK_NONE;
	int r;

	if (name_check(call->args.v[0], err) < 0)
		return -1;
	r = import_one(&w, call, err);
	if (r < 0)
		err_wrap(err, "image %.80s", call->args.v[0]);
	work_close(&w);
	return r;
}

const struct verb verb_import = {
    .name = "import",
    .summary = "makes an image of a layout, an archive, a disk",
    .operands = "NAME [FILE...]",
    .min_args = 1,
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct import_opts),
    .defaults = &defaults,
    .changes = true,
    .run = import_run,
};
