/* SPDX-License-Identifier: MIT */
/*
 * doctor: tries what add will need, in a scratch network namespace of a child
 * that ends with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builtin.h"
#include "cni_nic.h"
#include "doctor.h"
#include "file.h"
#include "net.h"
#include "nic.h"
#include "nl_net.h"
#include "proc.h"

static void check_root(struct call *call)
{
	if (geteuid() == 0)
		doctor_say(call, "root", "ok", "runs as root", NULL);
	else
		doctor_say(call, "root", "fail", "runs as an ordinary user",
		    "run it as root, or by sudo");
}

static void check_tun(struct call *call)
{
	AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct err err;

	if (fd >= 0) {
		doctor_say(call, "tun", "ok", "/dev/net/tun opens", NULL);
		return;
	}
	err_sys(&err, errno, "/dev/net/tun: open");
	doctor_say(call, "tun", "fail", err.msg,
	    "modprobe tun; in a container, hand in the device /dev/net/tun");
}

/* A NIC from end to end, as add makes it. */
static int try_wires(struct err *err)
{
	struct wire w = {.id = "AAAAAAAAAAAAAAAAAAAAAAAAAA", .ns_fd = -1};
	struct doc_nic nic = {.tap = "cn0",
	    .ifname = "eth0",
	    .peer = "cndoctor",
	    .mac = "02:00:00:00:00:01",
	    .bridge = "cnbridge",
	    .mtu = 1500};
	static const unsigned char mac[6] = {2, 0, 0, 0, 0, 2};
	struct nl_link bridge;

	if (unshare(CLONE_NEWNET) < 0)
		return err_sys(err, errno, "network namespace: create");
	w.ns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	w.host_ns_fd = w.ns_fd;
	w.fresh = true;
	if (w.ns_fd < 0)
		return err_sys(err, errno, "/proc/self/ns/net: open");
	if (nl_open(&w.host, NETLINK_ROUTE, err) < 0 ||
	    nl_open(&w.in, NETLINK_ROUTE, err) < 0)
		return -1;
	nl_link_add_bridge(&w.host, nic.bridge, mac, 1500);
	if (nl_do(&w.host, err) < 0 ||
	    nl_link_get(&w.host, nic.bridge, &bridge, err) < 0)
		return -1;
	w.master = bridge.index;
	return nic_build(&w, &nic, 0, err);
}

static void check_wires(struct call *call)
{
	struct err err = {0};
	int fds[2] = {-1, -1};
	pid_t pid = -1;

	if (pipe2(fds, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0) {
		try_wires(&err);
		_exit(write(fds[1], &err, sizeof(err)) != sizeof(err));
	}
	close_fd(&fds[1]);
	if (pid < 0)
		err_sys(&err, errno, "fork");
	else if (read(fds[0], &err, sizeof(err)) != sizeof(err))
		err_set(&err, ERR_FAILED, "the trial ended without a word");
	close_fd(&fds[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (err.code)
		doctor_say(call, "wires", "fail", err.msg,
		    "the kernel needs the modules veth, bridge, tun, "
		    "sch_ingress, cls_u32, act_mirred");
	else
		doctor_say(call, "wires", "ok",
		    "namespace, veth, bridge, tap, u32 and mirred work", NULL);
}

static void check_nft(struct call *call)
{
	AUTO_FREE char *path = proc_find("nft");
	AUTO_NL struct nl nl = {0};
	struct err err = {0};
	bool ours;

	if (!path)
		doctor_say(call, "nft", "fail", "the program nft is missing",
		    "apt-get install nftables");
	else if (nl_open(&nl, NETLINK_NETFILTER, &err) < 0 ||
		 nl_nft_table_get(&nl, "cocoon-doctor", "", &ours, &err) < 0)
		doctor_say(call, "nft", "fail", err.msg,
		    "the kernel needs nf_tables, nft_masq, nft_ct; run it as "
		    "root");
	else
		doctor_say(call, "nft", "ok", path, NULL);
}

/* "type filter hook forward ...; policy drop;" in a line of nft's. */
static bool drops_forward(const char *text)
{
	const char *p = text;

	while ((p = strstr(p, "hook forward"))) {
		const char *policy = strstr(p, "policy drop");

		if (policy && policy < p + strcspn(p, "\n"))
			return true;
		p++;
	}
	return false;
}

/* Docker and firewalls like to: our accept cannot overrule their drop. */
static void check_firewall(struct call *call)
{
	AUTO_FREE char *path = proc_find("nft");
	AUTO_PROC struct proc p = PROC_NONE;
	AUTO_BUF struct buf out = {0};
	struct err err = {0};

	proc_init(&p);
	if (!path)
		return;
	strv_add(&p.argv, path);
	strv_add(&p.argv, "list");
	strv_add(&p.argv, "chains");
	if (proc_run(&p, NULL, 0, &out, 1 << 16, 10000, &err) < 0) {
		doctor_say(call, "firewall", "warn", err.msg, NULL);
		return;
	}
	if (out.data && drops_forward(out.data))
		doctor_say(call, "firewall", "warn",
		    "a forward chain of another program drops by default",
		    "if guests reach nothing: let that chain accept what "
		    "comes from and goes to the bridge");
	else
		doctor_say(call, "firewall", "ok",
		    "no forward chain drops by default", NULL);
}

static void check_forward(struct call *call)
{
	doctor_say(call, "ip_forward", "ok",
	    forward_is_on(FORWARD_4) ? "on"
				     : "off; it is on while a VM has a NIC",
	    NULL);
}

static void check_subnet(struct call *call)
{
	AUTO_NET struct net n = NET_NONE;
	AUTO_NL struct nl host = {0};
	struct builtin b;
	struct err err = {0};
	char subnet[20], text[80];

	if (net_open(&n, false, &err) < 0 ||
	    nl_open(&host, NETLINK_ROUTE, &err) < 0 ||
	    builtin_get(&n, &host, &b, &err) < 0) {
		doctor_say(call, "subnet", "fail", err.msg,
		    "set COCOON_SUBNET and COCOON_BRIDGE");
		return;
	}
	format_cidr(b.subnet.base, b.subnet.prefix, subnet);
	snprintf(text, sizeof(text), "%s on %s, %s", subnet, b.bridge,
	    b.recorded ? "in use" : "free");
	doctor_say(call, "subnet", "ok", text, NULL);
}

static int doctor_run(struct call *call, struct err *err)
{
	(void)err;
	check_root(call);
	check_tun(call);
	check_wires(call);
	check_nft(call);
	check_firewall(call);
	check_forward(call);
	check_subnet(call);
	cni_doctor(call);
	return 0;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "Say what the host lacks for networks.",
    .max_args = 0,
    .run = doctor_run,
};
