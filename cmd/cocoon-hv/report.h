/* SPDX-License-Identifier: MIT */
#ifndef COCOON_REPORT_H
#define COCOON_REPORT_H

#include "tool.h"

/* The first member of the options of a verb that can tell people. */
struct report_opts {
	const char *format, *as; /* both NULL: documents are handed on */
	bool snapshot;
};

/* The first two elements of its table. */
#define REPORT_OPTS                                                    \
	{.name = "output",                                             \
	    .letter = 'o',                                             \
	    .kind = OPT_ENUM,                                          \
	    .metavar = "text|json|ids|pretty",                         \
	    .offset = offsetof(struct report_opts, format),            \
	    .help = "lines for people, documents, or {succeeded:..}"}, \
	{                                                              \
		.name = "as", .kind = OPT_STRING, .metavar = "WORD",   \
		.offset = offsetof(struct report_opts, as),            \
		.help = "what to call what was done: created ..."      \
	}

/* verb.present and verb.finish of it. */
int report_present(struct call *call, struct json_object *doc, struct err *err);
int report_finish(struct call *call, struct err *err);

#endif
