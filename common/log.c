/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"

static const char *prog = "cocoon";
static enum log_level threshold = LOG_WARN_;
static bool journal, as_json;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(const char *name)
{
	const char *v;

	prog = name;
	v = getenv("COCOON_LOG_PREFIX");
	journal = v && !strcmp(v, "journal");
	v = getenv("COCOON_ERRORS");
	as_json = v && !strcmp(v, "json");
	v = getenv("COCOON_LOG_LEVEL");
	for (size_t i = 0; v && i < ARRAY_LEN(level_names); i++)
		if (!strcmp(v, level_names[i]))
			threshold = (enum log_level)i;
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

const char *log_prog(void)
{
	return prog;
}

/* Printable: no control character, C1 ones included, and real UTF-8. */
static size_t printable(const char *p)
{
	size_t len = utf8_len(p, strlen(p));
	bool c1 = (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0;

	return *p == 0x7f || c1 ? 0 : len;
}

void log_escape(char *out, size_t n, const char *text)
{
	size_t at = 0;

	while (*text && at + 5 < n) {
		size_t len = printable(text);

		if (len) {
			memcpy(out + at, text, len);
			at += len;
			text += len;
		} else {
			at += (size_t)snprintf(out + at, n - at, "\\x%02x",
			    (unsigned char)*text++);
		}
	}
	out[at] = '\0';
}

static void put_line(const char *line, size_t len)
{
	/* stderr is the last resort: nobody is left to tell. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	static const int priority[] = {3, 4, 6, 7};
	char text[900], clean[1000], line[1100];
	int saved = errno, n;
	va_list ap;

	if (level > threshold)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_escape(clean, sizeof(clean), text);
	if (journal)
		n = snprintf(line, sizeof(line), "<%d>%s: %s\n",
		    priority[level], prog, clean);
	else
		n = snprintf(line, sizeof(line), "%s: %s\n", prog, clean);
	put_line(line, (size_t)n);
	errno = saved;
}

/* What is no UTF-8 (a file name, a cut message) becomes U+FFFD. */
static void json_string(char *out, size_t n, const char *text)
{
	size_t at = 0;

	out[at++] = '"';
	while (*text && at + 8 < n) {
		unsigned char c = (unsigned char)*text;
		size_t len = utf8_len(text, strlen(text));

		if (c == '"' || c == '\\')
			out[at++] = '\\';
		if (c < 0x20)
			at += (size_t)snprintf(out + at, n - at, "\\u%04x", c);
		else if (len)
			memcpy(out + at, text, len);
		else
			memcpy(out + at, "\xef\xbf\xbd", 3);
		if (c >= 0x20)
			at += len ? len : 3;
		text += len ? len : 1;
	}
	out[at++] = '"';
	out[at] = '\0';
}

size_t log_json_error(
    char *out, size_t n, const char *verb, const struct err *e)
{
	char tool[140], object[512], message[1200], name[120];

	snprintf(name, sizeof(name), "%s%s%s", prog, verb ? " " : "",
	    verb ? verb : "");
	json_string(tool, sizeof(tool), name);
	json_string(object, sizeof(object), e->object);
	json_string(message, sizeof(message), e->msg);
	return (size_t)snprintf(out, n,
	    "{\"error\":{\"code\":%d,\"kind\":\"%s\",\"tool\":%s,"
	    "\"object\":%s,\"message\":%s,\"errno\":%d}}\n",
	    e->code, err_kind(e->code), tool, object, message, e->sys);
}

void log_error(const char *verb, const struct err *e)
{
	char line[2200];

	if (as_json)
		put_line(line, log_json_error(line, sizeof(line), verb, e));
	else if (verb)
		log_err("%s: %s", verb, e->msg);
	else
		log_err("%s", e->msg);
}
