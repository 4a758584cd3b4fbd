/* SPDX-License-Identifier: MIT */
/*
 * The seed as a shell script, for guests whose initramfs reads no seed: a
 * shell in front of init runs it (cmdline.c), on the root file system that
 * init will find. And the parts of it that a clone needs, too.
 */
#include "script.h"

#include <string.h>

#include "account.h"
#include "route.h"
#include "texts.h"

/* The charsets of what goes in here leave nothing that ends such a text. */
#define HERE "COCOON_END"

static void unit_route(size_t i, const struct doc_route *r, struct buf *out)
{
	uint64_t metric = route_metric(i, r);

	buf_addf(out, "\n[Route]\nDestination=%s\n", r->dst);
	if (r->via)
		buf_addf(out, "Gateway=%s\nGatewayOnLink=yes\n", r->via);
	else if (!strchr(r->dst, ':'))
		buf_str(out, "Scope=link\n");
	if (metric)
		buf_addf(out, "Metric=%llu\n", (unsigned long long)metric);
	if (r->mtu)
		buf_addf(out, "MTUBytes=%llu\n", (unsigned long long)r->mtu);
}

static void unit_method(const struct doc_nic *nic, size_t i, struct buf *out)
{
	if (nic->addresses.n) {
		buf_str(out, "LinkLocalAddressing=ipv6\nIPv6AcceptRA=no\n");
		return;
	}
	buf_str(out, "DHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\n");
	if (i)
		buf_addf(out,
		    "RouteMetric=%zu\n\n[IPv6AcceptRA]\nRouteMetric=%zu\n",
		    NIC_METRIC + i, NIC_METRIC + i);
}

void script_unit(const struct hint *h, size_t i, struct buf *out)
{
	const struct doc_nic *nic = hint_nic(h, i);
	const struct jstrs *dns = nic_dns(h, nic);
	const struct doc_route *r = nic->routes.v;

	/* Kind: not what a bridge or VLAN on the NIC inherits its MAC to. */
	buf_addf(out,
	    SCRIPT_MARK "\n[Match]\nMACAddress=%s\nKind=!*\n\n[Link]\n"
			"RequiredForOnline=%s\n",
	    nic->mac, i ? "no" : "yes");
	if (nic->mtu)
		buf_addf(out, "MTUBytes=%llu\n", (unsigned long long)nic->mtu);
	buf_str(out, "\n[Network]\n");
	for (size_t k = 0; k < dns->n; k++)
		buf_addf(out, "DNS=%s\n", dns->v[k]);
	for (size_t k = 0; k < nic->search.n; k++)
		buf_addf(out, "Domains=%s\n", nic->search.v[k]);
	unit_method(nic, i, out);
	for (size_t k = 0; k < nic->addresses.n; k++)
		buf_addf(out, "\n[Address]\nAddress=%s\n", nic->addresses.v[k]);
	for (size_t k = 0; k < nic->gateways.n; k++) {
		struct doc_route gateway = gateway_route(nic->gateways.v[k]);

		unit_route(i, &gateway, out);
	}
	for (size_t k = 0; k < nic->routes.n; k++)
		if (nic_route_needed(nic, &r[k]))
			unit_route(i, &r[k], out);
}

void script_unit_path(const struct doc_nic *nic, struct buf *out)
{
	buf_str(out, SCRIPT_NETWORK_DIR "/10-");
	for (const char *p = nic->mac; *p; p++)
		if (*p != ':')
			buf_ch(out, *p);
	buf_str(out, ".network");
}

void script_units(const struct hint *h, struct buf *out)
{
	if (!h->net.nics.n)
		return;
	buf_str(out, "mkdir -p " SCRIPT_NETWORK_DIR "\n"
		     "rm -f " SCRIPT_NETWORK_DIR "/10-????????????.network\n");
	for (size_t i = 0; i < h->net.nics.n; i++) {
		buf_str(out, "cat >");
		script_unit_path(hint_nic(h, i), out);
		buf_str(out, " <<\\" HERE "\n");
		script_unit(h, i, out);
		buf_str(out, HERE "\n");
	}
}

/* A server may come from several NICs; the guest has one list. */
static void add_servers(const struct jstrs *l, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		AUTO_FREE char *line = xasprintf("nameserver %s\n", l->v[i]);

		if (!out->len || !strstr(out->data, line))
			buf_str(out, line);
	}
}

/* One line of all NICs' words; nothing where there are none. */
static void resolv_line(
    const struct hint *h, const char *key, bool options, struct buf *out)
{
	AUTO_BUF struct buf words = {0};

	for (size_t i = 0; i < h->net.nics.n; i++) {
		const struct doc_nic *nic = hint_nic(h, i);

		const struct jstrs *l = options ? &nic->options : &nic->search;

		for (size_t k = 0; k < l->n; k++)
			buf_addf(&words, " %s", l->v[k]);
	}
	if (words.len)
		buf_addf(out, "%s%s\n", key, words.data);
}

void script_resolv(const struct hint *h, struct buf *out)
{
	AUTO_BUF struct buf text = {0};

	resolv_line(h, "search", false, &text);
	for (size_t i = 0; i < h->net.nics.n; i++)
		add_servers(nic_dns(h, hint_nic(h, i)), &text);
	resolv_line(h, "options", true, &text);
	if (!text.len)
		return;
	/* A link belongs to a resolver, which reads the .network files. */
	buf_addf(out,
	    "[ -L /etc/resolv.conf ] || cat >/etc/resolv.conf <<\\" HERE
	    "\n" SCRIPT_MARK "\n%s" HERE "\n",
	    text.data);
}

/* A word as fstab wants it. */
static void fstab_word(const char *s, struct buf *out)
{
	for (; *s; s++)
		if (strchr(" \t\\#", *s))
			buf_addf(out, "\\%03o", (unsigned int)*s);
		else
			buf_ch(out, *s);
}

static void add_fstab(const struct hint *h, struct buf *out)
{
	AUTO_BUF struct buf lines = {0};

	for (size_t i = 0; i < h->plan.disks.n; i++) {
		const struct doc_disk *d = hint_disk(h, i);

		if (!disk_is_mounted(d))
			continue;
		disk_path(h, i, &lines);
		buf_ch(&lines, ' ');
		fstab_word(d->mount, &lines);
		buf_addf(&lines,
		    " %s defaults,nofail,x-systemd.device-timeout=30s 0 0\n",
		    d->fstype);
	}
	buf_str(out, "[ ! -f /etc/fstab ] ||\n"
		     "\tsed -i '/^# cocoon: data/,/^# cocoon: end/d' "
		     "/etc/fstab\n");
	if (lines.len)
		buf_addf(out,
		    "cat >>/etc/fstab <<\\" HERE
		    "\n# cocoon: data disks, written at every boot\n%s"
		    "# cocoon: end\n" HERE "\n",
		    lines.data);
}

static void add_account(const struct hint *h, struct buf *out)
{
	const struct doc_boot *b = &h->boot;

	buf_addf(out,
	    "account() (\n%s)\nlast=\n"
	    "[ ! -r $state/instance ] || read -r last <$state/instance\n"
	    "if [ \"$last\" != %s ]; then\n\taccount %s",
	    account_text, h->vm.id, b->user);
	buf_ch(out, ' ');
	buf_shell(out, b->password_hash ? b->password_hash : "");
	buf_addf(out, " <<\\" HERE " && echo %s >$state/instance\n", h->vm.id);
	for (size_t i = 0; i < b->keys.n; i++)
		buf_addf(out, "%s\n", b->keys.v[i]);
	buf_str(out, HERE "\nfi\n");
}

void seed_script(const struct hint *h, struct buf *out)
{
	buf_str(out,
	    "#!/bin/sh\n" SCRIPT_MARK "\n"
	    "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n"
	    "umask 022\nstate=/var/lib/cocoon\nmkdir -p $state\n"
	    /* A clone that boots is another machine than the one it was. */
	    "owner=\n"
	    "for file in $state/identity $state/instance; do\n"
	    "\t[ -r $file ] || continue\n"
	    "\tread -r owner <$file\n\tbreak\ndone\n");
	buf_addf(out,
	    "case $owner in\n'' | %s) ;;\n"
	    "*) rm -f $state/machine-id && : >/etc/machine-id ;;\nesac\n"
	    "echo %s >$state/identity\n",
	    h->vm.id, h->vm.id);
	buf_str(out,
	    /* Emptied at every boot where this is needed: kept here. */
	    "if [ -f /etc/machine-id ] && ! [ -s /etc/machine-id ]; then\n"
	    "\t[ -s $state/machine-id ] ||\n"
	    "\t\ttr -d - </proc/sys/kernel/random/uuid >$state/machine-id\n"
	    "\tcat $state/machine-id >/etc/machine-id\n"
	    "fi\n");
	buf_addf(out, "echo %s >/etc/hostname\n", h->hostname);
	script_units(h, out);
	script_resolv(h, out);
	add_fstab(h, out);
	add_account(h, out);
}
