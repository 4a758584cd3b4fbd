/* SPDX-License-Identifier: MIT */
/* resolve: from .spec.image to .image. It takes no lock: who uses the paths
 * holds the root lock, and links them before it lets go. */
#include <string.h>
#include <unistd.h>

#include "fetch.h"
#include "log.h"
#include "ref.h"

struct resolve_opts {
	const char *pull;
};

static const struct resolve_opts defaults = {.pull = "missing"};
static const struct opt opts[] = {
    {.name = "pull",
	.kind = OPT_ENUM,
	.metavar = "missing|always|never",
	.offset = offsetof(struct resolve_opts, pull),
	.help = "when to ask the registry (default: missing)"},
};

/* The name to look for afterwards; what pull says is nothing for stdout. */
static int fetch_image(const char *ref, char **name, struct err *err)
{
	static const struct pull_opts pull = PULL_DEFAULTS;
	AUTO_BUF struct buf said = {0};

	if (pull_image(&pull, ref, &said, name, err) < 0)
		return -1;
	log_info("%.*s", (int)strcspn(said.data, "\n"), said.data);
	return 0;
}

static int open_image(const struct resolve_opts *o, struct store *s,
    const char *ref, struct image *img, struct err *err)
{
	AUTO_FREE char *name = NULL;
	struct err missing = {0}, e = {0};

	if (strcmp(o->pull, "always") != 0) {
		if (store_open(s, false, err) < 0)
			return -1;
		if (ref_open(s, ref, img, &missing) == 0)
			return 0;
		*err = missing;
		if (missing.code != ERR_NOTFOUND || !strcmp(o->pull, "never"))
			return -1;
		store_close(s);
	}
	if (fetch_image(ref, &name, &e) < 0) {
		/* What no registry can have was meant to be in the store. */
		if (e.code == ERR_USAGE && missing.code == ERR_NOTFOUND)
			return -1;
		*err = e;
		err_wrap(err, "image \"%.100s\" not resolved%s", ref,
		    missing.code ? ": not in the store; pull" : ": pull");
		return err_object(err, ref);
	}
	return store_open(s, false, err) < 0 || ref_open(s, name, img, err) < 0
		   ? -1
		   : 0;
}

static int look_up(const struct resolve_opts *o, const char *ref,
    struct json_object **out, struct err *err)
{
	AUTO_STORE struct store s = STORE_NONE;
	AUTO_IMAGE struct image img = {0};
	AUTO_STRV struct strv paths = {0};

	if (open_image(o, &s, ref, &img, err) < 0 ||
	    image_paths(&s, &img.doc, &paths, err) < 0)
		return -1;
	*out = jbuild(&doc_image_table, &img.doc);
	return 0;
}

/* A snapshot has links to the files of its image, if it was saved here. */
static bool is_whole(const struct doc_snap *snap)
{
	const struct doc_file *f = snap->files.v;

	for (size_t i = 0; i < snap->files.n; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", snap->dir, f[i].name);

		if (!strcmp(f[i].role, "image") && access(path, F_OK) < 0)
			return false;
	}
	return true;
}

/* "ghcr.io/x/y:1" by digest: the tag may be another image by now. A URL, or a
 * name that was given by hand, has nothing but itself. */
static char *ref_of(const struct doc_image *image)
{
	const char *name = image->name, *slash = strrchr(name, '/');
	const char *tag = strrchr(name, ':');
	size_t n = strcspn(name, "@");

	if (strcmp(image->type, "oci") || strstr(name, "://"))
		return xstrdup(name);
	if (!name[n] && tag && (!slash || tag > slash))
		n = (size_t)(tag - name);
	return xasprintf("%.*s@%s", (int)n, name, image->digest);
}

/* The image of a snapshot that came without its files: by digest here, else as
 * --pull says. */
static int resolve_snap(const struct resolve_opts *o, struct json_object *doc,
    struct doc_snap *snap, struct err *err)
{
	static const struct resolve_opts never = {.pull = "never"};
	struct json_object *image;
	struct doc_image was;
	struct err missing = {0};

	if (doc_bind(snap->doc, "image", &doc_image_table, &was, err) < 0)
		return err_wrap(err, ".snap.doc");
	if (look_up(&never, was.digest, &image, &missing) < 0) {
		*err = missing;
		if (missing.code != ERR_NOTFOUND || !strcmp(o->pull, "never") ||
		    !was.name)
			return -1;
		AUTO_FREE char *ref = ref_of(&was);

		if (look_up(o, ref, &image, err) < 0)
			return -1;
	}
	if (strcmp(jval_str(image, "digest"), was.digest)) {
		err_set(err, ERR_NOTFOUND, "image %s is %s by now, and not %s",
		    was.name, jval_str(image, "digest"), was.digest);
		jval_put(image);
		return -1;
	}
	jval_set(jval_get(jval_get(doc, "snap"), "doc"), "image", image);
	return 0;
}

static int resolve_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	struct json_object *image;
	struct doc_snap snap;
	struct doc_spec spec;

	if (jval_get(doc, "snap")) {
		if (doc_bind(doc, "snap", &doc_snap_table, &snap, err) < 0)
			return -1;
		if (!snap.doc || !snap.dir)
			return err_set(err, ERR_INPUT,
			    ".snap: is not what `cocoon-snap get` writes");
		return is_whole(&snap)
			   ? 0
			   : resolve_snap(call->opts, doc, &snap, err);
	}
	if (doc_bind(doc, "spec", &doc_spec_table, &spec, err) < 0)
		return -1;
	if (!spec.image)
		return err_set(err, ERR_INPUT, ".spec.image: missing");
	if (look_up(call->opts, spec.image, &image, err) < 0)
		return -1;
	jval_set(doc, "image", image);
	return 0;
}

static int resolve_run(struct call *call, struct err *err)
{
	for (size_t i = 0; i < call->args.n; i++) {
		struct json_object *image;

		if (look_up(call->opts, call->args.v[i], &image, err) < 0)
			return -1;
		jval_print(image, &call->out);
		buf_ch(&call->out, '\n');
		jval_put(image);
	}
	return 0;
}

const struct verb verb_resolve = {
    .name = "resolve",
    .summary = "adds .image: which bytes .spec.image is; or prints IMAGE's",
    .operands = "[IMAGE...]",
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct resolve_opts),
    .defaults = &defaults,
    .emits = true,
    .changes = true, /* a pull does */
    .filter = resolve_filter,
    .run = resolve_run,
};
