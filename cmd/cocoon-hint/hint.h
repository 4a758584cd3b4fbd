/* SPDX-License-Identifier: MIT */
/*
 * cocoon-hint: everything that a guest is told. A function from document to
 * document: it changes nothing on the host and takes no lock.
 */
#ifndef COCOON_HINT_H
#define COCOON_HINT_H

#include <crypt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "doc.h"
#include "err.h"
#include "tool.h"

#define LOGIN_MAX_KEYS 256
#define LOGIN_MAX_TEXT ((size_t)64 << 10)

/*
 * What the options say about logging in. Read once for the whole stream: a
 * descriptor cannot be read twice, and a hash costs milliseconds. Fixed
 * storage, since it lives in the verb's options, which nobody else frees.
 */
struct login {
	bool ready, warned;
	struct err failed;                /* what reading them came to */
	char hash[CRYPT_OUTPUT_SIZE];     /* "": no password was given */
	const char *keys[LOGIN_MAX_KEYS]; /* login.c has their text */
	size_t n_keys, used;
	char *user_data; /* of --user-data */
};

struct boot_opts {
	const char *user, *password, *password_file, *user_data_file;
	uint64_t password_fd;
	struct strv key_files;
	struct login login;
};

/* The document as bound, and what it comes to. */
struct hint {
	struct doc_vm vm;
	struct doc_spec spec;
	struct doc_image image;
	struct doc_plan plan;
	struct doc_net net;
	struct doc_hv hv;
	struct doc_boot boot; /* login of the answer; borrowed strings */
	char hostname[64];
	bool oci;
};

int boot_filter(struct call *call, struct json_object *doc, struct err *err);
int doctor_run(struct call *call, struct err *err);

/* login.c: reads and checks the options; then, once a document, puts user,
 * hash and keys into h->boot, which holds those of the document so far. */
int login_read(struct boot_opts *o, struct err *err);
void login_apply(const struct boot_opts *o, struct hint *h);

/* boot.c: .net, .boot and .hv need not be there. */
int hint_bind(const struct json_object *doc, struct hint *h, struct err *err);
void hint_hostname(struct hint *h);

/* check.c: every value that ends up in a text for the guest. ERR_INPUT. */
int hint_check(struct hint *h, struct err *err);
int hint_check_login(const struct doc_boot *b, struct err *err);
bool valid_user(const char *s);
/* A line of authorized_keys that begins with a key type. */
bool valid_key_line(const char *s);
/* The name servers that a NIC is to be told; a NIC by DHCP: its own only. */
const struct jstrs *nic_dns(const struct hint *h, const struct doc_nic *nic);

/* cmdline.c: ERR_UNSUPPORTED if the kernel would cut it. */
int cmdline_build(const struct hint *h, struct buf *out, struct err *err);
void disk_device(const struct hint *h, size_t i, struct buf *out);
/* The device as a path; appended. */
void disk_path(const struct hint *h, size_t i, struct buf *out);
bool disk_is_mounted(const struct doc_disk *d);

static inline const struct doc_disk *hint_disk(const struct hint *h, size_t i)
{
	return (const struct doc_disk *)h->plan.disks.v + i;
}

static inline const struct doc_nic *hint_nic(const struct hint *h, size_t i)
{
	return (const struct doc_nic *)h->net.nics.v + i;
}

#endif
