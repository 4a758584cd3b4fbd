/* SPDX-License-Identifier: MIT */
/* import: conversion in a directory of its own without any lock of the root,
 * then the commit (commit.c). */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "ref.h"
#include "undo.h"

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

static int remove_work(void *arg, struct err *err)
{
	struct work *w = arg;

	return tree_remove(w->store.tmp_fd, w->name, err);
}

/* gc takes what nobody holds: after taking the lock, was it faster? */
static int claim_work(struct work *w, struct err *err)
{
	char id[STATE_ID_LEN + 1];
	struct stat a, b;

	for (int i = 0; i < TRIES_MAX; i++) {
		state_new_id(id);
		snprintf(w->name, sizeof(w->name), "import-%s", id);
		close_fd(&w->fd);
		w->fd = dir_open(w->store.tmp_fd, w->name, 0700, err);
		if (w->fd < 0)
			return -1;
		if (flock(w->fd, LOCK_EX | LOCK_NB) == 0 &&
		    fstat(w->fd, &a) == 0 &&
		    fstatat(w->store.tmp_fd, w->name, &b,
			AT_SYMLINK_NOFOLLOW) == 0 &&
		    a.st_ino == b.st_ino) {
			undo_push(remove_work, w, w->name);
			return 0;
		}
	}
	return err_set(
	    err, ERR_FAILED, "image/tmp/%s: cannot be held", w->name);
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
		r = import_commit(w, name, out, err);
	}
	if (r == 1)
		return err_set(err, ERR_FAILED,
		    "gc removes layers faster than they are made; try again");
	return r;
}

static int check_operands(const struct call *call, struct err *err)
{
	if (name_check(call->args.v[0], err) < 0)
		return -1;
	if (call->args.n == 1)
		return err_set(err, ERR_UNSUPPORTED,
		    "import from standard input: not supported: give the "
		    "directory of an OCI image layout");
	if (call->args.n > 2)
		return err_set(err, ERR_UNSUPPORTED,
		    "import of several files: not supported: give the one "
		    "directory of an OCI image layout");
	return 0;
}

static int import_run(struct call *call, struct err *err)
{
	const struct import_opts *o = call->opts;
	struct work w = WORK_NONE;
	size_t mark = undo_mark();
	int r;

	if (check_operands(call, err) < 0)
		return -1;
	r = source_open(&w.src, call->args.v[1], o->ref, err);
	if (r == 0)
		r = store_open(&w.store, true, err);
	if (r == 0)
		r = claim_work(&w, err);
	if (r == 0)
		r = import_layers(
		    &w, &o->max, call->args.v[0], &call->out, err);
	if (r < 0)
		err_wrap(err, "image %.80s", call->args.v[0]);
	undo_run(mark); /* the work directory goes in either case */
	close_fd(&w.fd);
	source_release(&w.src);
	store_close(&w.store);
	return r;
}

const struct verb verb_import = {
    .name = "import",
    .summary = "makes an image of an OCI image layout directory",
    .operands = "NAME DIRECTORY",
    .min_args = 1,
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct import_opts),
    .defaults = &defaults,
    .changes = true,
    .run = import_run,
};
