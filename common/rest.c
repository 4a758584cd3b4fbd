/* SPDX-License-Identifier: MIT */
#include "rest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "file.h"
#include "jdoc.h"
#include "log.h"

#define MAX_HEAD ((size_t)8 << 10)
#define MAX_BODY ((size_t)4 << 20)
#define MAX_FDS 16
#define RETRY_MS 5

void rest_close(struct rest *r)
{
	close_fd(&r->fd);
	buf_release(&r->in);
}

int rest_connect(struct rest *r, int dirfd, const char *name, int timeout_ms,
    struct err *err)
{
	int64_t until = now_ms() + timeout_ms;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	AUTO_FD int node = -1, fd = -1;
	struct stat st;

	node = open_beneath(dirfd, name, O_PATH, 0, err);
	if (node < 0)
		return -1;
	if (fstat(node, &st) < 0 || !S_ISSOCK(st.st_mode))
		return err_set(err, ERR_FAILED, "%s: is no socket", name);
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", node);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "%s: socket", name);
	/* EAGAIN: its queue is full, and poll(2) cannot tell when not. */
	while (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(err, errno, "%s: connect", name);
		if (now_ms() >= until)
			return err_set(err, ERR_TIMEOUT,
			    "%s: nobody accepts connections", name);
		sleep_ms(RETRY_MS);
	}
	rest_close(r);
	r->fd = take_fd(&fd);
	return 0;
}

/* Waits for events on the socket; 0 when the time is over. */
static int await(int fd, short events, int64_t until)
{
	struct pollfd p = {fd, events, 0};
	int64_t left = until - now_ms();
	int n;

	if (left <= 0)
		return 0;
	n = poll(&p, 1, (int)left);
	return n < 0 && errno == EINTR ? 1 : n;
}

/* The descriptors go with the first byte. */
static ssize_t send_some(
    int fd, const char *data, size_t len, const int *fds, size_t n_fds)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * MAX_FDS)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec io = {(char *)(uintptr_t)data, len};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};

	if (n_fds) {
		struct cmsghdr *c = &control.align;

		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int send_request(
    struct rest *r, const struct rest_call *c, int64_t until, struct err *err)
{
	AUTO_BUF struct buf out = {0};
	size_t at = 0;

	buf_addf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n",
	    c->method, c->path);
	if (c->body)
		buf_addf(&out,
		    "Content-Type: application/json\r\n"
		    "Content-Length: %zu\r\n",
		    strlen(c->body));
	buf_str(&out, "\r\n");
	if (c->body)
		buf_str(&out, c->body);
	while (at < out.len) {
		ssize_t n = send_some(r->fd, out.data + at, out.len - at,
		    c->fds, at ? 0 : c->n_fds);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return err_sys(err, errno, "send");
		else if (!await(r->fd, POLLOUT, until))
			return err_set(err, ERR_TIMEOUT, "it does not read");
	}
	return 0;
}

/* More bytes into r->in. */
static int receive(struct rest *r, int64_t until, struct err *err)
{
	for (;;) {
		ssize_t n;

		buf_reserve(&r->in, 4096);
		n = recv(r->fd, r->in.data + r->in.len,
		    r->in.cap - r->in.len - 1, MSG_DONTWAIT);
		if (n > 0) {
			r->in.len += (size_t)n;
			r->in.data[r->in.len] = '\0';
			return 0;
		}
		if (n == 0)
			return err_set(
			    err, ERR_FAILED, "it closed the connection");
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(err, errno, "receive");
		if (!await(r->fd, POLLIN, until))
			return err_set(err, ERR_TIMEOUT, "no answer");
	}
}

struct head {
	int status;
	size_t size;   /* of the head itself, with its empty line */
	size_t length; /* of the body */
	bool has_length;
};

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_FAILED, "its answer is no HTTP: %s", what);
}

static int header_line(
    struct head *h, const char *line, size_t len, struct err *err)
{
	const char *colon = memchr(line, ':', len);
	char text[24];
	uint64_t value;
	size_t n;

	if (!colon || colon == line)
		return bad(err, "a header without a name");
	n = (size_t)(colon - line);
	if (n == 17 && !strncasecmp(line, "Transfer-Encoding", n))
		return bad(err, "Transfer-Encoding");
	if (n != 14 || strncasecmp(line, "Content-Length", n) != 0)
		return 0;
	colon += 1 + strspn(colon + 1, " \t");
	n = strcspn(colon, "\r");
	while (n && (colon[n - 1] == ' ' || colon[n - 1] == '\t'))
		n--;
	if (n == 0 || n >= sizeof(text) || strspn(colon, "0123456789") < n)
		return bad(err, "Content-Length");
	snprintf(text, sizeof(text), "%.*s", (int)n, colon);
	value = strtoull(text, NULL, 10);
	if (value > MAX_BODY)
		return err_set(err, ERR_FAILED, "an answer of %s bytes", text);
	if (h->has_length && h->length != value)
		return bad(err, "two lengths");
	h->length = (size_t)value;
	h->has_length = true;
	return 0;
}

/* 1: the head is complete and in *h; 0: more bytes are wanted. */
static int read_head(const struct buf *in, struct head *h, struct err *err)
{
	const char *end =
	    in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
	const char *p;

	*h = (struct head){0};
	if (!end)
		return in->len > MAX_HEAD ? bad(err, "an endless head") : 0;
	h->size = (size_t)(end - in->data) + 4;
	if (h->size > MAX_HEAD || memchr(in->data, '\0', h->size))
		return bad(err, "its head");
	if (strncmp(in->data, "HTTP/1.", 7) ||
	    strspn(in->data + 9, "0123456789") != 3 || in->data[8] != ' ' ||
	    (in->data[12] != ' ' && in->data[12] != '\r'))
		return bad(err, "its status line");
	h->status = atoi(in->data + 9);
	for (p = strstr(in->data, "\r\n") + 2; p < end;) {
		const char *nl = strstr(p, "\r\n");

		if (header_line(h, p, (size_t)(nl - p), err) < 0)
			return -1;
		p = nl + 2;
	}
	if (!h->has_length && h->status != 204 && h->status >= 200)
		return bad(err, "no length");
	return 1;
}

/* The whole answer is in r->in. */
static int receive_answer(
    struct rest *r, struct head *h, int64_t until, struct err *err)
{
	for (;;) {
		int n = read_head(&r->in, h, err);

		if (n < 0)
			return -1;
		if (n > 0 && h->status < 200) {
			/* "100 ": go on. We never asked for it. */
			buf_consume(&r->in, h->size);
			continue;
		}
		if (n > 0 && r->in.len >= h->size + h->length)
			return 0;
		if (receive(r, until, err) < 0)
			return -1;
	}
}

static int add_cause(const char *text, struct buf *out)
{
	if (text && out->len)
		buf_str(out, ": ");
	if (text)
		buf_str(out, text);
	return text != NULL;
}

void rest_message(const struct buf *body, struct buf *out)
{
	struct err ignored;
	AUTO_JSON struct json_object *v =
	    body->len ? jval_parse(body->data, body->len, &ignored) : NULL;
	size_t start = out->len;
	char text[400];

	if (jval_is_object(v)) {
		if (!add_cause(jval_str(v, "fault_message"), out))
			add_cause(jval_str(v, "error"), out);
	} else {
		for (size_t i = 0; i < jval_len(v); i++)
			add_cause(jval_str_at(v, i), out);
	}
	if (out->len == start && body->len)
		buf_str(out, body->data);
	if (out->len == start)
		buf_str(out, "no reason given");
	log_escape(text, sizeof(text), out->data + start);
	out->len = start;
	buf_str(out, text);
}

/* Takes the answer out of r->in. */
static int judge(struct rest *r, const struct head *h,
    const struct rest_call *c, struct err *err)
{
	AUTO_BUF struct buf body = {0}, said = {0};

	buf_add(&body, r->in.data + h->size, h->length);
	buf_consume(&r->in, h->size + h->length);
	if (h->status / 100 == 2) {
		if (c->reply)
			buf_add(c->reply, body.data, body.len);
		return 0;
	}
	rest_message(&body, &said);
	/* Protocol errors; what was sent behind one is lost or misread. */
	if (body.len && strstr(body.data, "\"error\""))
		rest_close(r);
	return err_set(err, ERR_FAILED, "%s (%d)", said.data, h->status);
}

int rest_request(
    struct rest *r, const struct rest_call *c, int *status, struct err *err)
{
	int64_t until = now_ms() + c->timeout_ms;
	struct head h = {0};
	int result;

	if (status)
		*status = 0;
	if (r->fd < 0)
		return err_set(err, ERR_FAILED, "%s %s: not connected",
		    c->method, c->path);
	if (c->n_fds > MAX_FDS)
		return err_set(err, ERR_FAILED, "%s %s: %zu descriptors",
		    c->method, c->path, c->n_fds);
	if (send_request(r, c, until, err) < 0 ||
	    receive_answer(r, &h, until, err) < 0) {
		rest_close(r);
		return err_wrap(err, "%s %s", c->method, c->path);
	}
	if (status)
		*status = h.status;
	result = judge(r, &h, c, err);
	return result < 0 ? err_wrap(err, "%s %s", c->method, c->path) : 0;
}
