/* SPDX-License-Identifier: MIT */
/* Aligned columns for people: cells are added row by row. */
#ifndef COCOON_TABLE_H
#define COCOON_TABLE_H

#include "buf.h"

struct table {
	size_t columns;
	struct strv cells; /* control characters escaped */
};

void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Two spaces between columns, no trailing blanks. */
void table_print(const struct table *t, struct buf *out);
void table_release(struct table *t);
#define AUTO_TABLE CLEANUP(table_release)

#endif
