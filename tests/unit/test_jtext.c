/* SPDX-License-Identifier: MIT */
#include "jtext.h"

#include <stdlib.h>

#include "buf.h"
#include "tap.h"

/* Texts are string literals, which may hold NUL bytes. */
#define T(text) text, sizeof(text) - 1

static const struct text {
	const char *text;
	size_t len;
} good[] = {
    {T("{}")},
    {T("[]")},
    {T(" \t\r\n{ } \n")},
    {T("null")},
    {T("true")},
    {T("false")},
    {T("0")},
    {T("-0")},
    {T("-1")},
    {T("0.5")},
    {T("1e5")},
    {T("1E+5")},
    {T("1.25e-10")},
    {T("18446744073709551615")},
    {T("-9223372036854775808")},
    {T("\"\"")},
    {T("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"")},
    {T("\"\\u00e9\\uD83D\\uDE00\"")},
    {T("\"gr\xc3\xbc\xc3\x9f\"")},
    {T("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80"
       "\xf4\x8f\xbf\xbf\"")},
    {T("\"\x7f\"")},
    {T("{\"a\":1,\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":1}]}")},
    {T("{\"\":1,\" \":2}")},
    {T("{\"a\":1,\"A\":1,\"aa\":1}")},
    {T("[1,[2,[3]],\"x\",null,true]")},
};

static const struct text bad[] = {
    {T("")},
    {T(" ")},
    {T("{")},
    {T("}")},
    {T("[")},
    {T("{}x")},
    {T("{}{}")},
    {T("{}\0")},
    {T("\0{}")},
    {T("{\"a\":1\0}")},
    {T("\"a\0b\"")},
    {T("\"\\u0000\"")},
    {T("{\"a\\u0000b\":1}")},
    {T("nul")},
    {T("nulll")},
    {T("True")},
    {T("NaN")},
    {T("Infinity")},
    {T("-Infinity")},
    {T("'a'")},
    {T("{'a':1}")},
    {T("{a:1}")},
    {T("{\"a\" 1}")},
    {T("{\"a\":}")},
    {T("{\"a\":1,}")},
    {T("{,}")},
    {T("[1,]")},
    {T("[,1]")},
    {T("[1 2]")},
    {T("[1}")},
    {T("// c\n1")},
    {T("/* c */1")},
    {T("\xef\xbb\xbf{}")},
    {T("\"\x01\"")},
    {T("\"\n\"")},
    {T("\"\x1f\"")},
    {T("\"a")},
    {T("\"\\")},
    {T("\"\\x41\"")},
    {T("\"\\u12\"")},
    {T("\"\\u12g4\"")},
    {T("\"\\ud800\"")},
    {T("\"\\ud800x\"")},
    {T("\"\\ud800\\n\"")},
    {T("\"\\ud800\\u0041\"")},
    {T("\"\\udc00\"")},
    {T("\"\\udc00\\ud800\"")},
    {T("\"\xff\"")},
    {T("\"\xc3\"")},
    {T("\"\xc0\x80\"")},
    {T("\"\xc1\xbf\"")},
    {T("\"\xe0\x9f\xbf\"")},
    {T("\"\xed\xa0\x80\"")},
    {T("\"\xf0\x8f\xbf\xbf\"")},
    {T("\"\xf4\x90\x80\x80\"")},
    {T("\"\xf5\x80\x80\x80\"")},
    {T("\"\x80\"")},
    {T("\"\xe2\x82\"")},
    {T("01")},
    {T("-")},
    {T("+1")},
    {T(".5")},
    {T("1.")},
    {T("1e")},
    {T("1e+")},
    {T("0x10")},
    {T("1a")},
    {T("--1")},
    {T("-01")},
    {T("18446744073709551616")},
    {T("-9223372036854775809")},
    {T("99999999999999999999999999999999999999999")},
    {T("0.00000000000000000000000000000000000000000000000000000000000000"
       "00000001")},
    {T("{\"a\":1,\"a\":2}")},
    {T("{\"b\":1,\"a\":2,\"b\":3}")},
    {T("{\"x\":{\"a\":1,\"b\":2,\"a\":1}}")},
    {T("{\"\\u0061\":1}")},
    {T("{\"a\\n\":1}")},
    {T("{1:2}")},
    {T("{null:2}")},
    {T("\f{}")},
    {T("\xc2\xa0{}")},
};

/* Exactly the bytes on the heap, so that a read behind them is seen. */
static int check(const struct text *t, struct err *err)
{
	AUTO_FREE char *copy = xmalloc(t->len);

	if (t->len)
		memcpy(copy, t->text, t->len);
	return jtext_check(copy, t->len, err);
}

static void tables(void)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct err err = {0};

		is_int(
		    check(&good[i], &err), 0, "good %zu: %s", i, good[i].text);
		is_str(err.msg, "", "no message for good %zu", i);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = {0};

		is_int(check(&bad[i], &err), -1, "bad %zu", i);
		is_int(err.code, ERR_INPUT, "code of bad %zu", i);
	}
}

/* Every proper beginning of a document is refused. */
static void prefixes(void)
{
	static const char doc[] =
	    "{\"a\":[1.5e3,\"\\u00e9\\\\\xc3\xbc\",{\"b\":null}],\"c\":true}";
	size_t refused = 0;

	for (size_t n = 0; n < sizeof(doc) - 1; n++) {
		struct text t = {doc, n};
		struct err err = {0};

		refused += check(&t, &err) < 0;
	}
	is_int(refused, sizeof(doc) - 1, "no beginning of a document is one");
}

static int nested(size_t depth, char open, char close)
{
	AUTO_BUF struct buf b = {0};
	struct err err = {0};

	for (size_t i = 0; i < depth; i++)
		buf_ch(&b, open);
	for (size_t i = 0; i < depth; i++)
		buf_ch(&b, close);
	return jtext_check(b.data, b.len, &err);
}

static int sized(size_t size)
{
	AUTO_BUF struct buf b = {0};
	struct err err = {0};

	buf_str(&b, "\"");
	while (b.len < size - 1)
		buf_ch(&b, 'x');
	buf_str(&b, "\"");
	return jtext_check(b.data, b.len, &err);
}

static void limits(void)
{
	is_int(nested(JTEXT_MAX_DEPTH, '[', ']'), 0, "as deep as allowed");
	is_int(nested(JTEXT_MAX_DEPTH + 1, '[', ']'), -1, "too deep");
	is_int(nested(100000, '[', ']'), -1, "very deep");
	is_int(nested(100000, '{', '}'), -1, "very deep, not even JSON");
	is_int(sized(JTEXT_MAX_SIZE), 0, "as large as allowed");
	is_int(sized(JTEXT_MAX_SIZE + 1), -1, "too large");
}

static void offsets(void)
{
	struct err err = {0};

	jtext_check(T("{\"a\":x}"), &err);
	is_str(err.msg, "not JSON: unexpected character at byte 5", "where");
}

static void split(void)
{
	static const struct {
		const char *text;
		int r;
		size_t start, end;
	} cases[] = {
	    {"", 0, 0, 0},
	    {" \n\t", 0, 3, 0},
	    {"{}", 1, 0, 2},
	    {" {} {}", 1, 1, 3},
	    {"{\"a\":{}}{", 1, 0, 8},
	    {"{\"a\":\"}\"}", 1, 0, 9},
	    {"{\"a\":\"\\\"}\"}", 1, 0, 11},
	    {"{\"a\":\"\\\\\"}", 1, 0, 10},
	    {"{\"a\":[1,{}]}\n", 1, 0, 12},
	    {"{", 0, 0, 0},
	    {"{\"", 0, 0, 0},
	    {"{\"a\\", 0, 0, 0},
	    {"{\"a\\\"", 0, 0, 0},
	    {"[]", -1, 0, 0},
	    {"  x", -1, 2, 0},
	    {"}", -1, 0, 0},
	    {"\"a\"", -1, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t start = 99, end = 0, n = strlen(cases[i].text);
		AUTO_FREE char *copy = xmalloc(n);

		memcpy(copy, cases[i].text, n);
		is_int(jtext_split(copy, n, &start, &end), cases[i].r,
		    "split %zu", i);
		is_int(start, cases[i].start, "split %zu: start", i);
		if (cases[i].r == 1)
			is_int(end, cases[i].end, "split %zu: end", i);
	}
}

int main(void)
{
	tables();
	prefixes();
	limits();
	offsets();
	split();
	return done();
}
