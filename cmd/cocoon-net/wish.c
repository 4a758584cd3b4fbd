/* SPDX-License-Identifier: MIT */
#include "wish.h"

#include <stdio.h>
#include <string.h>

#include "ip.h"
#include "net.h"

/* More pairs than this gain nothing; a tap has at most 256. */
#define MAX_QUEUES 8

static int read_dns(
    const struct json_object *list, struct wish *w, struct err *err)
{
	for (size_t i = 0; i < jval_len(list); i++) {
		const char *s = jval_str_at(list, i);
		struct ip ip;

		if (i >= ARRAY_LEN(w->dns_v))
			return err_set(err, ERR_INPUT,
			    ".spec.dns: more than %zu servers",
			    ARRAY_LEN(w->dns_v));
		if (!s || ip_parse(s, &ip) < 0)
			return err_set(err, ERR_INPUT,
			    ".spec.dns[%zu]: expected an IP address", i);
		w->dns_v[i] = s;
		w->dns.n = i + 1;
	}
	w->dns.v = w->dns_v;
	return 0;
}

static int read_bridges(
    const struct json_object *list, struct wish *w, struct err *err)
{
	for (size_t i = 0; i < jval_len(list); i++) {
		struct doc_bridge *b = xcalloc(1, sizeof(*b));
		char where[48];

		snprintf(where, sizeof(where), "spec.bridges[%zu]", i);
		if (jbind(jval_at(list, i), &doc_bridge_table, where, b, err) <
		    0)
			return -1;
		if (b->nic >= w->nics || w->bridge[b->nic])
			return err_set(err, ERR_INPUT,
			    ".%s.nic: no NIC of this VM, or twice the same",
			    where);
		if (!valid_device(b->device))
			return err_set(err, ERR_INPUT,
			    ".%s.device: no device name", where);
		if (addresses_valid(&b->addresses, &b->gateways, where, err) <
		    0)
			return -1;
		w->bridge[b->nic] = b;
	}
	return 0;
}

/*
 * A pair of queues for each virtual CPU, where the hypervisor can: Firecracker
 * cannot, and of a document without a plan nobody knows.
 */
static uint64_t queues_of(const struct json_object *plan)
{
	const char *backend = jval_str(plan, "backend");
	int64_t cpu = jval_int(plan, "cpu", 1);

	if (!backend || (strcmp(backend, "qemu") && strcmp(backend, "ch")))
		return 1;
	return cpu < 1 ? 1 : cpu > MAX_QUEUES ? MAX_QUEUES : (uint64_t)cpu;
}

/* A guest that was frozen has as many as it had then. */
static void read_queues(const struct json_object *doc, struct wish *w)
{
	const struct json_object *guest =
	    jval_get(jval_get(doc, "snap"), "guest");
	uint64_t own = queues_of(jval_get(doc, "plan"));

	for (size_t i = 0; i < w->nics; i++) {
		int64_t n = i < jval_len(guest)
				? jval_int(jval_at(guest, i), "queues", 0)
				: 0;

		w->queues[i] = n < 1            ? own
			       : n > MAX_QUEUES ? MAX_QUEUES
						: (uint64_t)n;
	}
}

int wish_read(const struct json_object *doc, struct wish *w, struct err *err)
{
	const struct json_object *spec = jval_get(doc, "spec");
	int64_t nics = jval_int(spec, "nics", jval_get(spec, "nics") ? -1 : 1);

	*w = (struct wish){.id = doc_id(doc, err)};
	if (!w->id)
		return -1;
	if (nics < 0 || nics > NET_MAX_NICS)
		return err_set(err, ERR_INPUT,
		    ".spec.nics: expected a whole number of at most %d",
		    NET_MAX_NICS);
	w->nics = (size_t)nics;
	read_queues(doc, w);
	if (read_bridges(jval_get(spec, "bridges"), w, err) < 0)
		return -1;
	return read_dns(jval_get(spec, "dns"), w, err);
}

void wish_release(struct wish *w)
{
	cni_release(&w->files);
}
