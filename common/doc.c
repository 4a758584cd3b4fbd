/* SPDX-License-Identifier: MIT */
#include "doc.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define F(type, member, k, fl, a, text)                                      \
	{                                                                    \
		.name = #member, .kind = (k),                                \
		.offset = offsetof(type, member), .flags = (fl), .arg = (a), \
		.help = (text)                                               \
	}

static const struct jfield vm[] = {
#define VM(m, k, fl, a, h) F(struct doc_vm, m, k, fl, a, h)
    VM(id, J_STR, J_REQUIRED, NULL, "26 characters A-Z2-7"),
    VM(name, J_STR, 0, NULL, "the name; absent in a plain network document"),
};
const struct jtable doc_vm_table = JTABLE(struct doc_vm, vm);

static const struct jfield data_disk[] = {
#define DD(m, k, fl, a, h) F(struct doc_data_disk, m, k, fl, a, h)
    DD(name, J_STR, J_REQUIRED, NULL, "name and serial"),
    DD(size, J_U64, J_REQUIRED, NULL, "bytes"),
    DD(fstype, J_ENUM, 0, "ext4|none", "file system made on it"),
    DD(mount, J_STR, 0, NULL, "mount point in the guest"),
    DD(directio, J_ENUM, 0, "on|off|auto", "host cache"),
};
static const struct jtable data_disk_table =
    JTABLE(struct doc_data_disk, data_disk);

static const struct jfield bridge[] = {
#define BR(m, k, fl, a, h) F(struct doc_bridge, m, k, fl, a, h)
    BR(nic, J_U64, J_ALWAYS, NULL, "number of the NIC, from 0"),
    BR(device, J_STR, J_REQUIRED, NULL, "the bridge"),
    BR(addresses, J_STRS, 0, NULL, "CIDR; none: DHCP in the guest"),
    BR(gateways, J_STRS, 0, NULL, "default gateways"),
};
const struct jtable doc_bridge_table = JTABLE(struct doc_bridge, bridge);

static const struct jfield spec[] = {
#define SP(m, k, fl, a, h) F(struct doc_spec, m, k, fl, a, h)
    SP(image, J_STR, 0, NULL, "reference: name, digest"),
    SP(backend, J_ENUM, 0, "auto|ch|fc|qemu", "hypervisor asked for"),
    SP(cpu, J_U64, 0, NULL, "virtual CPUs"),
    SP(memory, J_U64, 0, NULL, "bytes"),
    SP(storage, J_U64, 0, NULL, "bytes of the writable disk"),
    SP(nics, J_U64, J_ALWAYS, NULL, "number of NICs"),
    SP(queue_size, J_U64, 0, NULL, "ring size of a NIC"),
    SP(disk_queue_size, J_U64, 0, NULL, "ring size of a disk"),
    SP(network, J_STR, 0, NULL, "network by name"),
    SP(networks, J_STRS, 0, NULL, "networks by name, NIC by NIC"),
    SP(runtime_config, J_RAW, 0, NULL, "for CNI plugins, by capability"),
    SP(bridges, J_ARR, 0, &doc_bridge_table, "NICs on bridges of the host"),
    SP(dns, J_STRS, 0, NULL, "servers where the network names none"),
    SP(data_disks, J_ARR, 0, &data_disk_table, "data disks"),
    SP(no_direct_io, J_BOOL, 0, NULL, "use the host's page cache"),
    SP(windows, J_BOOL, 0, NULL, "a Windows guest"),
    SP(privileged, J_BOOL, 0, NULL, "the VMM keeps uid 0"),
    SP(hugepages, J_BOOL, 0, NULL, "memory of huge pages"),
    SP(pci, J_BOOL, 0, NULL, "Firecracker: devices on a PCI bus"),
    SP(allow_vulnerable, J_BOOL, 0, NULL, "takes a version with known holes"),
};
const struct jtable doc_spec_table = JTABLE(struct doc_spec, spec);

static const struct jfield blob[] = {
#define BL(m, k, fl, a, h) F(struct doc_blob, m, k, fl, a, h)
    BL(digest, J_STR, 0, NULL, "digest of the source"),
    BL(path, J_STR, 0, NULL, "absolute path in the store"),
    BL(size, J_U64, 0, NULL, "bytes at path"),
};
static const struct jtable blob_table = JTABLE(struct doc_blob, blob);

static const struct jfield base[] = {
#define BA(m, k, fl, a, h) F(struct doc_base, m, k, fl, a, h)
    BA(digest, J_STR, 0, NULL, "digest of the file"),
    BA(path, J_STR, 0, NULL, "absolute path in the store"),
    BA(format, J_ENUM, 0, "raw|qcow2", "disk format"),
    BA(size, J_U64, 0, NULL, "bytes at path"),
    BA(virtual_size, J_U64, 0, NULL, "bytes of the disk"),
};
static const struct jtable base_table = JTABLE(struct doc_base, base);

static const struct jfield image[] = {
#define IM(m, k, fl, a, h) F(struct doc_image, m, k, fl, a, h)
    IM(name, J_STR, 0, NULL, "name in the store"),
    IM(digest, J_STR, J_REQUIRED, NULL, "manifest or content digest"),
    IM(type, J_ENUM, J_REQUIRED, "oci|cloudimg", "kind of image"),
    IM(layers, J_ARR, 0, &blob_table, "EROFS layers, bottom first"),
    IM(kernel, J_OBJ, 0, &blob_table, "kernel"),
    IM(initrd, J_OBJ, 0, &blob_table, "initial RAM disk"),
    IM(vmlinux, J_OBJ, 0, &blob_table, "kernel as an ELF file"),
    IM(disk, J_OBJ, 0, &base_table, "base disk of a cloud image"),
    IM(etag, J_STR, 0, NULL, "version at its URL"),
    IM(size, J_U64, 0, NULL, "bytes of all blobs"),
    IM(created_at, J_U64, 0, NULL, "time of import"),
};
const struct jtable doc_image_table = JTABLE(struct doc_image, image);

static const struct jfield disk[] = {
#define DK(m, k, fl, a, h) F(struct doc_disk, m, k, fl, a, h)
    DK(role, J_ENUM, J_REQUIRED, "layer|cow|data|cidata", "what it is for"),
    DK(file, J_STR, J_REQUIRED, NULL, "path below the run directory"),
    DK(serial, J_STR, 0, NULL, "virtio-blk serial"),
    DK(format, J_ENUM, J_REQUIRED, "raw|qcow2", "disk format"),
    DK(source, J_STR, 0, NULL, "blob that it is a link to"),
    DK(fstype, J_STR, 0, NULL, "file system on it"),
    DK(mount, J_STR, 0, NULL, "mount point in the guest"),
    DK(size, J_U64, 0, NULL, "bytes"),
    DK(ro, J_BOOL, J_ALWAYS, NULL, "read-only"),
    DK(direct, J_BOOL, 0, NULL, "bypasses the host's page cache"),
};
static const struct jtable disk_table = JTABLE(struct doc_disk, disk);

static const struct jfield firmware[] = {
#define FW(m, k, fl, a, h) F(struct doc_firmware, m, k, fl, a, h)
    FW(code, J_STR, 0, NULL, "absolute path of the UEFI code"),
    FW(vars, J_STR, 0, NULL, "absolute path of an empty variable store"),
};
static const struct jtable firmware_table =
    JTABLE(struct doc_firmware, firmware);

static const struct jfield plan[] = {
#define PL(m, k, fl, a, h) F(struct doc_plan, m, k, fl, a, h)
    PL(backend, J_ENUM, J_REQUIRED, "ch|fc|qemu", "hypervisor"),
    PL(why, J_STR, 0, NULL, "reason of the choice"),
    PL(binary, J_STR, J_REQUIRED, NULL, "path of the hypervisor"),
    PL(version, J_STR, 0, NULL, "its version"),
    PL(accel, J_ENUM, 0, "kvm|tcg", "accelerator"),
    PL(console, J_STR, 0, NULL, "kernel's name of the console"),
    PL(kernel, J_STR, 0, NULL, "blob that is booted"),
    PL(cpu, J_U64, J_REQUIRED, NULL, "virtual CPUs"),
    PL(memory, J_U64, J_REQUIRED, NULL, "bytes"),
    PL(disks, J_ARR, J_ALWAYS, &disk_table, "in the guest's order"),
    PL(firmware, J_OBJ, 0, &firmware_table, "UEFI; cloud images"),
    PL(max_cpu, J_U64, 0, NULL, "to which CPUs can be added"),
    PL(boot_memory, J_U64, 0, NULL, "before some was added"),
    PL(max_memory, J_U64, 0, NULL, "to which memory can be added"),
    PL(ports, J_U64, 0, NULL, "for devices that are plugged in"),
    PL(plugged, J_STRS, 0, NULL, "those that were: nic1, disk4"),
    PL(restore_mode, J_ENUM, 0, "copy|ondemand|mmap", "of its memory"),
    PL(privileged, J_BOOL, 0, NULL, "the VMM keeps uid 0"),
    PL(hugepages, J_BOOL, 0, NULL, "memory of huge pages"),
    PL(pci, J_BOOL, 0, NULL, "Firecracker: devices on a PCI bus"),
};
const struct jtable doc_plan_table = JTABLE(struct doc_plan, plan);

static const struct jfield route[] = {
#define RT(m, k, fl, a, h) F(struct doc_route, m, k, fl, a, h)
    RT(dst, J_STR, J_REQUIRED, NULL, "destination, CIDR"),
    RT(via, J_STR, 0, NULL, "gateway; absent: on-link"),
    RT(metric, J_U64, 0, NULL, "priority; absent: by the NIC's order"),
    RT(mtu, J_U64, 0, NULL, "bytes of a packet on it"),
};
static const struct jtable route_table = JTABLE(struct doc_route, route);

static const struct jfield nic[] = {
#define NI(m, k, fl, a, h) F(struct doc_nic, m, k, fl, a, h)
    NI(tap, J_STR, J_REQUIRED, NULL, "tap in the netns"),
    NI(ifname, J_STR, 0, NULL, "veth end in the netns"),
    NI(peer, J_STR, 0, NULL, "veth end on the host"),
    NI(mac, J_STR, J_REQUIRED, NULL, "the guest's MAC"),
    NI(backend, J_ENUM, 0, "builtin|cni|bridge", "who wired it"),
    NI(network, J_STR, 0, NULL, "network by name"),
    NI(bridge, J_STR, 0, NULL, "bridge on the host"),
    NI(mtu, J_U64, 0, NULL, "bytes"),
    NI(queues, J_U64, 0, NULL, "queue pairs of the tap"),
    NI(addresses, J_STRS, 0, NULL, "CIDR; none: DHCP"),
    NI(gateways, J_STRS, 0, NULL, "default gateways"),
    NI(routes, J_ARR, 0, &route_table, "further routes"),
    NI(dns, J_STRS, 0, NULL, "name servers"),
    NI(search, J_STRS, 0, NULL, "search domains"),
    NI(options, J_STRS, 0, NULL, "resolver options"),
};
static const struct jtable nic_table = JTABLE(struct doc_nic, nic);

static const struct jfield net[] = {
#define NE(m, k, fl, a, h) F(struct doc_net, m, k, fl, a, h)
    NE(by, J_ENUM, 0, "cocoon|hand", "who made it"),
    NE(netns, J_STR, 0, NULL, "name below /run/netns"),
    NE(nics, J_ARR, J_ALWAYS, &nic_table, "in the guest's order"),
};
const struct jtable doc_net_table = JTABLE(struct doc_net, net);

static const struct jfield seed[] = {
#define SE(m, k, fl, a, h) F(struct doc_seed, m, k, fl, a, h)
    SE(meta_data, J_STR, 0, NULL, "NoCloud meta-data"),
    SE(user_data, J_STR, J_SECRET, NULL, "NoCloud user-data"),
    SE(network_config, J_STR, 0, NULL, "NoCloud network-config"),
    SE(cocoon_conf, J_STR, J_SECRET, NULL, "the same, line by line"),
    SE(script, J_STR, J_SECRET, NULL, "the same, as a shell script"),
};
static const struct jtable seed_table = JTABLE(struct doc_seed, seed);

static const struct jfield boot[] = {
#define BO(m, k, fl, a, h) F(struct doc_boot, m, k, fl, a, h)
    BO(cmdline, J_STR, 0, NULL, "kernel command line"),
    BO(user, J_STR, 0, NULL, "login user"),
    BO(password_hash, J_STR, J_SECRET, NULL, "crypt(5) hash"),
    BO(keys, J_STRS, 0, NULL, "ssh public keys"),
    BO(user_data, J_STR, J_SECRET, NULL, "the user's own user-data"),
    BO(seed, J_OBJ, 0, &seed_table, "texts of the seed disk"),
};
const struct jtable doc_boot_table = JTABLE(struct doc_boot, boot);

static const struct jfield ended[] = {
#define EN(m, k, fl, a, h) F(struct doc_ended, m, k, fl, a, h)
    EN(reason, J_STR, 0, NULL, "why the last run ended"),
    EN(detail, J_STR, 0, NULL, "the VMM's last words"),
    EN(at, J_U64, 0, NULL, "when"),
    EN(status, J_U64, 0, NULL, "exit status of the VMM"),
};
static const struct jtable ended_table = JTABLE(struct doc_ended, ended);

static const struct jfield guest[] = {
#define GU(m, k, fl, a, h) F(struct doc_guest, m, k, fl, a, h)
    GU(mac, J_STR, J_REQUIRED, NULL, "its MAC"),
    GU(addresses, J_STRS, 0, NULL, "CIDR; none: DHCP"),
    GU(queues, J_U64, 0, NULL, "queue pairs"),
    GU(since, J_STRS, 0, NULL, "MACs that it may have by now"),
};
static const struct jtable guest_table = JTABLE(struct doc_guest, guest);

static const struct jfield hv[] = {
#define HV(m, k, fl, a, h) F(struct doc_hv, m, k, fl, a, h)
    HV(state, J_ENUM, 0, "created|running|paused|stopped|hibernated|error",
	"derived"),
    HV(generation, J_U64, J_ALWAYS, NULL, "number of the run directory"),
    HV(created_at, J_U64, 0, NULL, "time"),
    HV(started_at, J_U64, 0, NULL, "time of the last start"),
    HV(stopped_at, J_U64, 0, NULL, "time of the last end"),
    HV(pid, J_U64, 0, NULL, "of the VMM while it runs"),
    HV(uid, J_U64, 0, NULL, "of the VMM while it runs"),
    HV(version, J_STR, 0, NULL, "of the VMM that ran last"),
    HV(accel, J_STR, 0, NULL, "kvm or tcg, of the last run"),
    HV(unattended, J_BOOL, 0, NULL, "runs without its monitor"),
    HV(paused, J_BOOL, 0, NULL, "its processors stand still"),
    HV(loaded, J_BOOL, 0, NULL, "its memory came from a snapshot"),
    HV(privileged, J_BOOL, 0, NULL, "the VMM keeps uid 0"),
    HV(log_dir, J_STR, 0, NULL, "directory of console.log if elsewhere"),
    HV(resume, J_STR, 0, NULL, "snapshot that the next start wakes"),
    HV(guest, J_ARR, 0, &guest_table, "what the guest believes of NICs"),
    HV(ended, J_OBJ, 0, &ended_table, "how the last run ended"),
};
const struct jtable doc_hv_table = JTABLE(struct doc_hv, hv);

static const struct jfield file[] = {
#define FI(m, k, fl, a, h) F(struct doc_file, m, k, fl, a, h)
    FI(name, J_STR, J_REQUIRED, NULL, "name in the directory"),
    FI(role, J_ENUM, J_REQUIRED, "state|memory|disk|image", "what it is"),
    FI(size, J_U64, J_ALWAYS, NULL, "bytes"),
};
static const struct jtable file_table = JTABLE(struct doc_file, file);

static const struct jfield snap[] = {
#define SN(m, k, fl, a, h) F(struct doc_snap, m, k, fl, a, h)
    SN(id, J_STR, J_REQUIRED, NULL, "26 characters A-Z2-7"),
    SN(name, J_STR, 0, NULL, "the name"),
    SN(description, J_STR, 0, NULL, "free text"),
    SN(dir, J_STR, 0, NULL, "absolute path of the directory; not on disk"),
    SN(hold, J_STR, 0, NULL, "socket of who holds the VM; not on disk"),
    SN(backend, J_STR, 0, NULL, "hypervisor"),
    SN(version, J_STR, 0, NULL, "its version"),
    SN(accel, J_STR, 0, NULL, "its accelerator"),
    SN(created_at, J_U64, 0, NULL, "when the guest stood still"),
    SN(pause_ms, J_U64, J_ALWAYS, NULL, "for how long it did"),
    SN(size, J_U64, 0, NULL, "bytes on disk, image and disks shared or not"),
    SN(files, J_ARR, J_ALWAYS, &file_table, "all files"),
    SN(guest, J_ARR, J_ALWAYS, &guest_table, "what the guest believes"),
    SN(doc, J_RAW, 0, NULL, "the document of the source"),
};
const struct jtable doc_snap_table = JTABLE(struct doc_snap, snap);

const struct jtable *const doc_tables[] = {&doc_vm_table, &doc_spec_table,
    &doc_image_table, &doc_plan_table, &doc_net_table, &doc_boot_table,
    &doc_hv_table, &doc_snap_table, NULL};

int doc_bind(const struct json_object *doc, const char *name,
    const struct jtable *t, void *out, struct err *err)
{
	const struct json_object *v = jval_get(doc, name);
	char where[32];

	snprintf(where, sizeof(where), "%s", name);
	if (!v)
		return err_set(err, ERR_INPUT,
		    ".%s: missing: an earlier stage writes it", name);
	return jbind(v, t, where, out, err);
}

int doc_bind_optional(const struct json_object *doc, const char *name,
    const struct jtable *t, void *out, struct err *err)
{
	if (jval_get(doc, name))
		return doc_bind(doc, name, t, out, err);
	memset(out, 0, t->size);
	return 0;
}

void doc_put(struct json_object *doc, const char *name, const struct jtable *t,
    const void *in)
{
	jval_set(doc, name, jbuild(t, in));
}

const char *doc_id(const struct json_object *doc, struct err *err)
{
	const char *id = jval_str(jval_get(doc, "vm"), "id");

	if (!id) {
		err_set(err, ERR_INPUT, ".vm.id: missing");
		return NULL;
	}
	if (!valid_id(id)) {
		err_set(err, ERR_INPUT,
		    ".vm.id: \"%.40s\" is not 26 characters of A-Z2-7", id);
		return NULL;
	}
	return id;
}

bool doc_guest_is(const struct doc_guest *g, const struct doc_nic *is)
{
	if (g->since.n || strcmp(g->mac, is->mac) ||
	    g->addresses.n != is->addresses.n)
		return false;
	for (size_t i = 0; i < g->addresses.n; i++)
		if (strcmp(g->addresses.v[i], is->addresses.v[i]))
			return false;
	return true;
}

void doc_made_add(struct json_object *doc, const char *member)
{
	struct json_object *made = jval_get(doc, "made");

	if (!made) {
		made = jval_array();
		jval_set(doc, "made", made);
	}
	if (!doc_made_has(doc, member))
		jval_push_str(made, member);
}

bool doc_made_has(const struct json_object *doc, const char *member)
{
	const struct json_object *made = jval_get(doc, "made");

	for (size_t i = 0; i < jval_len(made); i++) {
		const char *s = jval_str_at(made, i);

		if (s && !strcmp(s, member))
			return true;
	}
	return false;
}

void doc_set_error(
    struct json_object *doc, const char *tool, const struct err *err)
{
	struct json_object *o = jval_object();

	jval_set_int(o, "code", err->code);
	jval_set_str(o, "kind", err_kind(err->code));
	jval_set_str(o, "tool", tool);
	if (err->object[0])
		jval_set_str(o, "object", err->object);
	jval_set_str(o, "message", err->msg);
	if (err->sys)
		jval_set_int(o, "errno", err->sys);
	jval_set(doc, "error", o);
}

bool doc_error(const struct json_object *doc, struct err *out)
{
	const struct json_object *o = jval_get(doc, "error");
	const char *msg;
	int64_t code;

	if (!o)
		return false;
	msg = jval_str(o, "message");
	code = jval_int(o, "code", ERR_FAILED);
	err_set(out, err_code_of(code < ERR_CODES ? (int)code : 0), "%s",
	    msg ? msg : "an error without a message");
	return true;
}

void doc_redact(struct json_object *doc)
{
	struct json_object *source = jval_get(jval_get(doc, "snap"), "doc");

	if (jval_is_object(source))
		doc_redact(source);
	for (size_t i = 0; doc_tables[i]; i++)
		jredact(jval_get(doc, doc_tables[i]->name), doc_tables[i]);
}

static bool all_of(const char *s, const char *set, size_t min, size_t max)
{
	size_t n = strspn(s, set);

	return !s[n] && n >= min && n <= max;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

bool valid_id(const char *s)
{
	return all_of(s, UPPER "234567", 26, 26);
}

bool valid_name(const char *s)
{
	return all_of(s, LOWER UPPER DIGITS "._-", 1, 63) &&
	       strspn(s, "._-") == 0;
}

bool valid_disk_name(const char *s)
{
	return all_of(s, LOWER DIGITS "_-", 1, 20) &&
	       strspn(s, DIGITS "_-") == 0 && strncmp(s, "cocoon-", 7) != 0;
}

bool valid_digest(const char *s)
{
	return !strncmp(s, "sha256:", 7) &&
	       all_of(s + 7, DIGITS "abcdef", 64, 64);
}
