/* SPDX-License-Identifier: MIT */
/*
 * NICs on a bridge of the host: a veth whose end outside is a port of it. The
 * bridge is its owner's: it gets and loses ports, nothing else of it changes.
 */
#include <string.h>

#include "nic.h"

bool valid_device(const char *s)
{
	size_t len = strlen(s);

	return len && len < NL_NAME && strcspn(s, "/ \t\n") == len &&
	       strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

bool nic_is(const struct doc_nic *nic, const char *backend)
{
	return nic->backend && !strcmp(nic->backend, backend);
}

int port_bridge(
    struct nl *host, const char *device, struct nl_link *out, struct err *err)
{
	int r = nl_link_get(host, device, out, err);

	if (r < 0)
		return -1;
	if (!r)
		return err_set(err, ERR_NOTFOUND,
		    "bridge %s: there is no such device; `ip link add %s type "
		    "bridge` makes one",
		    device, device);
	if (strcmp(out->kind, "bridge") != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "bridge %s: is no bridge%s%s%s", device,
		    out->kind[0] ? " (type " : "", out->kind,
		    out->kind[0] ? ")" : "");
	/* It goes when its own last NIC goes. */
	if (!strncmp(out->alias, "cocoon:", 7))
		return err_set(err, ERR_UNSUPPORTED,
		    "bridge %s: is a built-in network's (%.60s); a NIC is on "
		    "that without --bridge",
		    device, out->alias);
	return 0;
}

int port_master(struct wire *w, const struct doc_nic *nic, struct err *err)
{
	struct nl_link bridge = {0};

	w->master = w->builtin;
	w->port_mtu = 0;
	if (!nic_is(nic, PORT_BACKEND))
		return 0;
	if (port_bridge(&w->host, nic->bridge, &bridge, err) < 0)
		return err_wrap(err, "%s", nic->ifname);
	w->master = bridge.index;
	/* A bridge takes the smallest MTU of its ports: not ours. */
	w->port_mtu = bridge.mtu;
	return 0;
}
