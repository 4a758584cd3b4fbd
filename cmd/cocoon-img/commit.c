/* SPDX-License-Identifier: MIT */
/*
 * The end of an import: what is new moves into the store and the ref is
 * written, under the shared root lock, which keeps gc out, and the image
 * directory's flock, which keeps other commits out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import.h"
#include "log.h"
#include "ref.h"

/* Has the store the layer, under its own digest or its chain's? Sets key. */
static int look_for(struct work *w, size_t i, bool *found, struct err *err)
{
	struct source_layer *l = &w->src.layers[i];

	*found = l->digest[0] &&
		 layer_present(&w->store, l->digest, l->digest, i > 0);
	if (*found) {
		memcpy(l->key, l->digest, sizeof(l->key));
		return 0;
	}
	if (i == 0 || !l->digest[0])
		return 0;
	if (source_chain(&w->src, i, l->key, err) < 0)
		return -1;
	*found = layer_present(&w->store, l->key, l->digest, true);
	return 0;
}

/* The layers that are neither in the store nor converted. */
int import_missing(struct work *w, size_t *want, size_t *n, struct err *err)
{
	*n = 0;
	for (size_t i = 0; i < w->src.n; i++) {
		bool found = w->src.layers[i].converted;

		if (!found && !w->force && look_for(w, i, &found, err) < 0)
			return -1;
		if (!found)
			want[(*n)++] = i;
	}
	return 0;
}

static int move(
    struct work *w, const char *from, const char *to, struct err *err)
{
	if (renameat(w->fd, from, w->store.blob_fd, to) < 0)
		return err_sys(err, errno, "image/blob/%s: rename", to);
	return 0;
}

static int move_boot(
    struct work *w, size_t n, const struct layer_info *info, struct err *err)
{
	const struct boot_item *items = info->boot.v;

	for (size_t i = 0; i < info->boot.n; i++) {
		AUTO_FREE char *from = NULL, *to = NULL;
		struct err ignored;

		if (strcmp(items[i].type, "file"))
			continue;
		from =
		    xasprintf("%zu/%s/%s", n, WORK_BOOT, items[i].digest + 7);
		to = blob_name(items[i].digest, boot_suffix(items[i].path));
		/* VMs share the file that is there. */
		if (blob_size(w->store.blob_fd, to, &ignored) ==
		    (int64_t)items[i].size)
			continue;
		/* By link: two names in the layer may be the same bytes. */
		unlinkat(w->store.blob_fd, to, 0);
		if (linkat(w->fd, from, w->store.blob_fd, to, 0) < 0)
			return err_sys(err, errno, "image/blob/%s: link", to);
	}
	return 0;
}

/* One layer into the store; HEX.json comes last and makes it valid. */
static int publish(struct work *w, size_t n, struct err *err)
{
	static const char *const files[][2] = {
	    {WORK_DIRS, "dirs"}, {WORK_EROFS, "erofs"}, {WORK_JSON, "json"}};
	const struct source_layer *l = &w->src.layers[n];
	AUTO_FREE char *json = blob_name(l->key, "json");
	AUTO_FREE char *mine = xasprintf("%zu/%s", n, WORK_JSON);
	AUTO_JSON struct json_object *v = NULL;
	AUTO_BUF struct buf text = {0};
	struct layer_info info;

	/* Another import may have been faster; or the image has it twice. */
	if (!l->converted ||
	    (!w->force && layer_present(&w->store, l->key, l->digest, n > 0)))
		return 0;
	if (file_read(w->fd, mine, &text, 1 << 20, err) < 0 ||
	    layer_info_parse(text.data, text.len, &info, &v, err) < 0)
		return -1;
	if (unlinkat(w->store.blob_fd, json, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "image/blob/%s: remove", json);
	if (move_boot(w, n, &info, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO_FREE char *from = xasprintf("%zu/%s", n, files[i][0]);
		AUTO_FREE char *to = blob_name(l->key, files[i][1]);

		if (move(w, from, to, err) < 0)
			return -1;
	}
	return 0;
}

struct collected {
	struct layer_info *infos;
	struct json_object **json;
	size_t n;
};

static void collected_release(struct collected *c)
{
	for (size_t i = 0; i < c->n; i++)
		jval_put(c->json[i]);
	free(c->infos);
	free(c->json);
}

static int collect(const struct work *w, struct collected *c, struct err *err)
{
	c->infos = xcalloc(w->src.n, sizeof(*c->infos));
	c->json = xcalloc(w->src.n, sizeof(struct json_object *));
	for (size_t i = 0; i < w->src.n; i++, c->n++)
		if (layer_info_load(w->store.blob_fd, w->src.layers[i].key,
			&c->infos[i], &c->json[i], err) < 0)
			return -1;
	return 0;
}

static void fill(
    const struct collected *c, struct doc_blob *blobs, struct doc_image *doc)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct layer_info *info = &c->infos[i];
		bool again = false;

		blobs[i] = (struct doc_blob){
		    .digest = info->key, .size = info->erofs_size};
		for (size_t j = 0; j < i; j++)
			again |= !strcmp(c->infos[j].key, info->key);
		doc->size += again ? 0 : info->erofs_size;
	}
	doc->layers = (struct jarr){blobs, c->n};
}

static int write_image(
    struct work *w, const char *name, struct buf *out, struct err *err)
{
	struct doc_image doc = {.name = name,
	    .digest = w->src.digest,
	    .type = "oci",
	    .created_at = (uint64_t)wall_ms()};
	CLEANUP(collected_release) struct collected c = {0};
	AUTO_FREE struct doc_blob *blobs = NULL;
	struct boot_choice boot;
	char size[32];

	if (collect(w, &c, err) < 0)
		return -1;
	blobs = xcalloc(c.n, sizeof(*blobs));
	fill(&c, blobs, &doc);
	boot_select(c.infos, c.n, &boot);
	doc.kernel = boot.kernel;
	doc.initrd = boot.initrd;
	if (vmlinux_publish(w, &doc.kernel, &doc.vmlinux, err) < 0)
		return -1;
	doc.size += boot.kernel.size + boot.initrd.size + doc.vmlinux.size;
	if (!doc.kernel.digest)
		log_warn("image %s: no kernel in it: it cannot be "
			 "booted directly",
		    name);
	else if (!doc.initrd.digest)
		log_warn("image %s: no initial RAM disk in it: it "
			 "cannot be booted directly",
		    name);
	if (fsync(w->store.blob_fd) < 0)
		return err_sys(err, errno, "image/blob: fsync");
	if (ref_write(&w->store, &doc, err) < 0)
		return -1;
	format_size_si(doc.size, size);
	buf_addf(out, "%s: %s %s %zu layers %s\n", w->did, name, doc.digest,
	    w->src.n, size);
	return 0;
}

static int sync_file(int dir, const char *name, struct err *err)
{
	AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_sys(err, errno, "%s: fsync", name);
	return 0;
}

struct sync {
	int dir;
	struct err *err;
};

static int sync_out(const char *name, void *arg)
{
	const struct sync *s = arg;

	return sync_file(s->dir, name, s->err);
}

/*
 * All new files at once, after all conversions: the first fsync writes the
 * journal for all of them, the others wait for their data only.
 */
int import_sync(const struct work *w, struct err *err)
{
	for (size_t i = 0; i < w->src.n; i++) {
		AUTO_FREE char *erofs = xasprintf("%zu/%s", i, WORK_EROFS);
		AUTO_FREE char *json = xasprintf("%zu/%s", i, WORK_JSON);
		AUTO_FREE char *out = xasprintf("%zu/%s", i, WORK_BOOT);
		AUTO_FD int dir = -1;

		if (!w->src.layers[i].converted)
			continue;
		dir = open_beneath(w->fd, out, O_RDONLY | O_DIRECTORY, 0, err);
		if (dir < 0 || sync_file(w->fd, erofs, err) < 0 ||
		    sync_file(w->fd, json, err) < 0 ||
		    store_each(dir, sync_out, &(struct sync){dir, err}, err) <
			0)
			return -1;
	}
	return 0;
}

int import_commit(
    struct work *w, const char *name, struct buf *out, struct err *err)
{
	AUTO_FREE size_t *want = xcalloc(w->src.n, sizeof(*want));
	AUTO_FD int lock = work_lock(w, err);
	size_t n;

	if (lock < 0 || import_missing(w, want, &n, err) < 0)
		return -1;
	if (n) {
		close_fd(&w->store.st.lock_fd);
		return 1;
	}
	if (tool_check(err) < 0)
		return -1;
	for (size_t i = 0; i < w->src.n; i++)
		if (publish(w, i, err) < 0)
			return -1;
	return write_image(w, name, out, err);
}
