/* SPDX-License-Identifier: MIT */
#include "jdoc.h"

#include "tap.h"

struct inner {
	const char *path;
	uint64_t size;
};

struct outer {
	const char *name, *mode, *hash;
	uint64_t n, always;
	bool on;
	struct jstrs words;
	struct inner one;
	struct jarr many;
	struct json_object *raw;
};

#define I(m, k, fl, a, lo, hi)                                                \
	{                                                                     \
		.name = #m, .kind = (k), .offset = offsetof(struct inner, m), \
		.flags = (fl), .arg = (a), .min = (lo), .max = (hi)           \
	}
#define O(m, k, fl, a)                                                        \
	{                                                                     \
		.name = #m, .kind = (k), .offset = offsetof(struct outer, m), \
		.flags = (fl), .arg = (a)                                     \
	}
static const struct jfield inner[] = {
    I(path, J_STR, J_REQUIRED | J_SECRET, NULL, 0, 0),
    I(size, J_U64, 0, NULL, 2, 9),
};
static const struct jtable inner_table = JTABLE(struct inner, inner);
static const struct jfield outer[] = {
    O(name, J_STR, J_REQUIRED, NULL),
    O(mode, J_ENUM, 0, "ro|rw"),
    O(hash, J_STR, J_SECRET, NULL),
    O(n, J_U64, 0, NULL),
    O(always, J_U64, J_ALWAYS, NULL),
    O(on, J_BOOL, 0, NULL),
    O(words, J_STRS, 0, NULL),
    O(one, J_OBJ, 0, &inner_table),
    O(many, J_ARR, 0, &inner_table),
    O(raw, J_RAW, 0, NULL),
};
static const struct jtable outer_table = JTABLE(struct outer, outer);

static struct json_object *parse(const char *text)
{
	struct err err = {0};
	struct json_object *v = jval_parse(text, strlen(text), &err);

	if (!v)
		ok(false, "parse %s: %s", text, err.msg);
	return v;
}

static void round_trip(void)
{
	static const char *const texts[] = {
	    "{\"name\":\"a\",\"always\":0}",
	    "{\"name\":\"\",\"mode\":\"rw\",\"hash\":\"h/\\\"\",\"n\":"
	    "9007199254740992,\"always\":1,\"on\":true,\"words\":[\"x\",\"\"],"
	    "\"one\":{\"path\":\"/p\",\"size\":2},\"many\":[{\"path\":\"1\"},"
	    "{\"path\":\"2\",\"size\":9}],\"raw\":{\"z\":[1,{\"y\":null}]}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO_JSON struct json_object *v = parse(texts[i]), *w = NULL;
		AUTO_BUF struct buf out = {0};
		struct err err = {0};
		struct outer o;

		is_int(jbind(v, &outer_table, "x", &o, &err), 0, "bind %zu: %s",
		    i, err.msg);
		w = jbuild(&outer_table, &o);
		jval_print(w, &out);
		is_str(out.data, texts[i], "the same again %zu", i);
		jdoc_free_bound();
	}
}

static void messages(void)
{
	static const struct {
		const char *text, *msg;
	} cases[] = {
	    {"{}", ".x.name: missing"},
	    {"{\"name\":null}", ".x.name: missing"},
	    {"[]", ".x: expected an object, got array"},
	    {"{\"name\":1}", ".x.name: expected string, got int"},
	    {"{\"name\":\"\",\"nam\":1}", ".x.nam: unknown member"},
	    {"{\"name\":\"\",\"mode\":\"r\"}",
		".x.mode: \"r\" is none of ro|rw"},
	    {"{\"name\":\"\",\"mode\":\"ro|rw\"}",
		".x.mode: \"ro|rw\" is none of ro|rw"},
	    {"{\"name\":\"\",\"n\":-1}", ".x.n: out of range 0..2^53"},
	    {"{\"name\":\"\",\"n\":9007199254740993}",
		".x.n: out of range 0..2^53"},
	    {"{\"name\":\"\",\"n\":18446744073709551615}",
		".x.n: out of range 0..2^53"},
	    {"{\"name\":\"\",\"n\":1.0}",
		".x.n: expected a whole number, got double"},
	    {"{\"name\":\"\",\"n\":\"1\"}",
		".x.n: expected a whole number, got string"},
	    {"{\"name\":\"\",\"on\":\"false\"}",
		".x.on: expected boolean, got string"},
	    {"{\"name\":\"\",\"on\":0}", ".x.on: expected boolean, got int"},
	    {"{\"name\":\"\",\"words\":\"a\"}",
		".x.words: expected an array of strings, got string"},
	    {"{\"name\":\"\",\"words\":[\"a\",1]}",
		".x.words[1]: expected string, got int"},
	    {"{\"name\":\"\",\"words\":[null]}",
		".x.words[0]: expected string, got null"},
	    {"{\"name\":\"\",\"one\":[]}",
		".x.one: expected an object, got array"},
	    {"{\"name\":\"\",\"one\":{}}", ".x.one.path: missing"},
	    {"{\"name\":\"\",\"one\":{\"path\":\"\",\"size\":1}}",
		".x.one.size: out of range 2..9"},
	    {"{\"name\":\"\",\"many\":{}}",
		".x.many: expected an array, got object"},
	    {"{\"name\":\"\",\"many\":[{\"path\":\"\"},{\"path\":7}]}",
		".x.many[1].path: expected string, got int"},
	    {"{\"name\":\"\",\"many\":[null]}",
		".x.many[0]: expected an object, got null"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_JSON struct json_object *v = parse(cases[i].text);
		struct err err = {0};
		struct outer o;

		is_int(jbind(v, &outer_table, "x", &o, &err), -1, "refused: %s",
		    cases[i].text);
		is_int(err.code, ERR_INPUT, "code: %s", cases[i].text);
		is_str(err.msg, cases[i].msg, "message: %s", cases[i].text);
		jdoc_free_bound();
	}
}

static void redacted(void)
{
	AUTO_JSON struct json_object *v = parse(
	    "{\"name\":\"n\",\"hash\":\"h\","
	    "\"one\":{\"path\":\"p\"},\"many\":[{\"path\":\"q\"}],\"z\":1}");
	AUTO_BUF struct buf out = {0};

	jredact(v, &outer_table);
	jval_print(v, &out);
	is_str(out.data,
	    "{\"name\":\"n\",\"hash\":\"***\",\"one\":{\"path\":\"***\"},"
	    "\"many\":[{\"path\":\"***\"}],\"z\":1}",
	    "secrets at every depth");
	jredact(NULL, &outer_table);
}

static void values(void)
{
	AUTO_JSON struct json_object *v =
	    parse("{\"s\":\"t\",\"i\":-5,"
		  "\"b\":true,\"a\":[\"x\",1],\"n\":null,\"d\":1.5}");
	AUTO_BUF struct buf out = {0};

	is_str(jval_str(v, "s"), "t", "string");
	is_str(jval_str(v, "i"), NULL, "an integer is no string");
	is_int(jval_int(v, "i", 7), -5, "integer");
	is_int(jval_int(v, "s", 7), 7, "a string is no integer");
	is_int(jval_int(v, "d", 7), 7, "a double is no integer");
	is_int(jval_int(v, "q", 7), 7, "absent");
	ok(jval_bool(v, "b"), "boolean");
	ok(!jval_bool(v, "s"), "a string is not true");
	ok(!jval_get(v, "n"), "null is as good as absent");
	is_int(jval_len(jval_get(v, "a")), 2, "array");
	is_str(jval_str_at(jval_get(v, "a"), 0), "x", "string at 0");
	is_str(jval_str_at(jval_get(v, "a"), 1), NULL, "no string at 1");
	is_str(jval_str_at(jval_get(v, "a"), 2), NULL, "nothing at 2");
	is_int(jval_len(NULL), 0, "nothing has no length");
	ok(!jval_get(NULL, "a"), "nothing has no members");
	ok(!jval_get(jval_get(v, "a"), "a"), "an array has no members");
	jval_set_str(v, "s", "u/v");
	jval_set_int(v, "i", INT64_MIN);
	jval_del(v, "a");
	jval_del(v, "n");
	jval_del(v, "d");
	jval_print(v, &out);
	is_str(out.data,
	    "{\"s\":\"u/v\",\"i\":-9223372036854775808,\"b\":true}",
	    "set, delete, no escaped slash");
}

/* What we write is JSON, even if a message or a file name was not UTF-8. */
static void odd_text(void)
{
	AUTO_JSON struct json_object *v = jval_object(), *a = jval_array();
	AUTO_JSON struct json_object *again = NULL, *built = NULL;
	AUTO_BUF struct buf out = {0};
	struct outer o = {.name = "\xff\x01"};
	struct err err = {0};

	jval_set_str(v, "a", "ok \xff\xc3 \xed\xa0\x80 gr\xc3\xbc\x7f\n");
	jval_push_str(a, "\xf0\x90");
	jval_set(v, "b", jval_ref(a));
	built = jbuild(&outer_table, &o);
	jval_set(v, "c", jval_ref(built));
	jval_print(v, &out);
	again = jval_parse(out.data, out.len, &err);
	ok(again != NULL, "invalid UTF-8 is written as JSON: %s", err.msg);
	is_str(jval_str(again, "a"),
	    "ok \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "
	    "gr\xc3\xbc\x7f\n",
	    "each wrong byte is replaced");
}

static int count(const char *key, struct json_object *v, void *arg)
{
	(void)v;
	++*(int *)arg;
	return !strcmp(key, "b") ? 9 : 0;
}

static void parsing(void)
{
	static const char *const numbers[] = {"0", "18446744073709551615",
	    "-9223372036854775808", "1.5", "1e400", "\"x\"", "true", "[1]"};
	AUTO_JSON struct json_object *v = parse("{\"a\":1,\"b\":2,\"c\":3}");
	struct err err = {0};
	int n = 0;

	ok(!jval_parse("null", 4, &err) && err.code == ERR_INPUT, "null");
	ok(!jval_parse("{} x", 4, &err), "text behind it");
	ok(!jval_parse("{}\0", 3, &err), "NUL behind it");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		AUTO_JSON struct json_object *x = parse(numbers[i]);
		AUTO_BUF struct buf out = {0};

		jval_print(x, &out);
		is_str(out.data, numbers[i], "%s as it came", numbers[i]);
	}
	is_int(jval_each(v, count, &n), 9, "each: the result");
	is_int(n, 2, "each: stops there");
}

int main(void)
{
	parsing();
	round_trip();
	messages();
	redacted();
	values();
	odd_text();
	return done();
}
