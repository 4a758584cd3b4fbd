/* SPDX-License-Identifier: MIT */
#include "gc.h"

#include <string.h>

#include "jdoc.h"

const struct gc_opts gc_defaults = {.format = "text"};

static void say(struct call *call, const char *action, const char *kind,
    const char *object, const char *why)
{
	const struct gc_opts *o = call->opts;
	AUTO_JSON struct json_object *line = NULL;

	if (!strcmp(o->format, "text")) {
		buf_addf(
		    &call->out, "%s %s %s (%s)\n", action, kind, object, why);
		return;
	}
	line = jval_object();
	jval_set_str(line, "action", action);
	jval_set_str(line, "kind", kind);
	jval_set_str(line, "object", object);
	jval_set_str(line, "reason", why);
	jval_print(line, &call->out);
	buf_ch(&call->out, '\n');
}

void gc_removed(
    struct call *call, const char *kind, const char *object, const char *why)
{
	const struct gc_opts *o = call->opts;

	say(call, o->dry_run ? "would remove" : "removed", kind, object, why);
}

void gc_kept(
    struct call *call, const char *kind, const char *object, const char *why)
{
	say(call, "kept", kind, object, why);
}
