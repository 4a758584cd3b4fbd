/* SPDX-License-Identifier: MIT */
/*
 * JSON values by table. The only module besides jtext.c that knows json-c:
 * the rest of the tree handles `struct json_object *` as an opaque pointer
 * and reads and writes through tables of struct jfield.
 *
 * Strings in bound structs are borrowed from the document; arrays in them are
 * allocated. Both live until the tool exits (a stream tool calls
 * jdoc_free_bound between documents). No copies, no free.
 */
#ifndef COCOON_JDOC_H
#define COCOON_JDOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct json_object;

enum jkind {
	J_STR,  /* const char * */
	J_ENUM, /* const char *, one of arg: "a|b|c" */
	J_U64,  /* uint64_t <= 2^53; min, max of the field if max != 0 */
	J_BOOL, /* bool */
	J_STRS, /* struct jstrs: an array of strings */
	J_OBJ,  /* a struct of its own at offset, table in arg */
	J_ARR,  /* struct jarr: an array of objects, table in arg */
	J_RAW,  /* struct json_object *, borrowed: whatever it is */
};

enum jflags {
	J_REQUIRED = 1, /* absent is an error */
	J_SECRET = 2,   /* jdoc_redact replaces it */
	J_ALWAYS =
	    4, /* written even when zero, false or empty; required: too */
};

struct jstrs {
	const char **v;
	size_t n;
};

struct jarr {
	void *v; /* n structs of the table's size */
	size_t n;
};

struct jfield {
	const char *name;
	enum jkind kind;
	size_t offset;
	unsigned int flags;
	const void *arg; /* ENUM: "a|b"; OBJ, ARR: const struct jtable * */
	uint64_t min, max;
	const char *help; /* what cocoon-document(5) says; compared by a test */
};

struct jtable {
	const char *name;
	size_t size; /* of the struct */
	size_t n;
	const struct jfield *fields;
};

#define JTABLE(type, array)                                                  \
	{                                                                    \
		.name = #array, .size = sizeof(type), .n = ARRAY_LEN(array), \
		.fields = (array)                                            \
	}

/* Parses text after jtext_check. The caller owns the result: jval_put. */
struct json_object *jval_parse(const char *text, size_t len, struct err *err);
struct json_object *jval_object(void);
void jval_put(struct json_object *v);
struct json_object *jval_ref(struct json_object *v);
struct json_object *jval_copy(const struct json_object *v); /* all of it */
void jval_put_ptr(struct json_object **v);
#define AUTO_JSON CLEANUP(jval_put_ptr)
/* One compact line without its newline, appended. */
void jval_print(const struct json_object *v, struct buf *out);
/* Two spaces of indent, for people. */
void jval_pretty(const struct json_object *v, struct buf *out);

/* Members of an object; NULL where it is absent or null. Borrowed. */
struct json_object *jval_get(const struct json_object *o, const char *key);
const char *jval_str(const struct json_object *o, const char *key);
/* The integer member key, or otherwise. */
int64_t jval_int(
    const struct json_object *o, const char *key, int64_t otherwise);
bool jval_bool(const struct json_object *o, const char *key);
size_t jval_len(const struct json_object *array);
struct json_object *jval_at(const struct json_object *array, size_t i);
/* The string at i of an array; NULL if it is none. */
const char *jval_str_at(const struct json_object *array, size_t i);
bool jval_is_object(const struct json_object *v);
/* Calls fn for every member, in order; stops at the first non-zero. */
int jval_each(const struct json_object *o,
    int (*fn)(const char *key, struct json_object *v, void *arg), void *arg);

/* What is no UTF-8 in s, a file name or a cut message, becomes U+FFFD: the next
 * stage would refuse the document otherwise. */
struct json_object *jval_new_str(const char *s);
/* Sets a member (replacing it); the object takes over v. */
void jval_set(struct json_object *o, const char *key, struct json_object *v);
void jval_set_str(struct json_object *o, const char *key, const char *s);
void jval_set_int(struct json_object *o, const char *key, int64_t i);
void jval_set_bool(struct json_object *o, const char *key, bool b);
void jval_del(struct json_object *o, const char *key);
struct json_object *jval_array(void);
void jval_push(struct json_object *array, struct json_object *v);
void jval_push_str(struct json_object *array, const char *s);

/*
 * Binds the object v to *out by the table; where ("vm", ".plan") begins the
 * path in messages: ".plan.disks[1].file: expected string, got int". Members
 * that the table does not know are an error. *out is zeroed first; absent
 * optional members leave zero. ERR_INPUT.
 */
int jbind(const struct json_object *v, const struct jtable *t,
    const char *where, void *out, struct err *err);
/* The reverse: a new object from *in; zero members are left out. */
struct json_object *jbuild(const struct jtable *t, const void *in);
/* Replaces what the table marks J_SECRET below v by "***". */
void jredact(struct json_object *v, const struct jtable *t);
/* Frees the arrays that jbind allocated since the last call. */
void jdoc_free_bound(void);

#endif
