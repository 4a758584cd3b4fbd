/* SPDX-License-Identifier: MIT */
/* SHA-256 by the helper, which has libcrypto; this tool has not. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "confine.h"
#include "img.h"
#include "proc.h"
#include "sandbox.h"

static int run(struct proc *p, const char *text, size_t len, char digest[72],
    uint64_t *size, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");
	AUTO_SANDBOX struct sandbox *box = sandbox_new(0, err);
	AUTO_BUF struct buf out = {0};
	AUTO_JSON struct json_object *json = NULL;
	const char *is;

	strv_add(&p->argv, helper);
	strv_add(&p->argv, "digest");
	if (!box ||
	    sandbox_allow(box, helper, CONFINE_READ | CONFINE_EXEC, err) < 0)
		return -1;
	sandbox_use(box, p);
	if (proc_run(p, text, len, &out, 1000, -1, err) < 0)
		return -1;
	json = jval_parse(out.data ? out.data : "", out.len, err);
	is = jval_str(json, "digest");
	if (!is || !valid_digest(is))
		return err_set(err, ERR_FAILED, "%s: no digest", helper);
	memcpy(digest, is, 72);
	*size = (uint64_t)jval_int(json, "source_size", 0);
	return 0;
}

int helper_run(struct proc *p, struct sandbox *box, uint64_t memory,
    const int *fds, size_t n, struct json_object **said, struct err *err)
{
	AUTO_BUF struct buf out = {0};
	struct err e = {0};
	int r;

	if (sandbox_allow(box, p->argv.v[0], CONFINE_READ | CONFINE_EXEC, err) <
	    0)
		return -1;
#ifndef __SANITIZE_ADDRESS__
	sandbox_limit(box, RLIMIT_DATA, memory);
#else
	(void)memory;
#endif
	for (size_t i = 0; i < n; i++) {
		lseek(fds[i], 0, SEEK_SET); /* a pipe stays where it is */
		strv_addf(&p->argv, "%d", fds[i]);
		p->keep[p->n_keep++] = fds[i];
	}
	sandbox_use(box, p);
	r = proc_run(p, NULL, 0, &out, 4096, -1, &e);
	if (tool_check(err) < 0)
		return -1;
	*said = jval_parse(out.data ? out.data : "", out.len, err);
	if (*said && doc_error(*said, err))
		return -1;
	if (r < 0)
		*err = e;
	return r < 0 || !*said ? -1 : 0;
}

int helper_digest(const struct json_object *said, char digest[72],
    uint64_t *size, struct err *err)
{
	const char *is = jval_str(said, "digest");

	if (!is || !valid_digest(is))
		return err_set(err, ERR_FAILED, "the helper gave no digest");
	memcpy(digest, is, 72);
	*size = (uint64_t)jval_int(said, "size", 0);
	return 0;
}

int digest_of_fd(int fd, char digest[72], uint64_t *size, struct err *err)
{
	AUTO_PROC struct proc p;

	proc_init(&p);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "digest: rewind");
	p.in = fd;
	return run(&p, NULL, 0, digest, size, err);
}

int digest_of_text(
    const char *text, size_t len, char digest[72], struct err *err)
{
	AUTO_PROC struct proc p;
	uint64_t size;

	proc_init(&p);
	return run(&p, text, len, digest, &size, err);
}
