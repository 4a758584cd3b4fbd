/* SPDX-License-Identifier: MIT */
/*
 * A body into a file: what is there already is hashed and not asked for
 * again, a connection that ends early is taken up where it ended, and nothing
 * goes beyond the size that is known or allowed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#undef ERR_STATE

#include "fetch.h"
#include "file.h"

#define WAIT_MAX_S 60
#define PROGRESS ((uint64_t)1 << 20)

struct body {
	struct sink sink;
	const struct request *q;
	EVP_MD_CTX *sha;
	uint64_t at;  /* bytes in the file and in the hash */
	bool foreign; /* some are of an earlier command */
};

static void start_hash(struct body *b)
{
	EVP_DigestInit_ex(b->sha, EVP_sha256(), NULL);
	b->at = 0;
	b->foreign = false;
}

static void start_again(struct body *b)
{
	(void)!ftruncate((int)b->q->fd, 0);
	lseek((int)b->q->fd, 0, SEEK_SET);
	start_hash(b);
}

static uint64_t limit(const struct request *q)
{
	return q->size ? q->size : q->max;
}

static int too_long(const struct request *q, struct err *err)
{
	return err_set(err, ERR_INPUT,
	    q->size ? "more than the %llu bytes that it should have"
		    : "more than %llu bytes; --max-size allows more",
	    (unsigned long long)limit(q));
}

static int body_begin(struct sink *s, long status, uint64_t from, int64_t total)
{
	struct body *b = (struct body *)s;

	if (status == 200 && b->at)
		start_again(b); /* it knows no ranges */
	if (status == 206 && from != b->at)
		return err_set(s->err, ERR_INPUT,
		    "the server sends another range than was asked for");
	if (total > 0 && ((uint64_t)total > limit(b->q) ||
			     (uint64_t)total + b->at > limit(b->q)))
		return too_long(b->q, s->err);
	return 0;
}

static int body_put(struct sink *s, const void *data, size_t len)
{
	struct body *b = (struct body *)s;

	if (len > limit(b->q) - b->at)
		return too_long(b->q, s->err);
	if (write_all((int)b->q->fd, data, len) < 0)
		return err_sys(s->err, errno, "write");
	EVP_DigestUpdate(b->sha, data, len);
	b->at += len;
	return 0;
}

/* Hashes what an earlier command left. */
static int take_up(struct body *b, struct err *err)
{
	char chunk[65536];
	ssize_t n;

	start_hash(b);
	while ((n = pread((int)b->q->fd, chunk, sizeof(chunk), (off_t)b->at)) !=
	       0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read what is there");
		EVP_DigestUpdate(b->sha, chunk, (size_t)n);
		b->at += (uint64_t)n;
	}
	b->foreign = b->at > 0;
	if (b->at > limit(b->q))
		start_again(b);
	lseek((int)b->q->fd, (off_t)b->at, SEEK_SET);
	return 0;
}

static void digest_text(struct body *b, char out[72])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len;

	EVP_DigestFinal_ex(b->sha, md, &len);
	snprintf(out, 72, "sha256:");
	for (size_t i = 0; i < 32; i++)
		snprintf(out + 7 + i * 2, 3, "%02x", md[i]);
}

static bool passing(const struct http *h, const struct body *b)
{
	switch (h->result) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return b->at > 0; /* it could be resolved a moment ago */
	case CURLE_COULDNT_CONNECT:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	case CURLE_OK:
		return h->status == 408 || h->status == 429 ||
		       (h->status >= 500 && h->status <= 504 &&
			   h->status != 501);
	default:
		return false;
	}
}

/* The error of a status that nobody wanted. */
static int refused(const struct http *h, struct err *err)
{
	enum err_code code = h->status == 404 ? ERR_NOTFOUND : ERR_FAILED;

	if (h->status == 403)
		code = ERR_UNSUPPORTED;
	return err_set(err, code, "%.80s: status %ld%s", h->host, h->status,
	    h->status == 404   ? ": not found"
	    : h->status == 403 ? ": denied"
	    : h->status == 429 ? ": too many requests"
			       : "");
}

struct tries {
	uint64_t left;
	uint64_t at; /* bytes when it was last set back */
	int64_t wait_ms;
};

/* Waits before the next try; -1: there is none. */
static int pause_before(
    struct tries *t, const struct http *h, const struct body *b)
{
	int64_t wait_ms = t->wait_ms;

	if (b->at >= t->at + PROGRESS) {
		t->at = b->at;
		t->left = b->q->tries;
		wait_ms = t->wait_ms = 100;
	}
	if (!t->left)
		return -1;
	t->left--;
	t->wait_ms = t->wait_ms * 2 > 5000 ? 5000 : t->wait_ms * 2;
	if (h->retry_after_s > WAIT_MAX_S)
		return -1;
	if (h->retry_after_s * 1000 > wait_ms)
		wait_ms = h->retry_after_s * 1000;
	sleep_ms((int)wait_ms);
	return 0;
}

/* What one exchange came to. */
enum step { STEP_DONE, STEP_AGAIN, STEP_FAILED };

struct session {
	struct http http;
	struct body body;
	struct tries tries;
	char *auth;
	int asked;     /* for credentials, since they last were good */
	int from_zero; /* started again because of what was there before */
	struct buf token;
	struct buf version; /* a strong ETag of the body so far */
};

static void keep_version(struct session *s)
{
	const struct buf *etag = &s->http.etag;

	if (!s->http.begun)
		return;
	s->version.len = 0;
	if (etag->len && etag->data[0] == '"')
		buf_add(&s->version, etag->data, etag->len);
}

static enum step try_again(struct session *s, struct err *err)
{
	if (s->http.retry_after_s > WAIT_MAX_S)
		err_wrap(err, "it asks to wait %lld s",
		    (long long)s->http.retry_after_s);
	return pause_before(&s->tries, &s->http, &s->body) < 0 ? STEP_FAILED
							       : STEP_AGAIN;
}

static enum step login(struct session *s, struct err *err)
{
	char *auth;

	if (s->asked++ > 1) {
		err_set(err, ERR_UNSUPPORTED,
		    "%.80s: denied: its own token is not good for it",
		    s->http.host);
		return STEP_FAILED;
	}
	auth = auth_answer(&s->http, &s->token, err);
	if (!auth)
		return STEP_FAILED;
	free_ptr(&s->auth);
	s->auth = auth;
	return STEP_AGAIN;
}

static enum step judge(struct session *s, struct got *out, struct err *err)
{
	const struct request *q = s->body.q;
	const struct http *h = &s->http;

	out->status = h->status;
	if (h->status == 304 && q->etag)
		return STEP_DONE;
	if (h->status == 401)
		return login(s, err);
	if (h->status == 416 && s->body.at && !s->from_zero++) {
		start_again(&s->body);
		return STEP_AGAIN;
	}
	if (h->status != 200 && h->status != 206) {
		refused(h, err);
		return passing(h, &s->body) ? try_again(s, err) : STEP_FAILED;
	}
	s->asked = 0;
	if (!q->size || s->body.at == q->size)
		return STEP_DONE;
	err_set(err, ERR_FAILED, "%.80s: ends after %llu of %llu bytes",
	    h->host, (unsigned long long)s->body.at,
	    (unsigned long long)q->size);
	return try_again(s, err);
}

static enum step once(struct session *s, struct got *out, struct err *err)
{
	char range[40];
	int r;
	struct exchange x = {.url = s->body.q->url,
	    .auth = s->auth,
	    .accept = true,
	    .sink = &s->body.sink};

	/* Without a digest, who says that it is still the same file? */
	if (s->body.at && !s->body.q->digest) {
		if (s->version.len)
			x.if_range = s->version.data;
		else
			start_again(&s->body);
	}
	if (s->body.at) {
		snprintf(range, sizeof(range), "%llu-",
		    (unsigned long long)s->body.at);
		x.range = range;
	} else {
		x.etag = s->body.q->etag;
	}
	r = http_do(&s->http, &x, err);
	keep_version(s);
	if (r == 0)
		return judge(s, out, err);
	if (s->http.result == CURLE_OK)
		return STEP_FAILED;
	if (s->http.result == CURLE_OPERATION_TIMEDOUT) {
		err->code = ERR_TIMEOUT;
		/* Who is slow stays slow: not for hours. */
		s->tries.left /= 2;
	}
	if (s->http.result == CURLE_COULDNT_RESOLVE_HOST)
		err->code = ERR_NOTFOUND;
	return passing(&s->http, &s->body) ? try_again(s, err) : STEP_FAILED;
}

/* 1: what an earlier command left was wrong: once more, all of it. */
static int check_digest(struct session *s, struct got *out, struct err *err)
{
	const struct request *q = s->body.q;
	bool foreign = s->body.foreign;

	out->bytes = s->body.at;
	digest_text(&s->body, out->digest);
	if (!q->digest || !strcmp(q->digest, out->digest))
		return 0;
	if (foreign && !s->from_zero++) {
		start_again(&s->body);
		return 1;
	}
	return err_set(err, ERR_INPUT, "wrong digest: %.19s came, %.19s wanted",
	    out->digest, q->digest);
}

static int run(struct session *s, struct got *out, struct err *err)
{
	const struct request *q = s->body.q;
	enum step step = STEP_AGAIN;
	int r;

	if (take_up(&s->body, err) < 0)
		return -1;
	do {
		step =
		    q->size && s->body.at == q->size ? STEP_DONE : STEP_AGAIN;
		while (step == STEP_AGAIN)
			step = once(s, out, err);
		if (step == STEP_FAILED)
			return -1;
		r = out->status == 304 ? 0 : check_digest(s, out, err);
	} while (r > 0);
	return r;
}

int get(const struct request *q, struct got *out, struct err *err)
{
	struct session s = {
	    .body = {.sink = {.put = body_put, .begin = body_begin}, .q = q},
	    .tries = {.left = q->tries, .wait_ms = 200},
	};
	struct err e = {0};
	int r;

	if (http_open(&s.http, q, err) < 0)
		return -1;
	s.body.sha = EVP_MD_CTX_new();
	s.auth = auth_first(q);
	r = run(&s, out, &e);
	if (r < 0)
		*err = e;
	if (r == 0 && s.http.etag.len)
		buf_add(&out->etag, s.http.etag.data, s.http.etag.len);
	if (r == 0 && s.http.type.len)
		buf_add(&out->type, s.http.type.data, s.http.type.len);
	if (r == 0 && s.token.len)
		buf_add(&out->token, s.token.data, s.token.len);
	EVP_MD_CTX_free(s.body.sha);
	free_ptr(&s.auth);
	buf_release(&s.token);
	buf_release(&s.version);
	http_close(&s.http);
	return r;
}
