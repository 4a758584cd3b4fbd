/* SPDX-License-Identifier: MIT */
/*
 * The document that the tools exchange: one struct and one table a member.
 * cocoon-document(5) describes the same names; a test compares the two.
 * Sizes are bytes, times are milliseconds since the epoch, durations
 * milliseconds. Who owns which member: HACKING.md.
 */
#ifndef COCOON_DOC_H
#define COCOON_DOC_H

#include "jdoc.h"

struct doc_vm {
	const char *id;   /* 26 characters of A-Z2-7 */
	const char *name; /* [a-zA-Z0-9][a-zA-Z0-9._-]{0,62} */
};

/* What is asked for; cocoon-hv spec writes it from the command line. */
struct doc_data_disk {
	const char *name, *fstype, *mount, *directio;
	uint64_t size;
};

/* A NIC on a bridge of the host. */
struct doc_bridge {
	uint64_t nic; /* which: 0 is the first */
	const char *device;
	struct jstrs addresses; /* CIDR; none: DHCP in the guest */
	struct jstrs gateways;
};

struct doc_spec {
	const char *image;
	const char *backend; /* auto ch fc qemu */
	uint64_t cpu, memory, storage, nics;
	uint64_t queue_size, disk_queue_size;
	const char *network; /* conflist name; absent: the default */
	/* Of the NICs that are on no bridge; the last holds for the rest. */
	struct jstrs networks;
	/* For CNI plugins, by capability: portMappings, bandwidth ... */
	struct json_object *runtime_config;
	struct jarr bridges;    /* struct doc_bridge, by nic */
	struct jstrs dns;       /* for NICs whose network names none */
	struct jarr data_disks; /* struct doc_data_disk */
	bool no_direct_io, windows, privileged;
	bool hugepages, allow_vulnerable;
	bool pci; /* Firecracker: devices on a PCI bus */
};

/* Which bytes; cocoon-img resolve. Paths are absolute, in the blob store. */
struct doc_blob {
	const char *digest; /* "sha256:..." of the source: layer or disk */
	const char *path;
	uint64_t size; /* bytes of the file at path */
};

struct doc_base {
	const char *digest; /* of the file at path */
	const char *path;
	const char *format; /* raw qcow2 */
	uint64_t size, virtual_size;
};

struct doc_image {
	const char *name; /* as the store knows it */
	const char *digest;
	const char *type;               /* oci cloudimg */
	struct jarr layers;             /* struct doc_blob, bottom first; oci */
	struct doc_blob kernel, initrd; /* oci */
	struct doc_blob vmlinux;        /* the kernel as an ELF file; oci */
	struct doc_base disk;           /* cloudimg: the base, never written */
	const char *etag;               /* of the URL that it is from */
	uint64_t size, created_at;
};

/* Which VMM, which disks; cocoon-hv plan. Files are relative to vm/ID/N. */
struct doc_disk {
	const char *role;   /* layer cow data cidata */
	const char *file;   /* "layers/0.erofs", "cow.raw" */
	const char *serial; /* virtio-blk serial; absent: none */
	const char *format; /* raw qcow2 */
	const char *source; /* the blob to link, else made anew */
	const char *fstype; /* ext4 none erofs iso9660 */
	const char *mount;  /* in the guest; data disks */
	uint64_t size;
	bool ro, direct;
};

/* What a guest boots by that has a boot loader of its own. */
struct doc_firmware {
	const char *code; /* absolute path; N/firmware is a link to it */
	const char
	    *vars; /* absolute path; N/vars.fd begins as a copy; not CH */
};

struct doc_plan {
	const char *backend; /* ch fc qemu */
	const char *why;     /* the reason of the choice, for people */
	const char *binary;  /* absolute path of the VMM */
	const char *version;
	const char *accel;   /* kvm tcg */
	const char *kernel;  /* the blob that is booted; else image.kernel */
	const char *console; /* kernel's name of it: ttyS0 hvc0 */
	uint64_t cpu, memory;
	struct jarr disks; /* struct doc_disk, in the guest's order */
	struct doc_firmware firmware; /* absent: direct kernel boot */
	/* To which CPUs, bytes of memory, can be added while it runs. */
	uint64_t max_cpu, max_memory;
	uint64_t boot_memory; /* before some was added; 0: none was */
	/* QEMU: slots where devices can be plugged in while it runs, and those
	 * that were, in their order: "nic1", "disk4". */
	uint64_t ports;
	struct jstrs plugged;
	const char *restore_mode; /* copy ondemand mmap; absent: as it can */
	bool privileged, hugepages, pci;
};

/* Wires; cocoon-net add. */
struct doc_route {
	const char *dst, *via; /* CIDR; absent via: on-link */
	uint64_t metric, mtu;  /* 0: as the NIC's order and MTU say */
};

struct doc_nic {
	const char *tap;     /* name in the netns: cn0, cn1 ... */
	const char *ifname;  /* the veth's end in the netns: eth0 ... */
	const char *peer;    /* the veth's end on the host */
	const char *mac;     /* the guest's, lower case, colons */
	const char *backend; /* builtin cni bridge */
	const char *network; /* conflist name, or "cocoon" */
	const char *bridge;  /* device on the host */
	uint64_t mtu, queues;
	struct jstrs addresses; /* CIDR; none: DHCP in the guest */
	struct jstrs gateways;
	struct jarr routes; /* struct doc_route */
	struct jstrs dns, search;
	struct jstrs options; /* of resolv.conf(5) */
};

struct doc_net {
	const char *by;    /* cocoon, or hand */
	const char *netns; /* name below /run/netns: cn-ID */
	struct jarr nics;  /* struct doc_nic */
};

/* What the guest is told; cocoon-hint boot. */
struct doc_seed {
	const char *meta_data, *user_data, *network_config;
	const char *cocoon_conf; /* the line format of contrib/os-image */
	const char *script;      /* the same for an initramfs without it */
};

struct doc_boot {
	const char *cmdline;
	const char *user;
	const char *password_hash; /* crypt(5); secret */
	struct jstrs keys;         /* authorized_keys lines */
	const char *user_data;     /* --user-data; secret */
	struct doc_seed seed;
};

/* The VM's record and state; cocoon-hv. */
struct doc_ended {
	const char *reason; /* shutdown reset killed failed unknown ... */
	const char *detail;
	uint64_t at, status; /* the VMM's wait status */
};

/* What the guest believes of a NIC. */
struct doc_guest {
	const char *mac;
	struct jstrs addresses;
	uint64_t queues;    /* pairs of them; 0: as many as it has CPUs */
	struct jstrs since; /* MACs that it may have taken on: of a clone that
			     * was saved nobody knows whether it was itself */
};

/* Whether the NIC is as the guest believes: MAC, and addresses in their order;
 * not if it may have become another since. */
bool doc_guest_is(const struct doc_guest *g, const struct doc_nic *is);

struct doc_hv {
	const char *state; /* live_state; not on disk */
	uint64_t generation, created_at, started_at, stopped_at;
	uint64_t pid, uid; /* of the VMM; not on disk */
	const char *version, *accel;
	bool unattended; /* runs without its monitor; not on disk */
	bool paused;     /* its processors stand still */
	bool loaded;     /* its memory came from a snapshot */
	bool privileged;
	const char *log_dir;    /* where console.log is, if not in vm/ID */
	const char *resume;     /* snapshot that the next start wakes it from */
	struct jarr guest;      /* struct doc_guest; none: as net has it */
	struct doc_ended ended; /* how the last run ended; not on disk */
};

/* A snapshot: a directory of files; cocoon-snap. */
struct doc_file {
	const char *name; /* in the directory, and in vm/ID/N or vm/ID/pin */
	const char *role; /* state memory disk image */
	uint64_t size;
};

struct doc_snap {
	const char *id, *name, *description;
	const char *dir;  /* absolute path of the directory; not on disk */
	const char *hold; /* socket: say there that it is safe; not on disk */
	const char *backend, *version, *accel;
	uint64_t created_at, pause_ms, size;
	struct jarr files;       /* struct doc_file */
	struct jarr guest;       /* struct doc_guest, one a NIC */
	struct json_object *doc; /* the source's document */
};

extern const struct jtable doc_snap_table;
extern const struct jtable doc_vm_table, doc_spec_table, doc_image_table,
    doc_plan_table, doc_net_table, doc_boot_table, doc_hv_table,
    doc_bridge_table;
/* NULL-terminated; the name is the member's. */
extern const struct jtable *const doc_tables[];

/*
 * Binds member `name` of the document; absent: ERR_INPUT, or with optional
 * *out zeroed and 0. Message paths begin with ".name".
 */
int doc_bind(const struct json_object *doc, const char *name,
    const struct jtable *t, void *out, struct err *err);
int doc_bind_optional(const struct json_object *doc, const char *name,
    const struct jtable *t, void *out, struct err *err);
/* Replaces member `name` by what the table makes of *in. */
void doc_put(struct json_object *doc, const char *name, const struct jtable *t,
    const void *in);
/* doc.vm.id after checking it, for messages and paths; NULL: ERR_INPUT. */
const char *doc_id(const struct json_object *doc, struct err *err);
/* The "made" list: which members were claimed for this id in this run. */
void doc_made_add(struct json_object *doc, const char *member);
bool doc_made_has(const struct json_object *doc, const char *member);
/* Sets or reads the error member. doc_error returns false if there is none. */
void doc_set_error(
    struct json_object *doc, const char *tool, const struct err *err);
bool doc_error(const struct json_object *doc, struct err *out);
/* Replaces every secret of the document by "***". */
void doc_redact(struct json_object *doc);

/* Charsets of what becomes a path or a device name. */
bool valid_id(const char *s);
bool valid_name(const char *s);
/* name rule of a data disk: [a-z][a-z0-9_-]{0,19}, not "cocoon-..." */
bool valid_disk_name(const char *s);
/* "sha256:" and 64 lower-case hex digits. */
bool valid_digest(const char *s);

#endif
