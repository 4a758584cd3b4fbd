/* SPDX-License-Identifier: MIT */
/* verify: reads every byte of images again. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "img.h"
#include "log.h"
#include "ref.h"
#include "sandbox.h"

/*
 * What is damaged leaves the store, so that the next import makes it again and
 * no VM to come gets it. One that runs keeps its link. Not if it is another
 * file meanwhile.
 */
static void take_out(const struct store *s, const char *name, int fd)
{
	struct stat a, b;

	if (fstat(fd, &a) == 0 &&
	    fstatat(s->blob_fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	    a.st_ino == b.st_ino && unlinkat(s->blob_fd, name, 0) < 0)
		log_warn("image/blob/%s: remove: %s", name, strerror(errno));
}

/* One blob: is it what was recorded when it was made? */
static int check_blob(const struct store *s, const char *name,
    const char *digest, struct err *err)
{
	AUTO_FD int fd = -1;
	char actual[72];
	uint64_t size;

	if (blob_size(s->blob_fd, name, err) < 0)
		return -1;
	fd = openat(s->blob_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "image/blob/%s: open", name);
	if (digest_of_fd(fd, actual, &size, err) < 0)
		return -1;
	if (!strcmp(actual, digest))
		return 0;
	err_set(err, ERR_FAILED,
	    "image/blob/%s: corrupt: its digest is %.19s, not %.19s", name,
	    actual, digest);
	take_out(s, name, fd);
	return -1;
}

static int check_layer(
    const struct store *s, const struct doc_blob *b, struct err *err)
{
	AUTO_FREE char *name = blob_name(b->digest, "erofs");
	AUTO_JSON struct json_object *json = NULL;
	struct layer_info info;

	if (layer_info_load(s->blob_fd, b->digest, &info, &json, err) < 0)
		return -1;
	if (info.erofs_size != b->size)
		return err_set(err, ERR_FAILED,
		    "image/blob/%s: corrupt: another size than the image has",
		    name);
	return check_blob(s, name, info.erofs_digest, err);
}

static int check_boot(const struct store *s, const struct doc_blob *b,
    const char *suffix, struct err *err)
{
	AUTO_FREE char *name = b->digest ? blob_name(b->digest, suffix) : NULL;

	return name ? check_blob(s, name, b->digest, err) : 0;
}

static int check_disk(
    const struct store *s, const struct doc_base *b, struct err *err)
{
	AUTO_FREE char *name =
	    b->digest ? blob_name(b->digest, b->format) : NULL;

	return name ? check_blob(s, name, b->digest, err) : 0;
}

/* Says every blob of the image that is bad; true if there is one. */
static bool report(
    struct buf *out, const struct doc_image *doc, int r, const struct err *err)
{
	if (r == 0)
		return false;
	buf_addf(out, "bad: %s: %s\n", doc->name, err->msg);
	return true;
}

static bool verify_image(
    struct call *call, const struct store *s, const struct doc_image *doc)
{
	const struct doc_blob *layers = doc->layers.v;
	struct err e = {0};
	bool bad = false;

	for (size_t i = 0; i < doc->layers.n && !tool_interrupted(); i++)
		bad |=
		    report(&call->out, doc, check_layer(s, &layers[i], &e), &e);
	bad |= report(
	    &call->out, doc, check_boot(s, &doc->kernel, "kernel", &e), &e);
	bad |= report(
	    &call->out, doc, check_boot(s, &doc->initrd, "initrd", &e), &e);
	bad |= report(
	    &call->out, doc, check_boot(s, &doc->vmlinux, "vmlinux", &e), &e);
	bad |= report(&call->out, doc, check_disk(s, &doc->disk, &e), &e);
	if (!bad)
		buf_addf(&call->out, "ok: %s\n", doc->name);
	return bad;
}

static int wanted(struct call *call, const struct store *s, struct strv *names,
    struct err *err)
{
	if (!call->args.n)
		return ref_names(s, names, err);
	for (size_t i = 0; i < call->args.n; i++) {
		AUTO_STRV struct strv hits = {0};

		if (ref_find(s, call->args.v[i], &hits, err) < 0)
			return -1;
		strv_add(names, hits.v[0]);
	}
	return 0;
}

static int verify_run(struct call *call, struct err *err)
{
	AUTO_STORE struct store s = STORE_NONE;
	AUTO_STRV struct strv names = {0};
	size_t bad = 0;

	if (store_open(&s, false, err) < 0 || wanted(call, &s, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		AUTO_IMAGE struct image img = {0};
		struct err e = {0};

		if (ref_load(&s, names.v[i], &img, &e) < 0) {
			buf_addf(&call->out, "bad: %s\n", e.msg);
			bad++;
		} else {
			bad += verify_image(call, &s, &img.doc);
		}
		if (tool_check(err) < 0 || tool_flush(call, err) < 0)
			return -1;
	}
	if (bad)
		return err_set(err, ERR_FAILED,
		    "%zu of %zu images are bad; import them again", bad,
		    names.n);
	return 0;
}

const struct verb verb_verify = {
    .name = "verify",
    .summary = "reads all bytes of images and compares their digests",
    .operands = "[IMAGE...]",
    .max_args = -1,
    .run = verify_run,
};
