/* SPDX-License-Identifier: MIT */
/*
 * NoCloud's network-config, version 2 (netplan's language), NICs matched by
 * MAC. 0.0.0.0/0 and not "default": of cloud-init 22.4's renderers only that
 * for netplan knows the word, the others fail on it.
 */
#include <string.h>
#include <sys/socket.h>

#include "hint.h"
#include "ip.h"
#include "route.h"
#include "text.h"
#include "texts.h"

static void add_list(
    struct buf *out, const char *indent, const char *key, const struct jstrs *l)
{
	if (!l->n)
		return;
	buf_addf(out, "%s%s: [", indent, key);
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_str(out, ", ");
		yaml_quote(out, l->v[i]);
	}
	buf_str(out, "]\n");
}

/* True if the NIC has no network that the gateway is in: a /32, say. */
static bool needs_on_link(const struct doc_nic *nic, const char *via)
{
	struct ip gateway, net;

	if (ip_parse(via, &gateway) < 0)
		return false;
	/* fe80::1 is on every link. */
	if (gateway.family == AF_INET6 && gateway.addr[0] == 0xfe &&
	    (gateway.addr[1] & 0xc0) == 0x80)
		return false;
	for (size_t i = 0; i < nic->addresses.n; i++)
		if (ip_parse_cidr(nic->addresses.v[i], &net) == 0 &&
		    ip_within(&gateway, &net))
			return false;
	return true;
}

static void add_route(
    struct buf *out, const struct hint *h, size_t i, const struct doc_route *r)
{
	uint64_t metric = route_metric(i, r);
	const char *via = r->via;

	buf_str(out, "      - to: ");
	yaml_quote(out, r->dst);
	buf_ch(out, '\n');
	if (metric)
		buf_addf(
		    out, "        metric: %llu\n", (unsigned long long)metric);
	if (r->mtu)
		buf_addf(
		    out, "        mtu: %llu\n", (unsigned long long)r->mtu);
	if (!via) {
		buf_str(out, "        scope: link\n");
		return;
	}
	buf_str(out, "        via: ");
	yaml_quote(out, via);
	buf_ch(out, '\n');
	if (needs_on_link(hint_nic(h, i), via))
		buf_str(out, "        on-link: true\n");
}

static void add_routes(struct buf *out, const struct hint *h, size_t i)
{
	const struct doc_nic *nic = hint_nic(h, i);
	const struct doc_route *r = nic->routes.v;

	if (!nic->gateways.n && !nic->routes.n)
		return;
	buf_str(out, "    routes:\n");
	for (size_t k = 0; k < nic->gateways.n; k++) {
		struct doc_route gateway = gateway_route(nic->gateways.v[k]);

		add_route(out, h, i, &gateway);
	}
	for (size_t k = 0; k < nic->routes.n; k++)
		if (nic_route_needed(nic, &r[k]))
			add_route(out, h, i, &r[k]);
}

static void add_nic(const struct hint *h, size_t i, struct buf *out)
{
	const struct doc_nic *nic = hint_nic(h, i);
	const struct jstrs *dns = nic_dns(h, nic);

	buf_addf(out, "  id%zu:\n    match:\n      macaddress: ", i);
	yaml_quote(out, nic->mac);
	buf_ch(out, '\n');
	if (nic->mtu)
		buf_addf(out, "    mtu: %llu\n", (unsigned long long)nic->mtu);
	/* One NIC is enough for the machine to be on line: the first. */
	if (i)
		buf_str(out, "    optional: true\n");
	if (nic->addresses.n)
		buf_str(out, "    dhcp4: false\n    accept-ra: false\n");
	else
		buf_str(out, "    dhcp4: true\n    dhcp-identifier: mac\n");
	if (!nic->addresses.n && i)
		buf_addf(out, "    dhcp4-overrides: {route-metric: %zu}\n",
		    NIC_METRIC + i);
	add_list(out, "    ", "addresses", &nic->addresses);
	add_routes(out, h, i);
	if (dns->n || nic->search.n)
		buf_str(out, "    nameservers:\n");
	add_list(out, "      ", "addresses", dns);
	add_list(out, "      ", "search", &nic->search);
}

void seed_network_config(const struct hint *h, struct buf *out)
{
	if (!h->net.nics.n)
		return;
	buf_str(out, "version: 2\nethernets:\n");
	for (size_t i = 0; i < h->net.nics.n; i++)
		add_nic(h, i, out);
}
