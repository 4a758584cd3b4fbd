/* SPDX-License-Identifier: MIT */
/*
 * report: the end of the dispatcher's pipelines: documents become a line for
 * people, or redacted JSON for programs. Error lines were told already.
 */
#include <string.h>

#include "hv.h"

struct report_opts {
	const char *format, *as;
	bool snapshot;
};

static const struct report_opts defaults = {.format = "text", .as = "done"};
static const struct opt opts[] = {
    {.name = "output",
	.letter = 'o',
	.kind = OPT_ENUM,
	.metavar = "text|json|ids|pretty",
	.offset = offsetof(struct report_opts, format),
	.help = "lines for people, documents, or {succeeded:[...]}"},
    {.name = "as",
	.kind = OPT_STRING,
	.metavar = "WORD",
	.offset = offsetof(struct report_opts, as),
	.help = "what was done: created, started ..."},
    {.name = "snapshot",
	.kind = OPT_FLAG,
	.offset = offsetof(struct report_opts, snapshot),
	.help = "of a snapshot, not of a VM"},
};

static int line(struct call *call, const struct report_opts *o,
    const struct json_object *doc, struct err *err)
{
	AUTO_BUF struct buf ips = {0};
	struct doc_net net;
	const char *name = jval_str(jval_get(doc, "vm"), "name");
	const char *id = jval_str(jval_get(doc, "vm"), "id");

	if (doc_bind_optional(doc, "net", &doc_net_table, &net, err) < 0)
		return -1;
	show_ips(&net, &ips);
	buf_addf(&call->out, "%s: %s  %s%s%s\n", o->as, id ? id : "-",
	    name ? name : "-", strcmp(ips.data, "-") ? "  " : "",
	    strcmp(ips.data, "-") ? ips.data : "");
	return 0;
}

static int snapshot_line(struct call *call, const struct report_opts *o,
    const struct json_object *doc, struct err *err)
{
	struct doc_snap s;

	if (doc_bind(doc, "snap", &doc_snap_table, &s, err) < 0)
		return -1;
	buf_addf(&call->out, "%s: %s  %s  stood still for %llu ms\n", o->as,
	    s.id, s.name ? s.name : "-", (unsigned long long)s.pause_ms);
	return 0;
}

static int report_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const struct report_opts *o = call->opts;
	const char *id =
	    jval_str(jval_get(doc, o->snapshot ? "snap" : "vm"), "id");
	struct err told;

	if (doc_error(doc, &told))
		return 0;
	if (!strcmp(o->format, "text"))
		return o->snapshot ? snapshot_line(call, o, doc, err)
				   : line(call, o, doc, err);
	if (!strcmp(o->format, "ids")) {
		struct json_object *all = call->data;

		if (!all)
			call->data = all = jval_array();
		jval_push_str(all, id ? id : "");
		return 0;
	}
	doc_redact(doc);
	if (!strcmp(o->format, "pretty"))
		jval_pretty(doc, &call->out);
	else
		jval_print(doc, &call->out);
	buf_ch(&call->out, '\n');
	return 0;
}

static int report_finish(struct call *call, struct err *err)
{
	const struct report_opts *o = call->opts;
	AUTO_JSON struct json_object *top = NULL;

	(void)err;
	if (strcmp(o->format, "ids"))
		return 0;
	top = jval_object();
	jval_set(top, "succeeded", call->data ? call->data : jval_array());
	jval_print(top, &call->out);
	buf_ch(&call->out, '\n');
	return 0;
}

const struct verb verb_report = {
    .name = "report",
    .summary = "Tell people or programs what a pipeline has done.",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct report_opts),
    .defaults = &defaults,
    .takes_errors = true,
    .filter = report_filter,
    .finish = report_finish,
};
