/* SPDX-License-Identifier: MIT */
/*
 * cocoon-document(5) against the tables: it has an item for every field and
 * for no other, and the item says what the table says: choices, required,
 * secret. document PAGE, or COCOON_DOCUMENT_PAGE; else the page of this tree.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "buf.h"
#include "doc.h"
#include "file.h"
#include "tap.h"

#define PAGE "man/cocoon-document.5"
#define ITEM "\n.It Va "

/* One path of an item, and the text up to the next item or section. */
struct item {
	char *path;
	const char *text;
	size_t len;
	bool known;
};

struct page {
	struct item items[400];
	size_t n;
};

/* What is in every document and in no table. */
static const char *const frame[] = {".v", ".made", ".error", ".error.code",
    ".error.kind", ".error.tool", ".error.object", ".error.message",
    ".error.errno"};

static void add_item(struct page *p, const char *path, size_t path_len,
    const char *text, size_t len)
{
	if (p->n == ARRAY_LEN(p->items))
		abort();
	p->items[p->n++] =
	    (struct item){xstrndup(path, path_len), text, len, false};
}

/* Where the item's text ends. */
static size_t text_len(const char *text)
{
	static const char *const ends[] = {"\n.It Va ", "\n.El", "\n.S"};
	size_t len = strlen(text);

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		const char *end = strstr(text, ends[i]);

		if (end && (size_t)(end - text) < len)
			len = (size_t)(end - text);
	}
	return len;
}

/* ".It Va .a , .b" are two items with one text. */
static void parse_page(const char *text, struct page *p)
{
	for (const char *at = text; (at = strstr(at, ITEM));) {
		const char *word = at + strlen(ITEM);
		const char *body = word + strcspn(word, "\n");
		size_t len = text_len(body);

		for (at = body; word < body; word += strspn(word, " ")) {
			size_t n = strcspn(word, " \n");

			if (*word == '.')
				add_item(p, word, n, body, len);
			word += n;
		}
	}
}

static void release_page(struct page *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->items[i].path);
}

static struct item *find(struct page *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->items[i].path, path))
			return &p->items[i];
	return NULL;
}

/* True if word stands in the text between blanks, commas or ends of line. */
static bool says(const struct item *it, const char *word, size_t len)
{
	static const char around[] = " \n,.";
	const char *end = it->text + it->len - len;

	for (const char *at = it->text + 1; at <= end; at++)
		if (!strncmp(at, word, len) && strchr(around, at[-1]) &&
		    (at[len] == '\0' || strchr(around, at[len])))
			return true;
	return false;
}

static bool has_choices(const struct item *it, const char *choices)
{
	for (const char *c = choices; *c; c += *c == '|') {
		size_t len = strcspn(c, "|");

		if (!says(it, c, len))
			return false;
		c += len;
	}
	return true;
}

static void check_field(
    struct page *p, const struct jfield *f, const char *path)
{
	struct item *it = find(p, path);

	if (!ok(it != NULL, "%s is in the manual", path))
		return;
	it->known = true;
	if (f->kind == J_ENUM)
		ok(has_choices(it, f->arg), "%s: %s", path,
		    (const char *)f->arg);
	is_int(says(it, "Required", 8), (f->flags & J_REQUIRED) != 0,
	    "%s: required or not", path);
	is_int(says(it, "Secret", 6), (f->flags & J_SECRET) != 0,
	    "%s: secret or not", path);
}

static void check_table(
    struct page *p, const struct jtable *t, const char *where)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct jfield *f = &t->fields[i];
		AUTO_FREE char *path = xasprintf("%s.%s", where, f->name);
		AUTO_FREE char *each = xasprintf("%s[]", path);

		check_field(p, f, path);
		if (f->kind == J_OBJ)
			check_table(p, f->arg, path);
		if (f->kind == J_ARR)
			check_table(p, f->arg, each);
	}
}

static void check_page(struct page *p)
{
	for (size_t i = 0; i < ARRAY_LEN(frame); i++) {
		struct item *it = find(p, frame[i]);

		if (ok(it != NULL, "%s is in the manual", frame[i]))
			it->known = true;
	}
	for (size_t i = 0; doc_tables[i]; i++) {
		AUTO_FREE char *where = xasprintf(".%s", doc_tables[i]->name);

		check_table(p, doc_tables[i], where);
	}
	for (size_t i = 0; i < p->n; i++)
		ok(p->items[i].known, "%s of the manual: in a table, once",
		    p->items[i].path);
}

int main(int argc, char **argv)
{
	const char *path = getenv("COCOON_DOCUMENT_PAGE");
	AUTO_BUF struct buf text = {0};
	struct page page = {0};
	struct err err;

	if (!path)
		path = PAGE;
	if (argc > 1)
		path = argv[1];
	if (!ok(file_read(AT_FDCWD, path, &text, 1 << 20, &err) == 0,
		"%s can be read", path))
		return done();
	parse_page(text.data, &page);
	check_page(&page);
	release_page(&page);
	return done();
}
