/* SPDX-License-Identifier: MIT */
/* One exchange: what a server may say, and where it may send us. */
#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"

#define REDIRECTS_MAX 5
#define HEADERS_MAX ((size_t)64 << 10)
#define CA_MAX ((size_t)8 << 20)
#define WASTE_MAX ((size_t)64 << 10)
#define CONNECT_S 15L

static void set_text(struct buf *b, const char *from, size_t len)
{
	b->len = 0;
	buf_add(b, from, len);
}

static bool header_is(
    const char *line, size_t len, const char *name, const char **v, size_t *n)
{
	size_t k = strlen(name);

	if (len <= k || line[k] != ':' || strncasecmp(line, name, k))
		return false;
	*v = line + k + 1;
	*n = len - k - 1;
	while (*n && strchr(" \t", **v))
		++*v, --*n;
	while (*n && strchr(" \t\r\n", (*v)[*n - 1]))
		--*n;
	return true;
}

static void take_range(struct http *h, const char *v, size_t n)
{
	char text[80];

	snprintf(text, sizeof(text), "%.*s", (int)(n < 79 ? n : 79), v);
	h->from = UINT64_MAX;
	if (!strncasecmp(text, "bytes ", 6) && strchr("0123456789", text[6]))
		h->from = strtoull(text + 6, NULL, 10);
}

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
	struct http *h = arg;
	const char *v;
	size_t n;

	(void)one;
	h->header_bytes += len;
	if (h->header_bytes > HEADERS_MAX)
		return 0;
	if (len > 5 && !strncmp(line, "HTTP/", 5)) {
		h->challenge.len = h->location.len = h->etag.len = 0;
		h->type.len = 0;
		h->from = 0;
	} else if (header_is(line, len, "www-authenticate", &v, &n)) {
		if (h->challenge.len)
			buf_str(&h->challenge, ", ");
		buf_add(&h->challenge, v, n);
	} else if (header_is(line, len, "location", &v, &n)) {
		set_text(&h->location, v, n);
	} else if (header_is(line, len, "etag", &v, &n)) {
		set_text(&h->etag, v, n);
	} else if (header_is(line, len, "content-type", &v, &n)) {
		set_text(&h->type, v, n);
	} else if (header_is(line, len, "content-range", &v, &n)) {
		take_range(h, v, n);
	}
	return len;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
	struct http *h = arg;
	curl_off_t left = -1;
	long status = 0;

	(void)one;
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	/* What an error looks like: a little is read to keep the connection. */
	if (status != 200 && status != 206)
		return (h->waste += len) > WASTE_MAX ? 0 : len;
	curl_easy_getinfo(h->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &left);
	if (!h->begun && h->sink->begin(h->sink, status, h->from, left) < 0)
		return 0;
	h->begun = true;
	return h->sink->put(h->sink, data, len) < 0 ? 0 : len;
}

/* In a file that only the caller could open, or the system's. */
static int read_ca(struct http *h, struct err *err)
{
	if (!h->q->ca_fd)
		return 0;
	return read_all((int)h->q->ca_fd, &h->ca, CA_MAX, "certificates", err);
}

static void set_ca(struct http *h)
{
	struct curl_blob blob = {
	    .data = h->ca.data, .len = h->ca.len, .flags = CURL_BLOB_NOCOPY};
	const char *dir = getenv("SSL_CERT_DIR");

	if (h->q->ca_fd)
		curl_easy_setopt(h->curl, CURLOPT_CAINFO_BLOB, &blob);
	if (dir && *dir)
		curl_easy_setopt(h->curl, CURLOPT_CAPATH, dir);
}

int http_open(struct http *h, const struct request *q, struct err *err)
{
	*h = (struct http){.q = q};
	if (curl_global_init(CURL_GLOBAL_DEFAULT) ||
	    !(h->curl = curl_easy_init()))
		return err_set(err, ERR_FAILED, "libcurl: cannot start");
	return read_ca(h, err);
}

void http_close(struct http *h)
{
	curl_easy_cleanup(h->curl);
	buf_release(&h->challenge);
	buf_release(&h->location);
	buf_release(&h->etag);
	buf_release(&h->type);
	buf_release(&h->ca);
}

static void set_up(struct http *h, const struct exchange *x)
{
	const struct request *q = h->q;
	CURL *c = h->curl;

	curl_easy_reset(c); /* connections stay */
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "cocoon");
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1024L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)q->stall_s);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	if (x->form)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, x->form);
	if (x->range)
		curl_easy_setopt(c, CURLOPT_RANGE, x->range);
	set_ca(h);
	if (q->insecure) {
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

static bool is_loopback(const char *host)
{
	size_t len = strlen(host);
	unsigned int a, b, c, d;
	char end;

	return !strcasecmp(host, "localhost") || !strcmp(host, "[::1]") ||
	       (len > 10 && !strcasecmp(host + len - 10, ".localhost")) ||
	       (sscanf(host, "%u.%u.%u.%u%c", &a, &b, &c, &d, &end) == 4 &&
		   a == 127);
}

/* A place that may be asked: its "scheme://host:port" in *origin. */
static int check_url(const struct http *h, CURLU *u, bool was_https,
    char origin[300], char host[256], struct err *err)
{
	char *scheme = NULL, *name = NULL, *port = NULL, *user = NULL;
	int r = 0;

	if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
	    curl_url_get(u, CURLUPART_HOST, &name, 0) ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ||
	    strlen(name) > 250)
		r = err_set(err, ERR_INPUT, "not a usable URL");
	else if (!curl_url_get(u, CURLUPART_USER, &user, 0))
		r = err_set(err, ERR_INPUT,
		    "%.80s: a URL with a user name in it is refused", name);
	else if (strcmp(scheme, "https") && strcmp(scheme, "http"))
		r = err_set(err, ERR_UNSUPPORTED, "%.80s: %.20s is refused",
		    name, scheme);
	else if (!strcmp(scheme, "http") && !h->q->insecure &&
		 (!is_loopback(name) || was_https))
		r = err_set(err, ERR_UNSUPPORTED,
		    "%.80s: plain HTTP is refused; --insecure allows it", name);
	if (r == 0) {
		snprintf(origin, 300, "%s://%s:%s", scheme, name, port);
		snprintf(host, 256, "%s", name);
	}
	curl_free(scheme);
	curl_free(name);
	curl_free(port);
	curl_free(user);
	return r;
}

static void add_header(struct curl_slist **l, const char *name, const char *v)
{
	AUTO_FREE char *text = xasprintf("%s: %s", name, v);

	*l = curl_slist_append(*l, text);
}

static int perform(
    struct http *h, const struct exchange *x, bool same, struct err *err)
{
	struct curl_slist *list = NULL;

	if (same && x->auth)
		add_header(&list, "Authorization", x->auth);
	if (x->etag)
		add_header(&list, "If-None-Match", x->etag);
	if (x->if_range)
		add_header(&list, "If-Range", x->if_range);
	for (size_t i = 0; x->accept && i < h->q->accept.n; i++)
		add_header(&list, "Accept", h->q->accept.v[i]);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, list);
	h->begun = false;
	h->header_bytes = h->waste = 0;
	h->error[0] = '\0';
	err->code = ERR_NONE;
	h->result = curl_easy_perform(h->curl);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(list);
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->status);
	h->retry_after_s = 0;
	curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &h->retry_after_s);
	if (h->result == CURLE_WRITE_ERROR && err->code != ERR_NONE) {
		h->result = CURLE_OK;
		return -1;
	}
	if (h->header_bytes > HEADERS_MAX) {
		h->result = CURLE_OK;
		return err_set(err, ERR_INPUT,
		    "%.80s: more than %zu bytes of headers", h->host,
		    HEADERS_MAX);
	}
	/* The body of an error, which on_body declines. */
	if (h->result == CURLE_WRITE_ERROR && h->status != 200 &&
	    h->status != 206)
		h->result = CURLE_OK;
	if (h->result)
		return err_set(err, ERR_FAILED, "%.80s: %.300s", h->host,
		    h->error[0] ? h->error : curl_easy_strerror(h->result));
	return 0;
}

static bool redirects(long status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

static int follow(
    struct http *h, const struct exchange *x, CURLU *u, struct err *err)
{
	char origin[300], first[300] = "";
	bool was_https = false, away = false;

	for (int i = 0;; i++) {
		if (check_url(h, u, was_https, origin, h->host, err) < 0)
			return -1;
		if (i == 0)
			memcpy(first, origin, sizeof(first));
		/* Once away from the first host, nobody sees credentials. */
		away |= strcmp(origin, first) != 0;
		was_https |= !strncmp(origin, "https", 5);
		h->first_host = !away;
		set_up(h, x);
		curl_easy_setopt(h->curl, CURLOPT_CURLU, u);
		if (perform(h, x, !away, err) < 0)
			return -1;
		if (!redirects(h->status) || !h->location.len || x->form)
			return 0;
		if (i == REDIRECTS_MAX)
			return err_set(err, ERR_INPUT,
			    "%.80s: more than %d redirects", h->host,
			    REDIRECTS_MAX);
		if (curl_url_set(u, CURLUPART_URL, h->location.data, 0))
			return err_set(err, ERR_INPUT,
			    "%.80s: a redirect to no URL", h->host);
	}
}

int http_do(struct http *h, const struct exchange *x, struct err *err)
{
	CURLU *u = curl_url();
	int r;

	h->sink = x->sink;
	h->sink->err = err;
	h->result = CURLE_OK;
	if (!u || curl_url_set(u, CURLUPART_URL, x->url, 0))
		r = err_set(err, ERR_INPUT, "%.100s: not a URL", x->url);
	else
		r = follow(h, x, u, err);
	curl_url_cleanup(u);
	return r;
}
