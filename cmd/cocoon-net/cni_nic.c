/* SPDX-License-Identifier: MIT */
/*
 * The record's member cni has, by ifname, what the plugins of a NIC were given
 * and what they answered: {config, path, runtime, args, result}. It is there
 * before the first plugin runs, so that DEL can follow whatever happens, also
 * when the network's file has changed or gone.
 */
#include "cni_nic.h"

#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "ip.h"
#include "log.h"
#include "net.h"
#include "netns.h"
#include "nic.h"

bool cni_has(const struct doc_net *net)
{
	const struct doc_nic *nics = net->nics.v;

	for (size_t i = 0; i < net->nics.n; i++)
		if (nics[i].backend && !strcmp(nics[i].backend, CNI_BACKEND))
			return true;
	return false;
}

static void set_ref(
    struct json_object *o, const char *key, const struct json_object *v)
{
	jval_del(o, key);
	if (v)
		jval_set(o, key, jval_ref((struct json_object *)v));
}

void cni_intend(struct json_object *cni, const char *ifname,
    const struct json_object *conf, const struct json_object *runtime)
{
	struct json_object *entry = jval_object();

	set_ref(entry, "config", conf);
	set_ref(entry, "runtime", runtime);
	jval_set_str(entry, "path", cni_bin_path());
	jval_set(cni, ifname, entry);
}

struct cni_call cni_call_of(const struct json_object *entry, const char *id,
    const char *netns, const char *ifname)
{
	const char *path = jval_str(entry, "path");

	return (struct cni_call){.conf = jval_get(entry, "config"),
	    .runtime = jval_get(entry, "runtime"),
	    .path = path ? path : "",
	    .id = id,
	    .netns = netns,
	    .ifname = ifname,
	    .args = jval_str(entry, "args"),
	    .ask = jval_get(entry, "ask"),
	    .partial = jval_get(entry, "started"),
	    .started = (size_t)jval_int(entry, "started", 0)};
}

static void netns_file(const char *id, char out[80])
{
	char name[40];

	netns_name(id, name);
	snprintf(out, 80, "/run/netns/%s", name);
}

static int open_inside(int ns_fd, struct nl *in, struct err *err)
{
	AUTO_STAY struct stay stay = STAY_NONE;

	if (netns_enter(ns_fd, &stay, err) < 0)
		return -1;
	return nl_open(in, NETLINK_ROUTE, err);
}

/* The network's file may have been changed meanwhile: the new one counts, and
 * where there is none any more, the one that was used. */
static void renew(struct json_object *entry)
{
	AUTO_CNI struct cni_files files = {0};
	const char *name = jval_str(jval_get(entry, "config"), "name");
	const struct cni_file *f = NULL;
	struct err err = {0};

	if (cni_load(&files, &err) == 0)
		f = cni_find(&files, name ? name : "");
	if (f && !f->err.code) {
		set_ref(entry, "config", f->conf);
		jval_set_str(entry, "path", cni_bin_path());
		return;
	}
	log_warn("network %s: no usable configuration of it in %s; the one "
		 "it was made with is used",
	    name ? name : "?", cni_conf_dir());
}

static bool is_static(const struct json_object *conf)
{
	const struct json_object *list = jval_get(conf, "plugins");

	for (size_t i = 0; i < jval_len(list); i++) {
		const char *ipam =
		    jval_str(jval_get(jval_at(list, i), "ipam"), "type");

		if (ipam && !strcmp(ipam, "static"))
			return true;
	}
	return false;
}

/* By all the ways that plugins know: the capabilities "ips" and "mac",
 * args.cni.ips, and IP= in CNI_ARGS. */
static void ask_same(struct json_object *entry, const struct json_object *nic)
{
	const struct json_object *ips = jval_get(nic, "addresses");
	const struct json_object *list =
	    jval_get(jval_get(entry, "result"), "ips");
	struct json_object *runtime = jval_get(entry, "runtime");
	struct json_object *want = jval_array();
	bool asked = false;

	runtime = runtime ? jval_copy(runtime) : jval_object();
	/* The result has the prefix that the network knows. */
	for (size_t i = 0; i < jval_len(list); i++)
		if (jval_str(jval_at(list, i), "address"))
			jval_push_str(
			    want, jval_str(jval_at(list, i), "address"));
	for (size_t i = 0; !jval_len(list) && i < jval_len(ips); i++)
		jval_push_str(want, jval_str_at(ips, i));
	for (size_t i = 0; !asked && i < jval_len(want); i++) {
		const char *a = jval_str_at(want, i);
		AUTO_FREE char *args = NULL;

		if (strchr(a, ':') && i + 1 < jval_len(want))
			continue;
		/* It has its addresses from its configuration. */
		if (is_static(jval_get(entry, "config")))
			break;
		args = xasprintf(
		    "IgnoreUnknown=1;IP=%.*s", (int)strcspn(a, "/"), a);
		jval_set_str(entry, "args", args);
		asked = true;
	}
	if (jval_str(nic, "mac"))
		jval_set_str(runtime, "mac", jval_str(nic, "mac"));
	if (jval_len(want)) {
		jval_set(runtime, "ips", want);
		jval_set(entry, "ask", jval_ref(want));
	} else {
		jval_put(want);
	}
	jval_set(entry, "runtime", runtime);
}

static void ask_nothing(struct json_object *entry)
{
	struct json_object *runtime = jval_get(entry, "runtime");

	jval_del(entry, "args");
	jval_del(entry, "ask");
	if (runtime) {
		jval_del(runtime, "ips");
		jval_del(runtime, "mac");
	}
}

/* What is still there of the last time; the namespace is another one. */
static void clear_old(struct cni_job *j, struct json_object *entry,
    const char *ifname, const char *netns)
{
	struct cni_call c = cni_call_of(entry, j->id, netns, ifname);
	struct err err = {0};

	if (cni_del(&c, jval_get(entry, "result"), &err) < 0)
		log_warn("%s: %s, going on", ifname, err.msg);
	jval_del(entry, "result");
}

static int add_entry(struct cni_job *j, struct json_object *entry,
    const char *ifname, const char *netns, struct err *err)
{
	struct cni_call c = cni_call_of(entry, j->id, netns, ifname);
	struct json_object *result = NULL;
	size_t started;

	/* On disk, all of them may have run. */
	if (cni_add(&c, &result, &started, err) < 0) {
		jval_set_int(entry, "started", (int64_t)started);
		return -1;
	}
	jval_del(entry, "started");
	jval_set(entry, "result", result);
	return 0;
}

/* Again, with the address of before; with any if that one is gone. */
static int add_again(struct cni_job *j, struct json_object *entry,
    const struct json_object *nic, const char *netns, struct err *err)
{
	const char *ifname = jval_str(nic, "ifname");
	struct err e = {0};

	ask_same(entry, nic);
	clear_old(j, entry, ifname, "");
	renew(entry);
	if (add_entry(j, entry, ifname, netns, &e) == 0)
		return 0;
	clear_old(j, entry, ifname, netns);
	if (!jval_get(entry, "ask") || e.code == ERR_TIMEOUT ||
	    tool_interrupted()) {
		*err = e;
		return -1;
	}
	log_warn("%s: %s; asking for any address", ifname, e.msg);
	ask_nothing(entry);
	if (add_entry(j, entry, ifname, netns, err) == 0)
		return 0;
	clear_old(j, entry, ifname, netns);
	return -1;
}

/* CHECK compares. */
static void tell_mac(
    struct json_object *result, const char *ifname, const char *mac)
{
	const struct json_object *list = jval_get(result, "interfaces");

	for (size_t i = 0; i < jval_len(list); i++) {
		struct json_object *dev = jval_at(list, i);
		const char *name = jval_str(dev, "name");

		if (name && !strcmp(name, ifname) && jval_str(dev, "sandbox"))
			jval_set_str(dev, "mac", mac);
	}
}

/* What the plugins made: MAC, MTU, and what of it is for the guest. */
static int learn(struct cni_job *j, struct nl *in,
    const struct json_object *entry, struct json_object *nic, struct err *err)
{
	const char *ifname = jval_str(nic, "ifname");
	const char *old = jval_str(nic, "mac");
	struct nl_link link = {0};
	unsigned char mac[6];
	char text[18];
	int r = nl_link_get(in, ifname, &link, err);

	if (r == 0)
		return err_set(err, ERR_FAILED,
		    "network %s: its plugins are content, but made no %s",
		    jval_str(jval_get(entry, "config"), "name"), ifname);
	if (r < 0)
		return -1;
	/* A guest may know its NIC by the MAC. */
	if (j->again && old && parse_mac(old, mac) == 0) {
		struct nl_link_set set = {.mac = mac};

		memcpy(link.mac, mac, sizeof(mac));
		nl_link_set(in, ifname, &set);
		if (nl_do(in, err) < 0)
			return -1;
		tell_mac(jval_get(entry, "result"), ifname, old);
	}
	format_mac(link.mac, text);
	jval_set_str(nic, "mac", text);
	jval_set_int(nic, "mtu", link.mtu);
	return cni_result_nic(
	    jval_get(entry, "result"), ifname, in, link.index, nic, err);
}

static int attach_nic(
    struct cni_job *j, struct nl *in, struct json_object *nic, struct err *err)
{
	const char *ifname = jval_str(nic, "ifname");
	struct json_object *entry = jval_get(j->cni, ifname);
	struct nl_link link;
	char netns[80];
	int r;

	if (!entry)
		return err_set(err, ERR_FAILED,
		    "%s: the record has no configuration of its network; "
		    "`cocoon-net del` and `add` again",
		    ifname);
	netns_file(j->id, netns);
	if (!j->fresh) {
		r = nl_link_get(in, ifname, &link, err);
		if (r < 0 || (r > 0 && jval_get(entry, "result")))
			return r < 0 ? -1 : 0;
	}
	j->again = !j->fresh || jval_get(nic, "addresses");
	r = j->again ? add_again(j, entry, nic, netns, err)
		     : add_entry(j, entry, ifname, netns, err);
	return r < 0 ? -1 : learn(j, in, entry, nic, err);
}

/* DEL is for what was tried. */
static void forget_untried(struct cni_job *j, size_t from)
{
	const struct json_object *nics = jval_get(j->net, "nics");

	for (size_t i = from; j->fresh && i < jval_len(nics); i++)
		jval_del(j->cni, jval_str(jval_at(nics, i), "ifname"));
}

int cni_attach(struct cni_job *j, struct err *err)
{
	const struct json_object *nics = jval_get(j->net, "nics");
	AUTO_NL struct nl in = {0};
	struct err e = {0};
	int r = open_inside(j->ns_fd, &in, err);

	for (size_t i = 0; r == 0 && i < jval_len(nics); i++) {
		struct json_object *nic = jval_at(nics, i);
		const char *backend = jval_str(nic, "backend");

		if (!backend || strcmp(backend, CNI_BACKEND) != 0)
			continue;
		r = attach_nic(j, &in, nic, err);
		if (r < 0)
			forget_untried(j, i + 1);
	}
	if (record_update(j->n, j->id, j->net, j->cni, &e) < 0 && r == 0) {
		*err = e;
		return -1;
	}
	return r;
}

int cni_detach(struct net *n, const char *id, bool force, struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	struct err e = {0};
	AUTO_FD int ns = netns_open(id, &e);
	struct json_object *cni;
	struct doc_net net;
	char netns[80] = "", ifname[8];
	int r = record_read(n, id, &doc, &net, err), failed = 0;

	cni = r > 0 ? jval_get(doc, "cni") : NULL;
	if (r < 0 || !cni)
		return r < 0 ? -1 : 0;
	/* After a reboot there is none, which DEL must bear. */
	if (ns >= 0)
		netns_file(id, netns);
	for (int i = NET_MAX_NICS; i-- > 0;) {
		struct json_object *entry;
		struct cni_call c;

		snprintf(ifname, sizeof(ifname), "eth%d", i);
		entry = jval_get(cni, ifname);
		if (!entry)
			continue;
		c = cni_call_of(entry, id, netns, ifname);
		e = (struct err){0};
		if (cni_del(&c, jval_get(entry, "result"), &e) == 0 || force) {
			if (e.code)
				log_warn("%s: %s, ignoring", ifname, e.msg);
			jval_del(cni, ifname);
			continue;
		}
		if (!failed++)
			*err = e;
	}
	if (record_update(n, id, NULL, cni, failed ? &e : err) < 0)
		return -1;
	return failed ? -1 : 0;
}
