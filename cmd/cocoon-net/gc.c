/* SPDX-License-Identifier: MIT */
/*
 * gc: networks of VMs that are gone, leases and temporary files that nothing
 * names. Only what this root's own records name is touched. What was made by
 * hand is its maker's: it is told, and removed with --all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "cni_nic.h"
#include "file.h"
#include "gc.h"
#include "net.h"
#include "nic.h"

struct net_gc_opts {
	struct gc_opts gc; /* first: gc_removed reads it */
	struct strv cni;
};

static const struct opt opts[] = {
    GC_OPT_DRY_RUN,
    {.name = "all",
	.kind = OPT_FLAG,
	.offset = offsetof(struct gc_opts, all),
	.help = "also what was made by hand"},
    GC_OPT_OUTPUT,
    {.name = "cni",
	.kind = OPT_LIST,
	.offset = offsetof(struct net_gc_opts, cni),
	.metavar = "NAME",
	.help = "GC of a CNI network that nobody else uses"},
};

static const struct net_gc_opts defaults = {.gc.format = "text"};

struct gc {
	struct call *call;
	const struct gc_opts *o;
	struct net *n;
	struct strv ids; /* of all records */
	struct {
		uint32_t *v;
		size_t n;
	} named; /* addresses in records that stay */
	bool leases_stay;
};

static int collect(const char *id, void *arg)
{
	strv_add(arg, id);
	return 0;
}

static void keep_addresses(struct gc *g, const struct doc_net *net)
{
	const struct doc_nic *nics = net->nics.v;

	g->named.v = xrealloc(
	    g->named.v, (g->named.n + net->nics.n + 1) * sizeof(*g->named.v));
	for (size_t i = 0; i < net->nics.n; i++)
		g->named.v[g->named.n++] = nic_ip(&nics[i]);
}

static bool vm_is_there(struct gc *g, const char *id)
{
	struct err err = {0};
	AUTO_FD int fd = state_vm_dir(&g->n->st, id, &err);

	/* Anything but "not found" is no proof. */
	return fd >= 0 || err.code != ERR_NOTFOUND;
}

/* Plugins run without the lock, which host-local may want. Nothing is made
 * meanwhile: we hold the root lock alone. */
static int remove_net(struct gc *g, const char *id, struct err *err)
{
	int r;

	net_unlock(g->n);
	r = net_lock_id(g->n, id, err);
	if (r == 0)
		r = cni_detach(g->n, id, false, err);
	if (net_lock(g->n, r < 0 ? &(struct err){0} : err) < 0)
		r = -1;
	if (r == 0)
		r = net_remove(g->n, id, err);
	net_unlock_id(g->n, id);
	return r;
}

static void gc_cni(struct gc *g)
{
	const struct net_gc_opts *o = g->call->opts;

	for (size_t i = 0; i < o->cni.n; i++) {
		struct err err = {0};

		if (cni_gc_network(g->n, o->cni.v[i], g->o->dry_run, &err) < 0)
			tool_fail(g->call, NULL, &err);
	}
}

static int gc_net(struct gc *g, const char *id, struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	struct doc_net net;
	int r = record_read(g->n, id, &doc, &net, err);
	bool by_hand;

	if (r <= 0)
		return r;
	by_hand = !net.by || strcmp(net.by, "cocoon") != 0;
	if (vm_is_there(g, id)) {
		keep_addresses(g, &net);
		return 0;
	}
	if (by_hand && !g->o->all) {
		gc_kept(g->call, "net", id, "made by hand; --all removes it");
		keep_addresses(g, &net);
		return 0;
	}
	if (!g->o->dry_run && remove_net(g, id, err) < 0)
		return -1;
	gc_removed(g->call, "net", id, by_hand ? "made by hand" : "no such VM");
	return 0;
}

static bool has_record(const struct gc *g, const char *id)
{
	char name[40];

	snprintf(name, sizeof(name), "%s.json", id);
	return faccessat(g->n->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_named(const struct gc *g, uint32_t ip)
{
	for (size_t i = 0; i < g->named.n; i++)
		if (g->named.v[i] == ip)
			return true;
	return false;
}

static int gc_lease(uint32_t ip, const char *id, void *arg)
{
	struct gc *g = arg;
	char text[16];
	struct err err = {0};
	bool orphan =
	    id[0] ? valid_id(id) && !has_record(g, id) : !is_named(g, ip);

	format_ip(ip, text);
	/* Ids of another form are host-local's own affair. */
	if (!orphan) {
		g->leases_stay = true;
		return 0;
	}
	if (!g->o->dry_run && lease_drop(g->n, ip, id, &err) < 0) {
		tool_fail(g->call, NULL, &err);
		return 0;
	}
	gc_removed(g->call, "lease", text, "no network has it");
	return 0;
}

/* What file_claim and file_replace leave when they are killed. Nobody is in
 * the middle of one: we hold the root lock alone. */
static void gc_temporary(struct gc *g)
{
	int fd = openat(g->n->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		close_fd(&fd);
		return;
	}
	while ((de = readdir(d))) {
		if (de->d_name[0] != '.' || !strstr(de->d_name, ".tmp-"))
			continue;
		if (g->o->dry_run || unlinkat(g->n->dir_fd, de->d_name, 0) == 0)
			gc_removed(g->call, "file", de->d_name,
			    "left by a command that was killed");
	}
	closedir(d);
}

static int gc_bridge(struct gc *g, struct err *err)
{
	struct builtin b;
	int r = builtin_load(g->n, &b, err);

	if (r <= 0 || g->leases_stay)
		return r < 0 ? -1 : 0;
	if (!g->o->dry_run) {
		r = bridge_release(g->n, err);
		if (r <= 0)
			return r;
	} else if (g->ids.n) {
		return 0;
	}
	gc_removed(g->call, "bridge", b.bridge, "no VM has a NIC");
	return 0;
}

static int collect_garbage(struct gc *g, struct err *err)
{
	if (record_each(g->n, collect, &g->ids, err) < 0)
		return -1;
	for (size_t i = 0; i < g->ids.n; i++) {
		struct err e = {0};

		if (tool_check(err) < 0)
			return -1;
		if (gc_net(g, g->ids.v[i], &e) < 0)
			tool_fail(g->call, NULL, &e);
	}
	if (lease_each(g->n, gc_lease, g, err) < 0)
		return -1;
	gc_temporary(g);
	return gc_bridge(g, err);
}

static int gc_run(struct call *call, struct err *err)
{
	AUTO_NET struct net n = NET_NONE;
	struct gc g = {.call = call, .o = call->opts, .n = &n};
	int r;

	if (net_open(&n, false, err) < 0)
		return -1;
	if (n.dir_fd < 0) {
		gc_cni(&g);
		return 0;
	}
	if (state_lock_exclusive(&n.st, GC_LOCK_MS, err) < 0 ||
	    net_lock(&n, err) < 0)
		return -1;
	r = collect_garbage(&g, err);
	net_unlock(&n);
	if (r == 0)
		gc_cni(&g);
	strv_release(&g.ids);
	free_ptr(&g.named.v);
	return r;
}

const struct verb verb_gc = {
    .name = "gc",
    .summary = "Remove the networks of VMs that are gone.",
    .max_args = 0,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct net_gc_opts),
    .defaults = &defaults,
    .changes = true,
    .run = gc_run,
};
