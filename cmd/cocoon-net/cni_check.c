/* SPDX-License-Identifier: MIT */
/* CHECK, STATUS and GC: what plugins say of networks that are there. */
#include <stdio.h>
#include <string.h>

#include "cni_nic.h"
#include "doctor.h"
#include "file.h"
#include "log.h"
#include "net.h"
#include "netns.h"

struct checking {
	const char *id, *ifname;
	const struct json_object *result;
	struct buf *out;
	int missing;
};

/*
 * portmap 1.1.1, which Debian 12 has, looks among the IPv6 rules for that of
 * the IPv4 address, and never finds it.
 */
static bool is_known_bug(const char *type, const struct err *err)
{
	return type && !strcmp(type, "portmap") &&
	       strstr(err->msg, "could not check ipv6 dnat") &&
	       !strstr(err->msg, "--to-destination [");
}

static void not_content(const char *type, const struct err *err, void *arg)
{
	struct checking *c = arg;

	if (is_known_bug(type, err)) {
		log_info("%s: %s: %s: a defect of this plugin, ignoring", c->id,
		    c->ifname, err->msg);
		return;
	}
	buf_addf(c->out, "%s: %s: %s\n", c->id, c->ifname, err->msg);
	c->missing++;
}

int cni_check_nics(
    const struct json_object *record, const char *id, struct buf *out)
{
	const struct json_object *cni = jval_get(record, "cni");
	struct err err = {0};
	AUTO_FD int ns = netns_open(id, &err);
	char netns[80], name[40], ifname[8];
	struct checking c = {.id = id, .ifname = ifname, .out = out};

	/* That it is missing was said. */
	if (ns < 0)
		return 0;
	netns_name(id, name);
	snprintf(netns, sizeof(netns), "/run/netns/%s", name);
	for (int i = 0; i < NET_MAX_NICS; i++) {
		const struct json_object *entry;
		struct cni_call call;

		snprintf(ifname, sizeof(ifname), "eth%d", i);
		entry = jval_get(cni, ifname);
		if (!entry)
			continue;
		c.result = jval_get(entry, "result");
		call = cni_call_of(entry, id, netns, ifname);
		if (c.result)
			cni_check(&call, c.result, not_content, &c);
		else
			buf_addf(out, "%s: %s: no result of its plugins\n", id,
			    ifname);
		c.missing += !c.result;
	}
	return c.missing;
}

struct valid {
	struct net *n;
	const char *name;
	struct json_object *list;
};

/* Every NIC on this network, also one that is only intended. */
static int collect_valid(const char *id, void *arg)
{
	struct valid *v = arg;
	AUTO_JSON struct json_object *doc = NULL;
	struct doc_net net;
	struct err err = {0};
	int r = record_read(v->n, id, &doc, &net, &err);

	if (r < 0) {
		log_error("gc", &err);
		return -1;
	}
	for (int i = 0; r > 0 && i < NET_MAX_NICS; i++) {
		char ifname[8];
		const char *name;

		snprintf(ifname, sizeof(ifname), "eth%d", i);
		name = jval_str(
		    jval_get(jval_get(jval_get(doc, "cni"), ifname), "config"),
		    "name");
		if (name && !strcmp(name, v->name)) {
			struct json_object *o = jval_object();

			jval_set_str(o, "containerID", id);
			jval_set_str(o, "ifname", ifname);
			jval_push(v->list, o);
		}
	}
	return 0;
}

int cni_gc_network(
    struct net *n, const char *name, bool dry_run, struct err *err)
{
	AUTO_CNI struct cni_files files = {0};
	AUTO_JSON struct json_object *list = jval_array();
	struct valid v = {n, name, list};
	const struct cni_file *f;
	struct cni_call c = {.path = cni_bin_path()};

	if (cni_load(&files, err) < 0)
		return -1;
	f = cni_find(&files, name);
	if (!f)
		return err_set(err, ERR_NOTFOUND,
		    "network \"%.80s\": there is no such one in %.200s", name,
		    cni_conf_dir());
	if (record_each(n, collect_valid, &v, err) < 0)
		return err_set(err, ERR_FAILED,
		    "network %.80s: GC: a record cannot be read: nothing done",
		    name);
	c.conf = f->conf;
	return dry_run ? 0 : cni_gc(&c, list, err);
}

static void missing_plugins(
    const struct cni_file *f, const char *path, struct buf *out)
{
	const struct json_object *list = jval_get(f->conf, "plugins");

	for (size_t i = 0; i < jval_len(list); i++) {
		const struct json_object *p = jval_at(list, i);
		const char *types[] = {
		    jval_str(p, "type"), jval_str(jval_get(p, "ipam"), "type")};

		for (size_t k = 0; k < ARRAY_LEN(types); k++) {
			AUTO_FREE char *file = types[k] && *types[k]
						   ? cni_plugin(path, types[k])
						   : NULL;

			if (types[k] && *types[k] && !file)
				buf_addf(out, " %s", types[k]);
		}
	}
}

static void diagnose(
    struct call *call, const struct cni_files *files, const struct cni_file *f)
{
	AUTO_BUF struct buf missing = {0};
	AUTO_FREE char *text = NULL;
	struct cni_call c = {.conf = f->conf, .path = cni_bin_path()};
	struct err err = f->err;

	if (err.code) {
		text = xasprintf("%s/%s: %s", cni_conf_dir(), f->file, err.msg);
		doctor_say(call, "cni", "warn", text,
		    "mend the file, or move it away");
		return;
	}
	if (cni_find(files, f->name) != f) {
		text = xasprintf(
		    "%s: a later file has the name %s, too", f->file, f->name);
		doctor_say(call, "cni", "warn", text, "give it another name");
		return;
	}
	missing_plugins(f, c.path, &missing);
	if (missing.len) {
		text = xasprintf("%s: network %s: no such plugin in %s:%s",
		    f->file, f->name, c.path, missing.data);
		doctor_say(call, "cni", "warn", text,
		    "apt-get install containernetworking-plugins; "
		    "--cni-bin-dir says where they are");
		return;
	}
	if (cni_status(&c, &err) < 0) {
		text = xasprintf("%s: %s", f->file, err.msg);
		doctor_say(call, "cni", "warn", text, NULL);
		return;
	}
	text = xasprintf("%s: network %s%s", f->file, f->name,
	    cni_find(files, NULL) == f ? ", the default one" : "");
	doctor_say(call, "cni", "ok", text, NULL);
}

void cni_doctor(struct call *call)
{
	AUTO_CNI struct cni_files files = {0};
	AUTO_FREE char *text = NULL;
	struct err err = {0};

	if (cni_load(&files, &err) < 0) {
		doctor_say(call, "cni", "warn", err.msg, NULL);
		return;
	}
	if (!files.n) {
		text =
		    xasprintf("nothing in %s: VMs are on the built-in network",
			cni_conf_dir());
		doctor_say(call, "cni", "ok", text, NULL);
	}
	for (size_t i = 0; i < files.n; i++)
		diagnose(call, &files, &files.v[i]);
}
