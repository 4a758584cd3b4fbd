/* SPDX-License-Identifier: MIT */
/*
 * Networks by CNI plugins (Container Network Interface, specification 0.3.0 to
 * 1.1.0): configurations are found by name, plugins are run in a chain, what
 * was asked and what was answered is kept in the record for CHECK and DEL.
 */
#ifndef COCOON_CNI_H
#define COCOON_CNI_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct json_object;
struct nl;

/* cni_conf.c: the files of COCOON_CNI_CONF_DIR, else /etc/cni/net.d. */
struct cni_file {
	char *file, *name;        /* name: NULL if the file is bad */
	struct json_object *conf; /* as a list: cniVersion, name, plugins */
	struct err err;           /* why it is bad, or cannot be used here */
	bool loopback;            /* nothing else in it */
};
struct cni_files {
	struct cni_file *v; /* by file name */
	size_t n, usable;
};
const char *cni_conf_dir(void);
int cni_load(struct cni_files *f, struct err *err);
void cni_release(struct cni_files *f);
#define AUTO_CNI CLEANUP(cni_release)
/* The network of this name; NULL: the first one by file name. NULL: none. */
const struct cni_file *cni_find(const struct cni_files *f, const char *name);
/* "1.0.0" as 10000, 0.4.1 as 401; -1 if it is no version. */
int cni_version(const char *text);

/* cni_exec.c: a plugin, or all of a list. */
struct cni_call {
	const struct json_object *conf, *runtime;
	const char *path; /* where plugins are, by colons */
	const char *id, *netns, *ifname, *args;
	const struct json_object *ask; /* addresses to ask for, or NULL */
	bool partial;                  /* ADD failed: only `started` ones ran */
	size_t started;
};
const char *cni_bin_path(void);
/* The plugin's file; NULL. */
char *cni_plugin(const char *path, const char *type);
/* *result is the last plugin's. -1: DEL removes what *started ones did. */
int cni_add(const struct cni_call *c, struct json_object **result,
    size_t *started, struct err *err);
/* All plugins from the last, also after a failure; the first is told. */
int cni_del(const struct cni_call *c, const struct json_object *result,
    struct err *err);
/* Calls fn with each plugin that is not content. */
void cni_check(const struct cni_call *c, const struct json_object *result,
    void (*fn)(const char *type, const struct err *err, void *arg), void *arg);
/* STATUS and GC; nothing where the list's version knows neither. */
int cni_status(const struct cni_call *c, struct err *err);
int cni_gc(
    const struct cni_call *c, struct json_object *attachments, struct err *err);

/* cni_result.c: what plugins answer. */
int cni_result_check(const struct json_object *result, struct err *err);
/* In the words of the list's version, for the next plugin. */
void cni_result_convert(struct json_object *result, const char *version);
/* Sets addresses, gateways, routes, dns of a NIC (JSON); inside: where the
 * plugins have made the device `index`. */
int cni_result_nic(const struct json_object *result, const char *ifname,
    struct nl *inside, int index, struct json_object *nic, struct err *err);

#endif
