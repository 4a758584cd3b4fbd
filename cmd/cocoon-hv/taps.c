/* SPDX-License-Identifier: MIT */
/*
 * The taps that cocoon-net made, in the VM's network namespace: opened for a
 * VMM, or given to its uid; and what comes for the guest while no VMM has them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "monitor.h"
#include "nl_net.h"

/* Runs fn in the VM's namespace, whose descriptor *ns becomes. */
static int inside(const struct vm *vm, int *ns,
    int (*fn)(void *arg, struct err *err), void *arg, struct err *err)
{
	AUTO_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	AUTO_FREE char *path = xasprintf("/run/netns/%s", vm->net.netns);
	int r;

	*ns = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || *ns < 0)
		return err_sys(err, errno, "%s: open", path);
	if (setns(*ns, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "%s: enter", path);
	r = fn(arg, err);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "leave %s", path);
	return r;
}

/* The tap cocoon-net made: same flags, or the kernel refuses. */
static int open_tap(const struct doc_nic *nic, struct err *err)
{
	AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = {0};

	/* TUNSETIFF would make one that leads nowhere. */
	if (!if_nametoindex(nic->tap))
		return err_set(err, ERR_NOTFOUND,
		    "%s: is not in the VM's network namespace: `cocoon-net "
		    "add` makes it",
		    nic->tap);
	if (fd < 0)
		return err_sys(err, errno, "/dev/net/tun: open");
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (nic->queues > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", nic->tap);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return err_sys(err, errno, "%s: open", nic->tap);
	return take_fd(&fd);
}

/* One tap: a descriptor for the VMM, or the VMM's right to open it. */
static int prepare_tap(
    struct monitor *m, const struct doc_nic *nic, struct err *err)
{
	AUTO_FD int fd = -1;

	if (nic->queues > VMM_MAX_QUEUES)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: %llu queues; at most %d", nic->tap,
		    (unsigned long long)nic->queues, VMM_MAX_QUEUES);
	fd = open_tap(nic, err);
	if (fd < 0)
		return -1;
	if (m->vmm->caps & VMM_TAP_NAMES) {
		/* Nobody but this uid opens it from now on. */
		if (ioctl(fd, TUNSETOWNER, (unsigned long)m->uid) < 0)
			return err_sys(err, errno, "%s: give", nic->tap);
		return 0;
	}
	m->fds.taps[m->fds.n_taps++] = take_fd(&fd);
	/* A descriptor for each queue. */
	for (uint64_t i = 1; i < nic->queues; i++) {
		int more = open_tap(nic, err);

		if (more < 0)
			return -1;
		m->fds.taps[m->fds.n_taps++] = more;
	}
	return 0;
}

/* What comes for the guest is dropped from now on, or reaches its taps. */
static int rest_all(const struct vm *vm, bool rest, struct err *err)
{
	const struct doc_nic *nics = vm->net.nics.v;
	AUTO_NL struct nl nl = {0};
	int r = nl_open(&nl, NETLINK_ROUTE, err);

	for (size_t i = 0; i < vm->net.nics.n && r == 0; i++) {
		/* A NIC that somebody else made may have no name there. */
		int index =
		    nics[i].ifname ? (int)if_nametoindex(nics[i].ifname) : 0;
		int has = index ? nl_tc_has_rest(&nl, index, err) : rest;

		if (has < 0 || has == rest) {
			r = has < 0 ? -1 : 0;
			continue;
		}
		if (rest)
			nl_tc_add_rest(&nl, index);
		else
			nl_tc_del_rest(&nl, index);
		r = nl_do(&nl, err);
	}
	return r;
}

static int rest_inside(void *arg, struct err *err)
{
	return rest_all(arg, true, err);
}

void taps_rest(struct vm *vm)
{
	AUTO_FD int ns = -1;
	struct err err;

	/* After a reboot there is no namespace, and nothing comes. */
	if (vm->net.nics.n && inside(vm, &ns, rest_inside, vm, &err) < 0)
		log_info("vm %s: %s", vm->vm.name, err.msg);
}

/* cocoon-net has let only some frames out, and all may go from now on. */
static int let_out(struct nl *nl, const struct doc_nic *nic, struct err *err)
{
	int tap = (int)if_nametoindex(nic->tap);
	int eth = nic->ifname ? (int)if_nametoindex(nic->ifname) : 0;
	int r = tap && eth ? nl_tc_has_redirect(nl, tap, eth, err) : 0;

	if (r <= 0)
		return r;
	r = nl_tc_has_plain(nl, tap, eth, err);
	if (r)
		return r < 0 ? -1 : 0;
	nl_tc_del_ingress(nl, tap);
	nl_tc_add_ingress(nl, tap);
	nl_tc_add_redirect(nl, tap, eth);
	return nl_do(nl, err);
}

/* A guest that boots, or was frozen as what it is, needs no containment. */
static int let_out_all(const struct vm *vm, struct err *err)
{
	const struct doc_nic *nics = vm->net.nics.v;
	const struct doc_guest *g = vm->hv.guest.v;
	AUTO_NL struct nl nl = {0};
	int r = nl_open(&nl, NETLINK_ROUTE, err);

	for (size_t i = 0; i < vm->net.nics.n && r == 0; i++)
		if (i >= vm->hv.guest.n || doc_guest_is(&g[i], &nics[i]))
			r = let_out(&nl, &nics[i], err);
	return r;
}

static int open_inside(void *arg, struct err *err)
{
	struct monitor *m = arg;
	const struct doc_nic *nics = m->vm->net.nics.v;
	int r = 0;

	for (size_t i = 0; i < m->vm->net.nics.n && r == 0; i++)
		r = prepare_tap(m, &nics[i], err);
	if (r < 0 || let_out_all(m->vm, err) < 0)
		return -1;
	return rest_all(m->vm, false, err);
}

int taps_open(struct monitor *m, struct err *err)
{
	if (!m->vm->net.nics.n)
		return 0;
	return inside(m->vm, &m->netns_fd, open_inside, m, err);
}
