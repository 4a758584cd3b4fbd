/* SPDX-License-Identifier: MIT */
/*
 * The record with every name, then leases, bridge, namespace, NICs. A failure
 * undoes it all; a kill leaves a record, and `del` or gc go by that.
 */
#include "build.h"

#include <linux/netlink.h>
#include <string.h>

#include "cni_nic.h"
#include "file.h"
#include "netns.h"
#include "undo.h"

int build_undo(void *arg, struct err *err)
{
	struct job *job = arg;

	netns_leave(&job->stay);
	net_unlock(job->n);
	if (cni_detach(job->n, job->id, false, err) < 0 ||
	    net_lock(job->n, err) < 0)
		return -1;
	return net_remove(job->n, job->id, err) < 0 ? -1 : 0;
}

static int take_leases(struct job *job, const struct doc_net *net,
    const struct builtin *b, struct err *err)
{
	const struct doc_nic *nics = net->nics.v;

	for (size_t i = 0; i < net->nics.n; i++) {
		uint32_t ip = nic_ip(&nics[i]);

		if (!nic_is(&nics[i], NIC_BACKEND))
			continue;
		if (!subnet_has(&b->subnet, ip) ||
		    strcmp(nics[i].bridge ? nics[i].bridge : "", b->bridge))
			return err_set(err, ERR_STATE,
			    "%s: recorded as %s on %.15s, but the network is "
			    "another one now; `cocoon-net del` and `add` again",
			    nics[i].ifname, nics[i].addresses.v[0],
			    nics[i].bridge ? nics[i].bridge : "?");
		if (lease_take(job->n, ip, job->id, nics[i].ifname, err) < 0)
			return -1;
	}
	return 0;
}

/* In the VM's namespace; comes back in any case. */
static int build_inside(
    struct wire *w, struct job *job, const struct doc_net *net, struct err *err)
{
	const struct doc_nic *nics = net->nics.v;
	int r = nl_open(&w->in, NETLINK_ROUTE, err);

	for (size_t i = 0; r == 0 && i < net->nics.n; i++) {
		r = tool_check(err);
		if (r == 0)
			r = port_master(w, &nics[i], err);
		if (r == 0)
			r = nic_build(w, &nics[i], (int)i, err);
	}
	netns_leave(&job->stay);
	nl_close(&w->in);
	return r;
}

bool build_has_builtin(const struct doc_net *net)
{
	const struct doc_nic *nics = net->nics.v;

	for (size_t i = 0; i < net->nics.n; i++)
		if (nic_is(&nics[i], NIC_BACKEND))
			return true;
	return false;
}

/*
 * Plugins run outside, and without the lock, which host-local may want: what
 * it orders is done. Sets *net to what they made.
 */
static int attach(
    struct job *job, struct wire *w, struct doc_net *net, struct err *err)
{
	struct cni_job j = {.n = job->n,
	    .id = job->id,
	    .cni = job->cni,
	    .ns_fd = w->ns_fd,
	    .fresh = w->fresh};

	netns_leave(&job->stay);
	net_unlock(job->n);
	j.net = job->made = jbuild(&doc_net_table, net);
	if (cni_attach(&j, err) < 0 ||
	    jbind(job->made, &doc_net_table, "net", net, err) < 0 ||
	    nics_valid(job->id, net, err) < 0)
		return -1;
	return netns_enter(w->ns_fd, &job->stay, err);
}

/* Leases, bridge, namespace, NICs. */
int build(struct job *job, struct wire *w, struct doc_net *net,
    struct builtin *b, struct err *err)
{
	AUTO_FD int ns = -1;
	struct err e = {0};

	if (take_leases(job, net, b, err) < 0 || tool_check(err) < 0)
		return -1;
	if (build_has_builtin(net))
		w->builtin = bridge_ensure(job->n, b, &w->host, err);
	if (w->builtin < 0 || tool_check(err) < 0)
		return -1;
	ns = netns_open(job->id, &e);
	if (ns < 0 && e.code != ERR_NOTFOUND) {
		*err = e;
		return -1;
	}
	if (ns >= 0) {
		if (netns_enter(ns, &job->stay, err) < 0)
			return -1;
	} else {
		ns = netns_make(job->id, &job->stay, err);
		if (ns < 0)
			return -1;
	}
	w->ns_fd = ns;
	if (job->cni && attach(job, w, net, err) < 0)
		return -1;
	w->host_ns_fd = job->stay.back_fd;
	return build_inside(w, job, net, err);
}

/* From nothing: chooses, claims, builds; undone when it fails. */
int build_new(struct job *job, struct wire *w, struct doc_net *net,
    struct builtin *b, struct err *err)
{
	size_t mark = undo_mark();

	if (record_claim(job->n, job->id, net, job->cni, err) < 0)
		return -1;
	undo_push(build_undo, job, job->id);
	if (tool_check(err) < 0 || build(job, w, net, b, err) < 0) {
		undo_run(mark);
		return -1;
	}
	undo_forget(mark);
	return 0;
}
