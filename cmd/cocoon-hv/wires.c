/* SPDX-License-Identifier: MIT */
/*
 * What each NIC is on: --network, --bridge and --ip, in the order given. The
 * last one holds for further NICs, as the Go program's only one does.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "hv.h"
#include "ip.h"

#define MAX_NICS 16
#define MAX_DEVICE 15 /* IFNAMSIZ, less the NUL */

struct wires {
	struct doc_bridge *bridges;
	size_t n_bridges, n_networks, n;
	const char **networks;
};

/* "bridge=br0" -> "br0", if it is that */
static const char *value_of(const char *word, const char *tag)
{
	size_t len = strlen(tag);

	return strncmp(word, tag, len) ? NULL : word + len;
}

static int add_bridge(struct wires *w, const char *device, struct err *err)
{
	size_t len = strlen(device);

	if (!len || len > MAX_DEVICE || strcspn(device, "/ \t\n") != len ||
	    !strcmp(device, ".") || !strcmp(device, ".."))
		return err_set(err, ERR_USAGE,
		    "--bridge \"%.40s\": is no device name", device);
	w->bridges[w->n_bridges++] =
	    (struct doc_bridge){.nic = w->n++, .device = device};
	return 0;
}

static bool has_family(const struct jstrs *l, bool six)
{
	for (size_t i = 0; i < l->n; i++)
		if ((strchr(l->v[i], ':') != NULL) == six)
			return true;
	return false;
}

/* One item of --ip: with a slash it is an address, else a gateway. */
static int add_item(
    struct doc_bridge *b, const char *text, char *item, struct err *err)
{
	struct jstrs *list = strchr(item, '/') ? &b->addresses : &b->gateways;
	bool good = list == &b->addresses;
	struct ip ip;

	good = good ? ip_parse_cidr(item, &ip) == 0 && ip.prefix
		    : ip_parse(item, &ip) == 0;
	if (!good)
		return err_set(err, ERR_USAGE,
		    "--ip %.80s: \"%.50s\": want ADDRESS/PREFIX, and gateways "
		    "as ADDRESS",
		    text, item);
	if (list == &b->gateways && has_family(list, ip.family == AF_INET6))
		return err_set(
		    err, ERR_USAGE, "--ip %.80s: two gateways of a kind", text);
	list->v[list->n++] = item;
	return 0;
}

static int add_ip(struct wires *w, const char *text, struct err *err)
{
	struct doc_bridge *b =
	    w->n_bridges ? &w->bridges[w->n_bridges - 1] : NULL;
	char *copy = xstrdup(text), *save = NULL;
	size_t room = strlen(text) + 1;

	if (!b || b->nic + 1 != w->n || b->addresses.v)
		return err_set(err, ERR_USAGE,
		    "--ip %.80s: want it once, behind the --bridge whose NIC "
		    "has it",
		    text);
	b->addresses.v = xcalloc(room, sizeof(*b->addresses.v));
	b->gateways.v = xcalloc(room, sizeof(*b->gateways.v));
	for (char *item = strtok_r(copy, ",", &save); item;
	     item = strtok_r(NULL, ",", &save))
		if (add_item(b, text, item, err) < 0)
			return -1;
	for (size_t i = 0; i < b->gateways.n; i++)
		if (!has_family(&b->addresses, strchr(b->gateways.v[i], ':')))
			return err_set(err, ERR_USAGE,
			    "--ip %.80s: a gateway, and no address of its kind",
			    text);
	if (!b->addresses.n)
		return err_set(
		    err, ERR_USAGE, "--ip \"%.80s\": no address", text);
	return 0;
}

static int add_word(struct wires *w, const char *word, struct err *err)
{
	const char *ip = value_of(word, "ip=");
	const char *device = value_of(word, "bridge=");
	const char *network = value_of(word, "network=");

	if (ip)
		return add_ip(w, ip, err);
	/* An empty one is none, as in scripts that pass "$NETWORK" on. */
	if (!*(device ? device : network))
		return 0;
	if (w->n == MAX_NICS)
		return err_set(err, ERR_USAGE,
		    "--network and --bridge: more than %d NICs", MAX_NICS);
	if (device)
		return add_bridge(w, device, err);
	w->networks[w->n_networks++] = network;
	w->n++;
	return 0;
}

int wires_fill(const struct strv *words, uint64_t nics, struct doc_spec *s,
    struct err *err)
{
	struct wires w = {.bridges = xcalloc(MAX_NICS + 1, sizeof(*w.bridges)),
	    .networks = xcalloc(MAX_NICS + 1, sizeof(*w.networks))};

	for (size_t i = 0; i < words->n; i++)
		if (add_word(&w, words->v[i], err) < 0)
			return -1;
	/* NICs beyond what was given: the last one says. */
	while (w.n && w.n < nics && w.n_bridges &&
	       w.bridges[w.n_bridges - 1].nic + 1 == w.n)
		if (add_bridge(&w, w.bridges[w.n_bridges - 1].device, err) < 0)
			return -1;
	s->nics = w.n > nics ? w.n : nics;
	s->bridges.v = w.bridges;
	s->bridges.n = w.n_bridges;
	if (w.n_networks == 1) {
		s->network = w.networks[0];
		return 0;
	}
	s->networks.v = w.networks;
	s->networks.n = w.n_networks;
	return 0;
}
