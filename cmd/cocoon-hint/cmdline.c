/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/socket.h>

#include "hint.h"
#include "ip.h"
#include "log.h"

/* x86's and arm64's COMMAND_LINE_SIZE is 2048 with the NUL, whatever the
 * VMM would take; the kernel cuts the rest off without a word. */
#define CMDLINE_MAX 2047
/* What Firecracker appends for each device: virtio_mmio.device=4K@... */
#define FC_DEVICE_WORD 40

/* vda ... vdz, vdaa ...: the order of the plan is the guest's. */
static void add_letters(size_t i, struct buf *out)
{
	if (i >= 26)
		add_letters(i / 26 - 1, out);
	buf_ch(out, (char)('a' + i % 26));
}

/* "/dev/vdc": by its position, whatever its serial. */
static void disk_by_position(size_t i, struct buf *out)
{
	buf_str(out, "/dev/vd");
	add_letters(i, out);
}

void disk_device(const struct hint *h, size_t i, struct buf *out)
{
	const char *serial = hint_disk(h, i)->serial;

	if (serial) {
		buf_str(out, serial);
		return;
	}
	disk_by_position(i, out);
}

static bool has_role(const struct hint *h, size_t i, const char *role)
{
	return !strcmp(hint_disk(h, i)->role, role);
}

/* cocoon.layers=TOP,...,BOTTOM cocoon.cow=COW; the plan has bottom first. */
static int add_disks(const struct hint *h, struct buf *out, struct err *err)
{
	size_t layers = 0, cows = 0;

	buf_str(out, " cocoon.layers=");
	for (size_t i = h->plan.disks.n; i-- > 0;) {
		if (!has_role(h, i, "layer"))
			continue;
		if (layers++)
			buf_ch(out, ',');
		disk_device(h, i, out);
	}
	buf_str(out, " cocoon.cow=");
	for (size_t i = 0; i < h->plan.disks.n; i++)
		if (has_role(h, i, "cow") && !cows++)
			disk_device(h, i, out);
	if (!layers || cows != 1)
		return err_set(err, ERR_INPUT,
		    ".plan.disks: want layers and one cow for an oci image");
	return 0;
}

static void add_start(const struct hint *h, struct buf *out)
{
	const char *console = h->plan.console;
	bool fc = !strcmp(h->plan.backend, "fc");

	if (!console)
		console = strcmp(h->plan.backend, "ch") ? "ttyS0" : "hvc0";
	buf_addf(out, "console=%s", console);
	/* Firecracker has no ACPI reset, PCI if asked, next to no i8042. */
	if (fc)
		buf_str(out, " reboot=k");
	buf_str(out, " loglevel=3");
	if (fc)
		buf_addf(out, "%s i8042.noaux 8250.nr_uarts=1",
		    h->plan.pci ? "" : " pci=off");
	buf_str(out, " boot=cocoon-overlay");
}

static bool on_kvm(const struct doc_plan *p)
{
	/* The other two have no other accelerator. */
	return p->accel ? !strcmp(p->accel, "kvm")
			: strcmp(p->backend, "qemu") != 0;
}

/* The first IPv4 entry; NULL if there is none. */
static const char *first_ipv4(const struct jstrs *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strchr(l->v[i], ':'))
			return l->v[i];
	return NULL;
}

/* At most two, for there is room for no more in an ip= word. */
static void add_ip_dns(const struct jstrs *dns, struct buf *out)
{
	int n = 0;

	for (size_t i = 0; i < dns->n && n < 2; i++) {
		if (strchr(dns->v[i], ':'))
			continue;
		buf_addf(out, ":%s", dns->v[i]);
		n++;
	}
}

/* " ip=ADDRESS::GATEWAY:NETMASK:HOST:DEVICE:off[:DNS0[:DNS1]]", if it can. */
static void ip_word(const struct hint *h, size_t i, struct buf *out)
{
	const struct doc_nic *nic = hint_nic(h, i);
	const char *cidr = first_ipv4(&nic->addresses);
	const char *gateway = first_ipv4(&nic->gateways);
	char mask[16];
	struct ip ip;

	if (!cidr || ip_parse_cidr(cidr, &ip) < 0)
		return;
	ip_netmask(ip.prefix, mask);
	buf_addf(out, " ip=%.*s::%s:%s:%s:eth%zu:off", (int)strcspn(cidr, "/"),
	    cidr, gateway ? gateway : "", mask, h->hostname, i);
	add_ip_dns(nic_dns(h, nic), out);
}

/* The seed's position; the number of disks if there is none. */
static size_t seed_disk(const struct hint *h)
{
	size_t i = 0;

	while (i < h->plan.disks.n && !has_role(h, i, "cidata"))
		i++;
	return i;
}

static bool has_seed_disk(const struct hint *h)
{
	return seed_disk(h) < h->plan.disks.n;
}

/*
 * For images whose initramfs knows the words above and no seed: a shell in
 * front of init that runs the seed's script. It is a no-op in those whose
 * initramfs has read the seed. What follows "--" the kernel hands to the
 * initramfs, and that to init; "=" and "." alone would be words to others.
 */
static void run_script(const struct hint *h, struct buf *out)
{
	if (!has_seed_disk(h))
		return;
	buf_str(out, " init=/bin/sh -- -c \"cd /run;[ -e cocoon/hostname ]||"
		     "{ mkdir c;mount -oro -tiso9660 ");
	disk_by_position(seed_disk(h), out);
	buf_str(out, " c;sh c/cocoon.sh;umount c;rmdir c;};cd /;"
		     "exec /sbin/init\"");
}

static size_t room(const struct hint *h)
{
	/* Balloon and rng are devices, too. */
	size_t devices = h->plan.disks.n + h->net.nics.n + 2, all;

	if (strcmp(h->plan.backend, "fc"))
		return CMDLINE_MAX;
	all = devices * FC_DEVICE_WORD;
	return all < CMDLINE_MAX ? CMDLINE_MAX - all : 0;
}

static int too_long(const struct hint *h, size_t len, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED,
	    "command line: %zu bytes, there is room for %zu: "
	    "the image has too many layers, or the VM too many NICs",
	    len, room(h));
}

/*
 * Images that know the Go program's hooks only read these words; ours read
 * the seed, which has all addresses. So words that do not fit are left out
 * where there is a seed disk.
 */
static int add_ip_words(
    const struct hint *h, size_t reserved, struct buf *out, struct err *err)
{
	size_t full = out->len + reserved, left_out = 0;

	for (size_t i = 0; i < h->net.nics.n; i++) {
		AUTO_BUF struct buf w = {0};

		ip_word(h, i, &w);
		full += w.len;
		if (full <= room(h))
			buf_add(out, w.data, w.len);
		else
			left_out += w.len > 0;
	}
	if (!left_out)
		return 0;
	if (!has_seed_disk(h))
		return too_long(h, full, err);
	log_info("boot: %zu ip= words did not fit the command line; "
		 "the seed has the addresses",
	    left_out);
	return 0;
}

/*
 * What is plugged in is used at once. On QEMU it has addresses above 4 GiB,
 * which Linux is told of: it sets 64 MiB aside, for devices that cannot reach
 * them, and virtio can. Not without these words, but worse.
 */
static void add_memory_words(
    const struct hint *h, size_t reserved, struct buf *out)
{
	AUTO_BUF struct buf w = {0};

	if (!h->plan.max_memory)
		return;
	buf_str(&w, " memhp_default_state=online");
	if (!strcmp(h->plan.backend, "qemu"))
		buf_str(&w, " swiotlb=noforce");
	if (out->len + w.len + reserved <= room(h))
		buf_add(out, w.data, w.len);
}

int cmdline_build(const struct hint *h, struct buf *out, struct err *err)
{
	AUTO_BUF struct buf tail = {0};

	add_start(h, out);
	if (add_disks(h, out, err) < 0)
		return -1;
	if (on_kvm(&h->plan))
		buf_str(out, " clocksource=kvm-clock");
	buf_str(out, " rw");
	if (h->net.nics.n)
		buf_addf(out, " net.ifnames=0 cocoon.hostname=%s", h->hostname);
	if (out->len > room(h))
		return too_long(h, out->len, err);
	run_script(h, &tail);
	if (out->len + tail.len > room(h)) {
		log_info("boot: no room on the command line for what runs the "
			 "seed's script: only an initramfs that reads a seed "
			 "does what it says");
		tail.len = 0;
	}
	if (add_ip_words(h, tail.len, out, err) < 0)
		return -1;
	add_memory_words(h, tail.len, out);
	buf_add(out, tail.data, tail.len);
	return 0;
}
