/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "jdoc.h"
#include "tap.h"

static void escapes(void)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"", ""}, {"plain text", "plain text"}, {"a\nb", "a\\x0ab"},
	    {"\x1b[31m", "\\x1b[31m"}, {"tab\there", "tab\\x09here"},
	    {"\x7f", "\\x7f"}, {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	    {"\xff", "\\xff"}, {"a\xc3", "a\\xc3"},
	    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
	    {"\xc2\x9b", "\\xc2\\x9b"}, /* a C1 control: CSI */
	};
	char out[64];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		log_escape(out, sizeof(out), cases[i].in);
		is_str(out, cases[i].out, "escape of case %zu", i);
	}
	for (size_t n = 1; n < 12; n++) {
		memset(out, '#', sizeof(out));
		log_escape(out, n, "\n\n\xc3\xbc\n\n");
		ok(strlen(out) < n && out[n] == '#', "escape in %zu bytes", n);
	}
}

/* The line must be JSON whatever the message holds. */
static void json_error(const char *msg, const char *object, const char *want)
{
	struct err e = {.code = ERR_STATE, .sys = EEXIST}, err = {0};
	AUTO_JSON struct json_object *v = NULL;
	const struct json_object *o;
	char line[2200];
	size_t n;

	snprintf(e.msg, sizeof(e.msg), "%s", msg);
	snprintf(e.object, sizeof(e.object), "%s", object);
	n = log_json_error(line, sizeof(line), "add", &e);
	is_int(n, strlen(line), "length of the line");
	is_int(line[n - 1], '\n', "a line");
	v = jval_parse(line, n, &err);
	if (!ok(v != NULL, "the line is JSON: %.60s", msg))
		printf("# %s\n# %s", err.msg, line);
	o = jval_get(v, "error");
	is_int(jval_int(o, "code", -1), ERR_STATE, "code");
	is_int(jval_int(o, "errno", -1), EEXIST, "errno");
	is_str(jval_str(o, "kind"), "state", "kind");
	is_str(jval_str(o, "tool"), "cocoon-net add", "tool");
	if (want)
		is_str(jval_str(o, "message"), want, "message");
}

static void json_errors(void)
{
	char text[600];

	json_error("net: add: exists", "", "net: add: exists");
	json_error("a \"quoted\\path\"", "x\"y", "a \"quoted\\path\"");
	json_error("line\nline\ttab\x01", "", "line\nline\ttab\x01");
	json_error("gr\xc3\xbc\xc3\x9f", "", "gr\xc3\xbc\xc3\x9f");
	json_error("bad \xff\xfe utf-8", "\xc3", NULL);
	memset(text, '"', sizeof(text));
	text[511] = '\0';
	json_error(text, text, NULL);
	memset(text, 1, 511);
	json_error(text, text, NULL);
	for (int i = 0; i + 1 < 511; i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	json_error(text, text + 1, NULL);
}

/* Runs fn with stderr in a pipe; what it wrote goes to out. */
static void capture(void (*fn)(void), char *out, size_t n)
{
	int p[2], old = dup(STDERR_FILENO);
	ssize_t got;

	if (pipe(p) < 0)
		abort();
	dup2(p[1], STDERR_FILENO);
	close(p[1]);
	fn();
	dup2(old, STDERR_FILENO);
	close(old);
	got = read(p[0], out, n - 1);
	out[got > 0 ? got : 0] = '\0';
	close(p[0]);
}

static void warn_and_debug(void)
{
	errno = ENOTTY;
	log_warn("tap%d: %s", 0, "up\n");
	log_info("not shown");
}

static void fail_json(void)
{
	struct err e = {.code = ERR_INPUT, .msg = "no"};

	log_error(NULL, &e);
}

static void fail_plain(void)
{
	struct err e = {.code = ERR_INPUT, .msg = "stdin: no document"};

	log_error("add", &e);
}

int main(void)
{
	char out[400];

	unsetenv("COCOON_ERRORS");
	log_init("cocoon-net");
	is_str(log_prog(), "cocoon-net", "program name");
	escapes();
	json_errors();
	capture(warn_and_debug, out, sizeof(out));
	is_str(out, "cocoon-net: tap0: up\\x0a\n", "one line, escaped");
	is_int(errno, ENOTTY, "errno is kept");
	capture(fail_plain, out, sizeof(out));
	is_str(out, "cocoon-net: add: stdin: no document\n", "an error");
	setenv("COCOON_LOG_PREFIX", "journal", 1);
	setenv("COCOON_ERRORS", "json", 1);
	log_init("cocoon-hv");
	capture(warn_and_debug, out, sizeof(out));
	is_str(out, "<4>cocoon-hv: tap0: up\\x0a\n", "journal prefix");
	capture(fail_json, out, sizeof(out));
	is_str(out,
	    "{\"error\":{\"code\":3,\"kind\":\"input\",\"tool\":\"cocoon-hv\","
	    "\"object\":\"\",\"message\":\"no\",\"errno\":0}}\n",
	    "an error as JSON");
	return done();
}
