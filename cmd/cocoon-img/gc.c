/* SPDX-License-Identifier: MIT */
/*
 * gc: blobs that no image names and nothing has linked, and what imports that
 * died left. It holds the root lock alone, so no commit is under way.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gc.h"
#include "img.h"
#include "ref.h"

static const struct opt opts[] = {GC_OPT_DRY_RUN, GC_OPT_OUTPUT};

struct gc {
	struct call *call;
	const struct gc_opts *o;
	struct store store;
	struct strv live;  /* file names below image/blob, sorted */
	struct strv blobs; /* all of them */
	struct err *err;
};

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_live(struct gc *g, const char *digest, const char *suffix)
{
	AUTO_FREE char *name = digest ? blob_name(digest, suffix) : NULL;

	if (name)
		strv_add(&g->live, name);
}

static bool is_live(const struct gc *g, const char *name)
{
	return g->live.n &&
	       bsearch(&name, g->live.v, g->live.n, sizeof(*g->live.v), order);
}

/* A layer with all kernels that were found in it: an image that is imported
 * later, of more layers, may need another one of them. */
static void keep_layer(struct gc *g, const char *key)
{
	AUTO_JSON struct json_object *json = NULL;
	const struct boot_item *items;
	struct layer_info info;
	struct err ignored;

	add_live(g, key, "erofs");
	add_live(g, key, "json");
	add_live(g, key, "dirs");
	if (layer_info_load(g->store.blob_fd, key, &info, &json, &ignored) < 0)
		return;
	items = info.boot.v;
	for (size_t i = 0; i < info.boot.n; i++)
		if (!strcmp(items[i].type, "file"))
			add_live(
			    g, items[i].digest, boot_suffix(items[i].path));
}

/* A ref that cannot be read may name anything: then nothing is removed. */
static int keep_image(struct gc *g, const char *name)
{
	AUTO_IMAGE struct image img = {0};
	const struct doc_blob *layers;

	if (ref_load(&g->store, name, &img, g->err) < 0)
		return -1;
	layers = img.doc.layers.v;
	for (size_t i = 0; i < img.doc.layers.n; i++)
		keep_layer(g, layers[i].digest);
	add_live(g, img.doc.kernel.digest, "kernel");
	add_live(g, img.doc.initrd.digest, "initrd");
	add_live(g, img.doc.vmlinux.digest, "vmlinux");
	if (img.doc.disk.digest)
		add_live(g, img.doc.disk.digest, img.doc.disk.format);
	return 0;
}

/* HEX.SUFFIX as we make them; anything else is not ours to remove. */
static bool is_blob(const char *name)
{
	static const char *const suffixes[] = {".erofs", ".json", ".dirs",
	    ".kernel", ".initrd", ".vmlinux", ".qcow2", ".raw"};

	if (strspn(name, "0123456789abcdef") != 64)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (!strcmp(name + 64, suffixes[i]))
			return true;
	return false;
}

static int note_blob(const char *name, void *arg)
{
	struct gc *g = arg;

	if (is_blob(name))
		strv_add(&g->blobs, name);
	return 0;
}

static bool pinned(const struct gc *g, const char *name)
{
	struct stat st;

	return fstatat(g->store.blob_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	       st.st_nlink > 1;
}

/* A VM's layer keeps what belongs to it, so that an import finds it whole. */
static void keep_pinned(struct gc *g)
{
	size_t n = g->blobs.n;

	for (size_t i = 0; i < n; i++) {
		const char *name = g->blobs.v[i];

		if (!strcmp(name + 64, ".erofs") && pinned(g, name)) {
			AUTO_FREE char *key = xasprintf("sha256:%.64s", name);

			keep_layer(g, key);
		}
	}
}

static int remove_blobs(struct gc *g)
{
	for (size_t i = 0; i < g->blobs.n; i++) {
		const char *name = g->blobs.v[i];

		if (is_live(g, name) || pinned(g, name))
			continue;
		if (!g->o->dry_run && unlinkat(g->store.blob_fd, name, 0) < 0)
			return err_sys(
			    g->err, errno, "image/blob/%s: remove", name);
		gc_removed(g->call, "blob", name, "no image, no VM");
		if (tool_check(g->err) < 0)
			return -1;
	}
	return 0;
}

/* An import that lives, or a child of it, holds the directory's flock. */
static int remove_work(const char *name, void *arg)
{
	struct gc *g = arg;
	struct err ignored;
	AUTO_FD int fd = dir_open(g->store.tmp_fd, name, 0, &ignored);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	if (!g->o->dry_run && tree_remove(g->store.tmp_fd, name, g->err) < 0)
		return -1;
	gc_removed(
	    g->call, "temporary", name, "left by a command that was killed");
	return tool_check(g->err);
}

/* A writer of a ref that died; writers hold the root lock. */
static int remove_ref_tmp(const char *name, void *arg)
{
	struct gc *g = arg;

	if (name[0] != '.')
		return 0;
	if (!g->o->dry_run && unlinkat(g->store.ref_fd, name, 0) < 0)
		return err_sys(g->err, errno, "image/ref/%s: remove", name);
	gc_removed(
	    g->call, "temporary", name, "left by a command that was killed");
	return 0;
}

static int collect(struct gc *g)
{
	AUTO_STRV struct strv names = {0};

	if (ref_names(&g->store, &names, g->err) < 0 ||
	    store_each(g->store.blob_fd, note_blob, g, g->err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++)
		if (keep_image(g, names.v[i]) < 0)
			return err_wrap(g->err, "gc: nothing removed");
	keep_pinned(g);
	if (g->live.n)
		qsort(g->live.v, g->live.n, sizeof(*g->live.v), order);
	if (g->blobs.n)
		qsort(g->blobs.v, g->blobs.n, sizeof(*g->blobs.v), order);
	if (remove_blobs(g) < 0 ||
	    store_each(g->store.tmp_fd, remove_work, g, g->err) < 0 ||
	    store_each(g->store.ref_fd, remove_ref_tmp, g, g->err) < 0)
		return -1;
	return 0;
}

static int gc_run(struct call *call, struct err *err)
{
	struct gc g = {
	    .call = call, .o = call->opts, .store = STORE_NONE, .err = err};
	int r = store_open(&g.store, false, err);

	if (r == 0 && g.store.image_fd >= 0)
		r = state_lock_exclusive(&g.store.st, GC_LOCK_MS, err) < 0
			? err_wrap(err, "gc: something is being made")
			: collect(&g);
	strv_release(&g.live);
	strv_release(&g.blobs);
	store_close(&g.store);
	return r;
}

const struct verb verb_gc = {
    .name = "gc",
    .summary = "removes blobs that no image and no VM uses",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct gc_opts),
    .defaults = &gc_defaults,
    .changes = true,
    .run = gc_run,
};
