/* SPDX-License-Identifier: MIT */
/* The helper that speaks HTTP, and what pull does with it. fetch.c, creds.c,
 * registry.c, pull.c. */
#ifndef COCOON_IMG_FETCH_H
#define COCOON_IMG_FETCH_H

#include "import.h"

/* ---- a helper at work (fetch.c) ---- */
struct fetch {
	pid_t pid; /* 0: none */
	int out;
	struct buf text;
};
#define FETCH_NONE                                 \
	{                                          \
		.pid = 0, .out = -1, .text = { 0 } \
	}
/* Sends the request, which gets `fd` and a time for what stalls; keep_fd (or
 * -1) is inherited. */
int fetch_start(struct fetch *f, struct json_object *request, int fd,
    int keep_fd, struct err *err);
/* Reads what is there to read. 1: it has ended, *answer is the caller's; 0:
 * not yet; -1: it failed, in what way says err. */
int fetch_poll(struct fetch *f, struct json_object **answer, struct err *err);
void fetch_kill(struct fetch *f);
/* All of it, with signals looked at. */
int fetch_run(struct json_object *request, int fd, int keep_fd,
    struct json_object **answer, struct err *err);

/* ---- who we are to a registry (creds.c) ---- */
struct creds {
	char *basic, *user, *secret, *identity;
};
int creds_find(
    const char *host, const char *repo, struct creds *out, struct err *err);
void creds_release(struct creds *c);

/* ---- a registry (registry.c) ---- */
struct registry {
	char *name; /* normal form, as it will be in the store */
	char *host; /* "docker.io", "localhost:5000" */
	char *repo; /* "library/debian" */
	char *ref;  /* tag or digest */
	char *base; /* "https://registry-1.docker.io" */
	char *token;
	bool insecure;
	struct creds creds;
};
#define AUTO_REGISTRY CLEANUP(registry_release)
void registry_release(struct registry *r);
int registry_open(
    struct registry *r, const char *ref, bool insecure, struct err *err);
/* A request for a manifest (ref: tag or digest) or a blob. */
struct json_object *registry_request(
    const struct registry *r, const char *kind, const char *ref);
/* Keeps the token that came with an answer. */
void registry_learn(struct registry *r, const struct json_object *answer);
/* The manifest or index of r->ref into fd; its digest and size. Finds out
 * whether the registry speaks HTTPS. */
int registry_root(struct registry *r, int fd, char digest[72], uint64_t *size,
    struct err *err);

/* ---- pull (pull.c) ---- */
struct pull_opts {
	bool force, insecure;
	struct import_limits max;
	const char *sha256;
};
#define PULL_DEFAULTS                \
	{                            \
		.max = IMPORT_LIMITS \
	}
/* Says what it did in *out; the image's name in *name, the caller's. */
int pull_image(const struct pull_opts *o, const char *ref, struct buf *out,
    char **name, struct err *err);
/* The directory image/tmp/pull-HEX of that digest; waits for who has it. Goes
 * by the undo list. */
int pull_claim(struct work *w, const char *digest, struct err *err);

/* ---- a file of the web (pull_url.c) ---- */
bool is_url(const char *ref);
int pull_url(const struct pull_opts *o, const char *url, struct buf *out,
    struct err *err);

#endif
