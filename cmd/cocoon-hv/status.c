/* SPDX-License-Identifier: MIT */
/*
 * status: watches VMs. A table again and again, or with --event a line for
 * each VM that was added, modified, deleted. inotify on the names and on each
 * VM's directory says when to look; the interval is for what it cannot see.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "list.h"
#include "live.h"

#define SETTLE_MS 100 /* one operation is several changes */

struct status_opts {
	uint64_t interval;
	bool event;
	const char *format;
};

static const struct status_opts defaults = {.interval = 5, .format = "table"};
#define O(m, l, k, mv, h)                                                   \
	{                                                                   \
		.name = #m, .letter = (l), .kind = (k),                     \
		.offset = offsetof(struct status_opts, m), .metavar = (mv), \
		.max = (k) == OPT_U64 ? 86400 : 0, .help = (h)              \
	}
static const struct opt opts[] = {
    O(interval, 'n', OPT_U64, "SECONDS", "look at least this often (5)"),
    O(event, 0, OPT_FLAG, NULL, "a line for each change, no table"),
    O(format, 0, OPT_ENUM, "table|json", "of events: columns or documents"),
};

/* What was last told of a VM. */
struct told {
	char id[STATE_ID_LEN + 1];
	char *line;              /* its row of the table: what is compared */
	char *cells;             /* its columns of an event */
	struct json_object *doc; /* for events in JSON */
	bool seen;
};

struct watch {
	struct call *call;
	const struct status_opts *o;
	int inotify;
	struct told *told;
	size_t n;
	bool first;
};

/* Exact id, exact name, or a prefix of an id. */
static bool wanted(const struct watch *w, const struct row *r)
{
	const struct strv *args = &w->call->args;

	for (size_t i = 0; i < args->n; i++)
		if (!strcmp(args->v[i], r->id) ||
		    !strcmp(args->v[i], r->name) ||
		    (strlen(args->v[i]) >= 3 &&
			!strncmp(args->v[i], r->id, strlen(args->v[i]))))
			return true;
	return !args->n;
}

static char *line_of(const struct row *r)
{
	AUTO_TABLE struct table t = {.columns = 9};
	AUTO_BUF struct buf out = {0};

	list_row(r, &t);
	table_print(&t, &out);
	return xstrdup(out.data);
}

/* The Go program's event columns. */
static char *cells_of(const struct row *r)
{
	AUTO_TABLE struct table t = {.columns = 7};
	AUTO_BUF struct buf out = {0};
	char memory[32];

	format_size(r->memory, memory);
	table_cell(&t, r->id);
	table_cell(&t, r->name);
	table_cell(&t, r->state);
	table_cellf(&t, "%llu", (unsigned long long)r->cpu);
	table_cell(&t, memory);
	table_cell(&t, ips_text(&r->ips));
	table_cell(&t, r->image ? r->image : "-");
	table_print(&t, &out);
	return xstrdup(out.data);
}

static struct json_object *document(const char *id)
{
	AUTO_VM struct vm vm = VM_NONE;
	struct err ignored;

	if (vm_open(&vm, id, -1, &ignored) < 0)
		return NULL;
	live_derive(&vm);
	doc_redact(vm.doc);
	return jval_ref(vm.doc);
}

static void tell(struct watch *w, const char *what, const struct told *t)
{
	AUTO_JSON struct json_object *line = NULL;

	if (strcmp(w->o->format, "json")) {
		buf_addf(&w->call->out, "%-8s  %s", what, t->cells);
		return;
	}
	line = jval_object();
	jval_set_str(line, "event", what);
	if (t->doc)
		jval_set(line, "vm", jval_ref(t->doc));
	jval_print(line, &w->call->out);
	buf_ch(&w->call->out, '\n');
}

static struct told *find(struct watch *w, const char *id)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->told[i].id, id))
			return &w->told[i];
	return NULL;
}

static void told_release(struct told *t)
{
	free(t->line);
	free(t->cells);
	jval_put(t->doc);
}

/* True if something of it is new. */
static bool note(struct watch *w, const struct row *r)
{
	struct told *t = find(w, r->id);
	AUTO_FREE char *line = line_of(r);
	bool added = !t;

	if (added) {
		w->told = xrealloc(w->told, (w->n + 1) * sizeof(*w->told));
		t = &w->told[w->n++];
		*t = (struct told){0};
		memcpy(t->id, r->id, sizeof(t->id));
	}
	t->seen = true;
	if (!added && !strcmp(line, t->line))
		return false;
	told_release(t);
	t->line = xstrdup(line);
	t->cells = cells_of(r);
	t->doc = strcmp(w->o->format, "json") ? NULL : document(r->id);
	if (w->o->event)
		tell(w, added ? "ADDED" : "MODIFIED", t);
	return true;
}

static bool forget_gone(struct watch *w)
{
	bool gone = false;

	for (size_t i = 0; i < w->n;) {
		struct told *t = &w->told[i];

		if (t->seen) {
			t->seen = false;
			i++;
			continue;
		}
		if (w->o->event)
			tell(w, "DELETED", t);
		told_release(t);
		*t = w->told[--w->n];
		gone = true;
	}
	return gone;
}

static void watch_dirs(struct watch *w, const struct list *l)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/vm-name", l->st.base_fd);
	inotify_add_watch(w->inotify, path, IN_CREATE | IN_DELETE);
	for (size_t i = 0; i < l->n; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d/vm/%s",
		    l->st.base_fd, l->rows[i].id);
		inotify_add_watch(
		    w->inotify, path, IN_CREATE | IN_MOVED_TO | IN_MODIFY);
	}
}

/* Drops from l what was not asked for. */
static void keep_wanted(const struct watch *w, struct list *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++)
		if (wanted(w, &l->rows[i]))
			l->rows[kept++] = l->rows[i];
		else
			row_release(&l->rows[i]);
	l->n = kept;
}

static void print_table(struct watch *w, const struct list *l)
{
	char now[16], day[16];
	time_t t = time(NULL);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(now, sizeof(now), "%H:%M:%S", &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	if (isatty(STDOUT_FILENO))
		buf_str(&w->call->out, "\033[H\033[2J");
	buf_addf(&w->call->out, "Every %s — press Ctrl+C to quit (%s)\n\n", now,
	    day);
	list_table(l, &w->call->out);
}

static int look(struct watch *w, struct err *err)
{
	AUTO_LIST struct list l = LIST_NONE;
	bool changed = w->first;

	if (list_read(&l, err) < 0)
		return -1;
	watch_dirs(w, &l);
	keep_wanted(w, &l);
	for (size_t i = 0; i < l.n; i++)
		changed |= note(w, &l.rows[i]);
	changed |= forget_gone(w);
	w->first = false;
	if (changed && !w->o->event)
		print_table(w, &l);
	jdoc_free_bound();
	return tool_flush(w->call, err);
}

static void await_change(struct watch *w)
{
	struct pollfd p = {w->inotify, POLLIN, 0};
	uint64_t seconds = w->o->interval ? w->o->interval : 5;
	char events[8192];

	if (poll(&p, 1, (int)(seconds * 1000)) <= 0)
		return;
	sleep_ms(SETTLE_MS);
	while (read(w->inotify, events, sizeof(events)) > 0)
		;
}

static int status_run(struct call *call, struct err *err)
{
	struct watch w = {.call = call, .o = call->opts, .first = true};

	w.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w.o->event && strcmp(w.o->format, "json"))
		buf_str(&call->out, "EVENT\tID\tNAME\tSTATE\tCPU\tMEMORY\tIP"
				    "\tIMAGE\n");
	for (;;) {
		if (look(&w, err) < 0)
			return -1;
		await_change(&w);
	}
}

const struct verb verb_status = {
    .name = "status",
    .summary = "Watch VMs until interrupted.",
    .operands = "[VM...]",
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct status_opts),
    .defaults = &defaults,
    .run = status_run,
};
