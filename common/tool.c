/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doc.h"
#include "file.h"
#include "jtext.h"
#include "log.h"
#include "tool_filter.h"
#include "undo.h"
#include "version.h"

static volatile sig_atomic_t interrupted;

struct globals {
	bool help, version;
	int verbose;
	bool quiet;
};

#define G(m, l, k, h)                                              \
	{                                                          \
		.name = #m, .letter = (l), .kind = (k),            \
		.offset = offsetof(struct globals, m), .help = (h) \
	}
static const struct opt global_opts[] = {
    G(help, 'h', OPT_FLAG, "show this help"),
    G(version, 0, OPT_FLAG, "show the version"),
    G(verbose, 'v', OPT_COUNT, "say more; twice: debug"),
    G(quiet, 'q', OPT_FLAG, "say errors only"),
};

/*
 * One Ctrl-C may reach us twice, by the terminal and by the dispatcher that
 * passes it on: what comes within a second is the same.
 */
static void on_signal(int sig)
{
	static int64_t last_ms;
	int64_t now = now_ms();

	(void)sig;
	if (!interrupted || now - last_ms > 1000)
		interrupted++;
	last_ms = now;
}

bool tool_interrupted(void)
{
	return interrupted;
}

int tool_signals(void)
{
	return interrupted;
}

int tool_check(struct err *err)
{
	return interrupted ? err_set(err, ERR_FAILED, "interrupted") : 0;
}

/* Fds 0-2 must be something, or files that we open would become them; and
 * using one that was closed is an error: no input, no lost output. */
static void open_std_fds(void)
{
	int fd;

	for (int want = 0; want <= 2; want++) {
		if (fcntl(want, F_GETFD) >= 0)
			continue;
		fd = open("/dev/null", want ? O_RDONLY : O_WRONLY);
		if (fd != want)
			abort();
	}
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void hold_signals(void)
{
	static const int sigs[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction sa = {.sa_handler = on_signal};

	for (size_t i = 0; i < ARRAY_LEN(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
}

static void undo_all(void)
{
	undo_run(0);
}

/* The dispatcher's lock descriptor must not leak into what we start. */
static void hide_lock_fd(void)
{
	const char *v = getenv("COCOON_LOCK_FD");
	int fd = v ? atoi(v) : -1;

	if (fd > 2)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static const struct verb *find_verb(const struct tool *tool, const char *name)
{
	for (size_t i = 0; tool->verbs[i]; i++)
		if (!strcmp(tool->verbs[i]->name, name))
			return tool->verbs[i];
	return NULL;
}

static void help_tool(const struct tool *tool, struct buf *out)
{
	buf_addf(out, "usage: %s VERB [OPTION]... [OPERAND]...\n\n%s\n\n",
	    tool->name, tool->summary);
	buf_str(out, "verbs:\n");
	for (size_t i = 0; tool->verbs[i]; i++)
		if (!tool->verbs[i]->hidden)
			buf_addf(out, "  %-12s %s\n", tool->verbs[i]->name,
			    tool->verbs[i]->summary);
	buf_str(out, "\noptions:\n");
	opt_help(global_opts, ARRAY_LEN(global_opts), out);
	buf_addf(out, "\n`%s VERB --help` describes a verb; see %s(8).\n",
	    tool->name, tool->name);
}

static void help_verb(
    const struct tool *tool, const struct verb *v, struct buf *out)
{
	buf_addf(out, "usage: %s %s%s%s%s\n\n%s\n\noptions:\n", tool->name,
	    v->name, v->n_opts ? " [OPTION]..." : "", v->operands ? " " : "",
	    v->operands ? v->operands : "", v->summary);
	opt_help(v->opts, v->n_opts, out);
	opt_help(global_opts, ARRAY_LEN(global_opts), out);
}

static bool wants_filter(const struct call *call)
{
	const struct verb *v = call->verb;

	if (!v->filter || !v->run)
		return v->filter != NULL;
	if (v->is_filter)
		return v->is_filter(call);
	return call->args.n == 0 ||
	       (call->args.n == 1 && !strcmp(call->args.v[0], "-"));
}

static int check_args(
    const struct tool *tool, const struct call *call, struct err *err)
{
	int n = (int)call->args.n;
	const struct verb *v = call->verb;

	if (n < v->min_args)
		return err_set(err, ERR_USAGE, "missing operand: %s %s %s",
		    tool->name, v->name, v->operands);
	if (v->max_args >= 0 && n > v->max_args)
		return err_set(err, ERR_USAGE, "unexpected operand %.80s",
		    call->args.v[v->max_args]);
	if (v->filter && !v->run && n && strcmp(call->args.v[0], "-") != 0)
		return err_set(err, ERR_USAGE,
		    "unexpected operand %.80s: %s reads documents, as `%s get` "
		    "writes them",
		    call->args.v[0], v->name, tool->name);
	return 0;
}

/* The verb's options and the global ones in one table, globals behind. */
static int parse_verb(const struct tool *tool, struct call *call, int argc,
    char **argv, struct globals *g, struct err *err)
{
	const struct verb *v = call->verb;
	size_t pad = (v->opts_size + 15) & ~(size_t)15;
	size_t n = v->n_opts + ARRAY_LEN(global_opts);
	AUTO_FREE struct opt *all = xcalloc(n, sizeof(*all));
	char *mem = xcalloc(1, pad + sizeof(*g));
	int r;

	if (v->defaults)
		memcpy(mem, v->defaults, v->opts_size);
	memcpy(mem + pad, g, sizeof(*g));
	if (v->n_opts)
		memcpy(all, v->opts, v->n_opts * sizeof(*all));
	for (size_t i = 0; i < ARRAY_LEN(global_opts); i++) {
		all[v->n_opts + i] = global_opts[i];
		all[v->n_opts + i].offset += pad;
	}
	call->opts = mem;
	r = opt_parse(all, n, argc, argv, mem, &call->args, err);
	memcpy(g, mem + pad, sizeof(*g));
	if (r == 0 && !g->help)
		r = check_args(tool, call, err);
	return r;
}

static void apply_globals(const struct globals *g)
{
	if (g->quiet)
		log_set_level(LOG_ERR_);
	else if (g->verbose)
		log_set_level(g->verbose > 1 ? LOG_DEBUG_ : LOG_INFO_);
}

/* A usage error, too, is a line of the stream when stdout is a pipe. */
static void say_usage_error(struct call *call, struct err *err)
{
	if (tool_is_pipe(STDOUT_FILENO)) {
		tool_fail(call, NULL, err);
		return;
	}
	log_error(call->verb->name, err);
	call->status = (int)err->code;
}

/* The same where no verb tells whether it would have written documents. */
static int say_no_verb(const struct tool *tool, const struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	struct err ignored;

	log_error(NULL, err);
	if (!tool_is_pipe(STDOUT_FILENO))
		return ERR_USAGE;
	doc = jval_object();
	jval_set_int(doc, "v", 1);
	doc_set_error(doc, tool->name, err);
	(void)tool_emit(doc, &ignored); /* a reader that is gone, too */
	return ERR_USAGE;
}

static int close_stdout(void)
{
	/* Errors of a delayed write show up here (NFS, quota). */
	if (close(STDOUT_FILENO) < 0 && errno != EBADF) {
		struct err err;

		err_sys(&err, errno, "stdout: close");
		log_error(NULL, &err);
		return ERR_FAILED;
	}
	return 0;
}

static int call_verb(struct call *call)
{
	struct err err = {0};
	int r;

	bool filter = wants_filter(call);

	if (call->verb->changes || (filter && tool_is_pipe(STDIN_FILENO)))
		hold_signals();
	if (call->verb->changes) {
		signal(SIGPIPE, SIG_IGN);
		xalloc_exit_hook = undo_all;
	}
	r = filter ? tool_filter(call, &err) : call->verb->run(call, &err);
	if (r < 0)
		tool_fail(call, NULL, &err);
	if (tool_flush(call, &err) < 0) {
		log_error(call->verb->name, &err);
		call->status = call->status ? call->status : ERR_FAILED;
	}
	return call->status;
}

static int run_tool(
    const struct tool *tool, int argc, char **argv, struct call *call)
{
	struct globals g = {0};
	struct err err = {0};
	AUTO_STRV struct strv none = {0};
	int at = 1, r;

	while (at < argc && argv[at][0] == '-')
		at++;
	if (opt_parse(global_opts, ARRAY_LEN(global_opts), at - 1, argv + 1, &g,
		&none, &err) < 0)
		return say_no_verb(tool, &err);
	apply_globals(&g);
	if (g.version) {
		buf_addf(&call->out, "%s %s\n", tool->name, COCOON_VERSION);
	} else if (g.help) {
		help_tool(tool, &call->out);
	} else if (at == argc) {
		err_set(
		    &err, ERR_USAGE, "which verb? try `%s --help`", tool->name);
		return say_no_verb(tool, &err);
	} else {
		call->verb = find_verb(tool, argv[at]);
		if (!call->verb) {
			err_set(&err, ERR_USAGE,
			    "unknown verb %.40s; try `%s --help`", argv[at],
			    tool->name);
			return say_no_verb(tool, &err);
		}
		r = parse_verb(
		    tool, call, argc - at - 1, argv + at + 1, &g, &err);
		apply_globals(&g);
		if (r < 0) {
			say_usage_error(call, &err);
			return call->status;
		}
		if (g.version)
			buf_addf(
			    &call->out, "%s %s\n", tool->name, COCOON_VERSION);
		else if (g.help)
			help_verb(tool, call->verb, &call->out);
		else
			return call_verb(call);
	}
	if (tool_flush(call, &err) < 0) {
		log_error(NULL, &err);
		return ERR_FAILED;
	}
	return 0;
}

extern char **environ;

/* The memory of argv and the environment, which /proc/PID/cmdline shows. */
static char *title_start, *title_end;

void tool_title(const char *fmt, ...)
{
	va_list ap;
	size_t room = (size_t)(title_end - title_start);

	if (room < 2)
		return;
	clearenv();
	memset(title_start, 0, room);
	va_start(ap, fmt);
	vsnprintf(title_start, room, fmt, ap);
	va_end(ap);
}

int tool_main(const struct tool *tool, int argc, char **argv)
{
	struct call call = {0};
	int status;

	if (argc > 0) {
		title_start = argv[0];
		title_end = argv[argc - 1] + strlen(argv[argc - 1]);
	}
	for (char **e = environ; argc > 0 && e && *e; e++)
		if (*e == title_end + 1)
			title_end = *e + strlen(*e);
	open_std_fds();
	reset_signals();
	umask(077);
	log_init(tool->name);
	hide_lock_fd();
	status = run_tool(tool, argc, argv, &call);
	if (call.verb)
		opt_release(call.verb->opts, call.verb->n_opts, call.opts);
	free(call.opts);
	strv_release(&call.args);
	buf_release(&call.out);
	jdoc_free_bound();
	if (close_stdout())
		status = status ? status : ERR_FAILED;
	return status;
}
