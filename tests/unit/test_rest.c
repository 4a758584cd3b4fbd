/* SPDX-License-Identifier: MIT */
#include "rest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "file.h"
#include "scratch.h"
#include "tap.h"

static struct rest r = REST_NONE;
static int server = -1;
static struct buf request, reply;
static struct err err;
static int status;

static void open_pair(void)
{
	int sv[2];

	rest_close(&r);
	close_fd(&server);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		abort();
	r.fd = sv[0];
	server = sv[1];
}

static void read_request(void)
{
	char data[4096];
	ssize_t n = recv(server, data, sizeof(data) - 1, MSG_DONTWAIT);

	buf_release(&request);
	buf_add(&request, data, n > 0 ? (size_t)n : 0);
}

/* One request that is answered by text. */
static int ask(const char *method, const char *body, const char *text)
{
	struct rest_call c = {.method = method,
	    .path = "/x",
	    .body = body,
	    .timeout_ms = 50,
	    .reply = &reply};
	int result;

	buf_release(&reply);
	err = (struct err){0};
	if (r.fd < 0)
		open_pair();
	if (write_all(server, text, strlen(text)) < 0)
		abort();
	result = rest_request(&r, &c, &status, &err);
	read_request();
	return result;
}

static void good_answers(void)
{
	is_int(ask("PUT", "{\"a\":1}",
		   "HTTP/1.1 204 \r\nServer: F\r\nConnection: keep-alive\r\n"
		   "\r\n"),
	    0, "204 without a reason phrase and without a length");
	is_str(request.data,
	    "PUT /x HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
	    "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n"
	    "{\"a\":1}",
	    "the request, to the byte");
	is_int(status, 204, "its status");
	ok(r.fd >= 0, "the connection is kept");
	is_int(
	    ask("GET", NULL, "HTTP/1.1 200 \r\ncontent-length: 4 \r\n\r\nbody"),
	    0, "a body by its length, header in lower case");
	is_str(reply.data, "body", "the body");
	is_str(request.data,
	    "GET /x HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
	    "no body: no length");
	is_int(ask("GET", NULL,
		   "HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\n"
		   "Content-Length: 0\r\n\r\n"),
	    0, "an interim answer is skipped");
	is_int(ask("GET", NULL,
		   "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 "
		   "\r\nContent-Length: 1\r\n\r\nb"),
	    0, "two answers at once");
	is_str(reply.data, "a", "the first of them");
	is_int(ask("GET", NULL, ""), 0, "and the other one");
	is_str(reply.data, "b", "is kept for the next request");
}

static void refusals(void)
{
	is_int(ask("PUT", "{}",
		   "HTTP/1.1 400 \r\nContent-Length: 25\r\n\r\n"
		   "{\"fault_message\":\"no\\n!\"}"),
	    -1, "400 is a failure");
	is_str(err.msg, "PUT /x: no\\x0a! (400)", "with the server's words");
	ok(r.fd >= 0, "the connection is still good");
	is_int(ask("PUT", "{}",
		   "HTTP/1.1 500 \r\nContent-Length: 13\r\n\r\n"
		   "[\"one\",\"two\"]"),
	    -1, "500");
	is_str(err.msg, "PUT /x: one: two (500)", "a list of causes");
	is_int(ask("PUT", "{}",
		   "HTTP/1.1 400 \r\nContent-Length: 20\r\n\r\n"
		   "{ \"error\": \"bad\nx\" }"),
	    -1, "a protocol error");
	ok(r.fd < 0, "ends the connection");
	is_int(
	    rest_request(&r, &(struct rest_call){.method = "GET", .path = "/x"},
		NULL, &err),
	    -1, "a closed connection is no crash");
	is_int(ask("PUT", "{}", "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"),
	    -1, "an empty refusal");
	is_str(err.msg, "PUT /x: no reason given (404)", "says so");
}

static void bad_answers(void)
{
	static const char *const bad[] = {"HTTP/2 200 \r\n\r\n",
	    "nonsense\r\n\r\n", "HTTP/1.1 20 \r\n\r\n",
	    "HTTP/1.1 200x\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 200 \r\n\r\n",
	    "HTTP/1.1 200 \r\nContent-Length: -1\r\n\r\n",
	    "HTTP/1.1 200 \r\nContent-Length: \r\n\r\n",
	    "HTTP/1.1 200 \r\nContent-Length: 1 1\r\n\r\n",
	    "HTTP/1.1 200 \r\nContent-Length: 99999999999999999999999\r\n\r\n",
	    "HTTP/1.1 200 \r\nContent-Length: 4194305\r\n\r\n",
	    "HTTP/1.1 200 \r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	    "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
	    "HTTP/1.1 200 \r\nno colon\r\n\r\n"};
	AUTO_BUF struct buf endless = {0};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		open_pair();
		is_int(ask("GET", NULL, bad[i]), -1, "answer %zu", i);
		is_int(err.code, ERR_FAILED, "refused at once: %s", err.msg);
		ok(r.fd < 0, "and the connection closed");
	}
	while (endless.len < 10000)
		buf_str(&endless, "HTTP/1.1 200 and so on ");
	is_int(ask("GET", NULL, endless.data), -1, "a head without end");
}

static void silence(void)
{
	open_pair();
	is_int(ask("GET", NULL, ""), -1, "no answer");
	is_int(err.code, ERR_TIMEOUT, "is a timeout");
	ok(r.fd < 0, "after which the connection cannot be used");
	is_int(ask("GET", NULL, "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nab"),
	    -1, "half an answer");
	is_int(err.code, ERR_TIMEOUT, "is a timeout");
	open_pair();
	close_fd(&server);
	is_int(rest_request(&r,
		   &(struct rest_call){
		       .method = "GET", .path = "/x", .timeout_ms = 50},
		   NULL, &err),
	    -1, "a server that is gone");
	ok(err.code == ERR_FAILED, "is a failure: %s", err.msg);
}

static void descriptors(void)
{
	char data[512];
	union {
		char space[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	struct iovec io = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &io,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	int fds[2] = {0, 1}, got[2];
	static const char text[] = "HTTP/1.1 204 \r\n\r\n";

	open_pair();
	if (write_all(server, text, strlen(text)) < 0)
		abort();
	is_int(rest_request(&r,
		   &(struct rest_call){.method = "PUT",
		       .path = "/x",
		       .fds = fds,
		       .n_fds = 2,
		       .timeout_ms = 50},
		   NULL, &err),
	    0, "with descriptors");
	ok(recvmsg(server, &m, MSG_CMSG_CLOEXEC) > 0 &&
		control.align.cmsg_len == CMSG_LEN(sizeof(got)),
	    "which come with the first byte");
	memcpy(got, CMSG_DATA(&control.align), sizeof(got));
	close(got[0]);
	close(got[1]);
	is_int(rest_request(&r,
		   &(struct rest_call){.method = "PUT",
		       .path = "/x",
		       .fds = fds,
		       .n_fds = 17,
		       .timeout_ms = 50},
		   NULL, &err),
	    -1, "too many descriptors");
}

static void connecting(int dir)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	AUTO_FD int fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct rest more[8];
	int n = 0;

	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/s", dir);
	is_int(rest_connect(&r, dir, "s", 50, &err), -1, "no socket");
	is_int(err.sys, ENOENT, "is told apart");
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		abort();
	is_int(rest_connect(&r, dir, "s", 50, &err), -1, "nobody listens");
	is_int(err.sys, ECONNREFUSED, "is told apart");
	listen(fd, 0);
	is_int(rest_connect(&r, dir, "s", 50, &err), 0, "one who listens");
	if (symlinkat("s", dir, "link") < 0 ||
	    file_replace(dir, "file", "x", 1, false, &err) < 0)
		abort();
	is_int(rest_connect(&r, dir, "link", 50, &err), -1, "a symlink");
	is_int(rest_connect(&r, dir, "file", 50, &err), -1, "a file");
	/* A queue of one: who comes behind it has to wait, and gives up. */
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		more[i] = (struct rest)REST_NONE;
		err = (struct err){0};
		n += rest_connect(&more[i], dir, "s", 20, &err) < 0 &&
		     err.code == ERR_TIMEOUT;
	}
	ok(n > 0, "a full queue ends in a timeout");
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		rest_close(&more[i]);
}

int main(void)
{
	int dir = scratch();

	good_answers();
	refusals();
	bad_answers();
	silence();
	descriptors();
	connecting(dir);
	rest_close(&r);
	close_fd(&server);
	buf_release(&request);
	buf_release(&reply);
	return done();
}
