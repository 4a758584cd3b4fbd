/* SPDX-License-Identifier: MIT */
/* All VMs as rows of a table: what a list needs of each, and no more. */
#ifndef COCOON_LIST_H
#define COCOON_LIST_H

#include "hv.h"
#include "table.h"

struct row {
	char id[STATE_ID_LEN + 1];
	char *name, *image;
	const char *state;
	struct ips ips;
	bool paused;
	uint64_t cpu, memory, storage, generation, created_at, started_at;
};

struct list {
	struct state st;
	int vms;          /* vm/ */
	struct row *rows; /* by age */
	size_t n;
};
#define LIST_NONE                           \
	{                                   \
		.st = STATE_NONE, .vms = -1 \
	}

int list_read(struct list *l, struct err *err);
void list_close(struct list *l);
#define AUTO_LIST CLEANUP(list_close)
void list_row(const struct row *r, struct table *t);
void list_table(const struct list *l, struct buf *out);
void row_release(struct row *r);

#endif
