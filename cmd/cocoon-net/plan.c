/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net.h"
#include "netns.h"
#include "nic.h"

static void get_random(void *out, size_t len)
{
	if (getrandom(out, len, 0) != (ssize_t)len)
		abort();
}

/*
 * The host's end: "cn", the id's beginning for people, the NIC, and something
 * random: after `del` the kernel takes its time to remove the old device, and
 * the same VM may want a new one at once.
 */
static void name_peer(const char *id, int i, char out[NL_NAME])
{
	char random[STATE_ID_LEN + 1];

	state_new_id(random);
	snprintf(out, NL_NAME, "cn%.8s%c%.4s", id, 'a' + i, random);
}

static void plan_nic(struct net_plan *p, int i, const char *id,
    const struct builtin *b, uint32_t ip)
{
	struct nic_text *t = &p->text[i];
	unsigned char mac[6];

	get_random(mac, sizeof(mac));
	/* Locally administered, no multicast. */
	mac[0] = (unsigned char)((mac[0] & 0xfc) | 0x02);
	format_mac(mac, t->mac);
	snprintf(t->tap, sizeof(t->tap), "cn%d", i);
	snprintf(t->ifname, sizeof(t->ifname), "eth%d", i);
	name_peer(id, i, t->peer);
	format_cidr(ip, b->subnet.prefix, t->address);
	format_ip(subnet_gateway(&b->subnet), t->gateway);
	t->addresses[0] = t->address;
	t->gateways[0] = t->gateway;
}

void plan_make(struct net_plan *p, const char *id, const struct builtin *b,
    const uint32_t *ips, size_t n, const struct jstrs *dns)
{
	netns_name(id, p->netns);
	for (size_t i = 0; i < n; i++) {
		struct nic_text *t = &p->text[i];

		plan_nic(p, (int)i, id, b, ips[i]);
		p->nics[i] = (struct doc_nic){.tap = t->tap,
		    .ifname = t->ifname,
		    .peer = t->peer,
		    .mac = t->mac,
		    .backend = NIC_BACKEND,
		    .network = NET_NAME,
		    .bridge = b->bridge,
		    .mtu = b->mtu,
		    .queues = 1,
		    .addresses = {t->addresses, 1},
		    .gateways = {t->gateways, 1},
		    .dns = *dns};
	}
	p->net =
	    (struct doc_net){.by = state_by_dispatcher() ? "cocoon" : "hand",
		.netns = n ? p->netns : NULL,
		.nics = {p->nics, n}};
}

uint32_t nic_ip(const struct doc_nic *nic)
{
	const char *text = nic->addresses.n ? nic->addresses.v[0] : "";
	size_t len = strcspn(text, "/");
	struct subnet ignored;
	char ip[16];
	uint32_t out;

	if (len >= sizeof(ip) || subnet_parse(text, &ignored) < 0)
		return 0;
	memcpy(ip, text, len);
	ip[len] = '\0';
	return parse_ip(ip, &out) < 0 ? 0 : out;
}

static bool valid_peer(const char *s)
{
	return !strncmp(s, "cn", 2) && strlen(s) < NL_NAME && valid_name(s);
}

static int bad(int i, const char *what, struct err *err)
{
	return err_set(err, ERR_INPUT, ".net.nics[%d]%s", i, what);
}

static int nic_valid(const struct doc_nic *nic, int i, struct err *err)
{
	unsigned char mac[6];
	char tap[8], ifname[8];

	snprintf(tap, sizeof(tap), "cn%d", i);
	snprintf(ifname, sizeof(ifname), "eth%d", i);
	if (!nic->backend || strcmp(nic->backend, NIC_BACKEND) != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    ".net.nics[%d].backend: only \"" NIC_BACKEND "\" is known",
		    i);
	if (strcmp(nic->tap, tap) != 0)
		return bad(i, ".tap: not cnN of its place", err);
	if (!nic->ifname || strcmp(nic->ifname, ifname) != 0)
		return bad(i, ".ifname: not ethN of its place", err);
	if (!nic->peer || !valid_peer(nic->peer))
		return bad(i, ".peer: no device name of ours", err);
	if (parse_mac(nic->mac, mac) < 0)
		return bad(i, ".mac: no unicast MAC in lower case", err);
	if (nic->mtu < 576 || nic->mtu > 65535)
		return bad(i, ".mtu: out of range 576..65535", err);
	if (!nic_ip(nic))
		return bad(
		    i, ".addresses: want an IPv4 one with its prefix", err);
	return 0;
}

int nics_valid(const char *id, const struct doc_net *net, struct err *err)
{
	const struct doc_nic *nics = net->nics.v;
	char netns[40];

	netns_name(id, netns);
	if (net->nics.n > NET_MAX_NICS)
		return err_set(
		    err, ERR_INPUT, ".net.nics: more than %d", NET_MAX_NICS);
	if (net->nics.n && (!net->netns || strcmp(net->netns, netns) != 0))
		return err_set(err, ERR_INPUT, ".net.netns: want %s", netns);
	for (size_t i = 0; i < net->nics.n; i++)
		if (nic_valid(&nics[i], (int)i, err) < 0)
			return -1;
	return 0;
}
