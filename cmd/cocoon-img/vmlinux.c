/* SPDX-License-Identifier: MIT */
/* The kernel of an image as an ELF file, for hypervisors that take no other. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "import.h"
#include "log.h"
#include "proc.h"
#include "ref.h"
#include "sandbox.h"

#define WORK_VMLINUX "vmlinux"
#define KERNEL_MAX ((uint64_t)1 << 30)
/* A kernel's xz wants a dictionary of 32 or 128 MiB. */
#define MEMORY ((uint64_t)192 << 20)

struct infos {
	struct layer_info *v;
	struct json_object **json;
	size_t n;
};

static void infos_release(struct infos *c)
{
	for (size_t i = 0; i < c->n; i++)
		jval_put(c->json[i]);
	free(c->v);
	free(c->json);
}

/* Of every layer, from the work directory or the store. */
static int load(const struct work *w, struct infos *c, struct err *err)
{
	c->v = xcalloc(w->src.n, sizeof(*c->v));
	c->json = xcalloc(w->src.n, sizeof(struct json_object *));
	for (; c->n < w->src.n; c->n++) {
		const struct source_layer *l = &w->src.layers[c->n];
		AUTO_FREE char *mine = xasprintf("%zu/%s", c->n, WORK_JSON);
		AUTO_BUF struct buf text = {0};

		if (!l->converted) {
			if (layer_info_load(w->store.blob_fd, l->key,
				&c->v[c->n], &c->json[c->n], err) < 0)
				return -1;
			continue;
		}
		if (file_read(w->fd, mine, &text, 1 << 20, err) < 0 ||
		    layer_info_parse(text.data, text.len, &c->v[c->n],
			&c->json[c->n], err) < 0)
			return -1;
	}
	return 0;
}

static int open_kernel(const struct work *w, const char *digest)
{
	AUTO_FREE char *name = blob_name(digest, "kernel");
	int fd =
	    openat(w->store.blob_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	for (size_t i = 0; fd < 0 && i < w->src.n; i++) {
		AUTO_FREE char *path =
		    xasprintf("%zu/%s/%s", i, WORK_BOOT, digest + 7);

		fd = openat(w->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	return fd;
}

/* Another image has it of the same kernel? */
static bool known(struct work *w, const char *kernel)
{
	AUTO_STRV struct strv names = {0};
	struct err ignored;

	if (w->force || ref_names(&w->store, &names, &ignored) < 0)
		return false;
	for (size_t i = 0; i < names.n; i++) {
		AUTO_IMAGE struct image img = {0};
		AUTO_FREE char *blob = NULL;
		const struct doc_blob *b = &img.doc.vmlinux;

		if (ref_load(&w->store, names.v[i], &img, &ignored) < 0 ||
		    !img.doc.kernel.digest || !b->digest ||
		    strcmp(img.doc.kernel.digest, kernel))
			continue;
		blob = blob_name(b->digest, "vmlinux");
		if (blob_size(w->store.blob_fd, blob, &ignored) !=
		    (int64_t)b->size)
			continue;
		memcpy(w->vmlinux, b->digest, sizeof(w->vmlinux));
		w->vmlinux_size = b->size;
		return true;
	}
	return false;
}

static int unpack(struct work *w, int kernel, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");
	AUTO_SANDBOX struct sandbox *box = sandbox_new(0, err);
	AUTO_JSON struct json_object *said = NULL;
	AUTO_PROC struct proc p;
	AUTO_FD int fd = -1;

	proc_init(&p);
	if (unlinkat(w->fd, WORK_VMLINUX, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s: remove", WORK_VMLINUX);
	fd = openat(w->fd, WORK_VMLINUX,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (!box || fd < 0)
		return err_sys(err, errno, "%s: create", WORK_VMLINUX);
	p.in = kernel;
	strv_add(&p.argv, helper);
	strv_add(&p.argv, "vmlinux");
	strv_addf(&p.argv, "%d", fd);
	strv_addf(&p.argv, "%llu", (unsigned long long)KERNEL_MAX);
	p.keep[p.n_keep++] = fd;
	p.keep[p.n_keep++] = w->fd;
	if (helper_run(&p, box, MEMORY, NULL, 0, &said, err) < 0 ||
	    helper_digest(said, w->vmlinux, &w->vmlinux_size, err) < 0)
		return -1;
	if (fchmod(fd, 0444) < 0)
		return err_sys(err, errno, "%s: set its mode", WORK_VMLINUX);
	return fsync(fd) < 0 ? err_sys(err, errno, "%s: fsync", WORK_VMLINUX)
			     : 0;
}

/* That a kernel cannot be unpacked is no failure: most hypervisors take it as
 * it is. */
int vmlinux_make(struct work *w, struct err *err)
{
	CLEANUP(infos_release) struct infos c = {0};
	struct boot_choice boot;
	AUTO_FD int fd = -1;
	struct err e = {0};

	if (load(w, &c, err) < 0)
		return err->code == ERR_NOTFOUND ? 0 : -1; /* gc: once more */
	boot_select(c.v, c.n, &boot);
	if (!boot.kernel.digest || !strcmp(w->vmlinux_of, boot.kernel.digest))
		return 0;
	memcpy(w->vmlinux_of, boot.kernel.digest, sizeof(w->vmlinux_of));
	if (known(w, boot.kernel.digest))
		return 0;
	fd = open_kernel(w, boot.kernel.digest);
	if (fd < 0 || unpack(w, fd, &e) == 0)
		return 0;
	w->vmlinux[0] = '\0';
	log_info("kernel %.19s: not unpacked: %s", boot.kernel.digest, e.msg);
	return tool_check(err);
}

int vmlinux_publish(struct work *w, const struct doc_blob *kernel,
    struct doc_blob *out, struct err *err)
{
	AUTO_FREE char *name = NULL;
	struct err ignored;

	if (!kernel->digest || !w->vmlinux[0] ||
	    strcmp(kernel->digest, w->vmlinux_of))
		return 0;
	name = blob_name(w->vmlinux, "vmlinux");
	/* ENOENT: it was another image's, and gc took it. */
	if (blob_size(w->store.blob_fd, name, &ignored) !=
		(int64_t)w->vmlinux_size &&
	    renameat(w->fd, WORK_VMLINUX, w->store.blob_fd, name) < 0)
		return errno == ENOENT
			   ? 0
			   : err_sys(err, errno, "image/blob/%s: rename", name);
	out->digest = w->vmlinux;
	out->size = w->vmlinux_size;
	return 0;
}
