/* SPDX-License-Identifier: MIT */
/* What `docker save` and its kin write: manifest.json, a configuration, layers
 * as files that it names. Its digests are those of the tars. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import.h"
#include "ref.h"
#include "sandbox.h"

#define LAYERS_MAX 512

static bool has_tag(const struct json_object *image, const char *ref)
{
	const struct json_object *tags = jval_get(image, "RepoTags");
	AUTO_FREE char *want = name_normal(ref);

	for (size_t i = 0; i < jval_len(tags); i++) {
		const char *tag = jval_str_at(tags, i);
		const char *colon = tag ? strrchr(tag, ':') : NULL;
		AUTO_FREE char *full = tag ? name_normal(tag) : NULL;

		if (full &&
		    (!strcmp(full, want) || (colon && !strcmp(colon + 1, ref))))
			return true;
	}
	return false;
}

static const struct json_object *pick(
    const struct json_object *list, const char *ref, struct err *err)
{
	const struct json_object *found = NULL;

	for (size_t i = 0; i < jval_len(list); i++) {
		const struct json_object *image = jval_at(list, i);

		if (ref && !has_tag(image, ref))
			continue;
		if (found) {
			err_set(err, ERR_USAGE,
			    "manifest.json: several images; choose one with "
			    "--ref");
			return NULL;
		}
		found = image;
	}
	if (!found)
		err_set(err, ref ? ERR_NOTFOUND : ERR_INPUT,
		    "manifest.json: no image%s%.80s in it", ref ? " " : "",
		    ref ? ref : "");
	return found;
}

static int check_platform(const struct json_object *config, struct err *err)
{
	const char *os = jval_str(config, "os");
	const char *arch = jval_str(config, "architecture");

	if ((os && strcmp(os, "linux")) || (arch && strcmp(arch, this_arch())))
		return err_set(err, ERR_UNSUPPORTED,
		    "the image is for %.20s/%.20s, this machine is linux/%s",
		    os ? os : "linux", arch ? arch : "?", this_arch());
	return 0;
}

static bool is_packed(int fd)
{
	unsigned char h[4] = {0};

	if (pread(fd, h, sizeof(h), 0) != sizeof(h))
		return false;
	return (h[0] == 0x1f && h[1] == 0x8b) ||
	       !memcmp(h,
		   "\xfd"
		   "7zX",
		   4) ||
	       !memcmp(h, "\x28\xb5\x2f\xfd", 4);
}

/* A plain tar has the digest that the configuration says; of a packed one
 * both must be known. */
static int add_layer(
    struct source *src, const char *path, const char *diff, struct err *err)
{
	struct source_layer *l = &src->layers[src->n];
	AUTO_FD int fd = -1;

	if (!path || !diff || !valid_digest(diff))
		return err_set(err, ERR_INPUT,
		    "manifest.json: a layer without a name or a digest");
	fd = source_file(src, path, &l->size, err);
	if (fd < 0)
		return -1;
	l->path = xstrdup(path);
	src->n++;
	if (!is_packed(fd)) {
		memcpy(l->digest, diff, sizeof(l->digest));
		return 0;
	}
	memcpy(l->diff, diff, sizeof(l->diff));
	return digest_of_fd(fd, l->digest, &l->size, err);
}

/* Old docker writes a layer once and links to it from elsewhere. */
static char *resolve(const struct source *src, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	char target[300];
	ssize_t n;

	if (!path || !slash)
		return path ? xstrdup(path) : NULL;
	n = readlinkat(src->dir_fd, path, target, sizeof(target) - 1);
	if (n <= 3 || n == sizeof(target) - 1 || strncmp(target, "../", 3))
		return xstrdup(path);
	target[n] = '\0';
	return xstrdup(target + 3);
}

static int add_layers(struct source *src, const struct json_object *image,
    const struct json_object *config, struct err *err)
{
	const struct json_object *layers = jval_get(image, "Layers");
	const struct json_object *diffs =
	    jval_get(jval_get(config, "rootfs"), "diff_ids");
	size_t n = jval_len(layers);

	if (!n || n > LAYERS_MAX || jval_len(diffs) != n)
		return err_set(err, ERR_INPUT,
		    "manifest.json: want 1 to %d layers, as many as the "
		    "configuration has",
		    LAYERS_MAX);
	src->layers = xcalloc(n, sizeof(*src->layers));
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *path = resolve(src, jval_str_at(layers, i));

		if (add_layer(src, path, jval_str_at(diffs, i), err) < 0)
			return err_wrap(err, "layer %zu", i);
	}
	return 0;
}

int docker_open(struct source *src, const char *ref, struct err *err)
{
	AUTO_JSON struct json_object *list =
	    source_json(src, "manifest.json", err);
	AUTO_JSON struct json_object *config = NULL;
	const struct json_object *image = list ? pick(list, ref, err) : NULL;
	const char *path = jval_str(image, "Config");
	uint64_t size;
	AUTO_FD int fd = -1;

	if (!image)
		return -1;
	if (!path)
		return err_set(
		    err, ERR_INPUT, "manifest.json: no configuration");
	config = source_json(src, path, err);
	fd = config ? source_file(src, path, &size, err) : -1;
	if (fd < 0 || check_platform(config, err) < 0 ||
	    digest_of_fd(fd, src->digest, &size, err) < 0)
		return -1;
	return add_layers(src, image, config, err);
}
