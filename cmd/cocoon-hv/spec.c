/* SPDX-License-Identifier: MIT */
/* spec: the command line of create and run as a document, -n of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hv.h"
#include "jtext.h"

#define MIB (UINT64_C(1) << 20)
#define MIN_MEMORY (64 * MIB)
#define MIN_STORAGE (64 * MIB)
#define MAX_BYTES (UINT64_C(1) << 50)
#define DEFAULT_DNS "8.8.8.8,1.1.1.1"

struct spec_opts {
	const char *backend, *name, *dns, *from;
	bool fc, no_direct_io, windows, privileged, hugepages, allow_vulnerable;
	bool pci;
	uint64_t count, cpu, memory, storage, nics, queue_size, disk_queue_size;
	struct strv wires, data_disk;
};

static const struct spec_opts defaults = {
    .backend = "auto",
    .count = 1,
    .memory = 1024 * MIB,
    .storage = 10240 * MIB,
    .nics = 1,
};

#define O(m, n, l, k, lo, hi, mv, h)                                  \
	{                                                             \
		.name = (n), .letter = (l), .kind = (k),              \
		.offset = offsetof(struct spec_opts, m), .min = (lo), \
		.max = (hi), .metavar = (mv), .help = (h)             \
	}
/* In one list, since their order counts. */
#define W(n, mv, h)                                                           \
	{                                                                     \
		.name = (n), .kind = OPT_LIST, .tag = n "=",                  \
		.offset = offsetof(struct spec_opts, wires), .metavar = (mv), \
		.help = (h)                                                   \
	}
static const struct opt opts[] = {
    O(backend, "backend", 0, OPT_ENUM, 0, 0, "auto|ch|fc|qemu", "hypervisor"),
    O(fc, "fc", 0, OPT_FLAG, 0, 0, NULL, "the same as --backend fc"),
    O(name, "name", 0, OPT_STRING, 0, 0, "NAME", "name (default: cocoon-ID)"),
    O(count, "count", 'n', OPT_U64, 1, 10000, "N", "N VMs, NAME-1 ... NAME-N"),
    O(cpu, "cpu", 0, OPT_U64, 1, 1024, "N", "virtual CPUs (default 2)"),
    O(memory, "memory", 0, OPT_SIZE, MIN_MEMORY, MAX_BYTES, "SIZE",
	"memory (default 1G)"),
    O(storage, "storage", 0, OPT_SIZE, MIN_STORAGE, MAX_BYTES, "SIZE",
	"writable disk (default 10G)"),
    O(nics, "nics", 0, OPT_U64, 0, 16, "N", "NICs (default 1)"),
    O(queue_size, "queue-size", 0, OPT_U64, 0, 32768, "N", "ring size of NICs"),
    O(disk_queue_size, "disk-queue-size", 0, OPT_U64, 0, 32768, "N",
	"ring size of disks"),
    W("network", "NAME", "a NIC's network; the last is the rest's, too"),
    W("bridge", "DEV", "a NIC on this bridge of the host instead"),
    W("ip", "ADDR/PREFIX,GW", "address of the bridge's NIC (default: DHCP)"),
    O(no_direct_io, "no-direct-io", 0, OPT_FLAG, 0, 0, NULL,
	"disks through the host's page cache"),
    O(windows, "windows", 0, OPT_FLAG, 0, 0, NULL, "a Windows guest"),
    O(data_disk, "data-disk", 0, OPT_LIST, 0, 0, "SPEC",
	"size=10G[,name=][,fstype=][,mount=]..."),
    O(dns, "dns", 0, OPT_STRING, 0, 0, "ADDR,...",
	"servers where the network names none"),
    O(privileged, "privileged", 0, OPT_FLAG, 0, 0, NULL,
	"the hypervisor keeps uid 0"),
    O(pci, "pci", 0, OPT_FLAG, 0, 0, NULL, "Firecracker: devices on a PCI bus"),
    O(hugepages, "hugepages", 0, OPT_FLAG, 0, 0, NULL,
	"memory from the host's pool of huge pages"),
    O(allow_vulnerable, "allow-vulnerable", 0, OPT_FLAG, 0, 0, NULL,
	"takes a hypervisor with known holes"),
    O(from, "from", 0, OPT_STRING, 0, 0, "FILE",
	"documents of a dry run in place of IMAGE"),
};

static uint64_t host_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (uint64_t)n : 1;
}

/* "8.8.8.8, 1.1.1.1;..." as the Go program splits it. */
static int split_dns(const char *text, struct jstrs *out, struct err *err)
{
	char *copy = xstrdup(text), *save = NULL;
	const char **v = xcalloc(strlen(text) + 1, sizeof(*v));

	out->v = v;
	out->n = 0;
	for (char *s = strtok_r(copy, ",; ", &save); s;
	     s = strtok_r(NULL, ",; ", &save)) {
		if (strspn(s, "0123456789abcdefABCDEF.:") != strlen(s))
			return err_set(err, ERR_USAGE,
			    "--dns: \"%.60s\" is not an address", s);
		v[out->n++] = s;
	}
	return 0;
}

int spec_check_name(const char *name, struct err *err)
{
	if (name && !valid_name(name))
		return err_set(err, ERR_USAGE,
		    "vm name \"%.80s\" is invalid: must match "
		    "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$",
		    name);
	return 0;
}

static int fill_spec(const struct spec_opts *o, const char *image,
    struct doc_spec *s, struct err *err)
{
	const char *dns = o->dns ? o->dns : getenv("COCOON_DNS");

	*s = (struct doc_spec){.image = image,
	    .cpu = o->cpu,
	    .memory = o->memory,
	    .storage = o->storage,
	    .queue_size = o->queue_size,
	    .disk_queue_size = o->disk_queue_size,
	    .no_direct_io = o->no_direct_io,
	    .windows = o->windows,
	    .privileged = o->privileged,
	    .hugepages = o->hugepages,
	    .pci = o->pci,
	    .allow_vulnerable = o->allow_vulnerable};
	s->backend = o->fc ? "fc" : o->backend;
	if (o->fc && strcmp(o->backend, "auto") && strcmp(o->backend, "fc"))
		return err_set(err, ERR_USAGE,
		    "--fc and --backend %s are mutually exclusive", o->backend);
	if (o->windows && !strcmp(s->backend, "fc"))
		return err_set(err, ERR_USAGE,
		    "--fc and --windows are mutually exclusive: Firecracker "
		    "cannot boot Windows");
	if (!s->cpu)
		s->cpu = host_cpus() < 2 ? host_cpus() : 2;
	if (wires_fill(&o->wires, o->nics, s, err) < 0)
		return -1;
	if (split_dns(dns && *dns ? dns : DEFAULT_DNS, &s->dns, err) < 0)
		return -1;
	return data_disks(&o->data_disk, &s->data_disks, err);
}

/* "cocoon-" and the id's first letters, in lower case. */
static char *default_name(const char *id)
{
	char *name = xasprintf("cocoon-%.8s", id);

	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return name;
}

/* Gives doc a new vm member. i: which of -n; base: NULL for the default. */
void spec_new_vm(
    struct json_object *doc, const char *base, uint64_t i, uint64_t n)
{
	AUTO_FREE char *name = NULL;
	char id[STATE_ID_LEN + 1];
	struct doc_vm vm = {.id = id};

	state_new_id(id);
	if (!base)
		name = default_name(id);
	else if (n > 1)
		name = xasprintf("%s-%llu", base, (unsigned long long)i);
	else
		name = xstrdup(base);
	vm.name = name;
	doc_put(doc, "vm", &doc_vm_table, &vm);
}

static int emit_new(
    const struct spec_opts *o, const struct doc_spec *s, struct err *err)
{
	for (uint64_t i = 1; i <= o->count; i++) {
		AUTO_JSON struct json_object *doc = jval_object();

		jval_set_int(doc, "v", 1);
		spec_new_vm(doc, o->name, i, o->count);
		doc_put(doc, "spec", &doc_spec_table, s);
		if (tool_emit(doc, err) < 0)
			return -1;
	}
	return 0;
}

/* The name to keep from a dry run's document: NULL if it was a default. */
static char *kept_name(const struct json_object *doc)
{
	const char *id = jval_str(jval_get(doc, "vm"), "id");
	const char *name = jval_str(jval_get(doc, "vm"), "name");

	if (!name)
		return NULL;
	AUTO_FREE char *of_id = id ? default_name(id) : NULL;

	return of_id && !strcmp(of_id, name) ? NULL : xstrdup(name);
}

static int from_one(const struct spec_opts *o, struct json_object *doc,
    uint64_t i, struct err *err)
{
	AUTO_FREE char *name = o->name ? xstrdup(o->name) : kept_name(doc);
	struct doc_spec spec;

	if (jval_int(doc, "v", 0) != 1)
		return err_set(err, ERR_INPUT, "%s: .v: want 1", o->from);
	if (jval_get(doc, "net") || jval_get(doc, "hv"))
		return err_set(err, ERR_INPUT,
		    "%s: .%s: is there already: this document is of a VM that "
		    "was made; take the output of --dry-run",
		    o->from, jval_get(doc, "hv") ? "hv" : "net");
	if (spec_check_name(name, err) < 0 ||
	    doc_bind(doc, "spec", &doc_spec_table, &spec, err) < 0)
		return err_wrap(err, "%s", o->from);
	jval_del(doc, "made");
	jval_del(doc, "error");
	for (uint64_t k = 1; k <= o->count; k++) {
		spec_new_vm(doc, name, i * o->count + k, o->count);
		if (tool_emit(doc, err) < 0)
			return -1;
	}
	return 0;
}

static int emit_from(const struct spec_opts *o, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = -1;
	size_t start, end;
	uint64_t i = 0;
	int r;

	fd = strcmp(o->from, "-") ? open(o->from, O_RDONLY | O_CLOEXEC)
				  : fcntl(0, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_sys(err, errno, "%s: open", o->from);
	if (read_all(fd, &text, 256 * MIB, o->from, err) < 0)
		return -1;
	while ((r = jtext_split(text.data, text.len, &start, &end)) > 0) {
		AUTO_JSON struct json_object *doc =
		    jval_parse(text.data + start, end - start, err);

		if (!doc)
			return err_wrap(err, "%s", o->from);
		if (from_one(o, doc, i++, err) < 0)
			return -1;
		buf_consume(&text, end);
	}
	if (r < 0 || start < text.len || i == 0)
		return err_set(
		    err, ERR_INPUT, "%s: holds no document of ours", o->from);
	return 0;
}

static int spec_run(struct call *call, struct err *err)
{
	const struct spec_opts *o = call->opts;
	struct doc_spec spec;

	if (spec_check_name(o->name, err) < 0)
		return -1;
	if (o->from && call->args.n)
		return err_set(err, ERR_USAGE,
		    "--from and an image are mutually exclusive");
	if (o->from)
		return emit_from(o, err);
	if (!call->args.n)
		return err_set(err, ERR_USAGE, "which image?");
	if (o->name && o->count > 1 && strlen(o->name) > 57)
		return err_set(err, ERR_USAGE,
		    "vm name \"%s\" is too long to number", o->name);
	if (fill_spec(o, call->args.v[0], &spec, err) < 0)
		return -1;
	return emit_new(o, &spec, err);
}

const struct verb verb_spec = {
    .name = "spec",
    .summary = "Write what is asked for as a document.",
    .operands = "[IMAGE]",
    .max_args = 1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct spec_opts),
    .defaults = &defaults,
    .emits = true,
    .run = spec_run,
};
