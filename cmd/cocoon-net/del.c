/* SPDX-License-Identifier: MIT */
#include "cni_nic.h"
#include "file.h"
#include "log.h"
#include "net.h"

struct del_opts {
	bool undo, force;
};

static const struct opt opts[] = {
    {.name = "undo",
	.kind = OPT_FLAG,
	.offset = offsetof(struct del_opts, undo),
	.help = "read a pipeline's output; remove what failed"},
    {.name = "force",
	.kind = OPT_FLAG,
	.offset = offsetof(struct del_opts, force),
	.help = "also where CNI plugins fail: what they keep is lost"},
};

/* An id that has no network is done already. */
static int del_one(const char *id, bool force, struct err *err)
{
	AUTO_NET struct net n = NET_NONE;
	int r;

	if (net_open(&n, false, err) < 0 || net_lock_id(&n, id, err) < 0)
		return -1;
	if (cni_detach(&n, id, force, err) < 0)
		return err_wrap(
		    err, "vm %s (del --force goes on without it)", id);
	if (net_lock(&n, err) < 0)
		return -1;
	r = net_remove(&n, id, err);
	return r < 0 ? -1 : 0;
}

static int del_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const struct del_opts *o = call->opts;
	bool failed = false;
	struct err said = {0};
	const char *id;

	failed = doc_error(doc, &said);
	if (o->undo) {
		if (!failed || !doc_made_has(doc, "net"))
			return 0;
		id = doc_id(doc, err);
		return id ? del_one(id, o->force, err) : -1;
	}
	if (failed) {
		if (!call->status)
			call->status = (int)said.code;
		return 0;
	}
	id = doc_id(doc, err);
	if (!id || del_one(id, o->force, err) < 0)
		return -1;
	jval_del(doc, "net");
	return 0;
}

static int del_run(struct call *call, struct err *err)
{
	const struct del_opts *o = call->opts;

	for (size_t i = 0; i < call->args.n; i++) {
		const char *id = call->args.v[i];
		struct err e = {0};

		if (tool_check(err) < 0)
			return -1;
		if (!valid_id(id))
			err_set(&e, ERR_USAGE,
			    "\"%.40s\": want an id, 26 characters of A-Z2-7",
			    id);
		else if (del_one(id, o->force, &e) == 0)
			continue;
		err_object(&e, id);
		/* No document came in: none goes out. */
		log_error("del", &e);
		if (!call->status)
			call->status = (int)e.code;
	}
	return 0;
}

const struct verb verb_del = {
    .name = "del",
    .summary = "Remove networks of VMs by id, or of the documents that come "
	       "in.",
    .operands = "[ID...]",
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct del_opts),
    .emits = true,
    .changes = true,
    .takes_errors = true,
    .filter = del_filter,
    .run = del_run,
};
