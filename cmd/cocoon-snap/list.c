/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "snap.h"
#include "table.h"

struct list_opts {
	const char *format, *vm;
};

static const struct list_opts defaults = {.format = "table"};
static const struct opt opts[] = {
    {.name = "format",
	.letter = 'o',
	.kind = OPT_ENUM,
	.metavar = "table|json",
	.offset = offsetof(struct list_opts, format),
	.help = "how to print (default: table)"},
    {.name = "vm",
	.kind = OPT_STRING,
	.metavar = "VM",
	.offset = offsetof(struct list_opts, vm),
	.help = "those of this VM, by id or name, also if it is gone"},
};

struct listing {
	struct call *call;
	const struct list_opts *o;
	char vm[STATE_ID_LEN + 1];
	struct strv ids;
	struct json_object **rows;
	size_t n;
};

static int note_id(const char *id, const char *name, void *arg)
{
	struct listing *l = arg;

	(void)name;
	strv_add(&l->ids, id);
	return 0;
}

static bool wanted(const struct listing *l, const struct json_object *vm)
{
	const char *id = jval_str(vm, "id"), *name = jval_str(vm, "name");

	if (!l->o->vm)
		return true;
	if (l->vm[0])
		return id && !strcmp(id, l->vm);
	return (id && !strcmp(id, l->o->vm)) ||
	       (name && !strcmp(name, l->o->vm));
}

static struct json_object *row_of(const struct snap *s)
{
	struct json_object *o = jval_object();
	struct json_object *plan = jval_get(s->snap.doc, "plan");
	struct json_object *vm = jval_get(s->snap.doc, "vm");

	jval_set_str(o, "id", s->snap.id);
	jval_set_str(o, "name", s->snap.name ? s->snap.name : "");
	if (s->snap.description)
		jval_set_str(o, "description", s->snap.description);
	jval_set_int(o, "cpu", jval_int(plan, "cpu", 0));
	jval_set_int(o, "memory", jval_int(plan, "memory", 0));
	jval_set_int(o, "created_at", (int64_t)s->snap.created_at);
	jval_set_int(o, "pause_ms", (int64_t)s->snap.pause_ms);
	jval_set(o, "vm", jval_ref(vm));
	return o;
}

static int read_all_rows(struct listing *l, struct err *err)
{
	AUTO_STATE struct state st = STATE_NONE;
	struct err ignored;

	if (state_open(&st, false, err) < 0)
		return -1;
	if (l->o->vm && state_find_vm(&st, l->o->vm, l->vm, &ignored) < 0)
		l->vm[0] = '\0';
	if (state_each_snap(&st, note_id, l, err) < 0)
		return -1;
	l->rows = xcalloc(l->ids.n + 1, sizeof(*l->rows));
	for (size_t i = 0; i < l->ids.n; i++) {
		AUTO_SNAP struct snap s = SNAP_NONE;
		struct err e = {0};

		if (snap_open(&s, l->ids.v[i], &e) < 0) {
			if (e.code != ERR_NOTFOUND)
				tool_fail(l->call, NULL, &e);
			continue;
		}
		if (wanted(l, jval_get(s.snap.doc, "vm")))
			l->rows[l->n++] = row_of(&s);
	}
	return 0;
}

static int by_age(const void *a, const void *b)
{
	int64_t x = jval_int(*(struct json_object *const *)a, "created_at", 0);
	int64_t y = jval_int(*(struct json_object *const *)b, "created_at", 0);

	return x < y ? -1 : x > y;
}

#define SHOWN 60 /* characters of a description; JSON has all of it */

static size_t shown_bytes(const char *text)
{
	size_t len = strlen(text), at = 0;

	for (int i = 0; i < SHOWN && at < len; i++) {
		size_t n = utf8_len(text + at, len - at);

		at += n ? n : 1;
	}
	return at;
}

static void add_row(struct table *t, const struct json_object *o)
{
	time_t at = (time_t)(jval_int(o, "created_at", 0) / 1000);
	const char *words = jval_str(o, "description");
	size_t n = words ? shown_bytes(words) : 0;
	char size[32], created[32];
	struct tm tm;

	format_size((uint64_t)jval_int(o, "memory", 0), size);
	localtime_r(&at, &tm);
	strftime(created, sizeof(created), "%Y-%m-%d %H:%M:%S", &tm);
	table_cell(t, jval_str(o, "id"));
	table_cell(t, jval_str(o, "name"));
	table_cellf(t, "%lld", (long long)jval_int(o, "cpu", 0));
	table_cell(t, size);
	if (words)
		table_cellf(t, "%.*s%s", (int)n, words, words[n] ? "..." : "");
	else
		table_cell(t, "-");
	table_cell(t, created);
}

static void print(struct listing *l, struct buf *out)
{
	static const char *const head[] = {
	    "ID", "NAME", "CPU", "MEMORY", "DESCRIPTION", "CREATED"};
	AUTO_TABLE struct table t = {.columns = ARRAY_LEN(head)};
	AUTO_JSON struct json_object *all = jval_array();
	bool json = !strcmp(l->o->format, "json");

	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		table_cell(&t, head[i]);
	for (size_t i = 0; i < l->n; i++) {
		add_row(&t, l->rows[i]);
		jval_push(all, l->rows[i]);
	}
	if (json) {
		if (l->n)
			jval_pretty(all, out);
		buf_str(out, l->n ? "\n" : "[]\n");
	} else if (l->n) {
		table_print(&t, out);
	} else {
		buf_str(out, l->o->vm ? "No snapshots found for VM.\n"
				      : "No snapshots found.\n");
	}
}

static int list_run(struct call *call, struct err *err)
{
	struct listing l = {.call = call, .o = call->opts};
	int r = read_all_rows(&l, err);

	if (r == 0) {
		qsort(l.rows, l.n, sizeof(*l.rows), by_age);
		print(&l, &call->out);
	}
	strv_release(&l.ids);
	free(l.rows);
	return r;
}

const struct verb verb_list = {
    .name = "list",
    .summary = "List the snapshots.",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct list_opts),
    .defaults = &defaults,
    .run = list_run,
};
