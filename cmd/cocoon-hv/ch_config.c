/* SPDX-License-Identifier: MIT */
/*
 * A VM as Cloud Hypervisor wants it told. Every device has an id, every disk
 * its type, and serial and console are both said: what is left out is
 * guessed, shifts with the list of devices, or goes to our standard output.
 * All paths are relative to vm/ID/N, and a tap is known by its name there: so
 * nothing of this host is in what a snapshot keeps.
 */
#include <stdio.h>
#include <string.h>

#include "ch.h"

#define MIB (UINT64_C(1) << 20)
#define RING 512 /* of disks and NICs, as the Go program has it */
#define BALLOON_MIN (256 * MIB)

unsigned int ch_ring(uint64_t wish)
{
	unsigned int n = 4;

	if (!wish)
		return RING;
	/* Anything else panics v51 when the VM boots. */
	while (n < wish && n < 32768)
		n *= 2;
	return n;
}

/*
 * The balloon is for pages that the guest does not use: it is empty, and the
 * guest reports them. Windows has none: its driver keeps all CPUs busy for
 * minutes when it shuts down (virtio-win #1148).
 */
static bool has_balloon(const struct vm *vm)
{
	uint64_t had = vm->plan.boot_memory;

	return !vm->spec.windows &&
	       (had ? had : vm->plan.memory) >= BALLOON_MIN;
}

/*
 * The guest's pings start it, 20 s of silence are a reset. Windows has none:
 * it stops to ping long before it is off, and would boot again.
 */
static bool has_watchdog(const struct vm *vm)
{
	return !vm->spec.windows;
}

static struct json_object *cpus(const struct vm *vm)
{
	struct json_object *o = jval_object();
	uint64_t max = vm->plan.max_cpu;

	jval_set_int(o, "boot_vcpus", (int64_t)vm->plan.cpu);
	jval_set_int(
	    o, "max_vcpus", (int64_t)(max > vm->plan.cpu ? max : vm->plan.cpu));
	if (vm->spec.windows)
		jval_set_bool(o, "kvm_hyperv", true);
	return o;
}

static struct json_object *memory(const struct vm *vm)
{
	struct json_object *o = jval_object();

	jval_set_int(o, "size", (int64_t)vm->plan.memory);
	if (vm->plan.hugepages)
		jval_set_bool(o, "hugepages", true);
	/* Addresses, not memory: enough for any step up to max_memory, and the
	 * same whatever was added already. */
	if (vm->plan.max_memory)
		jval_set_int(o, "hotplug_size", (int64_t)vm->plan.max_memory);
	return o;
}

static struct json_object *payload(const struct vm *vm)
{
	struct json_object *o = jval_object();

	if (vm->plan.firmware.code) {
		jval_set_str(o, "firmware", "firmware");
		return o;
	}
	jval_set_str(o, "kernel", "kernel");
	if (vm->image.initrd.path)
		jval_set_str(o, "initramfs", "initrd");
	if (vm->boot.cmdline)
		jval_set_str(o, "cmdline", vm->boot.cmdline);
	return o;
}

static bool is_qcow2(const struct doc_disk *d)
{
	return !strcmp(d->format, "qcow2");
}

/*
 * One queue each: with more of them an overlay is corrupted on v52 and v53
 * (#8621, #8624), and every queue is a thread and a set of descriptors.
 */
struct json_object *ch_disk(const struct vm *vm, size_t i)
{
	const struct doc_disk *d =
	    (const struct doc_disk *)vm->plan.disks.v + i;
	unsigned int version = version_number(vm->plan.version);
	struct json_object *o = jval_object();
	char id[32];

	snprintf(id, sizeof(id), "disk%zu", i);
	jval_set_str(o, "id", id);
	jval_set_str(o, "path", d->file);
	jval_set_str(o, "image_type", is_qcow2(d) ? "Qcow2" : "Raw");
	jval_set_int(o, "num_queues", 1);
	jval_set_int(o, "queue_size", ch_ring(vm->spec.disk_queue_size));
	if (d->ro)
		jval_set_bool(o, "readonly", true);
	if (d->direct)
		jval_set_bool(o, "direct", true);
	if (d->serial)
		jval_set_str(o, "serial", d->serial);
	if (is_qcow2(d) && !d->ro)
		jval_set_bool(o, "backing_files", true);
	/* Of a disk that is read-only it would be warned. */
	if (d->ro || !ch_can_discard(version))
		jval_set_bool(o, "sparse", false);
	return o;
}

struct json_object *ch_nic(const struct vm *vm, size_t i)
{
	const struct doc_nic *n = (const struct doc_nic *)vm->net.nics.v + i;
	struct json_object *o = jval_object();
	char id[32];

	snprintf(id, sizeof(id), "net%zu", i);
	jval_set_str(o, "id", id);
	jval_set_str(o, "tap", n->tap);
	jval_set_str(o, "mac", n->mac);
	jval_set_int(
	    o, "num_queues", 2 * (int64_t)(n->queues > 1 ? n->queues : 1));
	jval_set_int(o, "queue_size", ch_ring(vm->spec.queue_size));
	return o;
}

static void set_mode(struct json_object *o, const char *name, const char *mode)
{
	struct json_object *m = jval_object();

	jval_set_str(m, "mode", mode);
	jval_set(o, name, m);
}

static void set_devices(const struct vm *vm, struct json_object *o)
{
	struct json_object *rng = jval_object();

	jval_set_str(rng, "src", "/dev/urandom");
	jval_set(o, "rng", rng);
	if (has_balloon(vm)) {
		struct json_object *b = jval_object();

		jval_set_int(b, "size", 0);
		jval_set_bool(b, "deflate_on_oom", true);
		jval_set_bool(b, "free_page_reporting", true);
		jval_set(o, "balloon", b);
	}
	if (has_watchdog(vm))
		jval_set_bool(o, "watchdog", true);
}

struct json_object *ch_config(const struct vm *vm)
{
	struct json_object *o = jval_object(), *disks = jval_array();
	struct json_object *nics = jval_array();

	jval_set(o, "cpus", cpus(vm));
	jval_set(o, "memory", memory(vm));
	jval_set(o, "payload", payload(vm));
	for (size_t i = 0; i < vm->plan.disks.n; i++)
		jval_push(disks, ch_disk(vm, i));
	jval_set(o, "disks", disks);
	for (size_t i = 0; i < vm->net.nics.n; i++)
		jval_push(nics, ch_nic(vm, i));
	jval_set(o, "net", nics);
	set_devices(vm, o);
	/*
	 * The monitor's terminal is our stdin and stdout. A socket loses what
	 * comes before the first client, blocks a CPU of the guest behind a
	 * slow one (both until v52), and cannot be bound twice; a pty of its
	 * own would be new at every restore.
	 */
	set_mode(o, "serial", "Tty");
	set_mode(o, "console", "Off");
	return o;
}

static void disk_option(
    const struct vm *vm, const struct doc_disk *d, size_t i, struct strv *out)
{
	unsigned int version = version_number(vm->plan.version);
	AUTO_FREE char *serial =
	    d->serial ? xasprintf(",serial=%s", d->serial) : xstrdup("");

	strv_addf(out, "path=%s,id=disk%zu,num_queues=1,queue_size=%u%s%s%s%s",
	    d->file, i, ch_ring(vm->spec.disk_queue_size),
	    d->ro ? ",readonly=on" : "", d->direct ? ",direct=on" : "",
	    is_qcow2(d) && !d->ro ? ",backing_files=on" : "", serial);
	/* Older command lines refuse what they do not know. */
	if (!ch_has_image_type(version))
		return;
	AUTO_FREE char *last = out->v[out->n - 1];

	out->v[out->n - 1] =
	    xasprintf("%s,image_type=%s%s", last, is_qcow2(d) ? "qcow2" : "raw",
		version >= VERSION(51, 0, 0) && !ch_can_discard(version)
		    ? ",sparse=off"
		    : "");
}

static void payload_options(const struct vm *vm, struct strv *out)
{
	if (vm->plan.firmware.code) {
		strv_add(out, "--firmware");
		strv_add(out, "firmware");
		return;
	}
	strv_add(out, "--kernel");
	strv_add(out, "kernel");
	if (vm->image.initrd.path) {
		strv_add(out, "--initramfs");
		strv_add(out, "initrd");
	}
	if (vm->boot.cmdline) {
		strv_add(out, "--cmdline");
		strv_add(out, vm->boot.cmdline);
	}
}

void ch_options(
    const struct vm *vm, const struct vmm_script *o, struct strv *out)
{
	const struct doc_disk *d = vm->plan.disks.v;
	uint64_t max = o->max_cpu ? o->max_cpu : vm->plan.max_cpu;

	strv_add(out, vm->plan.binary);
	payload_options(vm, out);
	strv_add(out, "--cpus");
	strv_addf(out, "boot=%llu,max=%llu%s", (unsigned long long)vm->plan.cpu,
	    (unsigned long long)(max > vm->plan.cpu ? max : vm->plan.cpu),
	    vm->spec.windows ? ",kvm_hyperv=on" : "");
	strv_add(out, "--memory");
	strv_addf(out, "size=%llu%s", (unsigned long long)vm->plan.memory,
	    vm->plan.hugepages ? ",hugepages=on" : "");
	/* One option: until v51 a second one replaces the first (#7778). */
	if (vm->plan.disks.n)
		strv_add(out, "--disk");
	for (size_t i = 0; i < vm->plan.disks.n; i++)
		disk_option(vm, &d[i], i, out);
	strv_add(out, "--rng");
	strv_add(out, "src=/dev/urandom");
	if (has_watchdog(vm))
		strv_add(out, "--watchdog");
	if (has_balloon(vm) || o->balloon) {
		strv_add(out, "--balloon");
		strv_addf(out,
		    "size=%llu,deflate_on_oom=on,free_page_reporting=on",
		    (unsigned long long)o->balloon);
	}
	strv_add(out, "--serial");
	strv_add(out, "tty");
	strv_add(out, "--console");
	strv_add(out, "off");
}
