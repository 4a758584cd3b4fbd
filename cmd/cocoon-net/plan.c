/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cni_nic.h"
#include "ip.h"
#include "net.h"
#include "netns.h"
#include "nic.h"
#include "wish.h"

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

/* What every NIC has. */
static struct doc_nic plan_nic(struct net_plan *p, size_t i, const char *id)
{
	struct nic_text *t = &p->text[i];
	unsigned char mac[6];

	get_random(mac, sizeof(mac));
	/* Locally administered, no multicast. */
	mac[0] = (unsigned char)((mac[0] & 0xfc) | 0x02);
	format_mac(mac, t->mac);
	snprintf(t->tap, sizeof(t->tap), "cn%d", (int)i);
	snprintf(t->ifname, sizeof(t->ifname), "eth%d", (int)i);
	name_peer(id, (int)i, t->peer);
	return (struct doc_nic){
	    .tap = t->tap, .ifname = t->ifname, .peer = t->peer, .mac = t->mac};
}

static void plan_six(struct nic_text *t, const struct subnet6 *s, uint32_t ip)
{
	unsigned char addr[16];
	char text[46];

	subnet6_gateway(s, addr);
	format_ip6(addr, t->gateway6);
	subnet6_addr(s, ip, addr);
	format_ip6(addr, text);
	snprintf(t->address6, sizeof(t->address6), "%s/64", text);
	t->addresses[1] = t->address6;
	t->gateways[1] = t->gateway6;
}

static void plan_builtin(struct doc_nic *nic, struct nic_text *t,
    const struct builtin *b, uint32_t ip)
{
	size_t n = b->subnet6.on ? 2 : 1;

	format_cidr(ip, b->subnet.prefix, t->address);
	format_ip(subnet_gateway(&b->subnet), t->gateway);
	t->addresses[0] = t->address;
	t->gateways[0] = t->gateway;
	if (b->subnet6.on)
		plan_six(t, &b->subnet6, ip);
	nic->backend = NIC_BACKEND;
	nic->network = NET_NAME;
	nic->bridge = b->bridge;
	nic->mtu = b->mtu;
	nic->addresses = (struct jstrs){t->addresses, n};
	nic->gateways = (struct jstrs){t->gateways, n};
}

static void plan_port(
    struct doc_nic *nic, const struct doc_bridge *bridge, unsigned int mtu)
{
	nic->backend = PORT_BACKEND;
	nic->bridge = bridge->device;
	nic->mtu = mtu;
	nic->addresses = bridge->addresses;
	nic->gateways = bridge->gateways;
}

/* MAC, MTU and addresses are the plugins'; what stands here holds until they
 * have answered. */
static void plan_cni(struct doc_nic *nic, const struct cni_file *file)
{
	nic->backend = CNI_BACKEND;
	nic->network = file->name;
	nic->peer = NULL;
}

void plan_make(struct net_plan *p, const struct wish *w,
    const struct builtin *b, const uint32_t *ips, const unsigned int *mtus)
{
	netns_name(w->id, p->netns);
	for (size_t i = 0; i < w->nics; i++) {
		struct doc_nic *nic = &p->nics[i];

		*nic = plan_nic(p, i, w->id);
		nic->queues = w->queues[i];
		if (w->bridge[i])
			plan_port(nic, w->bridge[i], mtus[i]);
		else if (w->cni[i])
			plan_cni(nic, w->cni[i]);
		else
			plan_builtin(nic, &p->text[i], b, *ips++);
		/* With DHCP the network's own name servers come. */
		if (nic->addresses.n)
			nic->dns = w->dns;
	}
	p->net =
	    (struct doc_net){.by = state_by_dispatcher() ? "cocoon" : "hand",
		.netns = w->nics ? p->netns : NULL,
		.nics = {p->nics, w->nics}};
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

int addresses_valid(const struct jstrs *addresses, const struct jstrs *gateways,
    const char *where, struct err *err)
{
	struct ip ip;

	for (size_t i = 0; i < addresses->n; i++)
		if (ip_parse_cidr(addresses->v[i], &ip) < 0 || !ip.prefix)
			return err_set(err, ERR_INPUT,
			    ".%s.addresses[%zu]: want an IP address with its "
			    "prefix",
			    where, i);
	for (size_t i = 0; i < gateways->n; i++)
		if (ip_parse(gateways->v[i], &ip) < 0)
			return err_set(err, ERR_INPUT,
			    ".%s.gateways[%zu]: want an IP address", where, i);
	return 0;
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
	char tap[8], ifname[8], where[32];
	bool is_cni = nic_is(nic, CNI_BACKEND);

	snprintf(tap, sizeof(tap), "cn%d", i);
	snprintf(ifname, sizeof(ifname), "eth%d", i);
	if (!nic_is(nic, NIC_BACKEND) && !nic_is(nic, PORT_BACKEND) && !is_cni)
		return err_set(err, ERR_UNSUPPORTED,
		    ".net.nics[%d].backend: \"" NIC_BACKEND "\", "
		    "\"" PORT_BACKEND "\" and \"" CNI_BACKEND "\" are known",
		    i);
	if (strcmp(nic->tap, tap) != 0)
		return bad(i, ".tap: not cnN of its place", err);
	if (!nic->ifname || strcmp(nic->ifname, ifname) != 0)
		return bad(i, ".ifname: not ethN of its place", err);
	if (is_cni ? nic->peer != NULL : !nic->peer || !valid_peer(nic->peer))
		return bad(i, ".peer: no device name of ours", err);
	if (parse_mac(nic->mac, mac) < 0)
		return bad(i, ".mac: no unicast MAC in lower case", err);
	/* Of CNI's, the intent has none. */
	if ((nic->mtu < 576 && !(is_cni && !nic->mtu)) || nic->mtu > 65535)
		return bad(i, ".mtu: out of range 576..65535", err);
	if (nic->queues > 256)
		return bad(i, ".queues: more than 256", err);
	if (nic_is(nic, NIC_BACKEND) && !nic_ip(nic))
		return bad(
		    i, ".addresses: want an IPv4 one with its prefix", err);
	if (nic_is(nic, PORT_BACKEND) &&
	    (!nic->bridge || !valid_device(nic->bridge)))
		return bad(i, ".bridge: want a device name", err);
	snprintf(where, sizeof(where), "net.nics[%d]", i);
	return addresses_valid(&nic->addresses, &nic->gateways, where, err);
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
