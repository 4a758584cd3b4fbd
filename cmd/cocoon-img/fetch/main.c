/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fetch.h"
#include "file.h"
#include "log.h"

#define REQUEST_MAX ((size_t)64 << 10)

#define F(m, k, fl)                                                  \
	{                                                            \
		.name = #m, .kind = (k),                             \
		.offset = offsetof(struct request, m), .flags = (fl) \
	}
static const struct jfield fields[] = {
    F(url, J_STR, J_REQUIRED),
    F(fd, J_U64, J_REQUIRED),
    F(ca_fd, J_U64, 0),
    F(accept, J_STRS, 0),
    F(basic, J_STR, 0),
    F(user, J_STR, 0),
    F(secret, J_STR, 0),
    F(identity, J_STR, 0),
    F(token, J_STR, 0),
    F(scope, J_STR, 0),
    F(digest, J_STR, 0),
    F(etag, J_STR, 0),
    F(size, J_U64, 0),
    F(max, J_U64, J_REQUIRED),
    F(tries, J_U64, 0),
    F(stall_s, J_U64, J_REQUIRED),
    F(insecure, J_BOOL, 0),
};
static const struct jtable request_table = JTABLE(struct request, fields);

static void set_printable(struct json_object *o, const char *key, struct buf *b)
{
	if (!b->len)
		return;
	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] < 0x20 || b->data[i] > 0x7e)
			return;
	jval_set_str(o, key, b->data);
}

static int answer(struct buf *out, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	AUTO_JSON struct json_object *in = NULL, *v = jval_object();
	struct request q;
	struct got got = {0};

	if (read_all(STDIN_FILENO, &text, REQUEST_MAX, "stdin", err) < 0)
		return -1;
	in = jval_parse(text.data ? text.data : "", text.len, err);
	if (!in || jbind(in, &request_table, "request", &q, err) < 0 ||
	    get(&q, &got, err) < 0)
		return -1;
	jval_set_int(v, "status", got.status);
	jval_set_int(v, "bytes", (int64_t)got.bytes);
	if (got.digest[0])
		jval_set_str(v, "digest", got.digest);
	set_printable(v, "etag", &got.etag);
	set_printable(v, "type", &got.type);
	set_printable(v, "token", &got.token);
	jval_print(v, out);
	buf_ch(out, '\n');
	buf_release(&got.etag);
	buf_release(&got.type);
	buf_release(&got.token);
	return 0;
}

int main(void)
{
	AUTO_BUF struct buf out = {0};
	struct err err = {0};
	char line[2200];
	int r;

#ifndef __SANITIZE_ADDRESS__
	/* Credentials are about to come: nobody of the same uid looks in. */
	prctl(PR_SET_DUMPABLE, 0);
#endif
	log_init("fetch");
	signal(SIGPIPE, SIG_IGN);
	r = answer(&out, &err);
	jdoc_free_bound();
	if (r == 0)
		return write_all(STDOUT_FILENO, out.data, out.len) < 0;
	/* Whatever bytes of a server are in it, the answer is JSON. */
	for (char *c = err.msg; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	out.len = 0;
	buf_add(&out, line, log_json_error(line, sizeof(line), NULL, &err));
	if (write_all(STDOUT_FILENO, out.data, out.len) < 0)
		log_error(NULL, &err);
	return (int)err.code;
}
