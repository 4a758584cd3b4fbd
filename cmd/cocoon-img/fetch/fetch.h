/* SPDX-License-Identifier: MIT */
/*
 * The helper that speaks HTTP: one request as JSON on stdin, the body into
 * the file on descriptor 3, one JSON line as the answer. It is started without
 * privileges (sandbox.h of cocoon-img). It holds the credentials of one
 * registry, and shows them to that registry and its token server only.
 */
#ifndef COCOON_FETCH_H
#define COCOON_FETCH_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "jdoc.h"

struct request {
	const char *url;
	uint64_t ca_fd; /* certificates of authorities; 0: the system's */
	uint64_t fd;    /* the file */
	struct jstrs accept;
	const char *basic; /* user:secret in base64 */
	const char *user, *secret;
	const char *identity;    /* a refresh token */
	const char *token;       /* a bearer token of an earlier answer */
	const char *scope;       /* what a token is asked for */
	const char *digest;      /* of the whole body; absent: any */
	const char *etag;        /* 304 if it is still this one */
	uint64_t size;           /* of the whole body; 0: unknown */
	uint64_t max;            /* most bytes of it */
	uint64_t tries, stall_s; /* stall_s: time without progress */
	bool insecure;           /* plain HTTP, and any certificate */
};

/* ---- one exchange (http.c) ---- */
struct sink {
	/* -1: no more; err is set. */
	int (*put)(struct sink *s, const void *data, size_t len);
	/* Before the first byte of a 200 or a 206; total: -1 unknown. */
	int (*begin)(struct sink *s, long status, uint64_t from, int64_t total);
	struct err *err;
};
struct http {
	CURL *curl;
	const struct request *q;
	struct sink *sink;
	struct buf ca;
	bool begun;
	char error[CURL_ERROR_SIZE];
	/* what came */
	CURLcode result;
	bool first_host; /* answered by the host that was asked */
	long status;
	uint64_t from; /* Content-Range */
	size_t header_bytes, waste;
	int64_t retry_after_s;
	struct buf challenge, location, etag, type;
	char host[256];
};
int http_open(struct http *h, const struct request *q, struct err *err);
void http_close(struct http *h);
/*
 * GET (or POST of form) with redirects; auth goes to the first host only.
 * 0: look at h->status; -1: h->result tells, or the sink or a rule said no
 * (CURLE_OK) and err is set.
 */
struct exchange {
	const char *url, *auth, *form, *range, *etag, *if_range;
	bool accept;
	struct sink *sink;
};
int http_do(struct http *h, const struct exchange *x, struct err *err);

/* ---- who we are (auth.c) ---- */
/* What to send at first: a known token. "" or NULL: nothing. */
char *auth_first(const struct request *q);
/* After a 401: "Bearer ..." or "Basic ...", a new string. The token alone is
 * kept in *token. */
char *auth_answer(struct http *h, struct buf *token, struct err *err);

/* ---- the file (get.c) ---- */
struct got {
	long status; /* 200 or 304 */
	uint64_t bytes;
	char digest[72];
	struct buf etag, type, token;
};
int get(const struct request *q, struct got *out, struct err *err);

#endif
