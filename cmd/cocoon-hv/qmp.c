/* SPDX-License-Identifier: MIT */
#include "qmp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file.h"
#include "jdoc.h"

#define MAX_LINE ((size_t)1 << 20)

struct json_object *qmp_read(
    int fd, struct buf *in, int64_t until, struct err *err)
{
	for (;;) {
		char *nl = in->len ? memchr(in->data, '\n', in->len) : NULL;
		struct pollfd p = {fd, POLLIN, 0};
		int64_t left = until - now_ms();
		ssize_t n;

		if (nl) {
			size_t len = (size_t)(nl - in->data);
			struct json_object *v = jval_parse(in->data, len, err);

			buf_consume(in, len + 1);
			return v;
		}
		if (in->len > MAX_LINE) {
			err_set(err, ERR_FAILED, "qmp: an endless line");
			return NULL;
		}
		buf_reserve(in, 4096);
		n = recv(fd, in->data + in->len, in->cap - in->len - 1,
		    MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
			if (left > 0 && poll(&p, 1, (int)left) != 0)
				continue;
			err_set(err, ERR_TIMEOUT, "qmp: no answer");
			return NULL;
		}
		if (n <= 0) {
			err_set(
			    err, ERR_FAILED, "qmp: QEMU closed the connection");
			return NULL;
		}
		in->len += (size_t)n;
		in->data[in->len] = '\0';
	}
}

static int judge(
    const struct json_object *answer, const char *command, struct err *err)
{
	const char *said = jval_str(jval_get(answer, "error"), "desc");

	if (!jval_get(answer, "error"))
		return 0;
	return err_set(
	    err, ERR_FAILED, "qmp: %s: %s", command, said ? said : "refused");
}

static int await(int fd, struct buf *in, const char *command, int64_t until,
    struct json_object **result, struct err *err)
{
	for (;;) {
		AUTO_JSON struct json_object *v = qmp_read(fd, in, until, err);

		if (!v)
			return err_wrap(err, "%s", command);
		if (jval_get(v, "event") || jval_get(v, "QMP"))
			continue;
		if (judge(v, command, err) < 0)
			return -1;
		if (result)
			*result = jval_ref(jval_get(v, "return"));
		return 0;
	}
}

int qmp_send(int fd, const char *command, struct err *err)
{
	AUTO_FREE char *line = xasprintf("{\"execute\":\"%s\"}\n", command);

	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
		return err_sys(err, errno, "qmp: %s", command);
	return 0;
}

int qmp_command(int fd, const char *command, int timeout_ms,
    struct json_object **result, struct err *err)
{
	AUTO_BUF struct buf in = {0};
	int64_t until = now_ms() + timeout_ms;

	if (qmp_send(fd, command, err) < 0)
		return -1;
	return await(fd, &in, command, until, result, err);
}

/* The bytes, and a descriptor by SCM_RIGHTS with the first of them. */
static int send_fd(int fd, const char *text, size_t len, int pass_fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	struct iovec iov = {(void *)text, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	ssize_t n;

	if (pass_fd >= 0) {
		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
	}
	n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	return n == (ssize_t)len ? 0 : -1;
}

int qmp_call(int fd, struct buf *in, const struct qmp_call *c,
    struct json_object **result, struct err *err)
{
	AUTO_FREE char *line = xasprintf(
	    "{\"execute\":\"%s\",\"arguments\":%s}\n", c->command, c->args);

	if (send_fd(fd, line, strlen(line), c->pass_fd) < 0)
		return err_sys(err, errno, "qmp: %s", c->command);
	return await(fd, in, c->command, now_ms() + c->timeout_ms, result, err);
}

int qmp_hello(int fd, int timeout_ms, struct err *err)
{
	return qmp_command(fd, "qmp_capabilities", timeout_ms, NULL, err);
}
