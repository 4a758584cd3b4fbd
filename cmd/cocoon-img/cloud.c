/* SPDX-License-Identifier: MIT */
/*
 * A cloud image: one disk, kept as it came but unpacked. A qcow2 is judged by
 * our own reader of its header, then by qemu-img, which runs as nobody, may
 * read that one file and no other, and has little memory and time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "input.h"
#include "proc.h"
#include "qcow2.h"
#include "ref.h"
#include "sandbox.h"

#define DISK "disk"
/* xz -9 wants 65 MiB, zstd --long 128 MiB. */
#define EXPAND_MEMORY ((uint64_t)192 << 20)
#define QEMU_MEMORY ((uint64_t)512 << 20)
#define QEMU_SECONDS 120

struct disk {
	struct work *w;
	const struct cloud *from;
	int fd; /* of work/disk */
	char digest[72];
	uint64_t size;
	struct doc_base base;
};

static int open_disk(const struct disk *d, int flags, struct err *err)
{
	int fd = openat(d->w->fd, DISK, flags | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(err, errno, "%s: open", DISK) : fd;
}

/* The file itself under another name. False: not from there, or packed. */
static bool take(struct disk *d)
{
	static const char packed[][7] = {"\x1f\x8b",
	    "\xfd"
	    "7zXZ",
	    "\x28\xb5\x2f\xfd"};
	int fd = d->from->fds[0];
	char head[8] = "";

	if (!d->from->take || d->from->n != 1 ||
	    pread(fd, head, sizeof(head), 0) != sizeof(head))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(packed); i++)
		if (!memcmp(head, packed[i], strlen(packed[i])))
			return false;
	return linkat(fd, "", d->w->fd, DISK, AT_EMPTY_PATH) == 0;
}

static int expand(struct disk *d, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");
	AUTO_SANDBOX struct sandbox *box = sandbox_new(0, err);
	AUTO_JSON struct json_object *said = NULL;
	AUTO_PROC struct proc p;
	AUTO_FD int fd = open_disk(d, O_WRONLY | O_CREAT | O_EXCL, err);

	proc_init(&p);
	if (!box || fd < 0)
		return -1;
	strv_add(&p.argv, helper);
	strv_add(&p.argv, "expand");
	strv_addf(&p.argv, "%d", fd);
	strv_addf(&p.argv, "%llu", (unsigned long long)d->from->max_bytes);
	p.keep[p.n_keep++] = fd;
	p.keep[p.n_keep++] = d->w->fd;
	if (helper_run(&p, box, EXPAND_MEMORY, d->from->fds, d->from->n, &said,
		err) < 0)
		return -1;
	return helper_digest(said, d->digest, &d->size, err);
}

/* qemu-img VERB, on the disk; 0 or more: its exit status. */
static int qemu_img(const struct disk *d, const char *verb, const char *json,
    struct buf *out, struct err *err)
{
	AUTO_FREE char *path = proc_find("qemu-img");
	AUTO_SANDBOX struct sandbox *box = sandbox_new(0, err);
	AUTO_PROC struct proc p;

	proc_init(&p);
	if (!path)
		return err_set(err, ERR_UNSUPPORTED,
		    "qemu-img: not found: install qemu-utils");
	if (!box ||
	    sandbox_allow(box, path, CONFINE_READ | CONFINE_EXEC, err) < 0 ||
	    sandbox_allow_fd(box, d->fd, CONFINE_READ, DISK, err) < 0)
		return -1;
	sandbox_drop(box);
	sandbox_limit(box, RLIMIT_DATA, QEMU_MEMORY);
	sandbox_limit(box, RLIMIT_CPU, QEMU_SECONDS);
	sandbox_limit(box, RLIMIT_FSIZE, 0);
	strv_add(&p.argv, path);
	strv_add(&p.argv, verb);
	strv_add(&p.argv, "-f");
	strv_add(&p.argv, d->base.format);
	if (json)
		strv_add(&p.argv, json);
	strv_addf(&p.argv, "/proc/self/fd/%d", d->fd);
	p.keep[p.n_keep++] = d->fd;
	p.clean_env = true;
	sandbox_use(box, &p);
	return proc_run(&p, NULL, 0, out, 65536, QEMU_SECONDS * 1000, err);
}

static int check_qcow2(
    struct disk *d, const char *head, size_t len, struct err *err)
{
	AUTO_JSON struct json_object *info = NULL;
	AUTO_BUF struct buf text = {0};
	struct qcow2 q;

	if (qcow2_check(head, len, d->size, &q, err) < 0)
		return -1;
	d->base.format = "qcow2";
	d->base.virtual_size = q.virtual_size;
	if (qemu_img(d, "info", "--output=json", &text, err) < 0)
		return err_wrap(err, "qcow2");
	info = jval_parse(text.data ? text.data : "", text.len, err);
	if (!info)
		return err_wrap(err, "qemu-img info");
	if (jval_get(info, "backing-filename") ||
	    (uint64_t)jval_int(info, "virtual-size", 0) != q.virtual_size)
		return err_set(err, ERR_INPUT,
		    "qcow2: its header says one thing, qemu-img another");
	text.len = 0;
	/* Leaks (3) are only space. */
	if (qemu_img(d, "check", "--output=json", &text, err) < 0) {
		AUTO_JSON struct json_object *said = jval_parse(
		    text.data ? text.data : "", text.len, &(struct err){0});

		if (!said || jval_int(said, "corruptions", 0) ||
		    jval_int(said, "check-errors", 1))
			return err_wrap(err, "qcow2: damaged");
	}
	return 0;
}

/* What people take for a disk, and is none or another kind. */
static const char *not_a_disk(const char *head, size_t len)
{
	static const struct {
		const char *magic, *what;
	} kinds[] = {{"KDMV", "a VMDK"}, {"# Disk Desc", "a VMDK"},
	    {"vhdxfile", "a VHDX"}, {"conectix", "a VHD"},
	    {"<<< Oracle VM", "a VDI"}, {"BZh", "compressed by bzip2"},
	    {"PK\x03\x04", "a zip archive"}, {"7z\xbc\xaf", "a 7z archive"},
	    {"<!", "a web page"}, {"<h", "a web page"}, {"<?", "an XML file"}};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (len >= strlen(kinds[i].magic) &&
		    !memcmp(head, kinds[i].magic, strlen(kinds[i].magic)))
			return kinds[i].what;
	return NULL;
}

static int check_raw(
    struct disk *d, const char *head, size_t len, struct err *err)
{
	const char *what = not_a_disk(head, len);

	if (what)
		return err_set(err, ERR_UNSUPPORTED,
		    "the file is %s: want a qcow2 or a raw disk", what);
	if (len < 4608 || (memcmp(head + 510, "\x55\xaa", 2) &&
			      memcmp(head + 512, "EFI PART", 8) &&
			      memcmp(head + 4096, "EFI PART", 8)))
		return err_set(err, ERR_INPUT,
		    "the file is no disk: neither a qcow2 nor a partition "
		    "table in it");
	if (d->size % 512)
		return err_set(err, ERR_INPUT,
		    "the disk is no multiple of 512 bytes: truncated?");
	d->base.format = "raw";
	d->base.virtual_size = d->size;
	return 0;
}

static int check_disk(struct disk *d, struct err *err)
{
	AUTO_FREE char *head = xmalloc(QCOW2_HEAD);
	size_t len = 0;
	ssize_t n;

	while ((n = pread(d->fd, head + len, QCOW2_HEAD - len, (off_t)len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return err_sys(err, errno, "%s: read", DISK);
	return qcow2_magic(head, len) ? check_qcow2(d, head, len, err)
				      : check_raw(d, head, len, err);
}

/* The disk in work/disk, whole, 0444, with its digest. */
static int fetch(struct disk *d, struct err *err)
{
	bool taken = take(d);

	if (!taken && expand(d, err) < 0)
		return -1;
	d->fd = open_disk(d, O_RDONLY, err);
	if (d->fd < 0)
		return -1;
	if (taken && digest_of_fd(d->fd, d->digest, &d->size, err) < 0)
		return -1;
	if (d->size > d->from->max_bytes)
		return err_set(err, ERR_INPUT,
		    "refused: more than %llu bytes; --max-size allows more",
		    (unsigned long long)d->from->max_bytes);
	if (fchmod(d->fd, 0444) < 0)
		return err_sys(err, errno, "%s: set its mode", DISK);
	return tool_check(err);
}

/* One that is there is shared by VMs: it stays, if it is whole. */
static int publish(struct disk *d, struct err *err)
{
	AUTO_FREE char *name = blob_name(d->digest, d->base.format);
	struct err ignored;

	if (blob_size(d->w->store.blob_fd, name, &ignored) == (int64_t)d->size)
		return 0;
	if (renameat(d->w->fd, DISK, d->w->store.blob_fd, name) < 0)
		return err_sys(err, errno, "image/blob/%s: rename", name);
	return fsync(d->w->store.blob_fd) < 0
		   ? err_sys(err, errno, "image/blob: fsync")
		   : 0;
}

static int commit(
    struct disk *d, const char *name, struct buf *out, struct err *err)
{
	const struct doc_image doc = {.name = name,
	    .digest = d->digest,
	    .type = "cloudimg",
	    .disk = d->base,
	    .size = d->size,
	    .created_at = (uint64_t)wall_ms()};
	AUTO_FD int lock = -1;
	char size[32];

	if (fsync(d->fd) < 0)
		return err_sys(err, errno, "%s: fsync", DISK);
	lock = work_lock(d->w, err);
	if (lock < 0 || tool_check(err) < 0 || publish(d, err) < 0 ||
	    ref_write(&d->w->store, &doc, err) < 0)
		return -1;
	format_size_si(d->base.virtual_size, size);
	buf_addf(out, "%s: %s %s %s disk of %s\n", d->w->did, name, d->digest,
	    d->base.format, size);
	return 0;
}

int cloud_import(struct work *w, const char *name, const struct cloud *from,
    struct buf *out, struct err *err)
{
	struct disk d = {.w = w, .from = from, .fd = -1};
	int r = fetch(&d, err);

	if (r == 0)
		r = check_disk(&d, err);
	d.base.digest = d.digest;
	d.base.size = d.size;
	if (r == 0)
		r = commit(&d, name, out, err);
	close_fd(&d.fd);
	return r;
}
