/* SPDX-License-Identifier: MIT */
/* rm: name -> rest. What VMs have linked stays theirs. */
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "file.h"
#include "snap.h"

#define CLONE_MS 60000 /* until who copies from it is done */

struct rm_opts {
	bool force;
};

static const struct opt opts[] = {
    {.name = "force",
	.kind = OPT_FLAG,
	.offset = offsetof(struct rm_opts, force),
	.help = "also one that its VM hibernates in"},
};

/* Only the VM that was saved can. */
static int check_sleeper(struct snap *s, struct err *err)
{
	struct json_object *vm = jval_get(s->snap.doc, "vm");
	const char *id = jval_str(vm, "id"), *resume;
	struct err ignored;
	AUTO_FD int dir = id ? state_vm_dir(&s->st, id, &ignored) : -1;
	AUTO_JSON struct json_object *record =
	    dir < 0 ? NULL : state_record(dir, id, &ignored);

	resume = jval_str(jval_get(record, "hv"), "resume");
	if (!resume || strcmp(resume, s->id) != 0)
		return 0;
	return err_set(err, ERR_STATE,
	    "the VM %s hibernates in it, and would lose what it has in memory: "
	    "start it first, or give --force",
	    jval_str(jval_get(record, "vm"), "name"));
}

static int remove_one(const char *id, bool force, struct err *err)
{
	AUTO_SNAP struct snap s = SNAP_NONE;
	AUTO_FD int all = -1, names = -1;

	if (snap_open(&s, id, err) < 0 ||
	    (!force && check_sleeper(&s, err) < 0))
		return -1;
	all = state_dir(&s.st, "snap", false, err);
	names = state_dir(&s.st, "snap-name", false, err);
	if (all < 0 || names < 0 ||
	    file_lock(s.fd, LOCK_EX, CLONE_MS, "a clone of it is made", err) <
		0)
		return -1;
	if (unlinkat(names, s.snap.name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "snap-name/%s: remove", s.snap.name);
	if (fsync(names) < 0)
		return err_sys(err, errno, "snap-name: fsync");
	return tree_remove(all, s.id, err);
}

static bool seen_before(const struct strv *ids, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(ids->v[k], ids->v[i]))
			return true;
	return false;
}

static int rm_run(struct call *call, struct err *err)
{
	const struct rm_opts *o = call->opts;
	AUTO_STATE struct state st = STATE_NONE;
	AUTO_STRV struct strv ids = {0};

	if (state_open(&st, false, err) < 0)
		return -1;
	for (size_t i = 0; i < call->args.n; i++) {
		char id[STATE_ID_LEN + 1];

		if (state_find_snap(&st, call->args.v[i], id, err) < 0)
			return -1;
		strv_add(&ids, id);
	}
	for (size_t i = 0; i < ids.n; i++) {
		if (seen_before(&ids, i))
			continue;
		if (tool_check(err) < 0 ||
		    remove_one(ids.v[i], o->force, err) < 0)
			return err_wrap(err, "snapshot %s", ids.v[i]);
		buf_addf(&call->out, "deleted: %s\n", ids.v[i]);
	}
	return 0;
}

const struct verb verb_rm = {
    .name = "rm",
    .summary = "Remove snapshots.",
    .operands = "SNAPSHOT...",
    .min_args = 1,
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct rm_opts),
    .changes = true,
    .run = rm_run,
};
