/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

void table_cell(struct table *t, const char *text)
{
	AUTO_FREE char *clean = NULL;
	size_t room;

	if (!text)
		text = "-";
	room = strlen(text) * 4 + 8;
	clean = xmalloc(room);
	log_escape(clean, room, text);
	strv_add(&t->cells, clean);
}

void table_cellf(struct table *t, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_cell(t, text);
}

/* Characters, not bytes: continuation bytes of UTF-8 take no column. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void table_print(const struct table *t, struct buf *out)
{
	AUTO_FREE size_t *widths = xcalloc(t->columns, sizeof(*widths));

	for (size_t i = 0; i < t->cells.n; i++) {
		size_t w = width(t->cells.v[i]);

		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->cells.n; i++) {
		size_t column = i % t->columns;

		buf_str(out, t->cells.v[i]);
		if (column + 1 == t->columns)
			buf_ch(out, '\n');
		else
			buf_addf(out, "%*s",
			    (int)(widths[column] + 2 - width(t->cells.v[i])),
			    "");
	}
}

void table_release(struct table *t)
{
	strv_release(&t->cells);
}
