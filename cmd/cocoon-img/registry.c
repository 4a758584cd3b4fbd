/* SPDX-License-Identifier: MIT */
/* References, and what is asked of a registry (OCI distribution 1.1). */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fetch.h"
#include "jtext.h"
#include "ref.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define TAG LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-"
#define TRIES_DOCUMENT 2
#define TRIES_LAYER 8

static const char *const accepted[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json"};

void registry_release(struct registry *r)
{
	free_ptr(&r->name);
	free_ptr(&r->host);
	free_ptr(&r->repo);
	free_ptr(&r->ref);
	free_ptr(&r->base);
	free_ptr(&r->token);
	creds_release(&r->creds);
}

static bool good_repo(const char *s)
{
	for (const char *at = s; at;
	     at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
		if (!*at || !strchr(LOWER, *at))
			return false;
	return *s && strlen(s) < 256 && strspn(s, LOWER "._-/") == strlen(s) &&
	       !strstr(s, "..");
}

/* Into host, repo and ref. */
static bool split(struct registry *r)
{
	const char *slash = strchr(r->name, '/'), *at, *colon;
	size_t len;

	if (!slash)
		return false;
	r->host = xstrndup(r->name, (size_t)(slash - r->name));
	at = strchr(slash, '@');
	len = at ? (size_t)(at - slash - 1) : strlen(slash + 1);
	colon = memchr(slash, ':', len + 1);
	r->repo =
	    xstrndup(slash + 1, colon ? (size_t)(colon - slash - 1) : len);
	if (at)
		r->ref = xstrdup(at + 1);
	else
		r->ref = xstrdup(colon ? colon + 1 : "latest");
	return *r->host && strspn(r->host, TAG ":[]") == strlen(r->host) &&
	       good_repo(r->repo) &&
	       (at ? valid_digest(r->ref)
		   : strspn(r->ref, TAG) == strlen(r->ref) && *r->ref &&
			   strlen(r->ref) <= 128 && !strchr(".-", *r->ref));
}

static bool is_loopback(const char *host)
{
	size_t len = strcspn(host, ":");
	unsigned int a, b, c, d;

	return (len == 9 && !strncasecmp(host, "localhost", 9)) ||
	       !strncmp(host, "[::1]", 5) ||
	       (strspn(host, "0123456789.:") == strlen(host) &&
		   sscanf(host, "%u.%u.%u.%u", &a, &b, &c, &d) == 4 &&
		   a == 127);
}

int registry_open(
    struct registry *r, const char *ref, bool insecure, struct err *err)
{
	*r = (struct registry){.insecure = insecure, .name = name_normal(ref)};
	if (!split(r))
		return err_set(err, ERR_USAGE,
		    "%.100s: not a reference of a registry; want "
		    "[HOST/]REPOSITORY[:TAG][@sha256:DIGEST]",
		    ref);
	r->base = xasprintf("https://%s",
	    strcmp(r->host, "docker.io") ? r->host : "registry-1.docker.io");
	return creds_find(r->host, r->repo, &r->creds, err);
}

static void set(struct json_object *o, const char *key, const char *v)
{
	if (v)
		jval_set_str(o, key, v);
}

struct json_object *registry_request(
    const struct registry *r, const char *kind, const char *ref)
{
	AUTO_FREE char *url =
	    xasprintf("%s/v2/%s/%s/%s", r->base, r->repo, kind, ref);
	AUTO_FREE char *scope = xasprintf("repository:%s:pull", r->repo);
	bool manifest = !strcmp(kind, "manifests");
	struct json_object *q = jval_object(), *accept = jval_array();

	for (size_t i = 0; manifest && i < ARRAY_LEN(accepted); i++)
		jval_push_str(accept, accepted[i]);
	jval_set_str(q, "url", url);
	jval_set(q, "accept", accept);
	jval_set_str(q, "scope", scope);
	jval_set_int(q, "max", (int64_t)JTEXT_MAX_SIZE);
	jval_set_int(q, "tries", TRIES_LAYER);
	jval_set_bool(q, "insecure", r->insecure);
	set(q, "digest", valid_digest(ref) ? ref : NULL);
	set(q, "basic", r->creds.basic);
	set(q, "user", r->creds.user);
	set(q, "secret", r->creds.secret);
	set(q, "identity", r->creds.identity);
	set(q, "token", r->token);
	return q;
}

void registry_learn(struct registry *r, const struct json_object *answer)
{
	const char *token = jval_str(answer, "token");

	if (!token)
		return;
	free_ptr(&r->token);
	r->token = xstrdup(token);
}

static int ask_root(
    struct registry *r, int fd, struct json_object **answer, struct err *err)
{
	AUTO_JSON struct json_object *q =
	    registry_request(r, "manifests", r->ref);

	jval_set_int(q, "tries", TRIES_DOCUMENT);
	return fetch_run(q, fd, -1, answer, err);
}

int registry_root(struct registry *r, int fd, char digest[72], uint64_t *size,
    struct err *err)
{
	AUTO_JSON struct json_object *answer = NULL;
	bool plain = r->insecure || is_loopback(r->host);
	struct err e = {0}, e2 = {0};
	const char *is;
	int got = ask_root(r, fd, &answer, &e);

	if (got < 0 && plain && e.code == ERR_FAILED && !tool_interrupted()) {
		free_ptr(&r->base);
		r->base = xasprintf("http://%s", r->host);
		if (ask_root(r, fd, &answer, &e2) == 0)
			got = 0;
		else if (e2.code == ERR_FAILED)
			err_wrap(&e, "HTTP: %.150s; HTTPS", e2.msg);
		else
			e = e2;
	}
	if (got < 0) {
		*err = e;
		return -1;
	}
	registry_learn(r, answer);
	is = jval_str(answer, "digest");
	*size = (uint64_t)jval_int(answer, "bytes", 0);
	if (!is || !valid_digest(is) || !*size)
		return err_set(err, ERR_INPUT, "manifest: nothing came");
	memcpy(digest, is, 72);
	return 0;
}
