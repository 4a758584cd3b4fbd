/* SPDX-License-Identifier: MIT */
/*
 * pull: an image of a registry. What it needs is laid out as an OCI layout in
 * a work directory that is named by the digest, so that of two pulls of one
 * image the second waits and then finds it done; and that stays when a
 * connection broke for good, so that the next pull goes on with it (or gc
 * removes it).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "download.h"
#include "jtext.h"
#include "log.h"
#include "ref.h"
#include "undo.h"

static const struct pull_opts defaults = PULL_DEFAULTS;
static const struct opt opts[] = {
    {.name = "force",
	.kind = OPT_FLAG,
	.offset = offsetof(struct pull_opts, force),
	.help = "fetch and convert again what is there"},
    {.name = "insecure",
	.kind = OPT_FLAG,
	.offset = offsetof(struct pull_opts, insecure),
	.help = "allow plain HTTP, and certificates of anybody"},
    {.name = "sha256",
	.kind = OPT_STRING,
	.metavar = "HEX|URL",
	.offset = offsetof(struct pull_opts, sha256),
	.help = "what a URL's file must be, or where that is listed"},
    {.name = "max-size",
	.kind = OPT_SIZE,
	.metavar = "SIZE",
	.offset = offsetof(struct pull_opts, max.bytes),
	.help = "most bytes to fetch, and in a layer (default: 64G)"},
    {.name = "max-entries",
	.kind = OPT_U64,
	.metavar = "N",
	.offset = offsetof(struct pull_opts, max.entries),
	.help = "most files in a layer (default: 2000000)"},
};

struct pull {
	const struct pull_opts *o;
	struct registry reg;
	struct work work;
	struct downloads down;
	char digest[72]; /* of what the reference names */
	uint64_t size;
	int root_fd; /* that document */
	int blobs_fd;
};

static int remove_work(void *arg, struct err *err)
{
	struct work *w = arg;

	return tree_remove(w->store.tmp_fd, w->name, err);
}

/* Waits for another pull of the same; gc and that one remove directories. */
int pull_claim(struct work *w, const char *digest, struct err *err)
{
	struct stat a, b;
	bool told = false;

	snprintf(w->name, sizeof(w->name), "pull-%s", digest + 7);
	for (;;) {
		struct err e = {0};

		if (tool_check(err) < 0)
			return -1;
		close_fd(&w->fd);
		w->fd = dir_open(w->store.tmp_fd, w->name, 0700, err);
		if (w->fd < 0)
			return -1;
		if (file_lock(w->fd, LOCK_EX, 500, w->name, &e) < 0) {
			if (!told)
				log_info("another pull of it is under way");
			told = true;
			continue;
		}
		if (fstat(w->fd, &a) == 0 &&
		    fstatat(w->store.tmp_fd, w->name, &b,
			AT_SYMLINK_NOFOLLOW) == 0 &&
		    a.st_ino == b.st_ino) {
			undo_push(remove_work, w, w->name);
			return 0;
		}
	}
}

/* The document of the reference as a blob, and an index that names it. */
static int lay_out(struct pull *p, struct err *err)
{
	static const char mark[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	AUTO_FD int layout = dir_open(p->work.fd, "layout", 0700, err);
	AUTO_FD int blobs =
	    layout < 0 ? -1 : dir_open(layout, "blobs", 0700, err);
	AUTO_BUF struct buf text = {0};
	AUTO_FREE char *index =
	    xasprintf("{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\","
		      "\"size\":%llu}]}",
		p->digest, (unsigned long long)p->size);

	p->blobs_fd = blobs < 0 ? -1 : dir_open(blobs, "sha256", 0700, err);
	if (p->blobs_fd < 0)
		return -1;
	if (lseek(p->root_fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "manifest: rewind");
	if (read_all(p->root_fd, &text, JTEXT_MAX_SIZE, "manifest", err) < 0 ||
	    file_replace(p->blobs_fd, p->digest + 7, text.data, text.len, false,
		err) < 0 ||
	    file_replace(layout, "oci-layout", mark, strlen(mark), false, err) <
		0)
		return -1;
	return file_replace(
	    layout, "index.json", index, strlen(index), false, err);
}

static int bring_all(struct pull *p, struct buf *out, struct err *err)
{
	struct work *w = &p->work;
	AUTO_FREE char *path =
	    xasprintf("%s/image/tmp/%s/layout", w->store.st.root, w->name);
	int r;

	if (lay_out(p, err) < 0 ||
	    downloads_open(&p->down, &p->reg, w, p->blobs_fd, err) < 0)
		return -1;
	p->down.max_bytes = p->o->max.bytes;
	w->src.bring = &p->down.bring;
	w->did = "pulled";
	w->force = p->o->force;
	r = source_open(&w->src, path, NULL, err);
	if (r == 0)
		r = import_layers(w, &p->o->max, p->reg.name, out, err);
	return r;
}

static int pull_registry(struct pull *p, struct buf *out, struct err *err)
{
	struct work *w = &p->work;

	if (store_open(&w->store, true, err) < 0)
		return -1;
	p->root_fd =
	    openat(w->store.tmp_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (p->root_fd < 0)
		return err_sys(err, errno, "image/tmp: create a file");
	if (registry_root(&p->reg, p->root_fd, p->digest, &p->size, err) < 0 ||
	    pull_claim(w, p->digest, err) < 0)
		return -1;
	return bring_all(p, out, err);
}

static void pull_close(struct pull *p, size_t mark, bool failed)
{
	downloads_release(&p->down);
	if (failed && p->down.kept && !tool_interrupted())
		undo_forget(mark);
	else
		undo_run(mark);
	close_fd(&p->work.fd);
	close_fd(&p->root_fd);
	close_fd(&p->blobs_fd);
	source_release(&p->work.src);
	store_close(&p->work.store);
	registry_release(&p->reg);
}

int pull_image(const struct pull_opts *o, const char *ref, struct buf *out,
    char **name, struct err *err)
{
	struct pull p = {.o = o,
	    .work = WORK_NONE,
	    .down = {.bring = {.fd = -1}},
	    .root_fd = -1,
	    .blobs_fd = -1};
	size_t mark = undo_mark();
	int r;

	if (is_url(ref)) {
		if (name)
			*name = xstrdup(ref);
		return pull_url(o, ref, out, err);
	}
	r = registry_open(&p.reg, ref, o->insecure, err);

	for (size_t i = 0; i < DOWNLOADS; i++)
		p.down.jobs[i] =
		    (struct download){.fetch = FETCH_NONE, .fd = -1};
	if (r == 0)
		r = name_check(p.reg.name, err);
	if (r == 0)
		r = pull_registry(&p, out, err);
	if (r < 0)
		err_wrap(err, "%.100s", ref);
	else if (name)
		*name = xstrdup(p.reg.name);
	pull_close(&p, mark, r < 0);
	return r;
}

static int pull_run(struct call *call, struct err *err)
{
	const struct pull_opts *o = call->opts;

	if (o->sha256 && (call->args.n != 1 || !is_url(call->args.v[0])))
		return err_set(err, ERR_USAGE,
		    "--sha256 is of one URL; what a registry has is asked for "
		    "by NAME@sha256:DIGEST");
	for (size_t i = 0; i < call->args.n; i++)
		if (pull_image(call->opts, call->args.v[i], &call->out, NULL,
			err) < 0 ||
		    tool_flush(call, err) < 0)
			return -1;
	return 0;
}

const struct verb verb_pull = {
    .name = "pull",
    .summary = "fetches images from registries, or disks by URL",
    .operands = "REF...",
    .min_args = 1,
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct pull_opts),
    .defaults = &defaults,
    .changes = true,
    .run = pull_run,
};
