/* SPDX-License-Identifier: MIT */
/* add: what a document or a record asks for; build.c makes it. */
#include <linux/netlink.h>
#include <string.h>

#include "build.h"
#include "builtin.h"
#include "cni_nic.h"
#include "file.h"
#include "net.h"
#include "netns.h"
#include "nic.h"
#include "undo.h"
#include "wish.h"

struct add_opts {
	bool ensure;
};

static const struct opt opts[] = {
    {.name = "ensure",
	.kind = OPT_FLAG,
	.offset = offsetof(struct add_opts, ensure),
	.help = "keep what is there, make what is missing"},
};

/* The context is opened by the first document that needs it. */
static struct net *context(struct call *call, struct err *err)
{
	struct net *n = call->data;

	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	if (net_open(n, true, err) < 0 || state_lock_shared(&n->st, err) < 0) {
		net_close(n);
		free_ptr(&n);
		return NULL;
	}
	call->data = n;
	return n;
}

/* *builtin: how many NICs are on the built-in network. */
static int look_at_bridges(struct wire *w, const struct wish *wish,
    unsigned int *mtus, size_t *builtin, struct err *err)
{
	for (size_t i = 0; i < wish->nics; i++) {
		struct nl_link link = {0};

		if (wish->bridge[i] &&
		    port_bridge(&w->host, wish->bridge[i]->device, &link, err) <
			0)
			return -1;
		mtus[i] = link.mtu;
		*builtin += !wish->bridge[i] && !wish->cni[i];
	}
	return 0;
}

/* What the record says of the plugins before the first one runs. */
static void intend(
    struct job *job, const struct wish *wish, const struct doc_net *net)
{
	const struct doc_nic *nics = net->nics.v;

	if (!cni_has(net))
		return;
	job->cni = jval_object();
	for (size_t i = 0; i < net->nics.n; i++)
		if (wish->cni[i])
			cni_intend(job->cni, nics[i].ifname, wish->cni[i]->conf,
			    wish->runtime);
}

/* The same without a record: the document names the networks. */
static int intend_again(struct job *job, struct wish *wish,
    const struct doc_net *net, struct err *err)
{
	const struct doc_nic *nics = net->nics.v;

	if (!cni_has(net))
		return 0;
	if (cni_load(&wish->files, err) < 0)
		return -1;
	for (size_t i = 0; i < net->nics.n && i < NET_MAX_NICS; i++) {
		const struct cni_file *f =
		    nic_is(&nics[i], CNI_BACKEND) && nics[i].network
			? cni_find(&wish->files, nics[i].network)
			: NULL;

		if (nic_is(&nics[i], CNI_BACKEND) && (!f || f->err.code))
			return err_set(err, ERR_NOTFOUND,
			    "%s: no usable configuration of network %.80s in "
			    "%.200s",
			    nics[i].ifname,
			    nics[i].network ? nics[i].network : "?",
			    cni_conf_dir());
		wish->cni[i] = f;
	}
	intend(job, wish, net);
	return 0;
}

static int add_new(struct job *job, struct wire *w, const struct wish *wish,
    struct json_object *doc, struct err *err)
{
	unsigned int mtus[NET_MAX_NICS];
	uint32_t ips[NET_MAX_NICS];
	struct net_plan p = {0};
	struct builtin b = {0};
	size_t n = 0;

	w->fresh = true;
	if (look_at_bridges(w, wish, mtus, &n, err) < 0)
		return -1;
	if (n && (builtin_get(job->n, &w->host, &b, err) < 0 ||
		     lease_pick(job->n, &b.subnet, n, ips, err) < 0))
		return -1;
	plan_make(&p, wish, &b, ips, mtus);
	intend(job, wish, &p.net);
	if (build_new(job, w, &p.net, &b, err) < 0)
		return -1;
	if (n)
		lease_set_last(job->n, ips[n - 1]);
	doc_put(doc, "net", &doc_net_table, &p.net);
	return 0;
}

/*
 * After a reboot, or anything else: the record says what should be there; the
 * document does where there is no record.
 */
static int ensure(struct job *job, struct wire *w, struct wish *wish,
    struct json_object *doc, struct err *err)
{
	AUTO_JSON struct json_object *record = NULL;
	struct builtin b = {0};
	struct doc_net net;
	int r = record_read(job->n, job->id, &record, &net, err);

	if (r < 0)
		return -1;
	if (r == 0 && !jval_get(doc, "net"))
		return wish_networks(jval_get(doc, "spec"), wish, err) < 0
			   ? -1
			   : add_new(job, w, wish, doc, err);
	if (r == 0 && (doc_bind(doc, "net", &doc_net_table, &net, err) < 0 ||
			  nics_valid(job->id, &net, err) < 0 ||
			  intend_again(job, wish, &net, err) < 0))
		return -1;
	if (r > 0 && cni_has(&net))
		job->cni = jval_get(record, "cni")
			       ? jval_ref(jval_get(record, "cni"))
			       : jval_object();
	if (net.nics.n == 0)
		return 0;
	if (build_has_builtin(&net) &&
	    builtin_get(job->n, &w->host, &b, err) < 0)
		return -1;
	if (r == 0 && build_new(job, w, &net, &b, err) < 0)
		return -1;
	if (r > 0 && build(job, w, &net, &b, err) < 0)
		return -1;
	doc_put(doc, "net", &doc_net_table, &net);
	return 0;
}

static int add_locked(struct call *call, struct net *n, struct wish *wish,
    struct json_object *doc, struct err *err)
{
	const struct add_opts *o = call->opts;
	struct job job = {n, wish->id, STAY_NONE, NULL, NULL};
	struct wire w = {.id = wish->id, .ns_fd = -1};
	int r = nl_open(&w.host, NETLINK_ROUTE, err);

	if (r == 0)
		r = o->ensure ? ensure(&job, &w, wish, doc, err)
			      : add_new(&job, &w, wish, doc, err);
	if (r == 0 && !o->ensure)
		doc_made_add(doc, "net");
	netns_leave(&job.stay);
	nl_close(&w.host);
	jval_put(job.cni);
	jval_put(job.made);
	return r;
}

static int add_alone(struct call *call, struct net *n, struct wish *wish,
    struct json_object *doc, struct err *err)
{
	int r;

	if (net_lock_id(n, wish->id, err) < 0)
		return -1;
	r = net_lock(n, err) < 0 ? -1 : add_locked(call, n, wish, doc, err);
	if (r == 0)
		r = net_contain(doc, err);
	net_unlock(n);
	net_unlock_id(n, wish->id);
	return r;
}

static int add_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const struct add_opts *o = call->opts;
	struct doc_net none = {.by = state_by_dispatcher() ? "cocoon" : "hand"};
	bool has = jval_get(doc, "net");
	struct wish wish;
	struct net *n;
	int r;

	if (wish_read(doc, &wish, err) < 0)
		return -1;
	if (has && !o->ensure)
		return err_set(err, ERR_STATE,
		    "vm %s: .net is there already; `add --ensure` checks it",
		    wish.id);
	if (!has && !wish.nics) {
		doc_put(doc, "net", &doc_net_table, &none);
		return 0;
	}
	if (has && !jval_len(jval_get(jval_get(doc, "net"), "nics")))
		return 0;
	/* What a record says needs no choice any more. */
	r = o->ensure ? 0 : wish_networks(jval_get(doc, "spec"), &wish, err);
	n = r == 0 ? context(call, err) : NULL;
	r = n ? add_alone(call, n, &wish, doc, err) : -1;
	wish_release(&wish);
	return r;
}

/* The document could not be handed on: nobody will know of this network. */
static void add_undo(struct call *call, struct json_object *doc)
{
	const struct add_opts *o = call->opts;
	struct net *n = call->data;
	struct err err = {0};
	const char *id = doc_id(doc, &err);
	struct job job = {n, id, STAY_NONE, NULL, NULL};
	size_t mark = undo_mark();

	if (o->ensure || !n || !id || !doc_made_has(doc, "net") ||
	    net_lock(n, &err) < 0)
		return;
	undo_push(build_undo, &job, id);
	undo_run(mark);
	net_unlock(n);
}

static int add_finish(struct call *call, struct err *err)
{
	struct net *n = call->data;

	(void)err;
	if (n)
		net_close(n);
	free_ptr(&n);
	call->data = NULL;
	return 0;
}

const struct verb verb_add = {
    .name = "add",
    .summary = "Make the network of a VM; writes .net.",
    .max_args = 0,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct add_opts),
    .emits = true,
    .changes = true,
    .filter = add_filter,
    .undo = add_undo,
    .finish = add_finish,
};
