/* SPDX-License-Identifier: MIT */
/* rm: the names only. Bytes stay for gc, and longer where a VM has linked
 * them. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "img.h"
#include "ref.h"

static bool listed(const struct strv *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->v[i], name))
			return true;
	return false;
}

static int remove_all(struct call *call, const struct store *s,
    const struct strv *names, struct err *err)
{
	for (size_t i = 0; i < names->n; i++) {
		AUTO_FREE char *file = name_escape(names->v[i]);

		if (unlinkat(s->ref_fd, file, 0) < 0 && errno != ENOENT)
			return err_sys(
			    err, errno, "image %.100s: remove", names->v[i]);
		buf_addf(&call->out, "deleted: %s\n", names->v[i]);
	}
	if (fsync(s->ref_fd) < 0)
		return err_sys(err, errno, "image/ref: fsync");
	return 0;
}

static int rm_run(struct call *call, struct err *err)
{
	AUTO_STORE struct store s = STORE_NONE;
	AUTO_STRV struct strv names = {0};

	if (store_open(&s, false, err) < 0 ||
	    (s.st.root_fd >= 0 && state_lock_shared(&s.st, err) < 0))
		return -1;
	for (size_t i = 0; i < call->args.n; i++) {
		AUTO_STRV struct strv hits = {0};

		if (ref_find(&s, call->args.v[i], &hits, err) < 0)
			return -1;
		for (size_t j = 0; j < hits.n; j++)
			if (!listed(&names, hits.v[j]))
				strv_add(&names, hits.v[j]);
	}
	return remove_all(call, &s, &names, err);
}

const struct verb verb_rm = {
    .name = "rm",
    .summary = "removes images; `gc` frees the space that nothing else uses",
    .operands = "IMAGE...",
    .min_args = 1,
    .max_args = -1,
    .changes = true,
    .run = rm_run,
};
