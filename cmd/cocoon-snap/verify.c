/* SPDX-License-Identifier: MIT */
/* verify: is every file there, as long as it was, and root's? */
#include "snap.h"

static int note(const char *id, const char *name, void *arg)
{
	(void)name;
	strv_add(arg, id);
	return 0;
}

static int verify_run(struct call *call, struct err *err)
{
	AUTO_STATE struct state st = STATE_NONE;
	AUTO_STRV struct strv all = {0};
	const struct strv *refs = call->args.n ? &call->args : &all;

	if (state_open(&st, false, err) < 0 ||
	    (!call->args.n && state_each_snap(&st, note, &all, err) < 0))
		return -1;
	for (size_t i = 0; i < refs->n; i++) {
		AUTO_SNAP struct snap s = SNAP_NONE;
		struct err e = {0};

		if (snap_open(&s, refs->v[i], &e) < 0 ||
		    (snap_check(&s.snap, s.fd, SNAP_WHOLE, &e) < 0 &&
			err_wrap(&e, "snapshot %s", s.snap.name) < 0))
			tool_fail(call, NULL, &e);
		else
			buf_addf(&call->out, "ok: %s  %s\n", s.snap.id,
			    s.snap.name ? s.snap.name : "-");
	}
	return 0;
}

const struct verb verb_verify = {
    .name = "verify",
    .summary = "Check that snapshots are whole; without operands, all.",
    .operands = "[SNAPSHOT...]",
    .max_args = -1,
    .run = verify_run,
};
