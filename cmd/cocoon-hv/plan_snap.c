/* SPDX-License-Identifier: MIT */
/*
 * plan --clone, plan --revert: what a snapshot becomes. The guest is as it was
 * frozen, so what it has cannot shrink, and grows only where the hypervisor can
 * add to a guest that runs; whatever cannot be is refused here.
 */
#include "plan_snap.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"

#define MAX_BYTES (UINT64_C(1) << 50)

const struct plan_opts plan_snap_defaults = {.count = 1};

#define O(m, n, l, k, lo, hi, mv, h)                                  \
	{                                                             \
		.name = (n), .letter = (l), .kind = (k),              \
		.offset = offsetof(struct plan_opts, m), .min = (lo), \
		.max = (hi), .metavar = (mv), .help = (h)             \
	}
#define W(n, mv, h)                                                           \
	{                                                                     \
		.name = (n), .kind = OPT_LIST, .tag = n "=",                  \
		.offset = offsetof(struct plan_opts, wires), .metavar = (mv), \
		.help = (h)                                                   \
	}
const struct opt plan_snap_opts[PLAN_SNAP_OPTS] = {
    O(clone, "clone", 0, OPT_FLAG, 0, 0, NULL, "of a snapshot: a new VM"),
    O(revert, "revert", 0, OPT_STRING, 0, 0, "VM", "of a snapshot: this VM"),
    O(name, "name", 0, OPT_STRING, 0, 0, "NAME", "name (default: cocoon-ID)"),
    O(count, "count", 'n', OPT_U64, 1, 10000, "N", "NAME-1 ... NAME-N"),
    O(cpu, "cpu", 0, OPT_U64, 1, 1024, "N", "virtual CPUs"),
    O(memory, "memory", 0, OPT_SIZE, 1, MAX_BYTES, "SIZE", "memory"),
    O(storage, "storage", 0, OPT_SIZE, 1, MAX_BYTES, "SIZE", "writable disk"),
    O(nics, "nics", 0, OPT_U64, 0, 16, "N", "NICs"),
    W("network", "NAME", "a NIC on this network"),
    W("bridge", "DEV", "a NIC on this bridge"),
    W("ip", "ADDR/PREFIX,GW", "address of the bridge's NIC (default: DHCP)"),
    O(queue_size, "queue-size", 0, OPT_U64, 0, 32768, "N", "ring size of NICs"),
    O(disk_queue_size, "disk-queue-size", 0, OPT_U64, 0, 32768, "N",
	"ring size of disks"),
    O(data_disk, "data-disk", 0, OPT_LIST, 0, 0, "SPEC",
	"one more, empty: size=10G[,name=]..."),
    O(restore_mode, "restore-mode", 0, OPT_ENUM, 0, 0, "copy|ondemand|mmap",
	"how its memory comes back"),
    O(no_direct_io, "no-direct-io", 0, OPT_FLAG, 0, 0, NULL,
	"disks through the host's page cache"),
};

static int bind(
    const struct json_object *doc, struct source *s, struct err *err)
{
	if (doc_bind(doc, "snap", &doc_snap_table, &s->snap, err) < 0)
		return -1;
	s->label = s->snap.name ? s->snap.name : s->snap.id;
	if (!s->snap.doc || !s->snap.dir)
		return err_set(err, ERR_INPUT,
		    ".snap: is not what `cocoon-snap get` writes");
	if (doc_bind(s->snap.doc, "spec", &doc_spec_table, &s->spec, err) < 0 ||
	    doc_bind(s->snap.doc, "image", &doc_image_table, &s->image, err) <
		0 ||
	    doc_bind(s->snap.doc, "plan", &doc_plan_table, &s->plan, err) < 0)
		return err_wrap(err, "snapshot %s", s->label);
	return 0;
}

/*
 * The files of the image are the snapshot's own. One that it lacks, having come
 * from elsewhere, is looked for where `cocoon-img resolve` says it is.
 */
static int own_file(
    const struct source *s, const char *file, const char **out, struct err *err)
{
	char name[128];
	char *path;

	pin_name(file, name);
	path = xasprintf("%s/%s", s->snap.dir, name);
	if (access(path, F_OK) == 0)
		*out = path;
	else if (!*out || access(*out, F_OK) < 0)
		return err_set(err, ERR_NOTFOUND,
		    "snapshot %s: %s is missing, of the image %s (%s): "
		    "--pull brings it, or pull or import that image",
		    s->label, name, s->image.name ? s->image.name : "-",
		    s->image.digest);
	return 0;
}

static int point_image(struct source *s, struct err *err)
{
	struct doc_disk *d = s->plan.disks.v;
	struct doc_blob *layer = s->image.layers.v;
	size_t n = 0;

	for (size_t i = 0; i < s->plan.disks.n; i++) {
		if (!d[i].source)
			continue;
		/* The image's, if that was found anew. */
		if (n < s->image.layers.n)
			d[i].source = layer[n].path;
		if (check_file(d[i].file, err) < 0 ||
		    own_file(s, d[i].file, &d[i].source, err) < 0)
			return -1;
		if (n < s->image.layers.n)
			layer[n++].path = d[i].source;
	}
	if (s->plan.kernel) {
		s->plan.kernel = s->image.vmlinux.path;
		if (own_file(s, "kernel", &s->plan.kernel, err) < 0)
			return -1;
	} else if (s->image.kernel.path &&
		   own_file(s, "kernel", &s->image.kernel.path, err) < 0) {
		return -1;
	}
	if (s->plan.firmware.code &&
	    own_file(s, "firmware", &s->plan.firmware.code, err) < 0)
		return -1;
	if (cloud_is_overlay(&s->image, &s->plan) &&
	    own_file(s, cloud_base(&s->image), &s->image.disk.path, err) < 0)
		return -1;
	if (s->image.initrd.path &&
	    own_file(s, "initrd", &s->image.initrd.path, err) < 0)
		return -1;
	return 0;
}

/* Behind all others: what the guest has keeps its place. */
static void append_disks(struct source *s, size_t added)
{
	const struct vmm *v = vmm_find(s->plan.backend);
	const struct doc_data_disk *data = s->spec.data_disks.v;
	struct jarr *disks = &s->plan.disks;
	struct doc_disk *d = xcalloc(disks->n + added + 1, sizeof(*d));

	memcpy(d, disks->v, disks->n * sizeof(*d));
	for (size_t i = s->spec.data_disks.n - added; i < s->spec.data_disks.n;
	     i++)
		d[disks->n++] =
		    disk_plan(&data[i], &s->spec, v->caps & VMM_SERIALS);
	disks->v = d;
}

/* Which places they get: "disk4", "nic1". */
static void note_plugged(struct source *s, size_t disks, size_t had_nics)
{
	struct jstrs *p = &s->plan.plugged;
	size_t all = s->plan.disks.n, nics = s->wishes.nics;
	const char **v = xcalloc(
	    p->n + disks + (nics > had_nics ? nics : 0) + 1, sizeof(*v));

	for (size_t i = 0; i < p->n; i++)
		v[i] = p->v[i];
	for (size_t i = all - disks; i < all; i++)
		v[p->n++] = xasprintf("disk%zu", i);
	for (size_t i = had_nics; i < nics; i++)
		v[p->n++] = xasprintf("nic%zu", i);
	p->v = v;
}

static void apply(struct source *s, const struct plan_opts *o)
{
	struct doc_disk *d;

	if (o->data_disk.n)
		append_disks(s, o->data_disk.n);
	d = s->plan.disks.v;
	if (s->vmm->caps & VMM_PORTS)
		note_plugged(s, o->data_disk.n, s->spec.nics);
	s->plan.restore_mode = o->restore_mode;

	if (o->cpu)
		s->spec.cpu = o->cpu;
	if (o->memory)
		s->spec.memory = o->memory;
	if (o->storage)
		s->spec.storage = o->storage;
	s->spec.nics = s->wishes.nics;
	if (o->wires.n) {
		s->spec.network = s->wishes.network;
		s->spec.networks = s->wishes.networks;
		s->spec.bridges = s->wishes.bridges;
	}
	s->spec.no_direct_io = s->spec.no_direct_io || o->no_direct_io;
	for (size_t i = 0; i < s->plan.disks.n; i++) {
		if (!strcmp(d[i].role, "cow"))
			d[i].size = s->spec.storage;
		if (o->no_direct_io)
			d[i].direct = false;
	}
}

/* Whether this version can make of it what it shall be now. */
static int check_load(struct source *s, struct err *err)
{
	if (!s->vmm->check_load)
		return 0;
	return s->vmm->check_load(&s->plan, s->spec.storage > s->had, err);
}

/* What the later stages must know of the snapshot, and no more. */
static void put_all(struct json_object *doc, struct source *s)
{
	AUTO_JSON struct json_object *source = jval_ref(s->snap.doc);
	struct json_object *boot = jval_get(source, "boot");

	doc_put(doc, "spec", &doc_spec_table, &s->spec);
	doc_put(doc, "image", &doc_image_table, &s->image);
	doc_put(doc, "plan", &doc_plan_table, &s->plan);
	if (boot)
		jval_set(doc, "boot", jval_ref(boot));
	jval_del(jval_get(doc, "snap"), "doc");
}

static int clone(struct call *call, struct json_object *doc, struct source *s,
    struct err *err)
{
	const struct plan_opts *o = call->opts;
	uint64_t *counter = call->data;

	if (!counter)
		call->data = counter = xcalloc(1, sizeof(*counter));
	if (spec_check_name(o->name, err) < 0)
		return -1;
	if (o->name && o->count > 1 && strlen(o->name) > 57)
		return err_set(err, ERR_USAGE,
		    "vm name \"%s\" is too long to number", o->name);
	if (check_load(s, err) < 0)
		return -1;
	put_all(doc, s);
	spec_new_vm(doc, o->name, ++*counter, o->count);
	return 0;
}

/* The VM keeps its name, its network and its login; the rest was frozen. */
static int revert(struct json_object *doc, struct source *s,
    const struct plan_opts *o, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;
	struct doc_disk *d = s->plan.disks.v;

	if (o->name || o->nics || o->wires.n || o->count != 1 || o->data_disk.n)
		return err_set(err, ERR_USAGE,
		    "--revert: name, network and disks are the VM's");
	if (vm_open(&vm, o->revert, -1, err) < 0)
		return -1;
	if (source_check_fit(s, o, &vm, err) < 0)
		return err_wrap(err, "vm %s", vm.vm.name);
	s->spec.network = vm.spec.network;
	s->spec.networks = vm.spec.networks;
	s->spec.bridges = vm.spec.bridges;
	s->spec.dns = vm.spec.dns;
	/* A disk that has grown stays so. */
	if (!o->storage)
		s->spec.storage = vm.spec.storage;
	for (size_t i = 0; i < s->plan.disks.n; i++)
		if (!strcmp(d[i].role, "cow"))
			d[i].size = s->spec.storage;
	s->plan.privileged = vm.plan.privileged;
	if (check_load(s, err) < 0)
		return err_wrap(err, "vm %s", vm.vm.name);
	put_all(doc, s);
	jval_set(doc, "vm", jval_ref(jval_get(vm.doc, "vm")));
	jval_set(doc, "net", jval_ref(jval_get(vm.doc, "net")));
	jval_set(doc, "boot", jval_ref(jval_get(vm.doc, "boot")));
	return 0;
}

int plan_snap(struct call *call, struct json_object *doc, struct err *err)
{
	const struct plan_opts *o = call->opts;
	struct source s = {0};

	if (o->clone && o->revert)
		return err_set(err, ERR_USAGE,
		    "--clone and --revert are mutually exclusive");
	if (bind(doc, &s, err) < 0 || source_check_wishes(&s, o, err) < 0 ||
	    source_check_disks(&s, o, err) < 0 || point_image(&s, err) < 0 ||
	    source_check_vmm(&s, err) < 0)
		return -1;
	s.had = s.spec.storage;
	apply(&s, o);
	return o->clone ? clone(call, doc, &s, err) : revert(doc, &s, o, err);
}
