/* SPDX-License-Identifier: MIT */
/*
 * eth0 is the namespace's end of a veth whose other end is a port of the
 * bridge; cn0 is the tap that the VMM opens. What comes in at one goes out at
 * the other, by tc. eth0 has no address and says nothing itself: its MAC is
 * the guest's.
 */
#include "nic.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cni_nic.h"
#include "file.h"
#include "nl_net.h"

/* The namespace is ours: chosen indexes save us asking for them. Devices that
 * CNI plugins move into it bring small ones along. */
#define ETH_INDEX 0x40000100
#define TAP_INDEX 0x40000200

static void alias_of(const char *id, char out[48])
{
	snprintf(out, 48, "cocoon:%s", id);
}

static bool is_ours(const char *id, const struct nl_link *link)
{
	char alias[48];

	alias_of(id, alias);
	return !strcmp(link->kind, "veth") && !strcmp(link->alias, alias);
}

/* 1 ours is there, 0 nothing is, -1 also when it is somebody else's. */
static int find_peer(struct nl *host, const char *id, const struct doc_nic *nic,
    struct nl_link *out, struct err *err)
{
	int r = nl_link_get(host, nic->peer, out, err);

	if (r > 0 && !is_ours(id, out))
		return err_set(err, ERR_STATE,
		    "%s: a device of this name is there and not ours",
		    nic->peer);
	return r;
}

/* Something of this name and kind, or of any, in the namespace. */
static int find_inside(struct wire *w, const char *name, const char *kind,
    struct nl_link *out, struct err *err)
{
	int r = nl_link_get(&w->in, name, out, err);

	if (r > 0 && kind && strcmp(out->kind, kind) != 0)
		return err_set(err, ERR_STATE,
		    "%s: a device of this name is there and no %s", name, kind);
	return r;
}

int nic_cut(struct nl *host, const char *id, const struct doc_nic *nic,
    bool del, struct err *err)
{
	struct nl_link link;
	struct err e = {0};
	int r = nic->peer ? nl_link_get(host, nic->peer, &link, err) : 0;

	if (r <= 0 || !is_ours(id, &link))
		return r < 0 ? -1 : 0;
	if (del)
		nl_link_del(host, nic->peer);
	else
		nl_link_down(host, nic->peer);
	/* It may be going already, with the namespace. */
	if (nl_do(host, &e) < 0 && e.sys != ENODEV) {
		*err = e;
		return -1;
	}
	return 0;
}

static int make_veth(struct wire *w, const struct doc_nic *nic, int index,
    const unsigned char mac[6], struct err *err)
{
	char alias[48];
	struct nl_veth v = {.name = nic->ifname,
	    .index = index,
	    .mac = mac,
	    .peer_name = nic->peer,
	    .peer_ns_fd = w->host_ns_fd,
	    .mtu = (unsigned int)nic->mtu,
	    .peer_mtu = w->port_mtu};
	struct nl_link_set set = {
	    .alias = alias, .master = w->master, .quiet = true};

	alias_of(w->id, alias);
	nl_link_add_veth(&w->in, &v);
	if (nl_do(&w->in, err) < 0)
		return err_wrap(err, "%s", nic->peer);
	nl_link_set(&w->host, nic->peer, &set);
	nl_link_up(&w->host, nic->peer);
	return nl_do(&w->host, err);
}

/* Both ends are there: are they as recorded? */
static int mend_veth(struct wire *w, const struct doc_nic *nic,
    const struct nl_link *peer, const struct nl_link *eth,
    const unsigned char mac[6], struct err *err)
{
	struct nl_link_set port = {.master = w->master};
	struct nl_link_set guest = {.mac = mac};

	if (peer->master != w->master)
		nl_link_set(&w->host, nic->peer, &port);
	if (!peer->up)
		nl_link_up(&w->host, nic->peer);
	if (memcmp(eth->mac, mac, 6))
		nl_link_set(&w->in, nic->ifname, &guest);
	return nl_do(&w->host, err) < 0 || nl_do(&w->in, err) < 0 ? -1 : 0;
}

/* The index of the veth's end inside. */
static int ensure_veth(
    struct wire *w, const struct doc_nic *nic, int i, struct err *err)
{
	struct nl_link peer = {0}, eth = {0};
	unsigned char mac[6];
	int r;

	if (parse_mac(nic->mac, mac) < 0)
		return err_set(err, ERR_INPUT, "%s: no MAC", nic->mac);
	if (!w->fresh &&
	    (find_peer(&w->host, w->id, nic, &peer, err) < 0 ||
		find_inside(w, nic->ifname, "veth", &eth, err) < 0))
		return -1;
	if (peer.index && eth.index) {
		r = mend_veth(w, nic, &peer, &eth, mac, err);
		return r < 0 ? -1 : eth.index;
	}
	if (peer.index && nic_cut(&w->host, w->id, nic, true, err) < 0)
		return -1;
	if (eth.index)
		nl_link_del(&w->in, nic->ifname);
	if (nl_do(&w->in, err) < 0 ||
	    make_veth(w, nic, ETH_INDEX + i, mac, err) < 0)
		return -1;
	return ETH_INDEX + i;
}

static int make_tap(
    const char *name, int index, uint64_t queues, struct err *err)
{
	AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = {0};

	if (fd < 0)
		return err_sys(err, errno, "/dev/net/tun: open");
	ifr.ifr_flags =
	    (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
	/* Who opens it must say the same, or the kernel refuses. */
	if (queues > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFINDEX, &index) < 0 ||
	    ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, 1) < 0)
		return err_sys(err, errno, "%s: create the tap", name);
	return 0;
}

static int ensure_tap(
    struct wire *w, const struct doc_nic *nic, int i, struct err *err)
{
	struct nl_link tap = {0};

	if (!w->fresh && find_inside(w, nic->tap, "tun", &tap, err) < 0)
		return -1;
	if (tap.index)
		return tap.index;
	if (make_tap(nic->tap, TAP_INDEX + i, nic->queues, err) < 0)
		return -1;
	return TAP_INDEX + i;
}

/* Queues what ties from to to, unless it is there. */
static int tie(struct wire *w, int from, int to, struct err *err)
{
	int r;

	if (!w->fresh) {
		r = nl_tc_has_redirect(&w->in, from, to, err);
		if (r)
			return r < 0 ? -1 : 0;
		r = nl_tc_has_ingress(&w->in, from, err);
		if (r < 0)
			return -1;
		/* With filters that lead to what is gone. */
		if (r)
			nl_tc_del_ingress(&w->in, from);
		if (nl_do(&w->in, err) < 0)
			return -1;
	}
	nl_tc_add_ingress(&w->in, from);
	nl_tc_add_redirect(&w->in, from, to);
	return w->fresh ? 0 : nl_do(&w->in, err);
}

/* What the plugins made: a veth, a macvlan, whatever. It keeps its addresses,
 * which CHECK asks for: whatever comes in goes to the tap, so that the
 * namespace hears nothing and answers nothing. */
static int cni_device(
    struct wire *w, const struct doc_nic *nic, struct err *err)
{
	struct nl_link eth = {0};
	int r = find_inside(w, nic->ifname, NULL, &eth, err);

	if (r == 0)
		return err_set(err, ERR_FAILED, "%s: gone while it was wired",
		    nic->ifname);
	return r < 0 ? -1 : eth.index;
}

int nic_build(struct wire *w, const struct doc_nic *nic, int i, struct err *err)
{
	struct nl_link_set quiet = {
	    .quiet = true, .mtu = (unsigned int)nic->mtu};
	int eth, tap;

	eth = nic_is(nic, CNI_BACKEND) ? cni_device(w, nic, err)
				       : ensure_veth(w, nic, i, err);
	tap = eth < 0 ? -1 : ensure_tap(w, nic, i, err);
	if (tap < 0 || tie(w, eth, tap, err) < 0 || tie(w, tap, eth, err) < 0)
		return -1;
	/* Up after the qdiscs: adding one to what is up waits for RCU. */
	nl_link_set(&w->in, nic->ifname, &quiet);
	nl_link_set(&w->in, nic->tap, &quiet);
	nl_link_up(&w->in, nic->ifname);
	nl_link_up(&w->in, nic->tap);
	if (i == 0)
		nl_link_up(&w->in, "lo");
	return nl_do(&w->in, err) < 0 ? err_wrap(err, "%s", nic->tap) : 0;
}

struct report {
	struct wire *w;
	const struct doc_nic *nic;
	struct buf *out;
	int missing;
};

static void PRINTF_LIKE(2, 3) miss(struct report *r, const char *fmt, ...);

static void miss(struct report *r, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(r->out, "%s: %s: %s\n", r->w->id, r->nic->ifname, text);
	r->missing++;
}

static int check_peer(struct report *r, struct err *err)
{
	struct nl_link peer = {0};
	int there = nl_link_get(&r->w->host, r->nic->peer, &peer, err);

	if (there < 0)
		return -1;
	if (!there || !is_ours(r->w->id, &peer)) {
		miss(r, "no veth %s", r->nic->peer);
		return 0;
	}
	if (!peer.up)
		miss(r, "veth %s is down", r->nic->peer);
	/* Where the bridge itself is missing, that was said. */
	if (r->w->master < 0)
		return 0;
	if (!peer.master || peer.master != r->w->master)
		miss(r, "veth %s is no port of %s", r->nic->peer,
		    r->nic->bridge);
	return 0;
}

/* A device inside; its index, 0 when it is missing. */
static int check_inside(struct report *r, const char *name, const char *kind,
    const char *mac, struct err *err)
{
	struct nl_link link = {0};
	int there = nl_link_get(&r->w->in, name, &link, err);
	char text[18];

	if (there < 0)
		return -1;
	if (!there || (kind && strcmp(link.kind, kind) != 0)) {
		miss(r, "no %s %s",
		    !kind                 ? "device"
		    : strcmp(kind, "tun") ? kind
					  : "tap",
		    name);
		return 0;
	}
	format_mac(link.mac, text);
	if (!link.up)
		miss(r, "%s is down", name);
	if (link.mtu != r->nic->mtu)
		miss(r, "%s has MTU %u", name, link.mtu);
	if (mac && strcmp(mac, text) != 0)
		miss(r, "%s has MAC %s", name, text);
	return link.index;
}

static int check_tie(
    struct report *r, const char *name, int from, int to, struct err *err)
{
	int there = nl_tc_has_ingress(&r->w->in, from, err);

	if (there < 0)
		return -1;
	if (!there) {
		miss(r, "no ingress qdisc on %s", name);
		return 0;
	}
	there = nl_tc_has_redirect(&r->w->in, from, to, err);
	if (!there)
		miss(r, "no filter on %s", name);
	return there < 0 ? -1 : 0;
}

int nic_check(
    struct wire *w, const struct doc_nic *nic, struct buf *out, struct err *err)
{
	struct report r = {w, nic, out, 0};
	struct err e = {0};
	int eth, tap;

	if (port_master(w, nic, &e) < 0) {
		if (e.code != ERR_NOTFOUND && e.code != ERR_UNSUPPORTED) {
			*err = e;
			return -1;
		}
		miss(&r, "no bridge %s", nic->bridge);
		w->master = -1;
	}
	if (nic->peer && check_peer(&r, err) < 0)
		return -1;
	if (w->ns_fd < 0)
		return r.missing;
	eth = check_inside(&r, nic->ifname,
	    nic_is(nic, CNI_BACKEND) ? NULL : "veth", nic->mac, err);
	tap = eth < 0 ? -1 : check_inside(&r, nic->tap, "tun", NULL, err);
	if (tap < 0)
		return -1;
	if (eth && tap &&
	    (check_tie(&r, nic->ifname, eth, tap, err) < 0 ||
		check_tie(&r, nic->tap, tap, eth, err) < 0))
		return -1;
	return r.missing;
}
