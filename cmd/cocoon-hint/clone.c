/* SPDX-License-Identifier: MIT */
/*
 * What a guest that was cloned runs to become itself: it woke up with the host
 * name, machine-id, MACs, addresses and random numbers of its source.
 */
#include "clone.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "route.h"
#include "script.h"

#define SEED_BYTES 64

static const struct doc_guest *was(const struct hint *h, size_t i)
{
	return (const struct doc_guest *)h->hv.guest.v + i;
}

/* What it believes that its NIC is called; its name of today if it knows. */
static const char *old_mac(const struct hint *h, size_t i)
{
	return i < h->hv.guest.n ? was(h, i)->mac : hint_nic(h, i)->mac;
}

static int add_seed(struct buf *out, struct err *err)
{
	unsigned char seed[SEED_BYTES];

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return err_set(err, ERR_FAILED, "getrandom: failed");
	/* Its bytes, not their number, are what counts. */
	buf_str(out, "echo ");
	for (size_t i = 0; i < sizeof(seed); i++)
		buf_addf(out, "%02x", seed[i]);
	buf_str(out, " >/dev/urandom\n");
	return 0;
}

/* Frozen, a clock stands still on some hypervisors. It is set forward only:
 * the script may be run long after it was made. */
static void add_time(struct buf *out)
{
	long long now = (long long)time(NULL);

	buf_addf(out,
	    "[ \"$(date +%%s)\" -ge %lld ] || date -s @%lld >/dev/null || :\n",
	    now, now);
}

static void add_identity(const struct hint *h, struct buf *out)
{
	buf_addf(out,
	    "echo %s >/etc/hostname\n"
	    "echo %s >/proc/sys/kernel/hostname\n"
	    "tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id\n"
	    "for id in /var/lib/cocoon/machine-id "
	    "/var/lib/dbus/machine-id; do\n"
	    "\tif [ -f $id ] && ! [ -L $id ]; then\n"
	    "\t\tcat /etc/machine-id >$id\n"
	    "\tfi\n"
	    "done\n"
	    "[ ! -d /var/lib/cocoon ] || echo %s >/var/lib/cocoon/identity\n",
	    h->hostname, h->hostname, h->vm.id);
}

/* Devices by the MAC that they have, before any of them has another. */
static void find_nics(const struct hint *h, struct buf *out)
{
	if (!h->net.nics.n)
		return;
	buf_str(out, "device() {\n"
		     "\tfor mac; do\n"
		     "\t\tfor d in /sys/class/net/*; do\n"
		     "\t\t\tif [ -e \"$d/device\" ] && "
		     "[ \"$(cat \"$d/address\")\" = \"$mac\" ]; "
		     "then\n"
		     "\t\t\t\techo \"${d##*/}\"\n"
		     "\t\t\t\treturn\n"
		     "\t\t\tfi\n"
		     "\t\tdone\n"
		     "\tdone\n"
		     "\techo \"no NIC has the MAC $1\" >&2\n"
		     "\texit 1\n"
		     "}\n");
	for (size_t i = 0; i < h->net.nics.n; i++) {
		buf_addf(out, "nic%zu=$(device %s", i, old_mac(h, i));
		for (size_t k = 0; i < h->hv.guest.n && k < was(h, i)->since.n;
		     k++)
			buf_addf(out, " %s", was(h, i)->since.v[k]);
		buf_addf(out, " %s)\n", hint_nic(h, i)->mac);
	}
}

static void add_macs(const struct hint *h, struct buf *out)
{
	for (size_t i = 0; i < h->net.nics.n; i++)
		buf_addf(out,
		    "ip link set dev \"$nic%zu\" down\n"
		    "ip link set dev \"$nic%zu\" address %s\n"
		    "ip link set dev \"$nic%zu\" up\n",
		    i, i, hint_nic(h, i)->mac, i);
}

static void add_route(size_t i, const struct doc_route *r, struct buf *out)
{
	uint64_t metric = route_metric(i, r);

	buf_addf(out, "\tip route replace %s", r->dst);
	if (r->via)
		buf_addf(out, " via %s", r->via);
	buf_addf(out, " dev \"$nic%zu\"%s", i, r->via ? " onlink" : "");
	if (metric)
		buf_addf(out, " metric %llu", (unsigned long long)metric);
	if (r->mtu)
		buf_addf(out, " mtu %llu", (unsigned long long)r->mtu);
	buf_str(out, "\n");
}

static void add_static(const struct hint *h, size_t i, struct buf *out)
{
	const struct doc_nic *nic = hint_nic(h, i);
	const struct doc_route *r = nic->routes.v;

	buf_addf(out, "\tip addr flush dev \"$nic%zu\" scope global\n", i);
	for (size_t k = 0; k < nic->addresses.n; k++)
		buf_addf(out, "\tip addr add %s dev \"$nic%zu\"%s\n",
		    nic->addresses.v[k], i,
		    strchr(nic->addresses.v[k], ':') ? " nodad" : "");
	for (size_t k = 0; k < nic->gateways.n; k++) {
		struct doc_route gateway = gateway_route(nic->gateways.v[k]);

		add_route(i, &gateway, out);
	}
	for (size_t k = 0; k < nic->routes.n; k++)
		if (nic_route_needed(nic, &r[k]))
			add_route(i, &r[k], out);
}

static void add_dhcp(size_t i, struct buf *out)
{
	buf_addf(out,
	    "\tif command -v dhclient >/dev/null; then\n"
	    "\t\tdhclient -r \"$nic%zu\"\n\t\tdhclient \"$nic%zu\"\n"
	    "\telif command -v udhcpc >/dev/null; then\n"
	    "\t\tudhcpc -n -q -i \"$nic%zu\"\n"
	    "\telse\n\t\techo \"$nic%zu: no DHCP client\" >&2\n\t\texit 1\n"
	    "\tfi\n",
	    i, i, i, i);
}

/* By systemd-networkd where that runs, else by hand. */
static void add_network(const struct hint *h, struct buf *out)
{
	if (!h->net.nics.n)
		return;
	add_macs(h, out);
	script_units(h, out);
	script_resolv(h, out);
	buf_str(out, "if networkctl reload 2>/dev/null; then\n");
	for (size_t i = 0; i < h->net.nics.n; i++)
		buf_addf(out, "\tnetworkctl reconfigure \"$nic%zu\"\n", i);
	buf_str(out, "else\n");
	for (size_t i = 0; i < h->net.nics.n; i++)
		if (hint_nic(h, i)->addresses.n)
			add_static(h, i, out);
		else
			add_dhcp(i, out);
	buf_str(out, "fi\n");
}

/* The writable disk may be larger than the source's was. */
static void add_growth(const struct hint *h, struct buf *out)
{
	for (size_t i = 0; h->oci && i < h->plan.disks.n; i++) {
		if (strcmp(hint_disk(h, i)->role, "cow"))
			continue;
		buf_str(out, "resize2fs ");
		disk_path(h, i, out);
		buf_str(out, " >/dev/null 2>&1 || :\n");
	}
}

/* Disks may have been plugged in while the guest stood still. At the next boot
 * the seed tells of them. */
static void add_mounts(const struct hint *h, struct buf *out)
{
	bool any = false;

	for (size_t i = 0; h->oci && i < h->plan.disks.n; i++) {
		const struct doc_disk *d = hint_disk(h, i);

		if (strcmp(d->role, "data") || !d->mount)
			continue;
		if (!any)
			buf_str(out, "udevadm settle 2>/dev/null || :\n");
		any = true;
		buf_str(out, "mountpoint -q ");
		buf_shell(out, d->mount);
		buf_str(out, " || {\n\tmkdir -p ");
		buf_shell(out, d->mount);
		buf_addf(out, "\n\tmount -t %s ", d->fstype);
		disk_path(h, i, out);
		buf_ch(out, ' ');
		buf_shell(out, d->mount);
		buf_str(out, "\n}\n");
	}
}

/* Memory and processors may have been plugged in while the guest stood still. */
static void add_cpus(const struct hint *h, struct buf *out)
{
	if (h->plan.max_memory)
		buf_str(out,
		    "for memory in /sys/devices/system/memory/memory*/state; "
		    "do\n"
		    "\t[ \"$(cat \"$memory\" 2>/dev/null)\" != offline ] ||\n"
		    "\t\techo online >\"$memory\" || :\ndone\n");
	if (h->plan.max_cpu > 1)
		buf_str(out,
		    "for cpu in /sys/devices/system/cpu/cpu*/online; do\n"
		    "\t[ ! -e \"$cpu\" ] || echo 1 >\"$cpu\" || :\ndone\n");
}

/* It may be pasted at a prompt: a tab asks for completion there, and `set -e`
 * is not to stay, so all of it is in a subshell. */
static void untab(struct buf *text, struct buf *out)
{
	for (size_t i = 0; i < text->len; i++)
		if (text->data[i] == '\t')
			buf_str(out, "    ");
		else
			buf_ch(out, text->data[i]);
}

/* It has booted, since or without a snapshot. */
static bool is_itself(const struct hint *h)
{
	return h->hv.started_at && !h->hv.loaded;
}

static int make_script(
    const struct hint *h, struct buf *script, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	struct buf *out = &text;

	buf_addf(out,
	    "#!/bin/sh\n"
	    "# For root in the guest of %s, which woke up as the VM that was "
	    "saved.\n"
	    "(\nset -e\n"
	    "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n"
	    "umask 022\n",
	    h->vm.name);
	if (is_itself(h)) {
		buf_str(out, "# It did not: there is nothing to do.\n)\n");
		untab(out, script);
		return 0;
	}
	if (add_seed(out, err) < 0)
		return -1;
	/* Nobody tells the guest of what was plugged in. */
	if (h->plan.pci)
		buf_str(out, "[ ! -e /sys/bus/pci/rescan ] || "
			     "echo 1 >/sys/bus/pci/rescan\n");
	/* Before anything is changed: where one is missing all is in vain. */
	find_nics(h, out);
	add_time(out);
	add_identity(h, out);
	add_network(h, out);
	add_growth(h, out);
	add_mounts(h, out);
	add_cpus(h, out);
	/* What the host can have back. */
	buf_str(out, "sync\necho 3 >/proc/sys/vm/drop_caches\n)\n");
	untab(out, script);
	return 0;
}

static void say_list(const struct jstrs *l, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++)
		buf_addf(out, "%s%s", i ? ", " : "", l->v[i]);
	if (!l->n)
		buf_str(out, "by DHCP");
}

static void say_nics(const struct hint *h, struct buf *out)
{
	for (size_t i = 0; i < h->net.nics.n; i++) {
		const struct doc_nic *nic = hint_nic(h, i);

		buf_addf(out, "NIC %zu: MAC %s", i + 1, old_mac(h, i));
		if (strcmp(old_mac(h, i), nic->mac) != 0)
			buf_addf(out, ", becomes %s", nic->mac);
		buf_str(out, "; addresses ");
		if (i < h->hv.guest.n) {
			say_list(&was(h, i)->addresses, out);
			buf_str(out, ", become ");
		}
		say_list(&nic->addresses, out);
		buf_str(out, "\n");
	}
}

static int make_text(const struct hint *h, struct buf *out, struct err *err)
{
	if (is_itself(h)) {
		buf_addf(out,
		    "%s has booted as itself: there is nothing to do.\n",
		    h->vm.name);
		return 0;
	}
	buf_addf(out,
	    "%s woke up as the VM that was saved, and is to become itself:\n"
	    "host name: becomes %s\n",
	    h->vm.name, h->hostname);
	say_nics(h, out);
	if (h->spec.windows) {
		buf_addf(out,
		    "Windows: its NICs have other MACs at its next start; "
		    "until "
		    "then set these by\n"
		    "  Set-NetAdapter -Name NAME -MacAddress MAC\n"
		    "and static addresses by New-NetIPAddress; DHCP needs "
		    "nothing else. Then\n"
		    "  Rename-Computer -NewName %s -Restart\n"
		    "Its console (SAC) has a cmd channel for that.\n",
		    h->hostname);
		return 0;
	}
	if (!h->oci)
		buf_str(out, "cloud-init sees a new instance when it boots "
			     "the next time.\n");
	buf_str(out,
	    "Its ssh host keys are the source's: `rm /etc/ssh/ssh_host_*; "
	    "ssh-keygen -A` makes others.\n"
	    "This is the rest, for root in the guest:\n\n");
	return make_script(h, out, err);
}

static struct json_object *list(const struct jstrs *l)
{
	struct json_object *a = jval_array();

	for (size_t i = 0; i < l->n; i++)
		jval_push_str(a, l->v[i]);
	return a;
}

static int make_json(const struct hint *h, struct buf *out, struct err *err)
{
	AUTO_JSON struct json_object *o = jval_object();
	AUTO_BUF struct buf script = {0};
	struct json_object *nics = jval_array();

	if (!h->spec.windows && make_script(h, &script, err) < 0)
		return -1;
	jval_set_str(o, "id", h->vm.id);
	jval_set_str(o, "name", h->vm.name);
	jval_set_str(o, "hostname", h->hostname);
	for (size_t i = 0; i < h->net.nics.n; i++) {
		const struct doc_nic *nic = hint_nic(h, i);
		struct json_object *n = jval_object();

		jval_set_str(n, "was_mac", old_mac(h, i));
		jval_set_str(n, "mac", nic->mac);
		if (i < h->hv.guest.n)
			jval_set(
			    n, "was_addresses", list(&was(h, i)->addresses));
		jval_set(n, "addresses", list(&nic->addresses));
		jval_set(n, "gateways", list(&nic->gateways));
		jval_set(n, "dns", list(nic_dns(h, nic)));
		jval_push(nics, n);
	}
	jval_set(o, "nics", nics);
	if (script.len)
		jval_set_str(o, "script", script.data);
	jval_print(o, out);
	buf_str(out, "\n");
	return 0;
}

int clone_filter(struct call *call, struct json_object *doc, struct err *err)
{
	const struct clone_opts *o = call->opts;
	struct hint h = {0};

	if (hint_bind(doc, &h, err) < 0 || hint_check(&h, err) < 0)
		return -1;
	hint_hostname(&h);
	if (!strcmp(o->format, "json"))
		return make_json(&h, &call->out, err);
	if (!strcmp(o->format, "text"))
		return make_text(&h, &call->out, err);
	if (h.spec.windows)
		return err_set(err, ERR_UNSUPPORTED,
		    "vm %s: Windows runs no shell script: -o text says what "
		    "to do",
		    h.vm.name);
	return make_script(&h, &call->out, err);
}
