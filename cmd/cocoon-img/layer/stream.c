/* SPDX-License-Identifier: MIT */
#include "layer.h"

#include <archive.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* OpenSSL has a type of this name. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#undef ERR_STATE

#define CHUNK 65536

struct stream {
	int fd;
	EVP_MD_CTX *sha;
	uint64_t bytes;
	unsigned char buf[CHUNK];
};

struct stream *stream_new(int fd)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->fd = fd;
	s->sha = EVP_MD_CTX_new();
	if (!s->sha || EVP_DigestInit_ex(s->sha, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(s->sha);
		free_ptr(&s);
		return NULL;
	}
	return s;
}

static ssize_t next(struct stream *s)
{
	ssize_t n;

	do
		n = read(s->fd, s->buf, sizeof(s->buf));
	while (n < 0 && errno == EINTR);
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
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	ssize_t n;

	while ((n = next(s)) > 0)
		;
	if (n < 0)
		return err_sys(err, errno, "read the blob");
	EVP_DigestFinal_ex(s->sha, md, &len);
	EVP_MD_CTX_free(s->sha);
	snprintf(digest, 72, "sha256:");
	for (unsigned int i = 0; i < 32; i++)
		snprintf(digest + 7 + (size_t)i * 2, 3, "%02x", md[i]);
	*bytes = s->bytes;
	free_ptr(&s);
	return 0;
}
