/* SPDX-License-Identifier: MIT */
/*
 * stats: what went through the taps. What comes in at a tap is what the guest
 * has sent. Counters begin with the device: at 0 after a reboot of the host.
 */
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "log.h"
#include "net.h"
#include "netns.h"
#include "nl_link.h"

struct stats_opts {
	const char *output;
};

static const struct opt opts[] = {
    {.name = "output",
	.letter = 'o',
	.kind = OPT_ENUM,
	.offset = offsetof(struct stats_opts, output),
	.metavar = "table|json",
	.help = "form of the list"},
};
static const struct stats_opts defaults = {"table"};

static int collect(const char *id, void *arg)
{
	strv_add(arg, id);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_count(
    struct json_object *nic, const char *name, const struct nl_count *count)
{
	struct json_object *o = jval_object();

	jval_set_int(o, "packets", (int64_t)count->packets);
	jval_set_int(o, "bytes", (int64_t)count->bytes);
	jval_set_int(o, "dropped", (int64_t)count->dropped);
	jval_set(nic, name, o);
}

static void add_nic(const char *id, const struct doc_nic *nic,
    const struct nl_link *tap, struct buf *table, struct json_object *array)
{
	struct json_object *o;

	if (!array) {
		buf_addf(table,
		    "%-26s  %-4s  %11llu  %14llu  %11llu  %14llu  %7llu\n", id,
		    nic->tap, (unsigned long long)tap->rx.packets,
		    (unsigned long long)tap->rx.bytes,
		    (unsigned long long)tap->tx.packets,
		    (unsigned long long)tap->tx.bytes,
		    (unsigned long long)(tap->rx.dropped + tap->tx.dropped));
		return;
	}
	o = jval_object();
	jval_set_str(o, "id", id);
	jval_set_str(o, "tap", nic->tap);
	jval_set_str(o, "mac", nic->mac);
	put_count(o, "sent", &tap->rx);
	put_count(o, "received", &tap->tx);
	jval_push(array, o);
}

/* The socket stays in the namespace in which it was opened. */
static int open_inside(const char *id, struct nl *in, struct err *err)
{
	AUTO_STAY struct stay stay = STAY_NONE;
	AUTO_FD int ns = netns_open(id, err);

	if (ns < 0 || netns_enter(ns, &stay, err) < 0)
		return -1;
	return nl_open(in, NETLINK_ROUTE, err);
}

static int stats_one(struct net *n, const char *id, struct buf *table,
    struct json_object *array, struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	AUTO_NL struct nl in = {0};
	const struct doc_nic *nics;
	struct doc_net net;
	int r = record_read(n, id, &doc, &net, err);

	if (r < 0)
		return -1;
	if (!r)
		return err_set(
		    err, ERR_NOTFOUND, "vm %s: it has no network", id);
	if (!net.nics.n)
		return 0;
	if (open_inside(id, &in, err) < 0)
		return err_wrap(err, "vm %s", id);
	nics = net.nics.v;
	for (size_t i = 0; i < net.nics.n; i++) {
		struct nl_link tap = {0};

		r = nl_link_get(&in, nics[i].tap, &tap, err);
		if (r < 0)
			return -1;
		if (r)
			add_nic(id, &nics[i], &tap, table, array);
		else
			log_warn("vm %s: no tap %s, skipping", id, nics[i].tap);
	}
	return 0;
}

static int all_ids(
    struct call *call, struct net *n, struct strv *ids, struct err *err)
{
	for (size_t i = 0; i < call->args.n; i++) {
		if (!valid_id(call->args.v[i]))
			return err_set(err, ERR_USAGE,
			    "\"%.40s\": want an id, 26 characters of A-Z2-7",
			    call->args.v[i]);
		strv_add(ids, call->args.v[i]);
	}
	if (call->args.n)
		return 0;
	if (record_each(n, collect, ids, err) < 0)
		return -1;
	if (ids->n)
		qsort(ids->v, ids->n, sizeof(*ids->v), by_id);
	return 0;
}

static int stats_run(struct call *call, struct err *err)
{
	const struct stats_opts *o = call->opts;
	AUTO_NET struct net n = NET_NONE;
	AUTO_STRV struct strv ids = {0};
	AUTO_JSON struct json_object *array = NULL;

	if (net_open(&n, false, err) < 0 || all_ids(call, &n, &ids, err) < 0)
		return -1;
	if (!strcmp(o->output, "json"))
		array = jval_array();
	else
		buf_addf(&call->out,
		    "%-26s  %-4s  %11s  %14s  %11s  %14s  %7s\n", "ID", "NIC",
		    "SENT", "BYTES", "RECEIVED", "BYTES", "DROPPED");
	for (size_t i = 0; i < ids.n; i++) {
		struct err e = {0};

		/* After a reboot, say: the others can be told. */
		if (stats_one(&n, ids.v[i], &call->out, array, &e) < 0)
			tool_fail(call, NULL, &e);
	}
	if (array) {
		jval_print(array, &call->out);
		buf_ch(&call->out, '\n');
	}
	return 0;
}

const struct verb verb_stats = {
    .name = "stats",
    .summary = "Count what went through the NICs of VMs.",
    .operands = "[ID...]",
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct stats_opts),
    .defaults = &defaults,
    .run = stats_run,
};
