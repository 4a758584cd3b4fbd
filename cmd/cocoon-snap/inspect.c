/* SPDX-License-Identifier: MIT */
#include "snap.h"

static int inspect_run(struct call *call, struct err *err)
{
	AUTO_SNAP struct snap s = SNAP_NONE;

	if (snap_open(&s, call->args.v[0], err) < 0)
		return -1;
	jval_set_str(jval_get(s.doc, "snap"), "dir", s.dir);
	doc_redact(s.doc);
	jval_pretty(jval_get(s.doc, "snap"), &call->out);
	buf_ch(&call->out, '\n');
	return 0;
}

const struct verb verb_inspect = {
    .name = "inspect",
    .summary = "Print a snapshot, and the document of its source.",
    .operands = "SNAPSHOT",
    .min_args = 1,
    .max_args = 1,
    .run = inspect_run,
};
