/* SPDX-License-Identifier: MIT */
/*
 * Credentials as `skopeo login` and `docker login` leave them: auth.json,
 * config.json, and programs that keep them (docker-credential-NAME). These
 * are the caller's files and programs; the helper never sees them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "proc.h"

#define FILE_CAP ((size_t)1 << 20)
#define HELPER_MS 60000
#define BASE64                                                 \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
	"0123456789+/="

void creds_release(struct creds *c)
{
	free_ptr(&c->basic);
	free_ptr(&c->user);
	free_ptr(&c->secret);
	free_ptr(&c->identity);
}

static void add_file(struct strv *l, const char *dir, const char *rest)
{
	if (dir && *dir)
		strv_addf(l, "%s%s", dir, rest);
}

/* In the order of containers-auth.json(5); the first with an answer holds. */
static void candidates(struct strv *l)
{
	add_file(l, getenv("REGISTRY_AUTH_FILE"), "");
	if (l->n)
		return;
	add_file(l, getenv("XDG_RUNTIME_DIR"), "/containers/auth.json");
	add_file(l, getenv("HOME"), "/.config/containers/auth.json");
	if (getenv("DOCKER_CONFIG"))
		add_file(l, getenv("DOCKER_CONFIG"), "/config.json");
	else
		add_file(l, getenv("HOME"), "/.docker/config.json");
}

/* docker.io has another name in these files. */
static const char *server(const char *host)
{
	return strcmp(host, "docker.io") ? host : "https://index.docker.io/v1/";
}

static int from_helper(
    const char *name, const char *host, struct creds *out, struct err *err)
{
	AUTO_PROC struct proc p;
	AUTO_BUF struct buf text = {0};
	AUTO_JSON struct json_object *v = NULL;
	const char *user, *secret;
	struct err e = {0};

	proc_init(&p);
	if (!*name || strlen(name) > 60 ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789_-.") != strlen(name))
		return err_set(
		    err, ERR_FAILED, "credential helper %.60s: bad name", name);
	strv_addf(&p.argv, "docker-credential-%s", name);
	strv_add(&p.argv, "get");
	/* It fails when it has none; then there are none. */
	if (proc_run(&p, server(host), strlen(server(host)), &text, 65536,
		HELPER_MS, &e) < 0) {
		if (strstr(e.msg, "exit status"))
			return 0;
		*err = e;
		return err_wrap(err, "credentials of %.80s", host);
	}
	v = jval_parse(text.data ? text.data : "", text.len, err);
	user = jval_str(v, "Username");
	secret = jval_str(v, "Secret");
	if (!v || !user || !secret)
		return err_set(err, ERR_FAILED,
		    "docker-credential-%s: no good answer", name);
	if (!strcmp(user, "<token>")) {
		out->identity = xstrdup(secret);
		return 1;
	}
	out->user = xstrdup(user);
	out->secret = xstrdup(secret);
	return 1;
}

static int from_entry(const struct json_object *e, struct creds *out)
{
	const char *basic = jval_str(e, "auth");
	const char *identity = jval_str(e, "identitytoken");
	const char *user = jval_str(e, "username");
	const char *secret = jval_str(e, "password");

	if (identity && *identity)
		out->identity = xstrdup(identity);
	else if (basic && *basic && strspn(basic, BASE64) == strlen(basic))
		out->basic = xstrdup(basic);
	else if (user && secret) {
		out->user = xstrdup(user);
		out->secret = xstrdup(secret);
	} else {
		return 0;
	}
	return 1;
}

/* "host/a/b", "host/a", "host", and what docker writes. */
static int from_auths(const struct json_object *auths, const char *host,
    const char *repo, struct creds *out)
{
	AUTO_FREE char *key = xasprintf("%s/%s", host, repo);
	AUTO_FREE char *url = xasprintf("https://%s", host);
	const char *const others[] = {server(host), url};
	char *slash;

	for (;;) {
		if (from_entry(jval_get(auths, key), out))
			return 1;
		slash = strrchr(key, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (from_entry(jval_get(auths, others[i]), out))
			return 1;
	return 0;
}

static int from_file(const char *path, const char *host, const char *repo,
    struct creds *out, struct err *err)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO_BUF struct buf text = {0};
	AUTO_JSON struct json_object *v = NULL;
	const char *helper;

	if (fd < 0)
		return 0;
	if (read_all(fd, &text, FILE_CAP, path, err) < 0)
		return -1;
	v = jval_parse(text.data ? text.data : "", text.len, err);
	if (!v)
		return err_wrap(err, "%.200s", path);
	helper = jval_str(jval_get(v, "credHelpers"), host);
	if (!helper)
		helper = jval_str(jval_get(v, "credHelpers"), server(host));
	if (helper)
		return from_helper(helper, host, out, err);
	if (from_auths(jval_get(v, "auths"), host, repo, out))
		return 1;
	helper = jval_str(v, "credsStore");
	return helper ? from_helper(helper, host, out, err) : 0;
}

int creds_find(
    const char *host, const char *repo, struct creds *out, struct err *err)
{
	AUTO_STRV struct strv files = {0};
	int r = 0;

	candidates(&files);
	for (size_t i = 0; r == 0 && i < files.n; i++)
		r = from_file(files.v[i], host, repo, out, err);
	return r < 0 ? -1 : 0;
}
