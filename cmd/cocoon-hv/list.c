/* SPDX-License-Identifier: MIT */
/*
 * list: a row for each VM. Records are scanned, not parsed: of thousands of
 * VMs a tree of each would be most of the time.
 */
#include "list.h"
#include "live.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "jtext.h"

struct list_opts {
	const char *format;
};

static const struct list_opts defaults = {.format = "table"};
static const struct opt opts[] = {
    {.name = "format",
	.kind = OPT_ENUM,
	.letter = 'o',
	.metavar = "table|json",
	.offset = offsetof(struct list_opts, format),
	.help = "a table, or an array of documents"},
};

enum wanted {
	W_CPU,
	W_MEMORY,
	W_STORAGE,
	W_GENERATION,
	W_CREATED,
	W_STARTED,
	W_PAUSED,
	W_IMAGE,
	W_ADDRESS,
};
static const char *const paths[] = {
    [W_CPU] = ".plan.cpu",
    [W_MEMORY] = ".plan.memory",
    [W_STORAGE] = ".spec.storage",
    [W_GENERATION] = ".hv.generation",
    [W_CREATED] = ".hv.created_at",
    [W_STARTED] = ".hv.started_at",
    [W_PAUSED] = ".hv.paused",
    [W_IMAGE] = ".image.name",
    [W_ADDRESS] = ".net.nics[].addresses[]",
};

/* A string without its quotes; an escape in it stays as it is written. */
static char *unquote(const char *value, size_t len)
{
	return len >= 2 && value[0] == '"' ? xstrndup(value + 1, len - 2)
					   : xstrndup(value, len);
}

static void found(size_t which, const char *value, size_t len, void *arg)
{
	struct row *r = arg;
	uint64_t *const numbers[] = {&r->cpu, &r->memory, &r->storage,
	    &r->generation, &r->created_at, &r->started_at};
	AUTO_FREE char *text = unquote(value, len);

	if (which < ARRAY_LEN(numbers)) {
		*numbers[which] = strtoull(text, NULL, 10);
	} else if (which == W_PAUSED) {
		r->paused = !strcmp(text, "true");
	} else if (which == W_IMAGE) {
		free(r->image);
		r->image = xstrdup(text);
	} else {
		ips_add(&r->ips, text);
	}
}

static const char *state_of(const struct row *r, int vm_fd)
{
	const struct doc_hv recorded = {.generation = r->generation,
	    .started_at = r->started_at,
	    .paused = r->paused};
	struct live l = {0};
	struct json_object *keep = NULL;
	struct doc_ended ended;
	const char *state;

	if (r->started_at)
		l = live_check(vm_fd, r->generation);
	state = live_state(vm_fd, &l, &recorded, &ended, &keep);
	jval_put(keep);
	return state;
}

void row_release(struct row *r)
{
	free(r->name);
	free(r->image);
	ips_release(&r->ips);
}

static int add(const char *id, const char *name, void *arg)
{
	struct list *l = arg;
	struct err ignored = {0};
	AUTO_FD int vm = dir_open(l->vms, id, 0, &ignored);
	AUTO_BUF struct buf text = {0};
	struct row r = {.name = xstrdup(name)};
	const struct jtext_watch watch = {paths, ARRAY_LEN(paths), found, &r};

	memcpy(r.id, id, sizeof(r.id));
	if (vm < 0 ||
	    file_read(vm, "vm.json", &text, JTEXT_MAX_SIZE, &ignored) < 0 ||
	    jtext_watch(text.data, text.len, &watch, &ignored) < 0) {
		/* Removed since its name was read, or not readable. */
		row_release(&r);
		return 0;
	}
	r.state = state_of(&r, vm);
	if ((l->n & (l->n - 1)) == 0)
		l->rows =
		    xrealloc(l->rows, (l->n ? 2 * l->n : 1) * sizeof(*l->rows));
	l->rows[l->n++] = r;
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->created_at != y->created_at)
		return x->created_at < y->created_at ? -1 : 1;
	return strcmp(x->id, y->id);
}

int list_read(struct list *l, struct err *err)
{
	struct err missing;

	if (state_open(&l->st, false, err) < 0)
		return -1;
	l->vms = state_dir(&l->st, "vm", false, &missing);
	if (l->vms < 0)
		return missing.code == ERR_NOTFOUND ? 0 : (*err = missing, -1);
	if (state_each_vm(&l->st, add, l, err) < 0)
		return -1;
	if (l->n)
		qsort(l->rows, l->n, sizeof(*l->rows), by_age);
	return 0;
}

void list_close(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		row_release(&l->rows[i]);
	free(l->rows);
	close_fd(&l->vms);
	state_close(&l->st);
	*l = (struct list)LIST_NONE;
}

void list_row(const struct row *r, struct table *t)
{
	char memory[32], storage[32], time[32];

	format_size(r->memory, memory);
	format_size(r->storage, storage);
	show_time(r->created_at, time);
	table_cell(t, r->id);
	table_cell(t, r->name);
	table_cell(t, r->state);
	table_cellf(t, "%llu", (unsigned long long)r->cpu);
	table_cell(t, memory);
	table_cell(t, storage);
	table_cell(t, ips_text(&r->ips));
	table_cell(t, r->image ? r->image : "-");
	table_cell(t, time);
}

void list_table(const struct list *l, struct buf *out)
{
	AUTO_TABLE struct table t = {.columns = 9};
	static const char *const head[] = {"ID", "NAME", "STATE", "CPU",
	    "MEMORY", "STORAGE", "IP", "IMAGE", "CREATED"};

	if (!l->n) {
		buf_str(out, "No VMs found.\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		table_cell(&t, head[i]);
	for (size_t i = 0; i < l->n; i++)
		list_row(&l->rows[i], &t);
	table_print(&t, out);
}

/* Whole documents; one that vanishes meanwhile is left out. */
static void list_json(const struct list *l, struct buf *out)
{
	AUTO_JSON struct json_object *all = jval_array();

	for (size_t i = 0; i < l->n; i++) {
		AUTO_VM struct vm vm = VM_NONE;
		struct err ignored;

		if (vm_open(&vm, l->rows[i].id, -1, &ignored) < 0)
			continue;
		live_derive(&vm);
		doc_redact(vm.doc);
		jval_push(all, jval_ref(vm.doc));
	}
	jval_pretty(all, out);
	buf_ch(out, '\n');
}

static int list_run(struct call *call, struct err *err)
{
	const struct list_opts *o = call->opts;
	AUTO_LIST struct list l = LIST_NONE;

	if (list_read(&l, err) < 0)
		return -1;
	if (!strcmp(o->format, "json"))
		list_json(&l, &call->out);
	else
		list_table(&l, &call->out);
	return 0;
}

const struct verb verb_list = {
    .name = "list",
    .summary = "List the VMs.",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct list_opts),
    .defaults = &defaults,
    .run = list_run,
};
