/* SPDX-License-Identifier: MIT */
/*
 * Running plugins. They are programs of others and run as root, as CNI has it;
 * what is bounded here is time, output, and what an answer may be.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cni.h"
#include "jdoc.h"
#include "log.h"
#include "opt.h"
#include "proc.h"
#include "tool.h"

#define RESULT_MAX (1 << 20)
#define SECONDS 60
#define NOT_THERE "not in %.200s; --cni-bin-dir says where plugins are"

const char *cni_bin_path(void)
{
	const char *path = getenv("COCOON_CNI_BIN_DIR");

	return path && *path ? path : "/opt/cni/bin:/usr/lib/cni";
}

char *cni_plugin(const char *path, const char *type)
{
	for (const char *p = path; *p; p += strcspn(p, ":"), p += *p == ':') {
		int len = (int)strcspn(p, ":");
		AUTO_FREE char *try = xasprintf("%.*s/%s", len, p, type);
		struct stat st;

		if (len && stat(try, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(try, X_OK) == 0)
			return xstrdup(try);
	}
	return NULL;
}

static int deadline_ms(void)
{
	const char *text = getenv("COCOON_CNI_TIMEOUT_SECONDS");
	uint64_t s;

	if (!text || parse_u64(text, &s) < 0 || s < 1 || s > 3600)
		s = SECONDS;
	return (int)s * 1000;
}

static const char *version_of(const struct cni_call *c)
{
	const char *v = jval_str(c->conf, "cniVersion");

	return v ? v : "";
}

struct capable {
	const struct cni_call *c;
	struct json_object *to;
	bool any;
};

static int add_capability(const char *key, struct json_object *v, void *arg)
{
	struct capable *p = arg;
	struct json_object *value = jval_get(p->c->runtime, key);
	AUTO_JSON struct json_object *holder = jval_object();

	jval_set(holder, "v", jval_ref(v));
	if (value && jval_bool(holder, "v")) {
		jval_set(p->to, key, jval_ref(value));
		p->any = true;
	}
	return 0;
}

/* args.cni.ips, by which host-local takes several. */
static void ask_for(struct json_object *o, const struct json_object *ips)
{
	struct json_object *args = jval_get(o, "args"), *cni;

	if (!jval_is_object(args)) {
		args = jval_object();
		jval_set(o, "args", args);
	}
	cni = jval_get(args, "cni");
	if (!jval_is_object(cni)) {
		cni = jval_object();
		jval_set(args, "cni", cni);
	}
	jval_set(cni, "ips", jval_copy(ips));
}

/* What plugin i gets on its standard input. */
static struct json_object *plugin_conf(const struct cni_call *c, size_t i,
    const struct json_object *prev, struct json_object *attachments)
{
	const struct json_object *list = jval_get(c->conf, "plugins");
	struct json_object *o = jval_copy(jval_at(list, i));
	struct json_object *caps = jval_get(o, "capabilities");
	struct capable p = {c, jval_object(), false};

	if (jval_is_object(caps) && c->runtime)
		jval_each(caps, add_capability, &p);
	jval_del(o, "capabilities");
	jval_del(o, "cniVersions");
	jval_set_str(o, "cniVersion", version_of(c));
	jval_set_str(o, "name", jval_str(c->conf, "name"));
	if (p.any)
		jval_set(o, "runtimeConfig", p.to);
	else
		jval_put(p.to);
	if (c->ask)
		ask_for(o, c->ask);
	if (prev)
		jval_set(o, "prevResult", jval_copy(prev));
	if (attachments)
		jval_set(o, "cni.dev/valid-attachments", jval_ref(attachments));
	return o;
}

/* The plugin's own words: {code, msg, details}. */
static int said_error(const struct json_object *o, struct err *err)
{
	const char *msg = jval_str(o, "msg"), *details = jval_str(o, "details");
	int64_t code = jval_int(o, "code", 0);

	if (!jval_get(o, "code") || !msg)
		return 0;
	return err_set(err, code == 1 ? ERR_UNSUPPORTED : ERR_FAILED,
	    "%.300s%s%.100s (code %lld)", msg, details && *details ? ": " : "",
	    details ? details : "", (long long)code);
}

static int answer(
    const struct buf *out, struct json_object **result, struct err *err)
{
	AUTO_JSON struct json_object *o = NULL;
	struct err e = {0};

	if (out->len >= RESULT_MAX)
		return err_set(err, ERR_FAILED, "more than %d bytes of answer",
		    RESULT_MAX);
	if (out->len)
		o = jval_parse(out->data, out->len, &e);
	if (o && jval_is_object(o) && said_error(o, err) < 0)
		return -1;
	if (!result)
		return 0;
	if (!out->len)
		return err_set(err, ERR_FAILED, "exit status 0 and no result");
	if (!o)
		return err_set(
		    err, ERR_FAILED, "the result is no JSON: %.200s", e.msg);
	if (cni_result_check(o, err) < 0)
		return -1;
	*result = jval_ref(o);
	return 0;
}

/* A failed plugin's reason is on stdout, if it has manners; else stderr. */
static int failure(const struct buf *out, struct err *err)
{
	AUTO_JSON struct json_object *o = NULL;
	struct err e = {0};

	if (out->len && out->len < RESULT_MAX && err->code == ERR_FAILED)
		o = jval_parse(out->data, out->len, &e);
	if (o && jval_is_object(o))
		said_error(o, err);
	return -1;
}

static void environment(
    struct proc *p, const struct cni_call *c, const char *command)
{
	strv_addf(&p->env, "CNI_COMMAND=%s", command);
	strv_addf(&p->env, "CNI_CONTAINERID=%s", c->id ? c->id : "");
	strv_addf(&p->env, "CNI_NETNS=%s", c->netns ? c->netns : "");
	strv_addf(&p->env, "CNI_IFNAME=%s", c->ifname ? c->ifname : "");
	strv_addf(&p->env, "CNI_ARGS=%s", c->args ? c->args : "");
	strv_addf(&p->env, "CNI_PATH=%s", c->path);
}

static int run(const struct cni_call *c, const char *command, const char *type,
    const struct json_object *conf, struct json_object **result,
    struct err *err)
{
	AUTO_FREE char *file = cni_plugin(c->path, type);
	AUTO_BUF struct buf in = {0}, out = {0}, said = {0};
	AUTO_PROC struct proc p = PROC_NONE;

	if (!file)
		return err_set(err, ERR_UNSUPPORTED, NOT_THERE, c->path);
	strv_add(&p.argv, file);
	environment(&p, c, command);
	p.group = p.die_with_us = true;
	p.said = &said;
	/* What undoes is not stopped. */
	p.stop = result ? tool_interrupted : NULL;
	jval_print(conf, &in);
	if (proc_run(
		&p, in.data, in.len, &out, RESULT_MAX, deadline_ms(), err) < 0)
		return failure(&out, err);
	if (said.len)
		log_info("%s: %s: %.300s", type, command, said.data);
	return answer(&out, result, err);
}

static int plugin(const struct cni_call *c, const char *command, size_t i,
    const struct json_object *prev, struct json_object *attachments,
    struct json_object **result, struct err *err)
{
	const struct json_object *list = jval_get(c->conf, "plugins");
	const char *type = jval_str(jval_at(list, i), "type");
	AUTO_JSON struct json_object *conf =
	    plugin_conf(c, i, prev, attachments);

	if (!type)
		return err_set(err, ERR_FAILED, "plugins[%zu]: no type", i);
	if (run(c, command, type, conf, result, err) < 0)
		return err_wrap(err, "network %s: plugin %s: %s",
		    jval_str(c->conf, "name"), type, command);
	return 0;
}

static size_t plugins(const struct cni_call *c)
{
	return jval_len(jval_get(c->conf, "plugins"));
}

/* Before the first one runs: a chain that cannot end is not begun. */
static int find_all(const struct cni_call *c, struct err *err)
{
	const struct json_object *list = jval_get(c->conf, "plugins");

	for (size_t i = 0; i < plugins(c); i++) {
		const char *type = jval_str(jval_at(list, i), "type");
		AUTO_FREE char *file = type ? cni_plugin(c->path, type) : NULL;

		if (!file)
			return err_set(err, ERR_UNSUPPORTED,
			    "network %s: plugin %s: " NOT_THERE,
			    jval_str(c->conf, "name"), type ? type : "?",
			    c->path);
	}
	return 0;
}

int cni_add(const struct cni_call *c, struct json_object **result,
    size_t *started, struct err *err)
{
	AUTO_JSON struct json_object *prev = NULL;

	*started = 0;
	if (find_all(c, err) < 0)
		return -1;
	for (size_t i = 0; i < plugins(c); i++) {
		struct json_object *next = NULL;

		if (tool_check(err) < 0)
			return -1;
		*started = i + 1;
		if (plugin(c, "ADD", i, prev, NULL, &next, err) < 0)
			return -1;
		jval_put(prev);
		prev = next;
		cni_result_convert(prev, version_of(c));
	}
	*result = prev;
	prev = NULL;
	return 0;
}

int cni_del(
    const struct cni_call *c, const struct json_object *result, struct err *err)
{
	/* 0.3.x knows no prevResult at DEL. */
	bool knows = cni_version(version_of(c)) >= 400;
	size_t n = plugins(c);
	int r = 0;

	if (c->partial && c->started < n)
		n = c->started;
	for (size_t i = n; i-- > 0;) {
		struct err e = {0};

		if (plugin(c, "DEL", i, knows ? result : NULL, NULL, NULL,
			&e) == 0)
			continue;
		if (r < 0)
			log_warn("%s", e.msg);
		else
			*err = e;
		r = -1;
	}
	return r;
}

void cni_check(const struct cni_call *c, const struct json_object *result,
    void (*fn)(const char *type, const struct err *err, void *arg), void *arg)
{
	const struct json_object *list = jval_get(c->conf, "plugins");

	if (cni_version(version_of(c)) < 400 ||
	    jval_bool(c->conf, "disableCheck"))
		return;
	for (size_t i = 0; i < plugins(c); i++) {
		struct err e = {0};

		if (plugin(c, "CHECK", i, result, NULL, NULL, &e) < 0)
			fn(jval_str(jval_at(list, i), "type"), &e, arg);
	}
}

int cni_status(const struct cni_call *c, struct err *err)
{
	for (size_t i = 0; i < plugins(c); i++)
		if (cni_version(version_of(c)) >= 10100 &&
		    plugin(c, "STATUS", i, NULL, NULL, NULL, err) < 0)
			return -1;
	return 0;
}

int cni_gc(
    const struct cni_call *c, struct json_object *attachments, struct err *err)
{
	int r = 0;

	if (cni_version(version_of(c)) < 10100)
		return err_set(err, ERR_UNSUPPORTED,
		    "network %s: GC came with cniVersion 1.1.0, it has %s",
		    jval_str(c->conf, "name"), version_of(c));
	if (jval_bool(c->conf, "disableGC"))
		return err_set(err, ERR_UNSUPPORTED,
		    "network %s: its configuration has disableGC",
		    jval_str(c->conf, "name"));
	for (size_t i = 0; i < plugins(c); i++) {
		struct err e = {0};

		if (plugin(c, "GC", i, NULL, attachments, NULL, &e) == 0)
			continue;
		*err = e;
		r = -1;
	}
	return r;
}
