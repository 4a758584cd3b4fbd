/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <time.h>

#include "img.h"
#include "ref.h"
#include "table.h"

struct list_opts {
	const char *format;
};

static const struct list_opts defaults = {.format = "table"};
static const struct opt opts[] = {
    {.name = "format",
	.letter = 'o',
	.kind = OPT_ENUM,
	.metavar = "table|json",
	.offset = offsetof(struct list_opts, format),
	.help = "how to print (default: table)"},
};

static void add_row(struct table *t, const struct doc_image *doc)
{
	time_t at = (time_t)(doc->created_at / 1000);
	char size[32], created[32];
	struct tm tm;

	format_size_si(doc->size, size);
	localtime_r(&at, &tm);
	strftime(created, sizeof(created), "%Y-%m-%d %H:%M:%S", &tm);
	table_cell(t, doc->type);
	table_cell(t, doc->name);
	/* "sha256:" and 12 digits, as a reference takes them. */
	table_cellf(t, "%.19s", doc->digest);
	table_cell(t, size);
	table_cell(t, created);
}

static struct json_object *json_row(const struct doc_image *doc)
{
	struct json_object *o = jval_object();

	jval_set_str(o, "id", doc->digest);
	jval_set_str(o, "name", doc->name);
	jval_set_str(o, "type", doc->type);
	jval_set_int(o, "size", (int64_t)doc->size);
	jval_set_int(o, "created_at", (int64_t)doc->created_at);
	return o;
}

static void print(const struct table *t, const struct json_object *all,
    bool json, struct buf *out)
{
	if (!json && jval_len(all)) {
		table_print(t, out);
		return;
	}
	if (json && jval_len(all))
		jval_pretty(all, out);
	else
		buf_str(out, json ? "[]" : "No images found.");
	buf_ch(out, '\n');
}

static int list_run(struct call *call, struct err *err)
{
	static const char *const head[] = {
	    "TYPE", "NAME", "DIGEST", "SIZE", "CREATED"};
	const struct list_opts *o = call->opts;
	AUTO_STORE struct store s = STORE_NONE;
	AUTO_STRV struct strv names = {0};
	AUTO_JSON struct json_object *all = jval_array();
	AUTO_TABLE struct table t = {.columns = ARRAY_LEN(head)};

	if (store_open(&s, false, err) < 0 || ref_names(&s, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		table_cell(&t, head[i]);
	for (size_t i = 0; i < names.n; i++) {
		AUTO_IMAGE struct image img = {0};
		struct err e = {0};

		if (ref_load(&s, names.v[i], &img, &e) == 0) {
			add_row(&t, &img.doc);
			jval_push(all, json_row(&img.doc));
		} else if (e.code != ERR_NOTFOUND) {
			tool_fail(call, NULL, &e); /* the others are listed */
		}
	}
	print(&t, all, !strcmp(o->format, "json"), &call->out);
	return 0;
}

const struct verb verb_list = {
    .name = "list",
    .summary = "lists the images",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct list_opts),
    .defaults = &defaults,
    .run = list_run,
};
