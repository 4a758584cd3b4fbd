/* SPDX-License-Identifier: MIT */
/* The stream of documents: lines in, lines out, in order. */
#include "tool_filter.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doc.h"
#include "file.h"
#include "jtext.h"
#include "log.h"

bool tool_is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int put(const char *data, size_t len, struct err *err)
{
	if (write_all(STDOUT_FILENO, data, len) < 0)
		return err_sys(err, errno, "stdout: write");
	return 0;
}

int tool_emit(const struct json_object *doc, struct err *err)
{
	AUTO_BUF struct buf line = {0};

	jval_print(doc, &line);
	buf_ch(&line, '\n');
	return put(line.data, line.len, err);
}

int tool_flush(struct call *call, struct err *err)
{
	int r = call->out.len ? put(call->out.data, call->out.len, err) : 0;

	call->out.len = 0;
	return r;
}

/* On to the next stage, or to people. */
static int hand_on(struct call *call, struct json_object *doc, bool *presented,
    struct err *err)
{
	int r = call->verb->present ? call->verb->present(call, doc, err) : 1;

	*presented = r <= 0;
	return r <= 0 ? r : tool_emit(doc, err);
}

void tool_fail(struct call *call, struct json_object *doc, struct err *err)
{
	AUTO_JSON struct json_object *own = NULL;
	AUTO_FREE char *tool = xasprintf("%s %s", log_prog(), call->verb->name);
	struct err ignored;
	bool presented;

	log_error(call->verb->name, err);
	if (!call->status)
		call->status = (int)err->code;
	if (!call->verb->emits)
		return;
	if (!doc) {
		doc = own = jval_object();
		jval_set_int(own, "v", 1);
	}
	doc_set_error(doc, tool, err);
	if (hand_on(call, doc, &presented, &ignored) < 0 && !call->status)
		call->status = ERR_FAILED;
}

/* Lines go out in the order in which they came in. */
static void settle(struct call *call)
{
	while (call->verb->later_fd && call->verb->later_fd(call) >= 0)
		call->verb->later(call);
}

static void fail_one(
    struct call *call, struct json_object *doc, struct err *err)
{
	const char *id = jval_str(jval_get(doc, "vm"), "id");

	settle(call);
	if (id)
		err_object(err, id);
	tool_fail(call, doc, err);
}

void tool_done(struct call *call, struct json_object *doc, struct err *err)
{
	const char *id = jval_str(jval_get(doc, "vm"), "id");
	bool presented = false;

	if (err->code != ERR_NONE) {
		if (id)
			err_object(err, id);
		tool_fail(call, doc, err);
		return;
	}
	if (!call->verb->emits || hand_on(call, doc, &presented, err) == 0)
		return;
	/* People can look up what is there; a stage that is gone cannot. */
	if (call->verb->undo && !presented)
		call->verb->undo(call, doc);
	if (!call->status)
		call->status = ERR_FAILED;
	log_error(call->verb->name, err);
}

/* One document through the filter and out. */
static void filter_one(struct call *call, struct json_object *doc)
{
	struct err err = {0};
	bool presented;
	int r;

	bool failed = doc_error(doc, &err);

	if (failed && !call->status)
		call->status = (int)err.code;
	if (failed && !call->verb->takes_errors) {
		settle(call);
		if (hand_on(call, doc, &presented, &err) < 0 && !call->status)
			call->status = ERR_FAILED;
		return;
	}
	if (jval_int(doc, "v", 0) != 1) {
		err_set(
		    &err, ERR_INPUT, ".v: want 1: is this a cocoon document?");
		fail_one(call, doc, &err);
		return;
	}
	err = (struct err){0};
	/* Undoing goes on after a signal: that is what it is for. */
	r = call->verb->takes_errors ? 0 : tool_check(&err);
	if (r == 0)
		r = call->verb->filter(call, doc, &err);
	if (r == TOOL_LATER)
		return;
	if (r < 0) {
		fail_one(call, doc, &err);
		return;
	}
	settle(call);
	/* What was tried in vain on the way to a success. */
	err = (struct err){0};
	tool_done(call, doc, &err);
}

static int expected(void)
{
	const char *v = getenv("COCOON_EXPECT");

	return v ? atoi(v) : -1;
}

/* Takes the documents that are complete in *in; -1 when it cannot go on. */
static int take_documents(
    struct call *call, struct buf *in, int *count, struct err *err)
{
	size_t start, end;
	int r;

	while ((r = jtext_split(in->data, in->len, &start, &end)) > 0) {
		AUTO_JSON struct json_object *doc = NULL;
		struct err bad = {0};

		doc = jval_parse(in->data + start, end - start, &bad);
		buf_consume(in, end);
		++*count;
		/* One bad line does not stop the others. */
		if (doc)
			filter_one(call, doc);
		else
			fail_one(call, NULL, &bad);
		jdoc_free_bound();
	}
	if (r < 0)
		return err_set(err, ERR_INPUT,
		    "stdin: expected a JSON object, got \"%.20s\"",
		    in->data + start);
	if (in->len > JTEXT_MAX_SIZE)
		return err_set(err, ERR_INPUT,
		    "stdin: a document of more than %zu bytes", JTEXT_MAX_SIZE);
	return 0;
}

/*
 * A signal is for all stages, and what the ones in front of us have to undo
 * comes down the pipe: it must not end here. A second signal ends us.
 */
static bool goes_on(const struct call *call)
{
	return !tool_interrupted() || call->verb->takes_errors ||
	       (tool_signals() == 1 && tool_is_pipe(STDIN_FILENO));
}

/* True when there is input; what is done meanwhile goes out. */
static bool await_input(struct call *call)
{
	const struct verb *v = call->verb;
	struct pollfd p[2] = {{STDIN_FILENO, POLLIN, 0}, {-1, POLLIN, 0}};

	p[1].fd = v->later_fd ? v->later_fd(call) : -1;
	if (p[1].fd < 0)
		return true;
	if (poll(p, 2, -1) >= 0 && p[1].revents)
		v->later(call);
	return p[0].revents != 0;
}

static int read_documents(struct call *call, int *count, struct err *err)
{
	AUTO_BUF struct buf in = {0};

	for (;;) {
		ssize_t n;

		if (!await_input(call)) {
			if (!goes_on(call))
				return tool_check(err);
			continue;
		}
		if (in.cap - in.len < 4096)
			buf_reserve(&in, 65536);
		n = read(STDIN_FILENO, in.data + in.len, in.cap - in.len - 1);
		if (n < 0 && errno == EINTR) {
			if (!goes_on(call))
				return tool_check(err);
			continue;
		}
		if (n < 0)
			return err_set(
			    err, ERR_INPUT, "stdin: read: %s", strerror(errno));
		if (n == 0)
			break;
		in.len += (size_t)n;
		in.data[in.len] = '\0';
		if (take_documents(call, &in, count, err) < 0)
			return -1;
	}
	/* What is left is white space, or a text that does not end. */
	for (size_t i = 0; i < in.len; i++)
		if (!in.data[i] || !strchr(" \t\r\n", in.data[i]))
			return jtext_check(in.data, in.len, err);
	return 0;
}

/* A stage: until the end of input. */
int tool_filter(struct call *call, struct err *err)
{
	int count = 0, want = expected();
	int r = read_documents(call, &count, err);

	settle(call);
	if (r < 0)
		return -1;
	/* After an error line, fewer is what is expected: it was told. */
	if (want >= 0 && count < want && !call->status)
		return err_set(err, ERR_INPUT,
		    "stdin: %d of %d documents came: an earlier stage died",
		    count, want);
	if (want < 0 && count == 0)
		return err_set(err, ERR_INPUT, "stdin: no document");
	return call->verb->finish ? call->verb->finish(call, err) : 0;
}
