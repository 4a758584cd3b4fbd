/* SPDX-License-Identifier: MIT */
/*
 * RFC 8259, strictly, before json-c sees a byte: json-c 0.16 takes NaN,
 * single quotes, raw control characters, duplicate keys, text after a NUL
 * and integers that overflow. Pure: the fuzz target of tests/fuzz.
 */
#ifndef COCOON_JTEXT_H
#define COCOON_JTEXT_H

#include <stddef.h>

#include "err.h"

#define JTEXT_MAX_SIZE ((size_t)4 << 20)
#define JTEXT_MAX_DEPTH 32

/*
 * 0 if text[0..len) is exactly one JSON value with white space around: UTF-8,
 * no NUL (not as \u0000 either), no control characters, no duplicate keys,
 * depth <= 32, integers in -2^63..2^64-1, at most 4 MiB. Else ERR_INPUT with
 * the byte offset.
 */
int jtext_check(const char *text, size_t len, struct err *err);

/*
 * As jtext_check, and calls found(i, ...) for every value whose path is
 * paths[i] (".net.nics[].addresses[]"), with its raw text: a string has its
 * quotes. For the few members of many documents, where a tree costs too much.
 */
struct jtext_watch {
	const char *const *paths;
	size_t n;
	void (*found)(size_t i, const char *value, size_t len, void *arg);
	void *arg;
};
int jtext_watch(const char *text, size_t len, const struct jtext_watch *watch,
    struct err *err);

/*
 * Where the first object of a stream of objects ends: *end is the offset just
 * behind it. 1 found, 0 more bytes are wanted (or only white space is there),
 * -1 what comes first is no object.
 */
int jtext_split(const char *text, size_t len, size_t *start, size_t *end);

#endif
