/* SPDX-License-Identifier: MIT */
/*
 * Whatever comes from the document ends up in a command line, in YAML and in
 * lines that a shell script reads inside the guest: nothing but the charset
 * that each value needs gets there.
 */
#include <string.h>

#include "hint.h"
#include "ip.h"
#include "text.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool word(const char *s, const char *set, size_t min, size_t max)
{
	size_t n = strspn(s, set);

	return !s[n] && n >= min && n <= max;
}

bool valid_user(const char *s)
{
	return word(s, LOWER DIGITS "_-", 1, 32) && !strchr(DIGITS "-", *s);
}

bool valid_key_line(const char *s)
{
	static const char *const types[] = {"ssh-", "ecdsa-", "sk-"};
	size_t type = strcspn(s, " ");

	if (!text_is_line(s) || !s[type] ||
	    strspn(s + type + 1, LOWER UPPER DIGITS "+/=") < 16)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strncmp(s, types[i], strlen(types[i])))
			return true;
	return false;
}

const struct jstrs *nic_dns(const struct hint *h, const struct doc_nic *nic)
{
	static const struct jstrs none;

	if (nic->dns.n)
		return &nic->dns;
	return nic->addresses.n ? &h->spec.dns : &none;
}

static int bad(
    struct err *err, const char *path, const char *value, const char *want)
{
	return err_set(
	    err, ERR_INPUT, "%s: \"%.60s\" is not %s", path, value, want);
}

static int check_ips(
    const struct jstrs *l, bool cidr, const char *path, struct err *err)
{
	struct ip ip;

	for (size_t i = 0; i < l->n; i++) {
		AUTO_FREE char *at = xasprintf("%s[%zu]", path, i);

		if (cidr && ip_parse_cidr(l->v[i], &ip) < 0)
			return bad(err, at, l->v[i],
			    "an address with its prefix, as 10.0.0.2/24");
		if (!cidr && ip_parse(l->v[i], &ip) < 0)
			return bad(err, at, l->v[i], "an address");
	}
	return 0;
}

static bool valid_mac(const char *s)
{
	if (strlen(s) != 17)
		return false;
	for (int i = 0; i < 17; i++)
		if (i % 3 == 2 ? s[i] != ':'
			       : !strchr(DIGITS "abcdefABCDEF", s[i]))
			return false;
	return true;
}

static int check_routes(
    const struct doc_nic *nic, const char *path, struct err *err)
{
	const struct doc_route *r = nic->routes.v;
	struct ip dst, via;

	for (size_t i = 0; i < nic->routes.n; i++) {
		AUTO_FREE char *at = xasprintf("%s.routes[%zu]", path, i);

		if (ip_parse_cidr(r[i].dst, &dst) < 0)
			return bad(err, at, r[i].dst, "a CIDR destination");
		if (r[i].metric > UINT32_MAX || r[i].mtu > 65535)
			return err_set(err, ERR_INPUT,
			    "%s: metric or mtu is out of range", at);
		if (!r[i].via)
			continue;
		if (ip_parse(r[i].via, &via) < 0 || via.family != dst.family)
			return bad(err, at, r[i].via,
			    "a gateway of the destination's family");
	}
	return 0;
}

static int check_nic(
    const struct doc_nic *nic, const char *path, struct err *err)
{
	AUTO_FREE char *addresses = xasprintf("%s.addresses", path);
	AUTO_FREE char *gateways = xasprintf("%s.gateways", path);
	AUTO_FREE char *dns = xasprintf("%s.dns", path);
	AUTO_FREE char *search = xasprintf("%s.search", path);

	if (!valid_mac(nic->mac))
		return bad(err, path, nic->mac, "a MAC address");
	if (nic->mtu && (nic->mtu < 68 || nic->mtu > 65535))
		return err_set(
		    err, ERR_INPUT, "%s.mtu: out of range 68..65535", path);
	for (size_t i = 0; i < nic->search.n; i++)
		if (!word(nic->search.v[i], LOWER UPPER DIGITS "._-", 1, 253))
			return bad(err, search, nic->search.v[i], "a domain");
	for (size_t i = 0; i < nic->options.n; i++)
		if (!word(nic->options.v[i], LOWER UPPER DIGITS "._:-", 1, 64))
			return bad(err, path, nic->options.v[i],
			    "an option of the resolver");
	if (check_ips(&nic->addresses, true, addresses, err) < 0 ||
	    check_ips(&nic->gateways, false, gateways, err) < 0 ||
	    check_ips(&nic->dns, false, dns, err) < 0)
		return -1;
	return check_routes(nic, path, err);
}

static int check_disk(
    const struct doc_disk *d, const char *path, struct err *err)
{
	if (d->serial && !word(d->serial, LOWER UPPER DIGITS "._-", 1, 20))
		return bad(
		    err, path, d->serial, "a serial of at most 20 characters");
	if (d->fstype && !word(d->fstype, LOWER DIGITS, 1, 16))
		return bad(err, path, d->fstype, "a file system type");
	if (d->mount && (d->mount[0] != '/' || !text_is_line(d->mount)))
		return bad(err, path, d->mount, "an absolute path");
	return 0;
}

int hint_check_login(const struct doc_boot *b, struct err *err)
{
	const char *hash = b->password_hash;

	if (!valid_user(b->user))
		return bad(err, ".boot.user", b->user, "a user name");
	if ((hash && !strcmp(hash, "***")) ||
	    (b->user_data && !strcmp(b->user_data, "***")))
		return err_set(err, ERR_INPUT,
		    ".boot: redacted: `cocoon-hv get` gives all of it");
	if (hash &&
	    !word(hash, LOWER UPPER DIGITS "$./,=*_+-", 1, CRYPT_OUTPUT_SIZE))
		return err_set(err, ERR_INPUT,
		    ".boot.password_hash: not what crypt(3) makes");
	for (size_t i = 0; i < b->keys.n; i++)
		if (!valid_key_line(b->keys.v[i]))
			return err_set(err, ERR_INPUT,
			    ".boot.keys[%zu]: not a public key line", i);
	return 0;
}

/* What a clone believes of its NICs. */
static int check_guest(const struct hint *h, struct err *err)
{
	const struct doc_guest *g = h->hv.guest.v;

	if (g && h->hv.guest.n != h->net.nics.n)
		return err_set(err, ERR_INPUT,
		    ".hv.guest: has %zu NICs, and .net %zu", h->hv.guest.n,
		    h->net.nics.n);
	for (size_t i = 0; i < h->hv.guest.n; i++) {
		if (!valid_mac(g[i].mac))
			return bad(
			    err, ".hv.guest[].mac", g[i].mac, "a MAC address");
		for (size_t k = 0; k < g[i].since.n; k++)
			if (!valid_mac(g[i].since.v[k]))
				return bad(err, ".hv.guest[].since",
				    g[i].since.v[k], "a MAC address");
	}
	return 0;
}

int hint_check(struct hint *h, struct err *err)
{
	if (!valid_id(h->vm.id))
		return bad(err, ".vm.id", h->vm.id, "26 characters of A-Z2-7");
	if (!h->vm.name)
		return err_set(err, ERR_INPUT, ".vm.name: missing");
	if (!valid_name(h->vm.name))
		return bad(err, ".vm.name", h->vm.name, "a name");
	if (h->plan.console &&
	    !word(h->plan.console, LOWER UPPER DIGITS ",", 1, 32))
		return bad(err, ".plan.console", h->plan.console, "a console");
	for (size_t i = 0; i < h->plan.disks.n; i++) {
		AUTO_FREE char *at = xasprintf(".plan.disks[%zu]", i);

		if (check_disk(hint_disk(h, i), at, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < h->net.nics.n; i++) {
		AUTO_FREE char *at = xasprintf(".net.nics[%zu]", i);

		if (check_nic(hint_nic(h, i), at, err) < 0)
			return -1;
	}
	return check_ips(&h->spec.dns, false, ".spec.dns", err) < 0
		   ? -1
		   : check_guest(h, err);
}
