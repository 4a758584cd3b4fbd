/* SPDX-License-Identifier: MIT */
#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "proc.h"
#include "sandbox.h"

#define STALL_S 30
#define ANSWER_MAX ((size_t)64 << 10)
/* What a pipe takes without a reader. */
#define REQUEST_MAX ((size_t)60000)
#define MEMORY ((uint64_t)256 << 20)

/* Names, certificates: what libcurl and the resolver read. */
static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts",
    "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
    "/etc/ssl", "/etc/pki", "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates", "/usr/share/zoneinfo", "/dev/urandom",
    "/dev/null"};

static struct sandbox *confined(const char *helper, int fd, struct err *err)
{
	AUTO_SANDBOX struct sandbox *box = sandbox_new(0, err);
	const char *dir = getenv("SSL_CERT_DIR");
	struct sandbox *out = box;

	if (!box ||
	    sandbox_allow(box, helper, CONFINE_READ | CONFINE_EXEC, err) < 0 ||
	    sandbox_allow_fd(
		box, fd, CONFINE_READ | CONFINE_WRITE, "file", err) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (sandbox_allow(box, files[i], CONFINE_READ, err) < 0)
			return NULL;
	if (dir && *dir && sandbox_allow(box, dir, CONFINE_READ, err) < 0)
		return NULL;
	sandbox_net(box);
#ifndef __SANITIZE_ADDRESS__
	sandbox_limit(box, RLIMIT_DATA, MEMORY);
#endif
	box = NULL;
	return out;
}

/* COCOON_FETCH_STALL: seconds below 1 KiB/s until a connection is given up. */
static int64_t stall_s(void)
{
	const char *v = getenv("COCOON_FETCH_STALL");
	int64_t n = v ? atoll(v) : 0;

	return n > 0 && n <= 3600 ? n : STALL_S;
}

/* The helper is nobody: what it might not open is opened here. */
static int open_ca(int *ca, struct err *err)
{
	const char *file = getenv("CURL_CA_BUNDLE");

	if (!file || !*file)
		file = getenv("SSL_CERT_FILE");
	if (!file || !*file)
		return 0;
	*ca = open(file, O_RDONLY | O_CLOEXEC);
	return *ca < 0 ? err_sys(err, errno, "%.200s: open", file) : 0;
}

static int send_request(
    int fd, const struct json_object *request, struct err *err)
{
	AUTO_BUF struct buf text = {0};

	jval_print(request, &text);
	if (text.len > REQUEST_MAX)
		return err_set(
		    err, ERR_INPUT, "fetch: the request is too long");
	if (write_all(fd, text.data, text.len) < 0)
		return err_sys(err, errno, "fetch: request");
	return 0;
}

int fetch_start(struct fetch *f, struct json_object *request, int fd,
    int keep_fd, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("fetch");
	AUTO_SANDBOX struct sandbox *box = confined(helper, fd, err);
	AUTO_FD int in = -1, to = -1, out = -1, ca = -1;
	AUTO_PROC struct proc p;
	int a[2], b[2];

	proc_init(&p);
	if (!box || open_ca(&ca, err) < 0)
		return -1;
	if (pipe2(a, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	in = a[0];
	to = a[1];
	if (pipe2(b, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	f->out = b[0];
	out = b[1];
	jval_set_int(request, "fd", fd);
	if (ca >= 0)
		jval_set_int(request, "ca_fd", ca);
	jval_set_int(request, "stall_s", stall_s());
	if (send_request(to, request, err) < 0)
		return -1;
	strv_add(&p.argv, helper);
	p.in = in;
	p.out = out;
	p.keep[p.n_keep++] = fd;
	if (ca >= 0)
		p.keep[p.n_keep++] = ca;
	if (keep_fd >= 0)
		p.keep[p.n_keep++] = keep_fd;
	sandbox_use(box, &p);
	f->pid = proc_spawn(&p, err);
	if (f->pid < 0)
		f->pid = 0;
	return f->pid ? 0 : -1;
}

static int fetch_end(
    struct fetch *f, struct json_object **answer, struct err *err)
{
	AUTO_JSON struct json_object *v = NULL;
	struct err ignored;
	int status;

	while (waitpid(f->pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "fetch: wait");
	f->pid = 0;
	if (tool_check(err) < 0)
		return -1;
	v = jval_parse(f->text.data ? f->text.data : "", f->text.len, &ignored);
	if (v && doc_error(v, err))
		return -1;
	if (!v || status)
		return err_set(err, ERR_FAILED,
		    WIFSIGNALED(status) ? "fetch: killed by signal %d"
					: "fetch: exit status %d",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status));
	*answer = v;
	v = NULL;
	return 1;
}

int fetch_poll(struct fetch *f, struct json_object **answer, struct err *err)
{
	struct pollfd p = {f->out, POLLIN, 0};
	char chunk[4096];
	ssize_t n;
	int r;

	while (f->out >= 0) {
		if (poll(&p, 1, 0) <= 0)
			return 0;
		n = read(f->out, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			close_fd(&f->out);
		else if (f->text.len < ANSWER_MAX)
			buf_add(&f->text, chunk, (size_t)n);
	}
	r = fetch_end(f, answer, err);
	buf_release(&f->text);
	return r;
}

void fetch_kill(struct fetch *f)
{
	if (f->pid > 0) {
		kill(f->pid, SIGKILL); /* our child, not yet waited for */
		while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	f->pid = 0;
	close_fd(&f->out);
	buf_release(&f->text);
}

int fetch_run(struct json_object *request, int fd, int keep_fd,
    struct json_object **answer, struct err *err)
{
	struct fetch f = FETCH_NONE;
	int r = fetch_start(&f, request, fd, keep_fd, err);

	while (r == 0) {
		struct pollfd p = {f.out, POLLIN, 0};

		poll(&p, 1, 200);
		r = tool_check(err) < 0 ? -1 : fetch_poll(&f, answer, err);
	}
	fetch_kill(&f);
	return r < 0 ? -1 : 0;
}
