/* SPDX-License-Identifier: MIT */
#include "layer.h"

#include <archive.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "opt.h"

/* OpenSSL has a type of this name. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#undef ERR_STATE

#define CHUNK 65536
#define PARTS_MAX 128

struct stream {
	int fds[PARTS_MAX]; /* read after each other */
	size_t n, at;
	EVP_MD_CTX *sha;
	uint64_t bytes;
	unsigned char buf[CHUNK];
};

struct evp_md_ctx_st *sha_new(void)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();

	if (sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1)
		return sha;
	EVP_MD_CTX_free(sha);
	return NULL;
}

void sha_add(struct evp_md_ctx_st *sha, const void *data, size_t len)
{
	EVP_DigestUpdate(sha, data, len);
}

void sha_end(struct evp_md_ctx_st *sha, char digest[72])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	EVP_DigestFinal_ex(sha, md, &len);
	EVP_MD_CTX_free(sha);
	snprintf(digest, 72, "sha256:");
	for (unsigned int i = 0; i < 32; i++)
		snprintf(digest + 7 + (size_t)i * 2, 3, "%02x", md[i]);
}

struct stream *stream_new(int fd)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->fds[s->n++] = fd;
	s->sha = sha_new();
	if (!s->sha)
		free_ptr(&s);
	return s;
}

static int add(struct stream *s, int fd, struct err *err)
{
	if (s->n == PARTS_MAX)
		return err_set(err, ERR_USAGE, "too many parts");
	s->fds[s->n++] = fd;
	return 0;
}

struct stream *stream_open(int n, char **fds, struct err *err)
{
	struct stream *s = NULL;
	uint64_t fd;

	for (int i = 0; i < n; i++) {
		if (parse_u64(fds[i], &fd) < 0) {
			err_set(err, ERR_USAGE, "numbers are wanted");
			return NULL;
		}
		if (!s)
			s = stream_new((int)fd);
		else if (add(s, (int)fd, err) < 0)
			return NULL;
	}
	if (!n)
		s = stream_new(STDIN_FILENO);
	if (!s)
		err_set(err, ERR_FAILED, "sha256: cannot start");
	return s;
}

static ssize_t next(struct stream *s)
{
	ssize_t n;

	if (s->at == s->n)
		return 0;
	do
		n = read(s->fds[s->at], s->buf, sizeof(s->buf));
	while ((n < 0 && errno == EINTR) || (!n && ++s->at < s->n));
	if (n > 0) {
		EVP_DigestUpdate(s->sha, s->buf, (size_t)n);
		s->bytes += (uint64_t)n;
	}
	return n;
}

ssize_t stream_read(struct archive *a, void *stream, const void **data)
{
	struct stream *s = stream;
	ssize_t n = next(s);

	if (n < 0)
		archive_set_error(a, errno, "read the blob");
	*data = s->buf;
	return n;
}

int stream_end(
    struct stream *s, char digest[72], uint64_t *bytes, struct err *err)
{
	ssize_t n;

	while ((n = next(s)) > 0)
		;
	if (n < 0)
		return err_sys(err, errno, "read the blob");
	sha_end(s->sha, digest);
	*bytes = s->bytes;
	free_ptr(&s);
	return 0;
}
