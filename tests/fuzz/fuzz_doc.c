/* SPDX-License-Identifier: MIT */
/*
 * Documents: every table binds or says where it does not; what was bound and
 * built again binds again and builds the same; redaction leaves a document.
 */
#include <string.h>

#include "doc.h"
#include "fuzz.h"

static void check_table(const struct json_object *v, const struct jtable *t)
{
	AUTO_FREE char *one = xcalloc(1, t->size), *two = xcalloc(1, t->size);
	AUTO_JSON struct json_object *built = NULL, *again = NULL;
	AUTO_BUF struct buf first = {0}, second = {0};
	struct err err = {0};

	if (jbind(v, t, t->name, one, &err) < 0) {
		must(err.code == ERR_INPUT && err.msg[0] == '.');
		return;
	}
	built = jbuild(t, one);
	must(jbind(built, t, t->name, two, &err) == 0);
	again = jbuild(t, two);
	jval_print(built, &first);
	jval_print(again, &second);
	must(!strcmp(first.data, second.data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_JSON struct json_object *doc = NULL, *again = NULL;
	AUTO_BUF struct buf out = {0};
	struct err err = {0}, found = {0};
	const char *id;

	doc = jval_parse((const char *)data, size, &err);
	if (!doc)
		return 0;
	for (size_t i = 0; doc_tables[i]; i++) {
		const struct json_object *v =
		    jval_get(doc, doc_tables[i]->name);

		if (v)
			check_table(v, doc_tables[i]);
	}
	jdoc_free_bound();
	id = doc_id(doc, &err);
	must(!id || valid_id(id));
	if (doc_error(doc, &found))
		must(found.code > 0 && found.code < ERR_CODES);
	if (!jval_is_object(doc))
		return 0;
	doc_redact(doc);
	doc_set_error(doc, "fuzz", &err);
	jval_print(doc, &out);
	again = jval_parse(out.data, out.len, &err);
	must(again);
	must(doc_error(again, &found));
	return 0;
}
