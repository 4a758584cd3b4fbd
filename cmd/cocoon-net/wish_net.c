/* SPDX-License-Identifier: MIT */
/*
 * Which network a NIC is on: the one that is named, else the first of the CNI
 * configurations by file name, else the built-in one.
 */
#include <string.h>

#include "log.h"
#include "net.h"
#include "wish.h"

static int unknown(const struct cni_files *f, const char *name, struct err *err)
{
	AUTO_BUF struct buf names = {0};

	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].name && cni_find(f, f->v[i].name) == &f->v[i])
			buf_addf(&names, "%s, ", f->v[i].name);
	return err_set(err, ERR_NOTFOUND,
	    "network \"%.80s\": there is no such one in %.120s; there are: "
	    "%.200s" NET_NAME,
	    name, cni_conf_dir(), names.data ? names.data : "");
}

static int usable(const struct cni_file *f, struct err *err)
{
	if (!f->err.code)
		return 0;
	*err = f->err;
	return err_wrap(err, "network %.80s: %.80s", f->name, f->file);
}

/* NULL in *out: the built-in one. */
static int choose(const struct cni_files *f, const char *name,
    const struct cni_file **out, struct err *err)
{
	*out = cni_find(f, name);
	if (*out)
		return usable(*out, err);
	if (name)
		return strcmp(name, NET_NAME) ? unknown(f, name, err) : 0;
	for (size_t i = 0; i < f->n; i++) {
		/* Who has networks of his own wants none of ours instead. */
		if (!f->v[i].err.code)
			continue;
		*err = f->v[i].err;
		return err_wrap(err,
		    "%.120s/%.60s: no network can be used there "
		    "(--network " NET_NAME " is the built-in one)",
		    cni_conf_dir(), f->v[i].file);
	}
	return 0;
}

static void warn_of_bad(const struct cni_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].err.code && !f->v[i].name)
			log_warn("%s/%s: %s, ignoring", cni_conf_dir(),
			    f->v[i].file, f->v[i].err.msg);
}

/* The name for the NIC that is the i-th on no bridge; NULL: none is named. */
static const char *name_of(const struct json_object *spec, size_t i)
{
	const struct json_object *list = jval_get(spec, "networks");
	size_t n = jval_len(list);
	const char *name;

	if (n)
		return jval_str_at(list, i < n ? i : n - 1);
	name = jval_str(spec, "network");
	return name && *name ? name : NULL;
}

static int check_spec(const struct json_object *spec, struct err *err)
{
	const struct json_object *list = jval_get(spec, "networks");

	if (jval_get(spec, "network") && !jval_str(spec, "network"))
		return err_set(
		    err, ERR_INPUT, ".spec.network: expected string");
	for (size_t i = 0; i < jval_len(list); i++)
		if (!jval_str_at(list, i) || !*jval_str_at(list, i))
			return err_set(err, ERR_INPUT,
			    ".spec.networks[%zu]: expected a name", i);
	if (jval_get(spec, "runtime_config") &&
	    !jval_is_object(jval_get(spec, "runtime_config")))
		return err_set(
		    err, ERR_INPUT, ".spec.runtime_config: expected an object");
	return 0;
}

int wish_networks(
    const struct json_object *spec, struct wish *w, struct err *err)
{
	bool loaded = false;
	size_t nth = 0;

	if (check_spec(spec, err) < 0)
		return -1;
	w->runtime = jval_get(spec, "runtime_config");
	for (size_t i = 0; i < w->nics; i++) {
		if (w->bridge[i])
			continue;
		if (!loaded && cni_load(&w->files, err) < 0)
			return -1;
		if (!loaded)
			warn_of_bad(&w->files);
		loaded = true;
		if (choose(&w->files, name_of(spec, nth++), &w->cni[i], err) <
		    0)
			return -1;
	}
	return 0;
}
