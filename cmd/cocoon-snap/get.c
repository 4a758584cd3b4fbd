/* SPDX-License-Identifier: MIT */
/* get: {v, snap}, secrets and all, for the stages behind. */
#include "snap.h"

struct get_opts {
	const char *from_dir;
	uint64_t count;
};

static const struct get_opts defaults = {.count = 1};
static const struct opt opts[] = {
    {.name = "from-dir",
	.kind = OPT_STRING,
	.metavar = "DIR",
	.offset = offsetof(struct get_opts, from_dir),
	.help = "a snapshot's directory in place of a name"},
    {.name = "count",
	.letter = 'n',
	.kind = OPT_U64,
	.metavar = "N",
	.min = 1,
	.max = 10000,
	.offset = offsetof(struct get_opts, count),
	.help = "that many times"},
};

static int get_run(struct call *call, struct err *err)
{
	const struct get_opts *o = call->opts;
	AUTO_SNAP struct snap s = SNAP_NONE;

	if (!o->from_dir == !call->args.n)
		return err_set(err, ERR_USAGE,
		    "want a snapshot or --from-dir, one of them");
	if ((o->from_dir ? snap_open_dir(&s, o->from_dir, err)
			 : snap_open(&s, call->args.v[0], err)) < 0)
		return -1;
	if (snap_check(&s.snap, s.fd, SNAP_LOAD, err) < 0)
		return err_wrap(err, "snapshot %s",
		    o->from_dir ? o->from_dir : call->args.v[0]);
	jval_set_str(jval_get(s.doc, "snap"), "dir", s.dir);
	for (uint64_t i = 0; i < o->count; i++)
		if (tool_emit(s.doc, err) < 0)
			return -1;
	return 0;
}

const struct verb verb_get = {
    .name = "get",
    .summary = "Write the document of a snapshot, for a pipeline.",
    .operands = "[SNAPSHOT]",
    .max_args = 1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct get_opts),
    .defaults = &defaults,
    .emits = true,
    .run = get_run,
};
