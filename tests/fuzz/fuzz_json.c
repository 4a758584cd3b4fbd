/* SPDX-License-Identifier: MIT */
/*
 * Texts: whatever jtext_check accepts, jval_parse parses, and what is printed
 * of it is accepted again and prints the same. jtext_split finds the end of
 * an object that jtext_check accepts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "jdoc.h"
#include "jtext.h"

static void check_split(const char *text, size_t len, bool accepted)
{
	size_t start = 0, end = 0;
	int r = jtext_split(text, len, &start, &end);

	must(start <= len);
	if (r == 1)
		must(start < end && end <= len && text[start] == '{');
	if (!accepted || start == len || text[start] != '{')
		return;
	must(r == 1);
	for (size_t i = end; i < len; i++)
		must(strchr(" \t\r\n", text[i]) && text[i]);
}

static void check_print(const char *text, size_t len)
{
	AUTO_JSON struct json_object *v = NULL, *again = NULL;
	AUTO_BUF struct buf one = {0}, two = {0}, pretty = {0};
	struct err err = {0};

	v = jval_parse(text, len, &err);
	if (!v) {
		must(strstr(err.msg, "null"));
		return;
	}
	jval_print(v, &one);
	must(jtext_check(one.data, one.len, &err) == 0);
	must(!memchr(one.data, '\n', one.len));
	again = jval_parse(one.data, one.len, &err);
	must(again);
	jval_print(again, &two);
	must(one.len == two.len && !memcmp(one.data, two.data, one.len));
	jval_pretty(v, &pretty);
	must(jtext_check(pretty.data, pretty.len, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xmalloc(size);
	struct err err = {0};
	bool accepted;

	if (size)
		memcpy(text, data, size);
	accepted = jtext_check(text, size, &err) == 0;
	if (!accepted)
		must(err.code == ERR_INPUT && err.msg[0]);
	check_split(text, size, accepted);
	if (accepted)
		check_print(text, size);
	return 0;
}
