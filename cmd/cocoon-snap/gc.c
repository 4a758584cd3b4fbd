/* SPDX-License-Identifier: MIT */
/* gc: what no name points to, with the root lock held alone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "gc.h"
#include "snap.h"

static const struct opt opts[] = {GC_OPT_DRY_RUN, GC_OPT_OUTPUT};

struct gc {
	struct call *call;
	const struct gc_opts *o;
	struct state st;
};

/* A name without a snapshot, or a snapshot without its name. */
static bool is_garbage(struct gc *g, int dir, const char *name, bool names)
{
	AUTO_FREE char *record = xasprintf("%s/snap.json", name);

	return names ? faccessat(dir, record, F_OK, 0) < 0
		     : valid_id(name) && !state_snap_committed(&g->st, name);
}

static int sweep(struct gc *g, const char *which, bool names, struct err *err)
{
	struct err missing;
	AUTO_FD int fd = state_dir(&g->st, which, false, &missing);
	int list =
	    fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = list < 0 ? NULL : fdopendir(list);
	struct dirent *de;
	int r = 0;

	if (!d) {
		close_fd(&list);
		return 0; /* no snapshot was ever made here */
	}
	while (r == 0 && (de = readdir(d))) {
		if (de->d_name[0] == '.' ||
		    !is_garbage(g, fd, de->d_name, names))
			continue;
		if (!g->o->dry_run)
			r = tree_remove(fd, de->d_name, err);
		if (r == 0)
			gc_removed(g->call, names ? "snap-name" : "snapshot",
			    de->d_name,
			    names ? "no such snapshot"
				  : "no name points to it");
	}
	closedir(d);
	return r;
}

static int gc_run(struct call *call, struct err *err)
{
	struct gc g = {.call = call, .o = call->opts, .st = STATE_NONE};
	int r = state_open(&g.st, false, err);

	if (r == 0 && g.st.root_fd >= 0) {
		r = state_lock_exclusive(&g.st, GC_LOCK_MS, err);
		if (r < 0)
			err_wrap(err, "gc: something is being made");
		if (r == 0 && (sweep(&g, "snap-name", true, err) < 0 ||
				  sweep(&g, "snap", false, err) < 0))
			r = -1;
	}
	state_close(&g.st);
	return r;
}

const struct verb verb_gc = {
    .name = "gc",
    .summary = "Remove what no snapshot's name points to.",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct gc_opts),
    .defaults = &gc_defaults,
    .changes = true,
    .run = gc_run,
};
