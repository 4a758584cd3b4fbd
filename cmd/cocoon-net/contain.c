/* SPDX-License-Identifier: MIT */
/*
 * The guest of a clone believes to be its source: until it takes on what the
 * VM has, its frames must not reach the network, where the source may live. So
 * out of its tap goes only what has the NIC's own MAC and, in IPv4 and ARP, one
 * of the VM's own addresses, since a guest with two NICs on one network answers
 * by either; the rest finds no filter and ends in the namespace.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "net.h"
#include "netns.h"
#include "nic.h"
#include "nl_net.h"

static void add_key(
    struct nl_tc_match *m, int offset, uint32_t value, uint32_t mask)
{
	m->keys[m->n].offset = offset;
	m->keys[m->n].value = value;
	m->keys[m->n++].mask = mask;
}

static struct nl_tc_match from_mac(
    uint16_t protocol, unsigned int priority, const unsigned char mac[6])
{
	struct nl_tc_match m = {.protocol = protocol, .priority = priority};

	add_key(&m, -8,
	    (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 |
		(uint32_t)mac[2] << 8 | mac[3],
	    0xffffffff);
	add_key(&m, -4, (uint32_t)mac[4] << 24 | (uint32_t)mac[5] << 16,
	    0xffff0000);
	return m;
}

/* IPv4 from ip, and ARP that says so; mask 0: from any. */
static void pass_ip(struct nl *in, int tap, int eth, const unsigned char mac[6],
    uint32_t ip, uint32_t mask)
{
	struct nl_tc_match v4 = from_mac(ETH_P_IP, 1, mac);
	struct nl_tc_match arp = from_mac(ETH_P_ARP, 2, mac);

	add_key(&v4, 12, ip, mask);
	nl_tc_add_match(in, tap, eth, &v4);
	/* Sender: 6 bytes of MAC at 8, 4 bytes of address at 14. */
	add_key(&arp, 8, arp.keys[0].value, 0xffffffff);
	add_key(
	    &arp, 12, arp.keys[1].value | ip >> 16, 0xffff0000 | mask >> 16);
	add_key(&arp, 16, ip << 16, mask << 16);
	nl_tc_add_match(in, tap, eth, &arp);
}

/* How many there are of IPv4. */
static size_t pass_addresses(struct nl *in, int tap, int eth,
    const struct doc_nic *nic, const unsigned char mac[6])
{
	size_t n = 0;

	for (size_t i = 0; i < nic->addresses.n; i++) {
		char text[64];
		struct in_addr a;

		snprintf(text, sizeof(text), "%.*s",
		    (int)strcspn(nic->addresses.v[i], "/"),
		    nic->addresses.v[i]);
		if (inet_pton(AF_INET, text, &a) != 1)
			continue;
		n++;
		pass_ip(in, tap, eth, mac, ntohl(a.s_addr), 0xffffffff);
	}
	return n;
}

static void pass_all(struct nl *in, int tap, int eth, const struct doc_net *net,
    const struct doc_nic *nic, const unsigned char mac[6])
{
	const struct doc_nic *nics = net->nics.v;
	size_t own = pass_addresses(in, tap, eth, nic, mac);

	for (size_t i = 0; own && i < net->nics.n; i++)
		if (&nics[i] != nic)
			pass_addresses(in, tap, eth, &nics[i], mac);
	/* It is to ask a DHCP server, or whether an address is taken. */
	pass_ip(in, tap, eth, mac, 0, own ? 0xffffffff : 0);
}

static int contain_nic(struct nl *in, const struct doc_net *net,
    const struct doc_nic *nic, struct err *err)
{
	struct nl_link tap, eth;
	struct nl_tc_match v6;
	unsigned char mac[6];
	int a = nl_link_get(in, nic->tap, &tap, err);
	int b = nl_link_get(in, nic->ifname, &eth, err);

	if (a < 0 || b < 0)
		return -1;
	if (!a || !b || parse_mac(nic->mac, mac) < 0)
		return err_set(err, ERR_STATE, "%s: is not there", nic->tap);
	a = nl_tc_has_ingress(in, tap.index, err);
	if (a < 0)
		return -1;
	if (a)
		nl_tc_del_ingress(in, tap.index);
	nl_tc_add_ingress(in, tap.index);
	v6 = from_mac(ETH_P_IPV6, 3, mac);
	nl_tc_add_match(in, tap.index, eth.index, &v6);
	pass_all(in, tap.index, eth.index, net, nic, mac);
	return nl_do(in, err);
}

/* NICs that the guest was frozen without are its own from the start. */
static int contain_all(
    const struct doc_net *net, const struct jarr *guest, struct err *err)
{
	const struct doc_nic *nics = net->nics.v;
	const struct doc_guest *g = guest->v;
	struct nl in;
	int r = nl_open(&in, NETLINK_ROUTE, err);

	for (size_t i = 0; r == 0 && i < guest->n; i++)
		if (!doc_guest_is(&g[i], &nics[i]))
			r = contain_nic(&in, net, &nics[i], err);
	nl_close(&in);
	return r;
}

int net_contain(const struct json_object *doc, struct err *err)
{
	struct stay stay = STAY_NONE;
	AUTO_FD int ns = -1;
	struct doc_snap snap;
	struct doc_hv hv;
	struct doc_net net;
	const struct jarr *guest;
	const char *id = doc_id(doc, err);
	int r;

	if (!id ||
	    doc_bind_optional(doc, "snap", &doc_snap_table, &snap, err) < 0 ||
	    doc_bind_optional(doc, "hv", &doc_hv_table, &hv, err) < 0 ||
	    doc_bind(doc, "net", &doc_net_table, &net, err) < 0)
		return -1;
	guest = jval_get(doc, "snap") ? &snap.guest : &hv.guest;
	if (!guest->n || guest->n > net.nics.n)
		return 0;
	ns = netns_open(id, err);
	if (ns < 0 || netns_enter(ns, &stay, err) < 0)
		return -1;
	r = contain_all(&net, guest, err);
	netns_leave(&stay);
	return r < 0 ? err_wrap(err, "contain what the guest believes") : 0;
}
