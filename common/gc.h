/* SPDX-License-Identifier: MIT */
/* What the gc verb of every tool takes and says. */
#ifndef COCOON_GC_H
#define COCOON_GC_H

#include <stdbool.h>

#include "opt.h"
#include "tool.h"

#define GC_LOCK_MS 10000 /* how long for the root lock */

struct gc_opts {
	bool dry_run;
	bool all; /* also what was made by hand */
	const char *format;
};
extern const struct gc_opts gc_defaults;

/* Elements of the verb's option table. */
#define GC_OPT_DRY_RUN                                              \
	{                                                           \
		.name = "dry-run", .letter = 'n', .kind = OPT_FLAG, \
		.offset = offsetof(struct gc_opts, dry_run),        \
		.help = "only say what would be removed"            \
	}
#define GC_OPT_OUTPUT                                              \
	{                                                          \
		.name = "output", .letter = 'o', .kind = OPT_ENUM, \
		.metavar = "text|json",                            \
		.offset = offsetof(struct gc_opts, format),        \
		.help = "lines for people or for programs"         \
	}

/*
 * Tells of one thing that was removed (or would be, in a dry run), and why:
 * "removed KIND OBJECT (REASON)", or {action,kind,object,reason}. gc_kept
 * tells of one that is left alone.
 */
void gc_removed(
    struct call *call, const char *kind, const char *object, const char *why);
void gc_kept(
    struct call *call, const char *kind, const char *object, const char *why);

#endif
