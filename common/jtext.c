/* SPDX-License-Identifier: MIT */
#include "jtext.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

struct scan {
	const char *text;
	size_t at, len;
	struct err *err;
	const struct jtext_watch *watch; /* NULL: only check */
	char path[128];                  /* of the value that comes */
	size_t path_len;
};

static int fail(struct scan *s, const char *what)
{
	return err_set(
	    s->err, ERR_INPUT, "not JSON: %s at byte %zu", what, s->at);
}

static int peek(const struct scan *s)
{
	return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void skip_space(struct scan *s)
{
	while (s->at < s->len && strchr(" \t\r\n", s->text[s->at]) &&
	       s->text[s->at])
		s->at++;
}

static int hex4(struct scan *s, unsigned int *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++, s->at++) {
		int c = peek(s);

		if (c < 0 || !isxdigit(c))
			return fail(s, "bad \\u escape");
		*out =
		    *out * 16 +
		    (unsigned int)(isdigit(c) ? c - '0' : (c | 32) - 'a' + 10);
	}
	return 0;
}

/* Behind "\u". A surrogate must be one of a pair. */
static int scan_unicode(struct scan *s)
{
	unsigned int u, low;

	if (hex4(s, &u) < 0)
		return -1;
	if (u == 0)
		return fail(s, "NUL character");
	if (u < 0xd800 || u > 0xdfff)
		return 0;
	if (u > 0xdbff || s->len - s->at < 2 || s->text[s->at] != '\\' ||
	    s->text[s->at + 1] != 'u')
		return fail(s, "lone surrogate");
	s->at += 2;
	if (hex4(s, &low) < 0)
		return -1;
	if (low < 0xdc00 || low > 0xdfff)
		return fail(s, "lone surrogate");
	return 0;
}

/* Most text is plain ASCII. */
static void skip_plain(struct scan *s)
{
	while (s->at < s->len && s->text[s->at] >= 0x20 &&
	       s->text[s->at] != '"' && s->text[s->at] != '\\')
		s->at++;
}

static int scan_string(struct scan *s)
{
	for (s->at++;;) {
		int c;
		size_t n;

		skip_plain(s);
		c = peek(s);
		if (c < 0)
			return fail(s, "unterminated string");
		if (c == '"') {
			s->at++;
			return 0;
		}
		if (c == '\\') {
			s->at++;
			c = peek(s);
			if (c < 0 || !strchr("\"\\/bfnrtu", c) || !c)
				return fail(s, "bad escape");
			s->at++;
			if (c == 'u' && scan_unicode(s) < 0)
				return -1;
			continue;
		}
		n = utf8_len(s->text + s->at, s->len - s->at);
		if (!n)
			return fail(
			    s, c < 0x20 ? "control character" : "bad UTF-8");
		s->at += n;
	}
}

static size_t digits(struct scan *s)
{
	size_t start = s->at;

	while (isdigit(peek(s)))
		s->at++;
	return s->at - start;
}

/* json-c saturates silently: refuse what does not fit. */
static bool fits(const char *text, size_t len)
{
	char copy[32];

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	errno = 0;
	if (copy[0] == '-')
		(void)strtoll(copy, NULL, 10);
	else
		(void)strtoull(copy, NULL, 10);
	return errno == 0;
}

static int scan_number(struct scan *s)
{
	size_t start = s->at;
	bool integer = true;

	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0')
		s->at++;
	else if (!digits(s))
		return fail(s, "bad number");
	if (peek(s) == '.') {
		integer = false;
		s->at++;
		if (!digits(s))
			return fail(s, "bad number");
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		integer = false;
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		if (!digits(s))
			return fail(s, "bad number");
	}
	if (s->at - start > 64)
		return fail(s, "overlong number");
	if (integer && !fits(s->text + start, s->at - start))
		return fail(s, "integer out of range");
	return 0;
}

static int scan_value(struct scan *s, int depth);

static int scan_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if (s->len - s->at < n || memcmp(s->text + s->at, word, n))
		return fail(s, "unexpected character");
	s->at += n;
	return 0;
}

/* Appends to the path; what does not fit is watched by nobody. */
static void enter(struct scan *s, char mark, const char *name, size_t len)
{
	size_t room = sizeof(s->path) - s->path_len;

	if (s->watch && len + 2 < room) {
		s->path[s->path_len++] = mark;
		memcpy(s->path + s->path_len, name, len);
		s->path_len += len;
	}
}

static void report(struct scan *s, size_t start)
{
	const struct jtext_watch *w = s->watch;

	for (size_t i = 0; i < w->n; i++)
		if (strlen(w->paths[i]) == s->path_len &&
		    !memcmp(w->paths[i], s->path, s->path_len))
			w->found(i, s->text + start, s->at - start, w->arg);
}

static int scan_array(struct scan *s, int depth)
{
	size_t outer = s->path_len;

	s->at++;
	skip_space(s);
	if (peek(s) == ']') {
		s->at++;
		return 0;
	}
	enter(s, '[', "]", 1);
	for (;;) {
		if (scan_value(s, depth) < 0)
			return -1;
		skip_space(s);
		if (peek(s) == ',') {
			s->at++;
			continue;
		}
		if (peek(s) != ']')
			return fail(s, "expected , or ]");
		s->at++;
		s->path_len = outer;
		return 0;
	}
}

struct key {
	const char *text;
	size_t len;
};

static int compare_keys(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int r = memcmp(x->text, y->text, n);

	return r ? r : (x->len > y->len) - (x->len < y->len);
}

/*
 * Keys are compared as they are written; one with an escape could equal
 * another in disguise, and no document of ours needs it: refused.
 */
static int check_keys(struct scan *s, struct key *keys, size_t n)
{
	if (n)
		qsort(keys, n, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < n; i++)
		if (!compare_keys(&keys[i - 1], &keys[i]))
			return fail(s, "duplicate key in the object that ends");
	return 0;
}

static int scan_key(struct scan *s, struct key *key)
{
	size_t start;

	skip_space(s);
	if (peek(s) != '"')
		return fail(s, "expected a key");
	start = s->at + 1;
	if (scan_string(s) < 0)
		return -1;
	key->text = s->text + start;
	key->len = s->at - 1 - start;
	if (key->len && memchr(key->text, '\\', key->len))
		return fail(s, "escape in a key");
	skip_space(s);
	if (peek(s) != ':')
		return fail(s, "expected :");
	s->at++;
	return 0;
}

static int scan_members(struct scan *s, int depth, struct buf *keys)
{
	for (;;) {
		struct key key;
		size_t outer;

		if (scan_key(s, &key) < 0)
			return -1;
		buf_add(keys, &key, sizeof(key));
		outer = s->path_len;
		enter(s, '.', key.text, key.len);
		if (scan_value(s, depth) < 0)
			return -1;
		s->path_len = outer;
		skip_space(s);
		if (peek(s) == ',') {
			s->at++;
			continue;
		}
		if (peek(s) != '}')
			return fail(s, "expected , or }");
		s->at++;
		return 0;
	}
}

static int scan_object(struct scan *s, int depth)
{
	AUTO_BUF struct buf keys = {0};

	s->at++;
	skip_space(s);
	if (peek(s) == '}') {
		s->at++;
		return 0;
	}
	if (scan_members(s, depth, &keys) < 0)
		return -1;
	return check_keys(
	    s, (struct key *)(void *)keys.data, keys.len / sizeof(struct key));
}

static int scan_any(struct scan *s, int depth)
{
	switch (peek(s)) {
	case -1:
		return fail(s, "unexpected end");
	case '{':
	case '[':
		if (depth >= JTEXT_MAX_DEPTH)
			return fail(s, "nested too deep");
		return s->text[s->at] == '{' ? scan_object(s, depth + 1)
					     : scan_array(s, depth + 1);
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		if (peek(s) == '-' || isdigit(peek(s)))
			return scan_number(s);
		return fail(s, "unexpected character");
	}
}

static int scan_value(struct scan *s, int depth)
{
	size_t start;

	skip_space(s);
	start = s->at;
	if (scan_any(s, depth) < 0)
		return -1;
	if (s->watch)
		report(s, start);
	return 0;
}

int jtext_watch(const char *text, size_t len, const struct jtext_watch *watch,
    struct err *err)
{
	struct scan s = {.text = text, .len = len, .err = err, .watch = watch};

	if (len > JTEXT_MAX_SIZE)
		return err_set(err, ERR_INPUT,
		    "not JSON for us: larger than %zu bytes", JTEXT_MAX_SIZE);
	if (scan_value(&s, 0) < 0)
		return -1;
	skip_space(&s);
	return s.at == len ? 0 : fail(&s, "unexpected text behind the value");
}

int jtext_check(const char *text, size_t len, struct err *err)
{
	return jtext_watch(text, len, NULL, err);
}

int jtext_split(const char *text, size_t len, size_t *start, size_t *end)
{
	struct scan s = {.text = text, .len = len};
	size_t depth = 0;
	bool quoted = false;

	skip_space(&s);
	*start = s.at;
	if (s.at == len)
		return 0;
	if (text[s.at] != '{')
		return -1;
	for (size_t i = s.at; i < len; i++) {
		char c = text[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if ((c == '}' || c == ']') && --depth == 0) {
			*end = i + 1;
			return 1;
		}
	}
	return 0;
}
