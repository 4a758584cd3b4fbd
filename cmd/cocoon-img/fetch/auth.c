/* SPDX-License-Identifier: MIT */
/*
 * Challenges (RFC 9110, 11.6.1) and the token protocol of the distribution
 * specification. A challenge counts only if the registry itself gave it; the
 * scope that is asked for is ours, not what the challenge would like.
 */
#include <string.h>
#include <strings.h>

/* OpenSSL has a type of this name. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#undef ERR_STATE

#include "fetch.h"

#define TOKEN_MAX ((size_t)64 << 10)
#define TOKEN_CHARS                                                    \
	" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

/* The value of a parameter of a challenge, or NULL. */
static char *param(const char *at, const char *name)
{
	size_t len = strlen(name);
	struct buf out = {0};

	while (*at) {
		bool hit;

		at += strspn(at, " \t,");
		hit = !strncasecmp(at, name, len) && at[len] == '=';
		at += strcspn(at, "=, \t");
		if (*at != '=')
			continue;
		at++;
		if (*at != '"') {
			size_t n = strcspn(at, ", \t");

			if (hit)
				return xstrndup(at, n);
			at += n;
			continue;
		}
		buf_release(&out);
		buf_str(&out, "");
		for (at++; *at && *at != '"'; at++) {
			if (*at == '\\' && at[1])
				at++;
			buf_ch(&out, *at);
		}
		at += *at == '"';
		if (hit)
			return out.data;
	}
	buf_release(&out);
	return NULL;
}

/* Where the parameters of a scheme begin: at a word of that name, followed by
 * a blank or the end. */
static const char *scheme(const char *challenge, const char *name)
{
	size_t len = strlen(name);
	bool quoted = false;

	for (const char *at = challenge; at && *at; at++) {
		if (*at == '"')
			quoted = !quoted;
		if (!quoted && !strncasecmp(at, name, len) &&
		    (at == challenge || strchr(", ", at[-1])) &&
		    (at[len] == ' ' || at[len] == ',' || !at[len]))
			return at + len;
	}
	return NULL;
}

static char *basic(const struct request *q)
{
	AUTO_FREE char *plain = NULL;
	AUTO_FREE unsigned char *text = NULL;

	if (q->basic)
		return xasprintf("Basic %s", q->basic);
	if (!q->user || !q->secret)
		return NULL;
	plain = xasprintf("%s:%s", q->user, q->secret);
	text = xmalloc(strlen(plain) * 2 + 8);
	EVP_EncodeBlock(text, (unsigned char *)plain, (int)strlen(plain));
	return xasprintf("Basic %s", text);
}

char *auth_first(const struct request *q)
{
	return q->token ? xasprintf("Bearer %s", q->token) : NULL;
}

struct text_sink {
	struct sink sink;
	struct buf text;
};

static int text_put(struct sink *s, const void *data, size_t len)
{
	struct text_sink *t = (struct text_sink *)s;

	if (t->text.len + len > TOKEN_MAX)
		return err_set(s->err, ERR_INPUT, "token: too long an answer");
	buf_add(&t->text, data, len);
	return 0;
}

static int text_begin(struct sink *s, long status, uint64_t from, int64_t total)
{
	(void)s, (void)status, (void)from, (void)total;
	return 0;
}

static void add_query(struct buf *b, const char *name, const char *value)
{
	char *safe = value ? curl_easy_escape(NULL, value, 0) : NULL;

	if (safe)
		buf_addf(b, "%s%s=%s",
		    b->len && !strchr("?&", b->data[b->len - 1]) ? "&" : "",
		    name, safe);
	curl_free(safe);
}

static int parse_token(
    const struct buf *text, struct buf *token, struct err *err)
{
	AUTO_JSON struct json_object *v =
	    jval_parse(text->data ? text->data : "", text->len, err);
	const char *t;

	if (!v)
		return err_wrap(err, "token");
	t = jval_str(v, "token");
	if (!t)
		t = jval_str(v, "access_token");
	if (!t || !*t || strspn(t, TOKEN_CHARS) != strlen(t))
		return err_set(err, ERR_INPUT, "token: none in the answer");
	token->len = 0;
	buf_str(token, t);
	return 0;
}

static int denied(const struct http *h, struct err *err)
{
	const struct request *q = h->q;

	return err_set(err, ERR_UNSUPPORTED, "%.80s: denied (%ld): %s", h->host,
	    h->status,
	    q->basic || q->user || q->identity
		? "not there, or these credentials may not have it"
		: "not there, or a login is needed (skopeo login)");
}

static int ask_token(struct http *h, const char *realm, const char *service,
    struct buf *token, struct err *err)
{
	const struct request *q = h->q;
	AUTO_FREE char *auth = q->identity ? NULL : basic(q);
	AUTO_BUF struct buf url = {0}, form = {0};
	AUTO_BUF struct buf host = {0};
	struct text_sink t = {.sink = {.put = text_put, .begin = text_begin}};
	struct exchange x = {.sink = &t.sink, .auth = auth};
	struct buf *query = q->identity ? &form : &url;
	int r;

	buf_str(&url, realm);
	buf_str(&host, h->host);
	if (q->identity)
		buf_str(&form, "grant_type=refresh_token&client_id=cocoon");
	else
		buf_ch(&url, strchr(realm, '?') ? '&' : '?');
	add_query(query, "service", service);
	add_query(query, "scope", q->scope);
	add_query(&form, "refresh_token", q->identity);
	x.url = url.data;
	x.form = q->identity ? form.data : NULL;
	r = http_do(h, &x, err);
	if (r == 0 && (h->status == 401 || h->status == 403))
		r = denied(h, err);
	else if (r == 0 && h->status != 200)
		r = err_set(
		    err, ERR_FAILED, "%.80s: status %ld", h->host, h->status);
	if (r == 0)
		r = parse_token(&t.text, token, err);
	buf_release(&t.text);
	return r < 0 ? err_wrap(err, "token for %.80s", host.data) : 0;
}

char *auth_answer(struct http *h, struct buf *token, struct err *err)
{
	AUTO_FREE char *challenge =
	    xstrdup(h->challenge.len ? h->challenge.data : "");
	const char *bearer = scheme(challenge, "Bearer");
	AUTO_FREE char *realm = bearer ? param(bearer, "realm") : NULL;
	AUTO_FREE char *service = bearer ? param(bearer, "service") : NULL;
	char *plain;

	if (!h->first_host) {
		denied(h, err);
		return NULL;
	}
	if (realm) {
		if (ask_token(h, realm, service, token, err) < 0)
			return NULL;
		return xasprintf("Bearer %s", token->data);
	}
	plain = scheme(challenge, "Basic") ? basic(h->q) : NULL;
	if (!plain)
		denied(h, err);
	return plain;
}
