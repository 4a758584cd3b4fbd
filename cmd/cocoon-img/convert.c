/* SPDX-License-Identifier: MIT */
/*
 * A layer blob to an EROFS file, in steps that are children of ours: unpack
 * and adopt (the helper), build (mkfs.erofs), verify, digest (the helper). Two
 * layers are on their way at once: unpacking is one core's work.
 *
 * No compression: mkfs.erofs 1.5 takes five times as long with lz4 (26 s
 * against 4.6 s for 1.5 GB, measured), a VM reads a plain file at the speed of
 * the page cache, and what is read by all VMs is there once anyway.
 */
#include "convert.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "sandbox.h"

#define AT_ONCE 2
#define SIGNAL_MS 200
#define OUT_CAP ((size_t)1 << 20)
#define WORDS_CAP 4096

static const struct step {
	const char *name;
	bool of_lower; /* reads what the layers below left */
	int (*start)(struct job *j, struct proc *p, struct sandbox **box,
	    struct err *err);
	int (*done)(struct job *j, struct err *err);
} steps[] = {
    {"unpack", false, unpack_start, unpack_done},
    {"adopt", true, adopt_start, NULL},
    {"mkfs.erofs", false, build_start, build_done},
    {"verify", false, check_start, check_done},
    {"digest", false, digest_start, digest_done},
};

static const struct job no_job = {.dir_fd = -1,
    .out = -1,
    .err = -1,
    .tree_fd = -1,
    .out_fd = -1,
    .blob_fd = -1};

/* What only the child of a step needed. */
static void close_child_fds(struct job *j)
{
	close_fd(&j->tree_fd);
	close_fd(&j->out_fd);
	close_fd(&j->blob_fd);
}

static void job_release(struct job *j)
{
	close_child_fds(j);
	close_fd(&j->dir_fd);
	close_fd(&j->out);
	close_fd(&j->err);
	buf_release(&j->text);
	buf_release(&j->words);
	buf_release(&j->found);
	*j = no_job;
}

static void job_kill(struct job *j)
{
	if (j->pid > 0) {
		kill(j->pid, SIGKILL); /* a child that was not waited for */
		while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	job_release(j);
}

/* Starts the program of a step, with pipes for what it says. */
static int job_spawn(struct job *j, struct proc *p, struct err *err)
{
	AUTO_FD int out = -1, e = -1;
	int a[2], b[2];

	if (pipe2(a, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	j->out = a[0];
	out = a[1];
	if (pipe2(b, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	j->err = b[0];
	e = b[1];
	p->out = out;
	p->err = e;
	/* The import counts as alive while any child of it is. */
	p->keep[p->n_keep++] = j->c->work_fd;
	j->pid = proc_spawn(p, err);
	return j->pid < 0 ? -1 : 0;
}

static int job_step(struct job *j, struct err *err)
{
	AUTO_SANDBOX struct sandbox *box = NULL;
	AUTO_PROC struct proc p;
	int r;

	proc_init(&p);
	j->waiting = false;
	buf_release(&j->text);
	buf_release(&j->words);
	r = steps[j->step].start(j, &p, &box, err);
	if (r == 0) {
		sandbox_use(box, &p);
		r = job_spawn(j, &p, err);
	}
	close_child_fds(j);
	if (r != 1)
		return r;
	j->step++; /* the last step is never one to be left out */
	return job_step(j, err);
}

static int job_begin(
    struct job *j, const struct convert *c, size_t index, struct err *err)
{
	char name[24];

	j->c = c;
	j->index = index;
	j->layer = &c->src->layers[index];
	snprintf(name, sizeof(name), "%zu", index);
	/* What an attempt before this one left. */
	if (tree_remove(c->work_fd, name, err) < 0)
		return -1;
	j->dir_fd = dir_open(c->work_fd, name, 0700, err);
	return j->dir_fd < 0 ? -1 : job_step(j, err);
}

/* What the helper says of its failure, or else the program's last words. */
static int job_failed(struct job *j, int status, struct err *err)
{
	AUTO_JSON struct json_object *said = NULL;
	struct err ignored;
	size_t at;

	if (tool_check(err) < 0)
		return -1;
	said =
	    jval_parse(j->text.data ? j->text.data : "", j->text.len, &ignored);
	if (said && doc_error(said, err))
		return -1;
	while (j->words.len && j->words.data[j->words.len - 1] == '\n')
		j->words.data[--j->words.len] = '\0';
	for (at = j->words.len; at && j->words.data[at - 1] != '\n';)
		at--;
	if (WIFSIGNALED(status))
		return err_set(
		    err, ERR_FAILED, "killed by signal %d", WTERMSIG(status));
	return err_set(err, ERR_FAILED, "exit status %d%s%.300s",
	    WEXITSTATUS(status), j->words.len ? ": " : "",
	    j->words.len ? j->words.data + at : "");
}

/* The layers are begun in order, so those below are ready or on their way. */
static bool must_wait(const struct job *j, const struct job jobs[AT_ONCE])
{
	if (!steps[j->step].of_lower || !j->implicit)
		return false;
	for (size_t i = 0; i < AT_ONCE; i++)
		if (jobs[i].layer && jobs[i].index < j->index)
			return true;
	return false;
}

/* The child of a step has closed its pipes: judge it, go on to the next. */
static int job_next(
    struct job *j, const struct job jobs[AT_ONCE], struct err *err)
{
	int status;

	while (waitpid(j->pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "wait");
	j->pid = 0;
	if (status)
		return job_failed(j, status, err);
	if (steps[j->step].done && steps[j->step].done(j, err) < 0)
		return -1;
	if (++j->step == ARRAY_LEN(steps)) {
		job_release(j);
		return 0;
	}
	j->waiting = must_wait(j, jobs);
	return j->waiting ? 0 : job_step(j, err);
}

static void take(int *fd, struct buf *to, size_t cap)
{
	char chunk[8192];
	ssize_t n = read(*fd, chunk, sizeof(chunk));

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0)
		close_fd(fd);
	else if (to->len < cap)
		buf_add(to, chunk, (size_t)n);
}

static int job_poll(struct job *j, const struct job jobs[AT_ONCE], short out,
    short words, struct err *err)
{
	if (out)
		take(&j->out, &j->text, OUT_CAP);
	if (words)
		take(&j->err, &j->words, WORDS_CAP);
	return j->pid > 0 && j->out < 0 && j->err < 0 ? job_next(j, jobs, err)
						      : 0;
}

static int wrap(const struct job *j, struct err *err)
{
	const char *digest = j->layer->digest;

	return j->step < ARRAY_LEN(steps)
		   ? err_wrap(
			 err, "layer %.19s: %s", digest, steps[j->step].name)
		   : err_wrap(err, "layer %.19s", digest);
}

struct queue {
	const struct convert *c;
	const size_t *want;
	size_t next, n;
};

/* Is the blob of the next layer there? */
static int arrived(const struct queue *q, struct err *err)
{
	struct bringer *b = q->c->src->bring;

	return b && q->next < q->n ? b->layer(b, q->want[q->next], err) : 1;
}

/* Begins what can be begun; the number of jobs that are under way. */
static int start_jobs(
    struct queue *q, struct job jobs[AT_ONCE], struct err *err)
{
	int running = 0;

	for (size_t i = 0; i < AT_ONCE; i++) {
		struct job *j = &jobs[i];
		int there = arrived(q, err);

		if (there < 0)
			return -1;
		if (!j->layer && there && q->next < q->n &&
		    job_begin(j, q->c, q->want[q->next++], err) < 0)
			return wrap(j, err);
		if (j->waiting && !must_wait(j, jobs) && job_step(j, err) < 0)
			return wrap(j, err);
		running += j->layer != NULL;
	}
	return running;
}

static void poll_fds(const struct queue *q, const struct job jobs[AT_ONCE],
    struct pollfd fds[2 * AT_ONCE + 1])
{
	const struct bringer *b = q->c->src->bring;

	for (size_t i = 0; i < AT_ONCE; i++) {
		fds[2 * i] = (struct pollfd){jobs[i].out, POLLIN, 0};
		fds[2 * i + 1] = (struct pollfd){jobs[i].err, POLLIN, 0};
	}
	fds[2 * AT_ONCE] =
	    (struct pollfd){b && q->next < q->n ? b->fd : -1, POLLIN, 0};
}

static int run_jobs(struct queue *q, struct job jobs[AT_ONCE], struct err *err)
{
	for (;;) {
		struct pollfd fds[2 * AT_ONCE + 1];
		int running = start_jobs(q, jobs, err);

		if (running < 0)
			return -1;
		if (!running && q->next == q->n)
			return 0;
		if (tool_check(err) < 0)
			return -1;
		poll_fds(q, jobs, fds);
		/* A signal just before the poll is seen soon, too. */
		if (poll(fds, ARRAY_LEN(fds), SIGNAL_MS) < 0)
			continue;
		for (size_t i = 0; i < AT_ONCE; i++)
			if (jobs[i].layer &&
			    job_poll(&jobs[i], jobs, fds[2 * i].revents,
				fds[2 * i + 1].revents, err) < 0)
				return wrap(&jobs[i], err);
	}
}

int convert_layers(
    const struct convert *c, const size_t *want, size_t n, struct err *err)
{
	struct queue q = {.c = c, .want = want, .n = n};
	struct job jobs[AT_ONCE];
	int r;

	for (size_t i = 0; i < AT_ONCE; i++)
		jobs[i] = no_job;
	r = run_jobs(&q, jobs, err);
	for (size_t i = 0; i < AT_ONCE; i++)
		job_kill(&jobs[i]);
	return r;
}
