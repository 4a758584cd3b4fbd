/* SPDX-License-Identifier: MIT */
#include <linux/netlink.h>

#include "builtin.h"
#include "net.h"
#include "netns.h"
#include "nic.h"

static int cut_all(struct nl *host, const char *id, const struct doc_net *net,
    bool del, struct err *err)
{
	const struct doc_nic *nics = net->nics.v;

	for (size_t i = 0; i < net->nics.n; i++)
		if (nic_cut(host, id, &nics[i], del, err) < 0)
			return -1;
	return 0;
}

/*
 * The namespace takes its devices along, when the kernel finds time and no
 * process is in it any more: nobody waits for that, but from here on nothing
 * that is still in there speaks under an address that is free again. Without
 * a namespace nothing would remove the host's ends.
 */
static int remove_devices(
    const char *id, const struct doc_net *net, struct err *err)
{
	AUTO_NL struct nl host = {0};
	int r = nl_open(&host, NETLINK_ROUTE, err);

	if (r < 0 || cut_all(&host, id, net, false, err) < 0)
		return -1;
	r = netns_remove(id, err);
	return r == 0 ? cut_all(&host, id, net, true, err) : r < 0 ? -1 : 0;
}

int net_remove(struct net *n, const char *id, struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	const struct doc_nic *nics;
	struct doc_net net;
	int r = record_read(n, id, &doc, &net, err);

	if (r <= 0)
		return r;
	if (remove_devices(id, &net, err) < 0)
		return -1;
	nics = net.nics.v;
	for (size_t i = 0; i < net.nics.n; i++)
		if (nic_is(&nics[i], NIC_BACKEND) &&
		    lease_drop(n, nic_ip(&nics[i]), id, err) < 0)
			return -1;
	/* Before the record: who is killed here is called again. */
	if (bridge_release(n, err) < 0 || record_unlink(n, id, err) < 0)
		return -1;
	return 1;
}
