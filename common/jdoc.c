/* SPDX-License-Identifier: MIT */
#include "jdoc.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jtext.h"

#define MAX_INTEGER (INT64_C(1) << 53)

/* Where a value is in its document: a chain on the stack. */
struct jnode {
	const struct jnode *up;
	const char *key; /* NULL: index */
	size_t index;
};

static struct {
	void **v;
	size_t n;
} bound;

static void *bound_alloc(size_t n, size_t size)
{
	bound.v = xrealloc(bound.v, (bound.n + 1) * sizeof(*bound.v));
	bound.v[bound.n] = xcalloc(n, size);
	return bound.v[bound.n++];
}

void jdoc_free_bound(void)
{
	for (size_t i = 0; i < bound.n; i++)
		free(bound.v[i]);
	free(bound.v);
	bound.v = NULL;
	bound.n = 0;
}

/* ".plan.disks[1].file" of a chain, root first. */
static void path_of(const struct jnode *n, struct buf *out)
{
	if (!n)
		return;
	path_of(n->up, out);
	if (n->key)
		buf_addf(out, ".%s", n->key);
	else
		buf_addf(out, "[%zu]", n->index);
}

static int bad(const struct jnode *n, struct err *err, const char *what)
{
	AUTO_BUF struct buf path = {0};

	path_of(n, &path);
	return err_set(err, ERR_INPUT, "%s: %s", path.data, what);
}

static int bad_type(const struct jnode *n, struct err *err, const char *want,
    const struct json_object *v)
{
	char text[80];

	snprintf(text, sizeof(text), "expected %s, got %s", want,
	    json_type_to_name(json_object_get_type(v)));
	return bad(n, err, text);
}

static int bind_struct(const struct json_object *v, const struct jtable *t,
    const struct jnode *at, void *out, struct err *err);

static bool is_choice(const char *choices, const char *value)
{
	size_t len = strlen(value);
	const char *p = choices;

	for (; *p; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == len && !strncmp(p, value, len))
			return true;
	return false;
}

static int bind_int(const struct json_object *v, const struct jfield *f,
    const struct jnode *at, uint64_t *out, struct err *err)
{
	int64_t i;
	char text[80];

	if (!json_object_is_type(v, json_type_int))
		return bad_type(at, err, "a whole number", v);
	i = json_object_get_int64(v);
	if (i < 0 || i > MAX_INTEGER)
		return bad(at, err, "out of range 0..2^53");
	if (f->max && ((uint64_t)i < f->min || (uint64_t)i > f->max)) {
		snprintf(text, sizeof(text), "out of range %llu..%llu",
		    (unsigned long long)f->min, (unsigned long long)f->max);
		return bad(at, err, text);
	}
	*out = (uint64_t)i;
	return 0;
}

static int bind_strs(const struct json_object *v, const struct jnode *at,
    struct jstrs *out, struct err *err)
{
	size_t n = jval_len(v);

	if (!json_object_is_type(v, json_type_array))
		return bad_type(at, err, "an array of strings", v);
	out->v = bound_alloc(n, sizeof(*out->v));
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		struct jnode item = {at, NULL, i};

		out->v[i] = jval_str_at(v, i);
		if (!out->v[i])
			return bad_type(&item, err, "string", jval_at(v, i));
	}
	return 0;
}

static int bind_array(const struct json_object *v, const struct jtable *t,
    const struct jnode *at, struct jarr *out, struct err *err)
{
	size_t n = jval_len(v);

	if (!json_object_is_type(v, json_type_array))
		return bad_type(at, err, "an array", v);
	out->v = bound_alloc(n, t->size);
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		struct jnode item = {at, NULL, i};

		if (bind_struct(jval_at(v, i), t, &item,
			(char *)out->v + i * t->size, err) < 0)
			return -1;
	}
	return 0;
}

static int bind_field(struct json_object *v, const struct jfield *f,
    const struct jnode *at, char *to, struct err *err)
{
	switch (f->kind) {
	case J_STR:
	case J_ENUM:
		if (!json_object_is_type(v, json_type_string))
			return bad_type(at, err, "string", v);
		*(const char **)to = json_object_get_string(v);
		if (f->kind == J_ENUM && !is_choice(f->arg, *(char **)to)) {
			AUTO_FREE char *text = xasprintf("\"%s\" is none of %s",
			    *(char **)to, (const char *)f->arg);

			return bad(at, err, text);
		}
		return 0;
	case J_U64:
		return bind_int(v, f, at, (uint64_t *)to, err);
	case J_BOOL:
		if (!json_object_is_type(v, json_type_boolean))
			return bad_type(at, err, "boolean", v);
		*(bool *)to = json_object_get_boolean(v);
		return 0;
	case J_STRS:
		return bind_strs(v, at, (struct jstrs *)to, err);
	case J_OBJ:
		return bind_struct(v, f->arg, at, to, err);
	case J_ARR:
		return bind_array(v, f->arg, at, (struct jarr *)to, err);
	case J_RAW:
		*(struct json_object **)to = v;
		return 0;
	}
	return 0;
}

static const struct jfield *find_field(const struct jtable *t, const char *key)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->fields[i].name, key))
			return &t->fields[i];
	return NULL;
}

static int bind_struct(const struct json_object *v, const struct jtable *t,
    const struct jnode *at, void *out, struct err *err)
{
	if (!json_object_is_type(v, json_type_object))
		return bad_type(at, err, "an object", v);
	json_object_object_foreach(v, key, member)
	{
		const struct jfield *f = find_field(t, key);
		struct jnode sub = {at, key, 0};

		if (!f)
			return bad(&sub, err, "unknown member");
		/* null is as good as absent: jq writes it freely. */
		if (member && bind_field(member, f, &sub,
				  (char *)out + f->offset, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < t->n; i++) {
		struct jnode sub = {at, t->fields[i].name, 0};

		if (t->fields[i].flags & J_REQUIRED &&
		    !jval_get(v, t->fields[i].name))
			return bad(&sub, err, "missing");
	}
	return 0;
}

int jbind(const struct json_object *v, const struct jtable *t,
    const char *where, void *out, struct err *err)
{
	struct jnode root = {NULL, where, 0};

	memset(out, 0, t->size);
	return bind_struct(v, t, &root, out, err);
}

static struct json_object *build_strs(const struct jstrs *s)
{
	struct json_object *a = jval_array();

	for (size_t i = 0; i < s->n; i++)
		jval_push_str(a, s->v[i]);
	return a;
}

static struct json_object *build_array(
    const struct jtable *t, const struct jarr *in)
{
	struct json_object *a = jval_array();

	for (size_t i = 0; i < in->n; i++)
		jval_push(a, jbuild(t, (const char *)in->v + i * t->size));
	return a;
}

/* NULL: nothing worth writing. */
static struct json_object *build_field(const struct jfield *f, const char *in)
{
	/* A required zero that is left out would be missing when read back. */
	bool always = f->flags & (J_ALWAYS | J_REQUIRED);

	switch (f->kind) {
	case J_STR:
	case J_ENUM: {
		const char *s = *(const char *const *)in;

		return s ? jval_new_str(s) : NULL;
	}
	case J_U64: {
		uint64_t i = *(const uint64_t *)in;

		return i || always ? json_object_new_int64((int64_t)i) : NULL;
	}
	case J_BOOL: {
		bool b = *(const bool *)in;

		return b || always ? json_object_new_boolean(b) : NULL;
	}
	case J_STRS: {
		const struct jstrs *s = (const struct jstrs *)in;

		return s->n || always ? build_strs(s) : NULL;
	}
	case J_OBJ: {
		struct json_object *o = jbuild(f->arg, in);

		if (json_object_object_length(o) || always)
			return o;
		jval_put(o);
		return NULL;
	}
	case J_ARR: {
		const struct jarr *a = (const struct jarr *)in;

		return a->n || always ? build_array(f->arg, a) : NULL;
	}
	case J_RAW:
		return json_object_get(*(struct json_object *const *)in);
	}
	return NULL;
}

struct json_object *jbuild(const struct jtable *t, const void *in)
{
	struct json_object *o = jval_object();

	for (size_t i = 0; i < t->n; i++) {
		struct json_object *v = build_field(
		    &t->fields[i], (const char *)in + t->fields[i].offset);

		if (v)
			jval_set(o, t->fields[i].name, v);
	}
	return o;
}

void jredact(struct json_object *v, const struct jtable *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct jfield *f = &t->fields[i];
		struct json_object *m = jval_get(v, f->name);

		if (!m)
			continue;
		if (f->flags & J_SECRET)
			jval_set_str(v, f->name, "***");
		else if (f->kind == J_OBJ)
			jredact(m, f->arg);
		else if (f->kind == J_ARR)
			for (size_t k = 0; k < jval_len(m); k++)
				jredact(jval_at(m, k), f->arg);
	}
}
