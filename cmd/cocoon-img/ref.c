/* SPDX-License-Identifier: MIT */
#include "ref.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jtext.h"

#define HEX "0123456789abcdef"
#define PREFIX_MIN 12

void image_release(struct image *img)
{
	jval_put_ptr(&img->json);
}

static int check_blob(
    const struct doc_blob *b, const char *what, struct err *err)
{
	if (b->digest ? valid_digest(b->digest) && b->size : !b->size)
		return 0;
	return err_set(err, ERR_FAILED, "%s: bad digest or size", what);
}

static int check_disk(const struct doc_image *doc, struct err *err)
{
	const struct doc_base *d = &doc->disk;

	if (!strcmp(doc->type, "oci"))
		return doc->layers.n
			   ? 0
			   : err_set(err, ERR_FAILED, "it has no layers");
	if (!d->digest || !valid_digest(d->digest) || !d->size || !d->format ||
	    !d->virtual_size)
		return err_set(err, ERR_FAILED, "bad disk");
	return 0;
}

static int check_doc(
    const struct doc_image *doc, const char *name, struct err *err)
{
	const struct doc_blob *layers = doc->layers.v;

	if (!doc->name || strcmp(doc->name, name) || !valid_digest(doc->digest))
		return err_set(err, ERR_FAILED, "bad name or digest");
	for (size_t i = 0; i < doc->layers.n; i++)
		if (!layers[i].digest ||
		    check_blob(&layers[i], "a layer", err) < 0)
			return -1;
	return check_blob(&doc->kernel, "kernel", err) < 0 ||
		       check_blob(&doc->initrd, "initrd", err) < 0 ||
		       check_blob(&doc->vmlinux, "vmlinux", err) < 0
		   ? -1
		   : check_disk(doc, err);
}

int ref_load(
    const struct store *s, const char *name, struct image *out, struct err *err)
{
	AUTO_FREE char *file = name_escape(name);
	AUTO_BUF struct buf text = {0};
	AUTO_JSON struct json_object *v = NULL;

	if (s->ref_fd < 0)
		return err_set(err, ERR_NOTFOUND, "image store: empty");
	if (file_read(s->ref_fd, file, &text, JTEXT_MAX_SIZE, err) < 0)
		return -1;
	v = jval_parse(text.data, text.len, err);
	if (!v || jbind(v, &doc_image_table, "image", &out->doc, err) < 0 ||
	    check_doc(&out->doc, name, err) < 0) {
		err->code = ERR_FAILED;
		return err_wrap(err,
		    "image %.80s: image/ref/%.80s is damaged; import it "
		    "again, or remove it",
		    name, file);
	}
	out->json = v;
	v = NULL;
	return 0;
}

int ref_write(
    const struct store *s, const struct doc_image *doc, struct err *err)
{
	AUTO_FREE char *file = name_escape(doc->name);
	AUTO_JSON struct json_object *v = jbuild(&doc_image_table, doc);
	AUTO_BUF struct buf text = {0};

	jval_print(v, &text);
	buf_ch(&text, '\n');
	return file_replace(s->ref_fd, file, text.data, text.len, true, err);
}

static int add_name(const char *file, void *arg)
{
	AUTO_FREE char *name = name_unescape(file);

	/* A temporary of a writer begins with '.', no name does. */
	if (name)
		strv_add(arg, name);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int ref_names(const struct store *s, struct strv *names, struct err *err)
{
	if (store_each(s->ref_fd, add_name, names, err) < 0)
		return -1;
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), by_name);
	return 0;
}

static bool exists(const struct store *s, const char *name)
{
	AUTO_FREE char *file = name_escape(name);

	return s->ref_fd >= 0 && *name && strlen(file) <= 255 &&
	       faccessat(s->ref_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The hex digits that ref may be a digest by; NULL: it is none. */
static const char *hex_of(const char *ref)
{
	const char *at = strstr(ref, "@sha256:");

	if (at)
		ref = at + 1;
	if (!strncmp(ref, "sha256:", 7))
		ref += 7;
	if (strspn(ref, HEX) != strlen(ref) || strlen(ref) > 64 ||
	    strlen(ref) < (at ? 64 : PREFIX_MIN))
		return NULL;
	return ref;
}

struct match {
	const char *normal, *hex;
	struct strv *names;
	char digest[72]; /* of the names so far */
};

/* One name of the store: 0, or ERR_STATE when it is another image. */
static int match_one(
    const struct store *s, const char *name, struct match *m, struct err *err)
{
	AUTO_FREE char *normal = name_normal(name);
	AUTO_IMAGE struct image img = {0};
	struct err ignored;

	if (m->normal && strcmp(normal, m->normal))
		return 0;
	/* A ref that another command removes meanwhile is none. */
	if (ref_load(s, name, &img, &ignored) < 0)
		return 0;
	if (m->hex && strncmp(img.doc.digest + 7, m->hex, strlen(m->hex)))
		return 0;
	if (m->names->n && strcmp(m->digest, img.doc.digest))
		return err_set(err, ERR_STATE,
		    "several images match: %.100s, %.100s",
		    m->names->v[m->names->n - 1], name);
	strncpy(m->digest, img.doc.digest, sizeof(m->digest) - 1);
	strv_add(m->names, name);
	return 0;
}

static int match_all(const struct store *s, struct match *m, struct err *err)
{
	AUTO_STRV struct strv all = {0};

	if (ref_names(s, &all, err) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++)
		if (match_one(s, all.v[i], m, err) < 0)
			return -1;
	return 0;
}

static int find(
    const struct store *s, const char *ref, struct strv *names, struct err *err)
{
	AUTO_FREE char *normal = name_normal(ref);
	struct match by_normal = {.normal = normal, .names = names};
	struct match by_digest = {.hex = hex_of(ref), .names = names};

	/* The two that cost no walk first. */
	if (exists(s, ref)) {
		strv_add(names, ref);
		return 0;
	}
	if (exists(s, normal)) {
		strv_add(names, normal);
		return 0;
	}
	if (match_all(s, &by_normal, err) < 0)
		return -1;
	if (names->n || !by_digest.hex)
		return 0;
	return match_all(s, &by_digest, err);
}

int ref_find(
    const struct store *s, const char *ref, struct strv *names, struct err *err)
{
	if (find(s, ref, names, err) < 0)
		err_wrap(err, "image \"%.100s\" not resolved", ref);
	else if (names->n)
		return 0;
	else
		err_set(err, ERR_NOTFOUND,
		    "image \"%.100s\" not resolved: not in the store; import "
		    "it first (cocoon-img import NAME DIRECTORY)",
		    ref);
	return err_object(err, ref);
}

int ref_open(
    const struct store *s, const char *ref, struct image *out, struct err *err)
{
	AUTO_STRV struct strv names = {0};

	if (ref_find(s, ref, &names, err) < 0)
		return -1;
	if (ref_load(s, names.v[0], out, err) < 0)
		return err_object(err, ref);
	return 0;
}

static int blob_path(const struct store *s, struct doc_blob *b,
    const char *suffix, struct strv *paths, struct err *err)
{
	AUTO_FREE char *name = NULL;
	int64_t size;

	if (!b->digest)
		return 0;
	name = blob_name(b->digest, suffix);
	size = blob_size(s->blob_fd, name, err);
	if (size < 0)
		return -1;
	if ((uint64_t)size != b->size)
		return err_set(err, ERR_FAILED,
		    "image/blob/%s: damaged: %lld bytes, not %llu; import "
		    "the image again",
		    name, (long long)size, (unsigned long long)b->size);
	/* strv may move its array, not the strings. */
	strv_addf(paths, "%s/image/blob/%s", s->st.root, name);
	b->path = paths->v[paths->n - 1];
	return 0;
}

static int disk_path(const struct store *s, struct doc_base *d,
    struct strv *paths, struct err *err)
{
	struct doc_blob b = {.digest = d->digest, .size = d->size};

	if (blob_path(s, &b, d->format ? d->format : "", paths, err) < 0)
		return -1;
	d->path = b.path;
	return 0;
}

int image_paths(const struct store *s, struct doc_image *doc,
    struct strv *paths, struct err *err)
{
	struct doc_blob *layers = doc->layers.v;
	int r = 0;

	for (size_t i = 0; r == 0 && i < doc->layers.n; i++)
		r = blob_path(s, &layers[i], "erofs", paths, err);
	if (r == 0)
		r = blob_path(s, &doc->kernel, "kernel", paths, err);
	if (r == 0)
		r = blob_path(s, &doc->initrd, "initrd", paths, err);
	if (r == 0)
		r = blob_path(s, &doc->vmlinux, "vmlinux", paths, err);
	if (r == 0)
		r = disk_path(s, &doc->disk, paths, err);
	if (r < 0) {
		err_wrap(err, "image \"%.100s\" not resolved", doc->name);
		return err_object(err, doc->name);
	}
	return 0;
}
