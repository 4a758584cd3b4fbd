/* SPDX-License-Identifier: MIT */
/* The OCI image layout: oci-layout, index.json, blobs/sha256/HEX. Docker's
 * media types are the same documents under other names. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "import.h"
#include "jtext.h"
#include "sandbox.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define NESTED_MAX 4
#define LAYERS_MAX 512

static const char *const index_types[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json", NULL};
static const char *const manifest_types[] = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json", NULL};
static const char *const config_types[] = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json", NULL};
static const char *const layer_types[] = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd", NULL};

static bool one_of(const char *s, const char *const *list)
{
	for (; s && *list; list++)
		if (!strcmp(s, *list))
			return true;
	return false;
}

/* The architecture as Go, and so an image, spells it. */
const char *this_arch(void)
{
	static struct utsname u;
	static const char *const names[][2] = {{"x86_64", "amd64"},
	    {"aarch64", "arm64"}, {"i686", "386"}, {"riscv64", "riscv64"},
	    {"ppc64le", "ppc64le"}, {"s390x", "s390x"}};

	if (uname(&u) < 0)
		return "unknown";
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(u.machine, names[i][0]))
			return names[i][1];
	return u.machine;
}

void source_release(struct source *src)
{
	close_fd(&src->dir_fd);
	for (size_t i = 0; i < src->n; i++)
		free_ptr(&src->layers[i].path);
	free_ptr(&src->layers);
	src->n = 0;
}

/* Opens a file of the layout; ERR_INPUT for what is no regular file. */
static int open_file(const struct source *src, const char *path,
    struct stat *st, struct err *err)
{
	AUTO_FD int fd = open_beneath(
	    src->dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);

	if (fd < 0) {
		err->code = ERR_INPUT;
		return err_wrap(err, "layout");
	}
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
		return err_set(
		    err, ERR_INPUT, "layout: %s: not a regular file", path);
	return take_fd(&fd);
}

int source_chain(
    const struct source *src, size_t i, char key[72], struct err *err)
{
	AUTO_BUF struct buf text = {0};

	buf_str(&text, "cocoon: layers with what they take from below\n");
	for (size_t j = 0; j <= i; j++)
		buf_addf(&text, "%s\n", src->layers[j].digest);
	return digest_of_text(text.data, text.len, key, err);
}

int source_blob(const struct source *src, const char *digest, uint64_t size,
    struct err *err)
{
	AUTO_FREE char *path =
	    xasprintf("blobs/sha256/%s", digest + strlen("sha256:"));
	struct stat st;
	AUTO_FD int fd = open_file(src, path, &st, err);

	if (fd < 0)
		return -1;
	if ((uint64_t)st.st_size != size)
		return err_set(err, ERR_INPUT,
		    "layout: %s: %lld bytes, its descriptor says %llu", path,
		    (long long)st.st_size, (unsigned long long)size);
	return take_fd(&fd);
}

int source_file(
    const struct source *src, const char *path, uint64_t *size, struct err *err)
{
	struct stat st;
	int fd = open_file(src, path, &st, err);

	if (fd >= 0)
		*size = (uint64_t)st.st_size;
	return fd;
}

struct json_object *source_json(
    const struct source *src, const char *path, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	struct json_object *v = NULL;
	struct stat st;
	AUTO_FD int fd = open_file(src, path, &st, err);

	if (fd < 0 || read_all(fd, &text, JTEXT_MAX_SIZE, path, err) < 0)
		return NULL;
	v = jval_parse(text.data, text.len, err);
	if (!v)
		err_wrap(err, "layout: %s", path);
	return v;
}

/* Digest and size of a descriptor; the string is the descriptor's. */
static const char *descriptor(
    const struct json_object *d, uint64_t *size, struct err *err)
{
	const char *digest = jval_str(d, "digest");
	int64_t n = jval_int(d, "size", -1);

	if (!digest || n < 0) {
		err_set(err, ERR_INPUT,
		    "layout: a descriptor without digest or size");
		return NULL;
	}
	if (!valid_digest(digest)) {
		err_set(err, ERR_UNSUPPORTED,
		    "layout: digest %.80s: only sha256 is supported", digest);
		return NULL;
	}
	*size = (uint64_t)n;
	return digest;
}

/* The document that a descriptor names, verified. */
static struct json_object *read_blob(const struct source *src,
    const struct json_object *d, const char *what, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = -1;
	char actual[72];
	uint64_t size;
	const char *digest = descriptor(d, &size, err);
	struct json_object *v = NULL;

	if (!digest)
		return NULL;
	if (size > JTEXT_MAX_SIZE) {
		err_set(err, ERR_INPUT, "layout: %s: %llu bytes are too many",
		    what, (unsigned long long)size);
		return NULL;
	}
	if (src->bring && src->bring->document(src->bring, digest, size,
			      !strcmp(what, "config"), err) < 0)
		return NULL;
	fd = source_blob(src, digest, size, err);
	if (fd < 0 || read_all(fd, &text, JTEXT_MAX_SIZE, what, err) < 0 ||
	    digest_of_text(text.data, text.len, actual, err) < 0)
		return NULL;
	if (text.len != size || strcmp(actual, digest)) {
		err_set(err, ERR_INPUT,
		    "layout: %s %.19s: damaged: its digest is %.19s", what,
		    digest, actual);
		return NULL;
	}
	v = jval_parse(text.data, text.len, err);
	if (!v)
		err_wrap(err, "layout: %s %.19s", what, digest);
	return v;
}

static bool platform_fits(const struct json_object *d)
{
	const struct json_object *p = jval_get(d, "platform");
	const char *os = jval_str(p, "os");
	const char *arch = jval_str(p, "architecture");

	return (!os || !strcmp(os, "linux")) &&
	       (!arch || !strcmp(arch, this_arch()));
}

struct pick {
	const struct source *src;
	const char *ref;
	struct json_object *manifest;
	char digest[72];
	struct buf refs; /* the names that were seen, for the message */
	int hits;
};

static int pick_index(struct pick *p, const struct json_object *index,
    int depth, struct err *err);

/* One entry of an index: a manifest, or another index. */
static int pick_entry(
    struct pick *p, const struct json_object *d, int depth, struct err *err)
{
	const char *type = jval_str(d, "mediaType"), *digest;
	AUTO_JSON struct json_object *doc = NULL;
	uint64_t size;

	if (!platform_fits(d) || (type && !one_of(type, index_types) &&
				     !one_of(type, manifest_types)))
		return 0;
	digest = descriptor(d, &size, err);
	if (!digest)
		return -1;
	if (p->manifest && !strcmp(p->digest, digest))
		return 0;
	doc = read_blob(p->src, d, "manifest", err);
	if (!doc)
		return -1;
	if (jval_get(doc, "manifests"))
		return pick_index(p, doc, depth + 1, err);
	p->hits++;
	if (p->manifest)
		return 0;
	p->manifest = doc;
	doc = NULL;
	memcpy(p->digest, digest, sizeof(p->digest));
	return 0;
}

static int pick_index(
    struct pick *p, const struct json_object *index, int depth, struct err *err)
{
	const struct json_object *list = jval_get(index, "manifests");
	int before = p->hits;

	if (depth > NESTED_MAX)
		return err_set(err, ERR_INPUT,
		    "layout: an index in an index in an index ...");
	for (size_t i = 0; i < jval_len(list); i++) {
		const struct json_object *d = jval_at(list, i);
		const char *name =
		    jval_str(jval_get(d, "annotations"), REF_NAME);

		if (!depth && name)
			buf_addf(
			    &p->refs, "%s%.80s", p->refs.len ? ", " : "", name);
		if (!depth && p->ref && (!name || strcmp(name, p->ref)))
			continue;
		if (pick_entry(p, d, depth, err) < 0)
			return -1;
		/* Variants of one image: the first that fits. */
		if (depth && p->hits > before)
			return 0;
	}
	return 0;
}

static int judge_pick(struct pick *p, struct err *err)
{
	const char *refs = p->refs.len ? p->refs.data : "none";

	if (p->hits == 1)
		return 0;
	if (p->hits > 1)
		return err_set(err, ERR_USAGE,
		    "layout: several images; choose one with --ref: %.300s",
		    refs);
	if (p->ref)
		return err_set(err, ERR_NOTFOUND,
		    "layout: no image \"%.80s\" for linux/%s in it; names: "
		    "%.200s",
		    p->ref, this_arch(), refs);
	return err_set(err, ERR_UNSUPPORTED,
	    "layout: no image for linux/%s in it", this_arch());
}

/* An image of another architecture may say so only here. */
static int check_config(const struct source *src,
    const struct json_object *manifest, struct err *err)
{
	const struct json_object *d = jval_get(manifest, "config");
	const char *type = jval_str(d, "mediaType"), *os, *arch;
	AUTO_JSON struct json_object *config = NULL;
	const struct json_object *diffs;

	if (!one_of(type, config_types))
		return err_set(err, ERR_UNSUPPORTED,
		    "layout: config type %.80s: not an image",
		    type ? type : "(none)");
	config = read_blob(src, d, "config", err);
	if (!config)
		return -1;
	os = jval_str(config, "os");
	arch = jval_str(config, "architecture");
	if ((os && strcmp(os, "linux")) || (arch && strcmp(arch, this_arch())))
		return err_set(err, ERR_UNSUPPORTED,
		    "layout: the image is for %.20s/%.20s, this machine is "
		    "linux/%s",
		    os ? os : "linux", arch ? arch : "?", this_arch());
	diffs = jval_get(jval_get(config, "rootfs"), "diff_ids");
	if (diffs && jval_len(diffs) != src->n)
		return err_set(err, ERR_INPUT,
		    "layout: config and manifest differ in the number of "
		    "layers");
	return 0;
}

static int read_layers(
    struct source *src, const struct json_object *manifest, struct err *err)
{
	const struct json_object *list = jval_get(manifest, "layers");
	size_t n = jval_len(list);

	if (!n || n > LAYERS_MAX)
		return err_set(err, ERR_INPUT,
		    "layout: manifest: want 1 to %d layers, got %zu",
		    LAYERS_MAX, n);
	src->n = n;
	src->layers = xcalloc(n, sizeof(*src->layers));
	for (size_t i = 0; i < src->n; i++) {
		const struct json_object *d = jval_at(list, i);
		const char *type = jval_str(d, "mediaType");
		const char *digest;

		if (!one_of(type, layer_types))
			return err_set(err, ERR_UNSUPPORTED,
			    "layout: layer %zu: type %.100s is not supported; "
			    "want a tar, plain, gzip or zstd",
			    i, type ? type : "(none)");
		digest = descriptor(d, &src->layers[i].size, err);
		if (!digest)
			return err_wrap(err, "layer %zu", i);
		memcpy(src->layers[i].digest, digest, 72);
	}
	return 0;
}

static int choose(struct source *src, const char *ref, struct err *err)
{
	AUTO_JSON struct json_object *index =
	    source_json(src, "index.json", err);
	struct pick p = {.src = src, .ref = ref};
	AUTO_JSON struct json_object *manifest = NULL;
	int r;

	if (!index)
		return -1;
	r = pick_index(&p, index, 0, err);
	if (r == 0)
		r = judge_pick(&p, err);
	manifest = p.manifest;
	buf_release(&p.refs);
	if (r < 0)
		return -1;
	memcpy(src->digest, p.digest, sizeof(src->digest));
	if (jval_int(manifest, "schemaVersion", 0) != 2)
		return err_set(err, ERR_UNSUPPORTED,
		    "layout: manifest: schemaVersion is not 2");
	if (read_layers(src, manifest, err) < 0)
		return -1;
	return check_config(src, manifest, err);
}

int source_open(
    struct source *src, const char *path, const char *ref, struct err *err)
{
	int fd;

	*src = (struct source){.bring = src->bring, .dir_fd = -1};
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%.200s: open", path);
	return source_open_dir(src, fd, path, ref, err);
}

int source_open_dir(struct source *src, int dir_fd, const char *what,
    const char *ref, struct err *err)
{
	AUTO_JSON struct json_object *mark = NULL;
	struct err e = {0};

	src->dir_fd = dir_fd;
	mark = source_json(src, "oci-layout", &e);
	if (!mark || !jval_str(mark, "imageLayoutVersion"))
		return err_set(err, ERR_INPUT,
		    "%.200s: not an OCI image layout (no good oci-layout file "
		    "in it)",
		    what);
	if (strncmp(jval_str(mark, "imageLayoutVersion"), "1.", 2))
		return err_set(err, ERR_UNSUPPORTED,
		    "%.200s: layout version %.20s, want 1", what,
		    jval_str(mark, "imageLayoutVersion"));
	if (choose(src, ref, err) < 0)
		return err_wrap(err, "%.200s", what);
	return 0;
}
