/* SPDX-License-Identifier: MIT */
/*
 * The frame of the five tools: main is `return tool_main(&tool, argc, argv)`.
 * Verbs are data. A verb never exits, never prints, never parses argv.
 */
#ifndef COCOON_TOOL_H
#define COCOON_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"
#include "jdoc.h"
#include "opt.h"

struct verb;

struct call {
	const struct verb *verb;
	void *opts;       /* the struct that the verb's option table fills */
	struct strv args; /* operands */
	struct buf out;   /* what a `run` verb prints; written at the end */
	int status;       /* exit status of a `run` verb that is no error */
	void *data;       /* the verb's own, across documents */
};

struct verb {
	const char *name, *summary;
	const char *operands;   /* "IMAGE", "VM...", "[VM]"; NULL: none */
	int min_args, max_args; /* max_args < 0: any number */
	const struct opt *opts;
	size_t n_opts, opts_size;
	const void *defaults; /* opts_size bytes, or NULL: zeros */
	bool emits;        /* writes documents to stdout: errors travel, too */
	bool changes;      /* changes the host: SIGPIPE ignored, signals held */
	bool takes_errors; /* the filter sees error lines, too (undo) */
	bool hidden;       /* not in --help's list: not for people */

	/* A filter is called once a document, which it changes in place...
	 * TOOL_LATER: it is still at work with it, and has taken it over. */
	int (*filter)(struct call *, struct json_object *doc, struct err *);
	/* ... and this when the document could not be handed on. */
	void (*undo)(struct call *, struct json_object *doc);
	/* True: this call reads documents; else `run` is used. NULL with both
	 * functions set: operands mean run, none (or "-") mean filter. */
	bool (*is_filter)(const struct call *);
	int (*run)(struct call *, struct err *);
	/*
	 * Of a filter that says TOOL_LATER: can be read when the first of
	 * what is at work is done, -1: nothing is; and that one is handed on,
	 * by tool_done, once it is done.
	 */
	int (*later_fd)(const struct call *);
	void (*later)(struct call *);
	/*
	 * The last stage may tell people in place of handing a document on,
	 * also of an error line. 1: it was not asked to.
	 */
	int (*present)(struct call *, struct json_object *doc, struct err *);
	/* After the last document. May be NULL. */
	int (*finish)(struct call *, struct err *);
};

#define TOOL_LATER 1

struct tool {
	const char *name, *summary;
	const struct verb *const *verbs; /* NULL-terminated */
};

int tool_main(const struct tool *tool, int argc, char **argv);

/* What ps(1) shows of this process from now on. Takes the environment and
 * argv for it: only for what needs neither any more. */
void tool_title(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Writes one document as a line at once. -1: the reader is gone. */
int tool_emit(const struct json_object *doc, struct err *err);
/* The end of a document of which the filter said TOOL_LATER: *err is why it
 * failed (code ERR_NONE: it did not). */
void tool_done(struct call *call, struct json_object *doc, struct err *err);
/* Writes what is in call->out now, for verbs that follow something. */
int tool_flush(struct call *call, struct err *err);
/*
 * Reports a failure of one item among several of a `run` verb: says it,
 * remembers the first code as the exit status, and writes an error document
 * if the verb emits. doc may be NULL.
 */
void tool_fail(struct call *call, struct json_object *doc, struct err *err);
/* True after SIGINT, SIGTERM or SIGHUP in a verb that changes the host. */
bool tool_interrupted(void);
/* -1 with ERR_FAILED "interrupted" if so; called between steps. */
int tool_check(struct err *err);

#endif
