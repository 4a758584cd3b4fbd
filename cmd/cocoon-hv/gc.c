/* SPDX-License-Identifier: MIT */
/*
 * gc: what no name points to. It holds the root lock alone, so it never sees
 * a VM that is being made; and it removes only what this root's own
 * directories name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "gc.h"
#include "hv.h"
#include "live.h"
#include "log.h"
#include "vmm.h"

static const struct opt opts[] = {GC_OPT_DRY_RUN, GC_OPT_OUTPUT};

struct gc {
	struct call *call;
	const struct gc_opts *o;
	struct state st;
	int vms, names;
};

/* Calls fn for each entry; the directory may change under it. */
static int each(int dirfd, int (*fn)(struct gc *, const char *, struct err *),
    struct gc *g, struct err *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *de;

	if (!d) {
		close_fd(&fd);
		return err_sys(err, errno, "gc: open a directory");
	}
	while (r == 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = fn(g, de->d_name, err);
	closedir(d);
	return r;
}

static int unnamed_vm(struct gc *g, const char *id, struct err *err)
{
	AUTO_FD int vm = -1;

	if (!valid_id(id) || state_vm_committed(&g->st, id))
		return 0;
	gc_removed(g->call, "vm", id, "no name points to it");
	if (g->o->dry_run)
		return 0;
	vm = dir_open(g->vms, id, 0, err);
	if (vm < 0 || live_kill_others(vm, UINT64_MAX, err) < 0)
		return -1;
	return tree_remove(g->vms, id, err);
}

static int dangling_name(struct gc *g, const char *name, struct err *err)
{
	AUTO_FREE char *record = xasprintf("%s/vm.json", name);

	if (faccessat(g->names, record, F_OK, 0) == 0)
		return 0;
	gc_removed(g->call, "vm-name", name, "no such VM");
	if (!g->o->dry_run && unlinkat(g->names, name, 0) < 0 &&
	    errno != ENOENT)
		return err_sys(err, errno, "vm-name/%s: remove", name);
	return 0;
}

static struct {
	int fd;
	uint64_t current;
	const char *id;
} inside; /* the VM whose directory is looked through */

/* Old generations and temporaries of a VM; its lock is held. */
static int leftover(struct gc *g, const char *name, struct err *err)
{
	unsigned long long n;
	char end, what[128];

	bool run = sscanf(name, "%llu%c", &n, &end) == 1 ||
		   sscanf(name, "live.%llu%c", &n, &end) == 1 ||
		   sscanf(name, "pin.%llu%c", &n, &end) == 1 ||
		   sscanf(name, "run.%llu%c", &n, &end) == 1;
	/* The links of generation 0. */
	if (!run && !strcmp(name, "pin") && inside.current) {
		run = true;
		n = 0;
	}
	bool tmp = (name[0] == '.' && strstr(name, ".tmp-")) ||
		   (!strncmp(name, "s-", 2) && valid_id(name + 2));

	if (!tmp && (!run || n == inside.current))
		return 0;
	snprintf(what, sizeof(what), "%s/%s", inside.id, name);
	gc_removed(g->call, tmp ? "temporary" : "generation", what,
	    tmp ? "left by a command that was killed" : "not the VM's own");
	return g->o->dry_run ? 0 : tree_remove(inside.fd, name, err);
}

/* Nobody saves it: its lock is ours. */
static int dump_left(struct gc *g, struct err *err)
{
	AUTO_FREE char *run =
	    xasprintf("%llu", (unsigned long long)inside.current);
	AUTO_FREE char *name = xasprintf("%s/%s/%s", inside.id, run, DUMP_DIR);
	struct err none;
	AUTO_FD int fd = dir_open(inside.fd, run, 0, &none);

	if (fd < 0 || faccessat(fd, DUMP_DIR, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	gc_removed(
	    g->call, "temporary", name, "left by a command that was killed");
	return g->o->dry_run ? 0 : tree_remove(fd, DUMP_DIR, err);
}

static int look_inside(struct gc *g, const char *id, struct err *err)
{
	AUTO_FD int fd = -1, lock = -1;
	AUTO_JSON struct json_object *doc = NULL;
	struct err ignored;

	if (!valid_id(id) || !state_vm_committed(&g->st, id))
		return 0;
	fd = state_vm_dir(&g->st, id, &ignored);
	if (fd < 0)
		return 0;
	lock = state_vm_lock(&g->st, fd, id, 0, &ignored);
	if (lock < 0)
		return 0; /* somebody works on it: nothing to tidy yet */
	doc = state_record(fd, id, &ignored);
	if (!doc)
		return 0;
	inside.fd = fd;
	inside.id = id;
	inside.current =
	    (uint64_t)jval_int(jval_get(doc, "hv"), "generation", 0);
	if (!g->o->dry_run && live_kill_others(fd, inside.current, err) < 0)
		return -1;
	if (dump_left(g, err) < 0)
		return -1;
	return each(fd, leftover, g, err);
}

static int template_file(struct gc *g, const char *name, struct err *err)
{
	AUTO_FD int dir = -1;

	/* Finished templates are kept: they cost a megabyte, save a mkfs. */
	if (name[0] != '.')
		return 0;
	gc_removed(
	    g->call, "template", name, "left by a command that was killed");
	dir = state_dir(&g->st, "template", false, err);
	return g->o->dry_run || dir < 0 ? 0 : tree_remove(dir, name, err);
}

static int collect(struct gc *g, struct err *err)
{
	struct err ignored;
	AUTO_FD int templates = -1;
	int slots;
	char text[24];

	if (each(g->names, dangling_name, g, err) < 0 ||
	    each(g->vms, unnamed_vm, g, err) < 0 ||
	    each(g->vms, look_inside, g, err) < 0)
		return -1;
	templates = state_dir(&g->st, "template", false, &ignored);
	if (templates >= 0 && each(templates, template_file, g, err) < 0)
		return -1;
	slots = slot_gc(&g->st, g->o->dry_run, err);
	snprintf(text, sizeof(text), "%d", slots);
	if (slots > 0)
		gc_removed(g->call, "uids", text, "their VMs do not live");
	return slots < 0 ? -1 : 0;
}

static int gc_run(struct call *call, struct err *err)
{
	struct gc g = {.call = call,
	    .o = call->opts,
	    .st = STATE_NONE,
	    .vms = -1,
	    .names = -1};
	struct err missing;
	int r;

	if (state_open(&g.st, false, err) < 0)
		return -1;
	g.vms = state_dir(&g.st, "vm", false, &missing);
	g.names = state_dir(&g.st, "vm-name", false, &missing);
	if (g.vms < 0 || g.names < 0)
		r = 0; /* no VM was ever made here */
	else
		r = state_lock_exclusive(&g.st, GC_LOCK_MS, err) < 0
			? err_wrap(err, "gc: something is being made")
			: collect(&g, err);
	close_fd(&g.vms);
	close_fd(&g.names);
	state_close(&g.st);
	return r;
}

const struct verb verb_gc = {
    .name = "gc",
    .summary = "Remove what no VM's name points to.",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct gc_opts),
    .defaults = &gc_defaults,
    .changes = true,
    .run = gc_run,
};
