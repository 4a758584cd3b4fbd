/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "log.h"
#include "net.h"
#include "nic.h"

struct list_opts {
	const char *output;
};

static const struct opt opts[] = {
    {.name = "output",
	.letter = 'o',
	.kind = OPT_ENUM,
	.offset = offsetof(struct list_opts, output),
	.metavar = "table|json",
	.help = "form of the list"},
};
static const struct list_opts defaults = {"table"};

static int collect(const char *id, void *arg)
{
	strv_add(arg, id);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_row(const char *id, const struct doc_net *net, struct buf *out)
{
	const struct doc_nic *nics = net->nics.v;

	buf_addf(out, "%-26s  %-6s  %-29s  %4zu", id, net->by, net->netns,
	    net->nics.n);
	for (size_t i = 0; i < net->nics.n; i++) {
		const char *ip =
		    nics[i].addresses.n ? nics[i].addresses.v[0] : "dhcp";

		buf_addf(
		    out, "%s%.*s", i ? "," : "  ", (int)strcspn(ip, "/"), ip);
	}
	buf_ch(out, '\n');
}

/* One record; gone meanwhile is no error, a damaged one is said. */
static void list_one(
    struct net *n, const char *id, struct buf *table, struct json_object *array)
{
	AUTO_JSON struct json_object *doc = NULL;
	struct json_object *o;
	struct doc_net net;
	struct err err = {0};
	int r = record_read(n, id, &doc, &net, &err);

	if (r < 0)
		log_warn("%s, skipping", err.msg);
	if (r <= 0)
		return;
	if (!net.by)
		net.by = "hand";
	if (!array) {
		add_row(id, &net, table);
		return;
	}
	o = jbuild(&doc_net_table, &net);
	jval_set_str(o, "id", id);
	jval_push(array, o);
}

static int list_run(struct call *call, struct err *err)
{
	const struct list_opts *o = call->opts;
	AUTO_NET struct net n = NET_NONE;
	AUTO_STRV struct strv ids = {0};
	AUTO_JSON struct json_object *array = NULL;

	if (net_open(&n, false, err) < 0 ||
	    record_each(&n, collect, &ids, err) < 0)
		return -1;
	if (ids.n)
		qsort(ids.v, ids.n, sizeof(*ids.v), by_id);
	if (!strcmp(o->output, "json"))
		array = jval_array();
	else
		buf_addf(&call->out, "%-26s  %-6s  %-29s  NICS  ADDRESSES\n",
		    "ID", "BY", "NETNS");
	for (size_t i = 0; i < ids.n; i++)
		list_one(&n, ids.v[i], &call->out, array);
	if (array) {
		jval_print(array, &call->out);
		buf_ch(&call->out, '\n');
	}
	return 0;
}

const struct verb verb_list = {
    .name = "list",
    .summary = "List the networks of VMs.",
    .max_args = 0,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct list_opts),
    .defaults = &defaults,
    .run = list_run,
};
