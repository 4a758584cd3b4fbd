/* SPDX-License-Identifier: MIT */
/*
 * The end of the dispatcher's pipelines: documents become a line for people, or
 * redacted JSON for programs. Error lines were told already; what this run has
 * made for them goes. It is a verb of its own, and the last word of those that
 * bring VMs about: a process costs most of a millisecond.
 */
#include "report.h"

#include <string.h>

#include "hv.h"
#include "log.h"
#include "proc.h"

#define UNDO_MS 120000

static const struct report_opts defaults = {.format = "text", .as = "done"};

static const struct opt opts[] = {
    REPORT_OPTS,
    {.name = "snapshot",
	.kind = OPT_FLAG,
	.offset = offsetof(struct report_opts, snapshot),
	.help = "of a snapshot, not of a VM"},
};

/* Of whom succeeded, with -o ids. */
static struct json_object *succeeded;

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
	buf_addf(&call->out, "%s: %s  %s%s%s\n", o->as ? o->as : "done",
	    id ? id : "-", name ? name : "-", strcmp(ips.data, "-") ? "  " : "",
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

/* The network was made in this run, and the VM that it was for was not. What
 * is not undone gc finds. */
static void undo_net(const struct json_object *doc)
{
	AUTO_PROC struct proc p = PROC_NONE;
	AUTO_BUF struct buf text = {0}, said = {0};
	struct err ignored; /* its status is that of the line's own error */

	if (!doc_made_has(doc, "net"))
		return;
	jval_print(doc, &text);
	buf_ch(&text, '\n');
	strv_add(&p.argv, "cocoon-net");
	strv_add(&p.argv, "del");
	strv_add(&p.argv, "--undo");
	strv_add(&p.env, "COCOON_EXPECT=1");
	p.said = &said;
	(void)proc_run(&p, text.data, text.len, NULL, 0, UNDO_MS, &ignored);
	if (said.len)
		log_warn(
		    "undo: %.*s", (int)strcspn(said.data, "\n"), said.data);
}

static int show(struct call *call, const struct report_opts *o,
    struct json_object *doc, struct err *err)
{
	const char *id =
	    jval_str(jval_get(doc, o->snapshot ? "snap" : "vm"), "id");

	if (!o->format || !strcmp(o->format, "text"))
		return o->snapshot ? snapshot_line(call, o, doc, err)
				   : line(call, o, doc, err);
	if (!strcmp(o->format, "ids")) {
		if (!succeeded)
			succeeded = jval_array();
		jval_push_str(succeeded, id ? id : "");
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

int report_present(struct call *call, struct json_object *doc, struct err *err)
{
	const struct report_opts *o = call->opts;
	struct err told;

	if (!o->as && !o->format)
		return 1;
	if (doc_error(doc, &told)) {
		undo_net(doc);
		return 0;
	}
	/* At once: what is made is told, whatever comes. */
	return show(call, o, doc, err) < 0 ? -1 : tool_flush(call, err);
}

int report_finish(struct call *call, struct err *err)
{
	const struct report_opts *o = call->opts;
	AUTO_JSON struct json_object *top = NULL;

	(void)err;
	if (!o->format || strcmp(o->format, "ids"))
		return 0;
	top = jval_object();
	jval_set(top, "succeeded", succeeded ? succeeded : jval_array());
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
    .filter = report_present,
    .finish = report_finish,
};
