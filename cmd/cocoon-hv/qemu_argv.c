/* SPDX-License-Identifier: MIT */
/* QEMU's command line: the VM's devices, each at its place. */
#include <stdio.h>
#include <string.h>

#include "disks.h"
#include "qemu.h"

#define MIB (UINT64_C(1) << 20)
#define PORT_SLOT 29 /* root ports */
#define MOST_SLOTS 256

/*
 * Disks and NICs are functions of multi-function slots, so that an image of
 * many layers does not run out of the 32 slots of the root bus. Hot-plug is
 * not lost: it never was there on pcie.0.
 */
static void pci_address(size_t index, char out[48])
{
	unsigned int slot = QEMU_FIRST_SLOT + (unsigned int)(index / 8);

	snprintf(out, 48, "addr=0x%x.0x%x,multifunction=on", slot,
	    (unsigned int)(index % 8));
}

/* Where the device is: plugged in behind a port, or at a place of its own. */
static char *place(const struct vm *vm, const char *id, size_t index)
{
	const struct jstrs *plugged = &vm->plan.plugged;
	char addr[48];

	for (size_t i = 0; i < plugged->n; i++)
		if (!strcmp(plugged->v[i], id))
			return xasprintf("bus=port%zu,addr=0x0", i);
	pci_address(index, addr);
	return xstrdup(addr);
}

static void add_drive(const struct doc_disk *d, size_t i, struct strv *out)
{
	strv_add(out, "-drive");
	strv_addf(out, "file=%s,format=%s,if=none,id=d%zu%s%s%s%s", d->file,
	    d->format, i,
	    !strcmp(d->format, "qcow2") ? ",backing.file.locking=off" : "",
	    /* A base may be locked for writing by nobody; do not even ask. */
	    d->ro ? ",readonly=on,file.locking=off" : "",
	    d->direct ? ",cache.direct=on" : "",
	    d->ro ? "" : ",discard=unmap,detect-zeroes=off");
}

char *qemu_disk(const struct vm *vm, size_t i)
{
	const struct doc_disk *d =
	    (const struct doc_disk *)vm->plan.disks.v + i;
	AUTO_FREE char *id = xasprintf("disk%zu", i);
	AUTO_FREE char *where = place(vm, id, i);
	AUTO_BUF struct buf out = {0};

	buf_addf(&out, "virtio-blk-pci,drive=d%zu,id=%s,%s%s", i, id, where,
	    !strcmp(d->format, "qcow2") ? ",bootindex=0" : "");
	/* One a CPU otherwise, and then not one more with one more CPU. */
	if (vm->plan.ports)
		buf_str(&out, ",num-queues=1");
	if (d->serial)
		buf_addf(&out, ",serial=%s", d->serial);
	if (vm->spec.disk_queue_size)
		buf_addf(&out, ",queue-size=%llu",
		    (unsigned long long)vm->spec.disk_queue_size);
	return xstrdup(out.data);
}

/* virtio-net takes ring sizes of 256 to 1024, powers of two. */
static unsigned int net_ring(uint64_t wish)
{
	unsigned int n = 256;

	while (n < wish && n < 1024)
		n *= 2;
	return n;
}

/* The first ones are behind the disks that were there from the start. */
static size_t first_nic(const struct vm *vm)
{
	size_t n = vm->plan.disks.n;

	for (size_t i = 0; i < vm->plan.plugged.n; i++)
		if (!strncmp(vm->plan.plugged.v[i], "disk", 4))
			n--;
	return n;
}

char *qemu_nic(const struct vm *vm, size_t i)
{
	const struct doc_nic *nic = (const struct doc_nic *)vm->net.nics.v + i;
	AUTO_FREE char *id = xasprintf("nic%zu", i);
	AUTO_FREE char *where = place(vm, id, first_nic(vm) + i);
	AUTO_BUF struct buf out = {0};

	buf_addf(&out,
	    "virtio-net-pci,netdev=n%zu,id=%s,mac=%s,%s,romfile="
	    ",rx_queue_size=%u,host_mtu=%llu",
	    i, id, nic->mac, where, net_ring(vm->spec.queue_size),
	    (unsigned long long)(nic->mtu ? nic->mtu : 1500));
	/* A vector for each queue of a pair, one for changes of the
	 * configuration, one for the control queue. */
	if (nic->queues > 1)
		buf_addf(&out, ",mq=on,vectors=%llu",
		    (unsigned long long)(2 * nic->queues + 2));
	return xstrdup(out.data);
}

static void add_device(char *properties, struct strv *out)
{
	AUTO_FREE char *owned = properties;

	strv_add(out, "-device");
	strv_add(out, owned);
}

/* Root ports, functions of one slot, for what may be plugged in. */
static void add_ports(const struct vm *vm, struct strv *out)
{
	for (uint64_t i = 0; i < vm->plan.ports; i++)
		add_device(
		    xasprintf("pcie-root-port,id=port%llu,chassis=%llu,slot="
			      "%llu,addr=0x%x.0x%llx,multifunction=on",
			(unsigned long long)i, (unsigned long long)i + 1,
			(unsigned long long)i + 1, PORT_SLOT,
			(unsigned long long)i),
		    out);
}

/* "tap,fd=7" or "tap,fds=7:8"; *next: the first descriptor of this NIC. */
static char *tap_backend(
    const struct vmm_fds *fds, const struct doc_nic *nic, size_t *next)
{
	AUTO_BUF struct buf out = {0};

	buf_str(&out, nic->queues > 1 ? "tap,fds=" : "tap,fd=");
	for (uint64_t q = 0; !q || q < nic->queues; q++)
		buf_addf(&out, "%s%d", q ? ":" : "", fds->taps[(*next)++]);
	buf_str(&out, ",vhost=off");
	return xstrdup(out.data);
}

static void add_kernel(const struct vm *vm, struct strv *out)
{
	strv_add(out, "-kernel");
	strv_add(out, "kernel");
	strv_add(out, "-initrd");
	strv_add(out, "initrd");
	if (vm->boot.cmdline) {
		strv_add(out, "-append");
		strv_add(out, vm->boot.cmdline);
	}
}

/* UEFI: the code is the VM's link, read-only; the variables are its own. */
static void add_firmware(struct strv *out)
{
	strv_add(out, "-drive");
	strv_add(out, "if=pflash,unit=0,format=raw,readonly=on,"
		      "file.locking=off,file=firmware");
	strv_add(out, "-drive");
	strv_add(out, "if=pflash,unit=1,format=raw,file=" CLOUD_VARS);
}

/*
 * The memory of a VM that is loaded: the file's, until it is written. Without
 * the canonical path the block is called as what -m makes is, in the state.
 */
static void add_memory(const struct vm *vm, struct strv *out)
{
	const char *mode = vm->plan.restore_mode;

	strv_add(out, "-object");
	strv_addf(out,
	    "memory-backend-file,id=pc.ram,mem-path=" QEMU_MEMORY ",size=%llu"
	    ",share=off,readonly=on,rom=off%s"
	    ",x-use-canonical-path-for-ramblock-id=off",
	    (unsigned long long)qemu_boot_memory(vm),
	    mode && !strcmp(mode, "copy") ? ",prealloc=on" : "");
}

uint64_t qemu_boot_memory(const struct vm *vm)
{
	uint64_t had = vm->plan.boot_memory;

	return had ? had : vm->plan.memory;
}

int64_t qemu_dimms(const struct vm *vm, uint64_t bytes)
{
	uint64_t had = qemu_boot_memory(vm);

	return bytes > had ? (int64_t)((bytes - had) / VMM_MEMORY_STEP) : 0;
}

char *qemu_dimm(int64_t i)
{
	return xasprintf(
	    "pc-dimm,id=dimm%lld,memdev=mem%lld", (long long)i, (long long)i);
}

/* What it boots with, slots for more, and what was put into them. */
static void memory(const struct vm *vm, struct strv *out)
{
	uint64_t had = qemu_boot_memory(vm) / MIB;
	int64_t slots = qemu_dimms(vm, vm->plan.max_memory);

	if (slots > MOST_SLOTS)
		slots = MOST_SLOTS;
	strv_add(out, "-m");
	if (!slots)
		strv_addf(out, "%lluM", (unsigned long long)had);
	else
		strv_addf(out, "%lluM,slots=%lld,maxmem=%lluM",
		    (unsigned long long)had, (long long)slots,
		    (unsigned long long)(had + (uint64_t)slots *
						   (VMM_MEMORY_STEP / MIB)));
	for (int64_t i = 0; i < qemu_dimms(vm, vm->plan.memory); i++) {
		strv_add(out, "-object");
		strv_addf(out, "memory-backend-ram,id=mem%lld,size=%llu",
		    (long long)i, (unsigned long long)VMM_MEMORY_STEP);
		add_device(qemu_dimm(i), out);
	}
}

/* What a start and a script share. */
static void machine(const struct vm *vm, bool mapped, struct strv *out)
{
	bool kvm = vm->plan.accel && !strcmp(vm->plan.accel, "kvm");

	strv_add(out, vm->plan.binary);
	strv_add(out, "-name");
	strv_add(out, vm->vm.name);
	strv_add(out, "-nodefaults");
	strv_add(out, "-no-user-config");
	strv_add(out, "-display");
	strv_add(out, "none");
	strv_add(out, "-machine");
	strv_add(out, mapped ? "q35,usb=off,smm=off,memory-backend=pc.ram"
			     : "q35,usb=off,smm=off");
	if (mapped)
		add_memory(vm, out);
	strv_add(out, "-accel");
	strv_add(out, kvm ? "kvm" : "tcg");
	strv_add(out, "-cpu");
	/* TCG runs `rep stosb` of a page with code on it a byte at a time:
	 * a Linux guest loses 5 s of its boot clearing such pages. Without
	 * erms Linux 6.1 does not get over fsrm, which QEMU 10 has. */
	strv_add(out, kvm ? "host" : "max,-erms,-fsrm");
	strv_add(out, "-smp");
	if (vm->plan.max_cpu > vm->plan.cpu)
		strv_addf(out, "%llu,maxcpus=%llu",
		    (unsigned long long)vm->plan.cpu,
		    (unsigned long long)vm->plan.max_cpu);
	else
		strv_addf(out, "%llu", (unsigned long long)vm->plan.cpu);
	memory(vm, out);
	strv_add(out, "-device");
	strv_add(out, "virtio-rng-pci,addr=0x2.0x0,multifunction=on");
	if (vm->plan.firmware.code)
		add_firmware(out);
	else
		add_kernel(vm, out);
}

/* What is plugged in later has its drive, but no device. */
static void disks(const struct vm *vm, struct strv *out)
{
	const struct doc_disk *d = vm->plan.disks.v;
	size_t n = vm->plan.disks.n;

	add_ports(vm, out);
	for (size_t i = 0; i < n; i++) {
		add_drive(&d[i], i, out);
		if (i < n - vm->new_disks)
			add_device(qemu_disk(vm, i), out);
	}
}

static void chardev(struct strv *out, const char *id, int fd, bool listening)
{
	strv_add(out, "-chardev");
	strv_addf(out, "socket,id=%s,fd=%d%s", id, fd,
	    listening ? ",server=on,wait=off" : "");
}

void qemu_argv(const struct vm *vm, const struct vmm_fds *fds, struct strv *out)
{
	const struct doc_nic *nics = vm->net.nics.v;
	size_t next = 0;

	machine(vm,
	    fds->state >= 0 && version_number(vm->plan.version) >= QEMU_MAPS,
	    out);
	disks(vm, out);
	for (size_t i = 0; i < vm->net.nics.n; i++) {
		AUTO_FREE char *tap = tap_backend(fds, &nics[i], &next);

		strv_add(out, "-netdev");
		strv_addf(out, "%s,id=n%zu", tap, i);
		if (i < vm->net.nics.n - vm->new_nics)
			add_device(qemu_nic(vm, i), out);
	}
	chardev(out, "con", fds->console, false);
	strv_add(out, "-serial");
	strv_add(out, "chardev:con");
	chardev(out, "api", fds->api, true);
	strv_add(out, "-mon");
	strv_add(out, "chardev=api,mode=control");
	chardev(out, "ev", fds->events, false);
	strv_add(out, "-mon");
	strv_add(out, "chardev=ev,mode=control");
	strv_add(out, "-sandbox");
	strv_add(out, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
		      "resourcecontrol=deny");
	strv_add(out, "-S");
	if (fds->state >= 0) {
		strv_add(out, "-incoming");
		strv_add(out, "defer");
	}
}

/* Options of one argument each stand on a line of their own. */
void qemu_script(
    const struct vm *vm, const struct vmm_script *o, struct buf *out)
{
	AUTO_STRV struct strv argv = {0};

	machine(vm, false, &argv);
	disks(vm, &argv);
	if (o->max_cpu > vm->plan.cpu) {
		strv_add(&argv, "-smp");
		strv_addf(&argv, "%llu,maxcpus=%llu",
		    (unsigned long long)vm->plan.cpu,
		    (unsigned long long)o->max_cpu);
	}
	if (o->balloon) {
		strv_add(&argv, "-device");
		strv_add(&argv,
		    "virtio-balloon-pci,addr=0x2.0x1,deflate-on-oom=on,"
		    "free-page-reporting=on");
	}
	strv_add(&argv, "-serial");
	strv_add(&argv, "mon:stdio");
	buf_str(out, "exec ");
	for (size_t i = 0; i < argv.n; i++) {
		if (i)
			buf_str(out, argv.v[i][0] == '-' ? " \\\n    " : " ");
		buf_shell(out, argv.v[i]);
	}
	buf_ch(out, '\n');
}
