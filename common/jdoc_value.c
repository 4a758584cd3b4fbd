/* SPDX-License-Identifier: MIT */
/* The part of json-c that is used here, strict, and never out of memory. */
#include "jdoc.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "jtext.h"

struct json_object *jval_parse(const char *text, size_t len, struct err *err)
{
	struct json_tokener *tok;
	struct json_object *v;

	if (jtext_check(text, len, err) < 0)
		return NULL;
	tok = json_tokener_new_ex(JTEXT_MAX_DEPTH + 2);
	if (!tok)
		abort();
	v = json_tokener_parse_ex(tok, text, (int)len);
	/* A bare number ends only at the end of the text. */
	if (!v && json_tokener_get_error(tok) == json_tokener_continue)
		v = json_tokener_parse_ex(tok, "", 1);
	if (!v && json_tokener_get_error(tok) != json_tokener_success)
		err_set(err, ERR_INPUT, "not JSON: %s",
		    json_tokener_error_desc(json_tokener_get_error(tok)));
	else if (!v)
		err_set(err, ERR_INPUT, "not JSON for us: null");
	json_tokener_free(tok);
	return v;
}

struct json_object *jval_object(void)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		abort();
	return o;
}

struct json_object *jval_array(void)
{
	struct json_object *a = json_object_new_array();

	if (!a)
		abort();
	return a;
}

void jval_put(struct json_object *v)
{
	json_object_put(v);
}

struct json_object *jval_copy(const struct json_object *v)
{
	struct json_object *out = NULL;

	/* It fails for want of memory alone. */
	if (v && json_object_deep_copy(
		     (struct json_object *)(uintptr_t)v, &out, NULL) < 0)
		abort();
	return out;
}

struct json_object *jval_ref(struct json_object *v)
{
	return json_object_get(v);
}

void jval_put_ptr(struct json_object **v)
{
	json_object_put(*v);
	*v = NULL;
}

static void print_with(const struct json_object *v, struct buf *out, int flags)
{
	/* The printer caches its text in the value, hence not const. */
	buf_str(out, json_object_to_json_string_ext((struct json_object *)v,
			 flags | JSON_C_TO_STRING_NOSLASHESCAPE));
}

void jval_print(const struct json_object *v, struct buf *out)
{
	print_with(v, out, JSON_C_TO_STRING_PLAIN);
}

void jval_pretty(const struct json_object *v, struct buf *out)
{
	print_with(v, out, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

struct json_object *jval_get(const struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &v))
		return NULL;
	return v;
}

const char *jval_str(const struct json_object *o, const char *key)
{
	struct json_object *v = jval_get(o, key);

	return json_object_is_type(v, json_type_string)
		   ? json_object_get_string(v)
		   : NULL;
}

int64_t jval_int(
    const struct json_object *o, const char *key, int64_t otherwise)
{
	struct json_object *v = jval_get(o, key);

	return json_object_is_type(v, json_type_int) ? json_object_get_int64(v)
						     : otherwise;
}

bool jval_bool(const struct json_object *o, const char *key)
{
	struct json_object *v = jval_get(o, key);

	return json_object_is_type(v, json_type_boolean) &&
	       json_object_get_boolean(v);
}

size_t jval_len(const struct json_object *array)
{
	return json_object_is_type(array, json_type_array)
		   ? json_object_array_length(array)
		   : 0;
}

struct json_object *jval_at(const struct json_object *array, size_t i)
{
	return i < jval_len(array) ? json_object_array_get_idx(array, i) : NULL;
}

const char *jval_str_at(const struct json_object *array, size_t i)
{
	struct json_object *v = jval_at(array, i);

	return json_object_is_type(v, json_type_string)
		   ? json_object_get_string(v)
		   : NULL;
}

bool jval_is_object(const struct json_object *v)
{
	return json_object_is_type(v, json_type_object);
}

int jval_each(const struct json_object *o,
    int (*fn)(const char *key, struct json_object *v, void *arg), void *arg)
{
	if (!jval_is_object(o))
		return 0;
	json_object_object_foreach(o, key, v)
	{
		int r = fn(key, v, arg);

		if (r)
			return r;
	}
	return 0;
}

struct json_object *jval_new_str(const char *s)
{
	AUTO_BUF struct buf clean = {0};
	size_t left = strlen(s);

	for (size_t n; left > 0; s += n, left -= n) {
		n = utf8_len(s, left);
		if (n || (unsigned char)*s < 0x20)
			buf_add(&clean, s, n ? n : 1);
		else
			buf_str(&clean, "\xef\xbf\xbd");
		n = n ? n : 1;
	}
	return json_object_new_string_len(
	    clean.data ? clean.data : "", (int)clean.len);
}

void jval_set(struct json_object *o, const char *key, struct json_object *v)
{
	if (json_object_object_add(o, key, v) < 0)
		abort();
}

void jval_set_str(struct json_object *o, const char *key, const char *s)
{
	jval_set(o, key, jval_new_str(s));
}

void jval_set_int(struct json_object *o, const char *key, int64_t i)
{
	jval_set(o, key, json_object_new_int64(i));
}

void jval_set_bool(struct json_object *o, const char *key, bool b)
{
	jval_set(o, key, json_object_new_boolean(b));
}

void jval_del(struct json_object *o, const char *key)
{
	json_object_object_del(o, key);
}

void jval_push(struct json_object *array, struct json_object *v)
{
	if (json_object_array_add(array, v) < 0)
		abort();
}

void jval_push_str(struct json_object *array, const char *s)
{
	jval_push(array, jval_new_str(s));
}
