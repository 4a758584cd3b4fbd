/* SPDX-License-Identifier: MIT */
/*
 * NoCloud's meta-data and user-data for cloud-init, and the same, line by
 * line, for the initramfs hook of contrib/os-image.
 */
#include <string.h>

#include "hint.h"
#include "route.h"
#include "text.h"
#include "texts.h"

/* "KEY VALUE-IN-QUOTES" as a line. */
static void yaml_line(struct buf *out, const char *key, const char *value)
{
	buf_addf(out, "%s ", key);
	yaml_quote(out, value);
	buf_ch(out, '\n');
}

void seed_meta_data(const struct hint *h, struct buf *out)
{
	yaml_line(out, "instance-id:", h->vm.id);
	yaml_line(out, "local-hostname:", h->hostname);
}

/*
 * hashed_passwd and not passwd: the latter is left alone where the user
 * exists already, as root does. `default` keeps the image's own user, who
 * gets no way in from here.
 */
static void add_user(const struct hint *h, struct buf *out)
{
	const struct doc_boot *b = &h->boot;
	bool root = !strcmp(b->user, "root");

	if (root && !b->password_hash && !b->keys.n)
		return;
	buf_str(out, "users:\n  - default\n");
	yaml_line(out, "  - name:", b->user);
	if (!root) {
		yaml_line(out, "    shell:", "/bin/bash");
		yaml_line(out, "    sudo:", "ALL=(ALL) NOPASSWD:ALL");
	}
	buf_addf(
	    out, "    lock_passwd: %s\n", b->password_hash ? "false" : "true");
	if (b->password_hash)
		yaml_line(out, "    hashed_passwd:", b->password_hash);
	if (b->keys.n)
		buf_str(out, "    ssh_authorized_keys:\n");
	for (size_t i = 0; i < b->keys.n; i++)
		yaml_line(out, "      -", b->keys.v[i]);
	if (root)
		buf_str(out, "disable_root: false\n");
	if (b->password_hash)
		buf_str(out, "ssh_pwauth: true\n");
}

bool disk_is_mounted(const struct doc_disk *d)
{
	return !strcmp(d->role, "data") && d->mount && d->fstype &&
	       strcmp(d->fstype, "none") != 0;
}

void disk_path(const struct hint *h, size_t i, struct buf *out)
{
	if (hint_disk(h, i)->serial)
		buf_str(out, "/dev/disk/by-id/virtio-");
	disk_device(h, i, out);
}

static void add_mount(const struct hint *h, size_t i, struct buf *out)
{
	const struct doc_disk *d = hint_disk(h, i);
	AUTO_BUF struct buf device = {0};

	disk_path(h, i, &device);
	buf_str(out, "  - [");
	yaml_quote(out, device.data);
	buf_str(out, ", ");
	yaml_quote(out, d->mount);
	buf_str(out, ", ");
	yaml_quote(out, d->fstype);
	buf_str(out, ", \"defaults,nofail\", \"0\", \"2\"]\n");
}

void seed_user_data(const struct hint *h, struct buf *out)
{
	bool any = false;

	buf_str(out, "#cloud-config\n");
	add_user(h, out);
	for (size_t i = 0; i < h->plan.disks.n; i++) {
		if (!disk_is_mounted(hint_disk(h, i)))
			continue;
		if (!any)
			buf_str(out, "mounts:\n");
		any = true;
		add_mount(h, i, out);
	}
	/* Else a changed network-config counts for a new instance alone. */
	if (h->net.nics.n)
		buf_str(out, "updates:\n  network:\n    when: "
			     "[\"boot-new-instance\", \"boot\"]\n");
}

/* A word may come from several NICs; the guest has one list. */
static void add_once(struct buf *out, const char *key, const char *value)
{
	AUTO_FREE char *line = xasprintf("\n%s %s\n", key, value);

	if (!out->len || !strstr(out->data, line))
		buf_str(out, line + 1);
}

static void conf_route(
    const struct doc_nic *nic, const struct doc_route *r, struct buf *out)
{
	buf_addf(
	    out, "route %s %s %s", nic->mac, r->dst, r->via ? r->via : "-");
	if (r->metric || r->mtu)
		buf_addf(out, " %llu", (unsigned long long)r->metric);
	if (r->mtu)
		buf_addf(out, " %llu", (unsigned long long)r->mtu);
	buf_ch(out, '\n');
}

static void conf_nic(const struct doc_nic *nic, struct buf *out)
{
	const struct doc_route *r = nic->routes.v;

	buf_addf(
	    out, "nic %s %s", nic->mac, nic->addresses.n ? "static" : "dhcp");
	if (nic->mtu)
		buf_addf(out, " %llu", (unsigned long long)nic->mtu);
	buf_ch(out, '\n');
	for (size_t i = 0; i < nic->addresses.n; i++)
		buf_addf(out, "address %s %s\n", nic->mac, nic->addresses.v[i]);
	for (size_t i = 0; i < nic->gateways.n; i++)
		buf_addf(out, "gateway %s %s\n", nic->mac, nic->gateways.v[i]);
	for (size_t i = 0; i < nic->routes.n; i++)
		if (nic_route_needed(nic, &r[i]))
			conf_route(nic, &r[i], out);
}

void seed_cocoon_conf(const struct hint *h, struct buf *out)
{
	const struct doc_boot *b = &h->boot;

	buf_addf(out, "instance %s\nhostname %s\nuser %s\n", h->vm.id,
	    h->hostname, b->user);
	if (b->password_hash)
		buf_addf(out, "password %s\n", b->password_hash);
	for (size_t i = 0; i < b->keys.n; i++)
		buf_addf(out, "key %s\n", b->keys.v[i]);
	for (size_t i = 0; i < h->net.nics.n; i++) {
		const struct doc_nic *nic = hint_nic(h, i);
		const struct jstrs *dns = nic_dns(h, nic);

		for (size_t k = 0; k < dns->n; k++)
			add_once(out, "dns", dns->v[k]);
		for (size_t k = 0; k < nic->search.n; k++)
			add_once(out, "search", nic->search.v[k]);
		for (size_t k = 0; k < nic->options.n; k++)
			add_once(out, "option", nic->options.v[k]);
	}
	for (size_t i = 0; i < h->net.nics.n; i++)
		conf_nic(hint_nic(h, i), out);
	for (size_t i = 0; i < h->plan.disks.n; i++) {
		const struct doc_disk *d = hint_disk(h, i);

		if (!disk_is_mounted(d))
			continue;
		buf_str(out, "disk ");
		disk_device(h, i, out);
		buf_addf(out, " %s %s\n", d->fstype, d->mount);
	}
}
