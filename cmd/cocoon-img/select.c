/* SPDX-License-Identifier: MIT */
/*
 * Kernel and initial RAM disk of an image: the newest version for which the
 * merged view of all layers has both.
 */
#include <stdlib.h>
#include <string.h>

#include "import.h"

#define LINKS_MAX 8

struct view {
	const struct boot_item **v;
	size_t n;
};

static bool below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !len || (!strncmp(path, dir, len) && path[len] == '/');
}

/* What an upper layer's item hides of the layers below. */
static void hide(struct view *view, const struct boot_item *by)
{
	bool opaque = !strcmp(by->type, "opaque");
	size_t kept = 0;

	for (size_t i = 0; i < view->n; i++) {
		const char *path = view->v[i]->path;

		if (below(path, by->path) ||
		    (!opaque && !strcmp(path, by->path)))
			continue;
		view->v[kept++] = view->v[i];
	}
	view->n = kept;
}

static void add_layer(struct view *view, const struct layer_info *info)
{
	const struct boot_item *items = info->boot.v;

	for (size_t i = 0; i < info->boot.n; i++)
		hide(view, &items[i]);
	view->v =
	    xrealloc(view->v, (view->n + info->boot.n + 1) * sizeof(*view->v));
	for (size_t i = 0; i < info->boot.n; i++)
		if (!strcmp(items[i].type, "file") ||
		    !strcmp(items[i].type, "link"))
			view->v[view->n++] = &items[i];
}

static const struct boot_item *find(const struct view *view, const char *path)
{
	for (size_t i = 0; i < view->n; i++)
		if (!strcmp(view->v[i]->path, path))
			return view->v[i];
	return NULL;
}

/* Where the link at path leads, "" when that is outside. */
static char *target_of(const struct boot_item *link)
{
	const char *slash = strrchr(link->path, '/');
	size_t dir = slash ? (size_t)(slash - link->path) : 0;
	AUTO_BUF struct buf out = {0};

	buf_str(&out, "");
	if (link->target[0] != '/')
		buf_add(&out, link->path, dir);
	for (const char *p = link->target; *p;) {
		size_t len = strcspn(p, "/");

		if (len == 2 && !strncmp(p, "..", 2)) {
			char *up = out.len ? strrchr(out.data, '/') : NULL;

			out.len = up ? (size_t)(up - out.data) : 0;
			if (out.data)
				out.data[out.len] = '\0';
		} else if (len && !(len == 1 && *p == '.')) {
			buf_addf(
			    &out, "%s%.*s", out.len ? "/" : "", (int)len, p);
		}
		p += len;
		p += *p == '/';
	}
	return xstrdup(out.data ? out.data : "");
}

static const struct boot_item *follow(
    const struct view *view, const struct boot_item *item)
{
	for (int i = 0; item && i < LINKS_MAX; i++) {
		AUTO_FREE char *target = NULL;

		if (!strcmp(item->type, "file"))
			return item;
		target = target_of(item);
		item = find(view, target);
	}
	return NULL;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "6.1.0-18-amd64" of "initrd.img-6.1.0-18-amd64"; "" where there is none. */
static char *version_of(const char *path)
{
	static const char *const stems[] = {
	    "vmlinuz", "vmlinux", "initrd.img", "initrd", "initramfs"};
	const char *base = base_of(path);
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(stems); i++)
		if (!strncmp(base, stems[i], strlen(stems[i]))) {
			base += strlen(stems[i]);
			break;
		}
	base += *base == '-';
	len = strlen(base);
	/* initramfs-VERSION.img of Fedora, Arch */
	if (len >= 4 && !strcmp(base + len - 4, ".img"))
		len -= 4;
	return xstrndup(base, len);
}

static bool is_kernel(const struct boot_item *item)
{
	return !strcmp(boot_suffix(item->path), "kernel");
}

struct best {
	const struct boot_item *kernel, *initrd;
	char *version;
};

/* Newer wins; of the same, /boot wins over the root. */
static bool better(const char *version, const char *path, const char *than,
    const struct boot_item *held)
{
	int c;

	if (!held)
		return true;
	c = strverscmp(version, than);
	return c > 0 || (c == 0 && strlen(path) > strlen(held->path));
}

/* The newest of one kind; version NULL: any, else that version only. */
static const struct boot_item *newest(
    const struct view *view, bool kernel, const char *version)
{
	const struct boot_item *best = NULL;
	AUTO_FREE char *of_best = NULL;

	for (size_t i = 0; i < view->n; i++) {
		const struct boot_item *item = view->v[i];
		AUTO_FREE char *v = version_of(item->path);

		if (is_kernel(item) != kernel || !follow(view, item) ||
		    (version && strcmp(v, version)) ||
		    !better(v, item->path, of_best, best))
			continue;
		best = item;
		free(of_best);
		of_best = xstrdup(v);
	}
	return best;
}

static void try_pair(
    const struct view *view, const struct boot_item *kernel, struct best *best)
{
	AUTO_FREE char *v = version_of(kernel->path);
	const struct boot_item *initrd = newest(view, false, v);

	if (!initrd || !follow(view, kernel) ||
	    !better(v, kernel->path, best->version, best->kernel))
		return;
	best->kernel = kernel;
	best->initrd = initrd;
	free(best->version);
	best->version = xstrdup(v);
}

static void put(
    const struct view *view, const struct boot_item *item, struct doc_blob *out)
{
	const struct boot_item *file = item ? follow(view, item) : NULL;

	if (!file)
		return;
	out->digest = file->digest;
	out->size = file->size;
}

void boot_select(
    const struct layer_info *infos, size_t n, struct boot_choice *out)
{
	struct view view = {0};
	struct best best = {0};

	*out = (struct boot_choice){0};
	for (size_t i = 0; i < n; i++)
		add_layer(&view, &infos[i]);
	for (size_t i = 0; i < view.n; i++)
		if (is_kernel(view.v[i]))
			try_pair(&view, view.v[i], &best);
	/* No two names fit together: an initial RAM disk without a version
	 * beside a kernel that has one, say. */
	if (!best.kernel) {
		best.kernel = newest(&view, true, NULL);
		best.initrd = newest(&view, false, NULL);
	}
	put(&view, best.kernel, &out->kernel);
	put(&view, best.initrd, &out->initrd);
	free(best.version);
	free(view.v);
}
