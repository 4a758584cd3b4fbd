/* SPDX-License-Identifier: MIT */
/* CNI's NICs of a VM: the record's member cni, by ifname. */
#ifndef COCOON_CNI_NIC_H
#define COCOON_CNI_NIC_H

#include <stdbool.h>

#include "buf.h"
#include "cni.h"
#include "err.h"

struct call;
struct doc_net;
struct net;

#define CNI_BACKEND "cni"
bool cni_has(const struct doc_net *net);
/* What add will do, before it does: the entry of one NIC. */
void cni_intend(struct json_object *cni, const char *ifname,
    const struct json_object *conf, const struct json_object *runtime);
/* A call for a NIC of the record. */
struct cni_call cni_call_of(const struct json_object *entry, const char *id,
    const char *netns, const char *ifname);
/* ADD of all, or of those of which nothing is there; sets what it learns in
 * *net (JSON) and in cni, also when it fails. */
struct cni_job {
	struct net *n;
	const char *id;
	struct json_object *cni, *net;
	int ns_fd;
	bool fresh; /* nothing can be there yet */
	bool again; /* a new device under an old record: ask for its address */
};
int cni_attach(struct cni_job *j, struct err *err);
/* DEL of all by the record, and the record without them. Without net_lock:
 * host-local may want the same. With force a plugin's failure is said only. */
int cni_detach(struct net *n, const char *id, bool force, struct err *err);
/* cni_check.c. Says what plugins miss, a line each; how many. */
int cni_check_nics(
    const struct json_object *record, const char *id, struct buf *out);
/* gc --cni NAME: tells the network's plugins what is valid. */
int cni_gc_network(
    struct net *n, const char *name, bool dry_run, struct err *err);
void cni_doctor(struct call *call);

#endif
