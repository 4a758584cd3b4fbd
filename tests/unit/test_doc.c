/* SPDX-License-Identifier: MIT */
#include "doc.h"

#include <errno.h>

#include "tap.h"

#define ID "ABCDEFGHIJKLMNOPQRSTUVWX27"
#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct valid {
	const char *text;
	bool good;
};

static void check(const char *what, bool (*fn)(const char *),
    const struct valid *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		is_int(fn(cases[i].text), cases[i].good, "%s \"%s\"", what,
		    cases[i].text);
}

static void charsets(void)
{
	static const struct valid ids[] = {{ID, true}, {"", false},
	    {"ABCDEFGHIJKLMNOPQRSTUVWX2", false}, {ID "A", false},
	    {"abcdefghijklmnopqrstuvwx27", false},
	    {"ABCDEFGHIJKLMNOPQRSTUVWX21", false},
	    {"ABCDEFGHIJKLMNOPQRSTUVWX2/", false},
	    {"../../ABCDEFGHIJKLMNOPQRST", false}};
	static const struct valid names[] = {{"a", true}, {"0", true},
	    {"web-1.a_B", true}, {"", false}, {".", false}, {"..", false},
	    {".a", false}, {"-a", false}, {"_a", false}, {"a/b", false},
	    {"a b", false}, {"a\n", false}, {"\xc3\xbc", false}, {HEX64, false},
	    {HEX64 + 1, true}};
	static const struct valid disks[] = {{"data", true}, {"d-1_x", true},
	    {"", false}, {"1d", false}, {"-d", false}, {"_d", false},
	    {"Data", false}, {"cocoon-x", false}, {"cocoon", true},
	    {"abcdefghijklmnopqrst", true}, {"abcdefghijklmnopqrstu", false},
	    {"a.b", false}, {"a/b", false}};
	static const struct valid digests[] = {{"sha256:" HEX64, true},
	    {HEX64, false}, {"sha256:", false}, {"sha512:" HEX64, false},
	    {"sha256:" HEX64 "0", false}, {"sha256:../" HEX64, false}};

	check("id", valid_id, ids, ARRAY_LEN(ids));
	check("name", valid_name, names, ARRAY_LEN(names));
	check("disk name", valid_disk_name, disks, ARRAY_LEN(disks));
	check("digest", valid_digest, digests, ARRAY_LEN(digests));
}

static struct json_object *parse(const char *text)
{
	struct err err = {0};

	return jval_parse(text, strlen(text), &err);
}

static void made(void)
{
	AUTO_JSON struct json_object *doc = parse("{\"v\":1}");
	AUTO_BUF struct buf out = {0};

	ok(!doc_made_has(doc, "net"), "nothing made yet");
	doc_made_add(doc, "net");
	doc_made_add(doc, "hv");
	doc_made_add(doc, "net");
	ok(doc_made_has(doc, "net") && doc_made_has(doc, "hv"), "made");
	jval_print(doc, &out);
	is_str(out.data, "{\"v\":1,\"made\":[\"net\",\"hv\"]}", "once each");
}

static void errors(void)
{
	AUTO_JSON struct json_object *doc = parse("{\"v\":1}");
	AUTO_JSON struct json_object *odd = parse("{\"error\":\"x\"}");
	AUTO_JSON struct json_object *large =
	    parse("{\"error\":{\"code\":4294967300,\"message\":\"m\"}}");
	AUTO_BUF struct buf out = {0};
	struct err e = {0}, back = {0};

	ok(!doc_error(doc, &back), "no error");
	err_sys(&e, EEXIST, "net: add");
	err_object(&e, "web");
	doc_set_error(doc, "cocoon-net add", &e);
	jval_print(doc, &out);
	is_str(out.data,
	    "{\"v\":1,\"error\":{\"code\":5,\"kind\":\"state\",\"tool\":"
	    "\"cocoon-net add\",\"object\":\"web\",\"message\":"
	    "\"net: add: File exists\",\"errno\":17}}",
	    "an error in the document");
	ok(doc_error(doc, &back), "is read back");
	is_int(back.code, ERR_STATE, "its code");
	is_str(back.msg, "net: add: File exists", "its message");
	ok(doc_error(odd, &back), "an error of any type is one");
	is_int(back.code, ERR_FAILED, "then 1");
	ok(doc_error(large, &back), "a code that is none");
	is_int(back.code, ERR_FAILED, "is 1");
}

static void binding(void)
{
	AUTO_JSON struct json_object *doc = parse(
	    "{\"v\":1,\"vm\":{\"id\":\"" ID
	    "\"},\"boot\":{\"password_hash\":\"s\",\"seed\":"
	    "{\"user_data\":\"s\",\"meta_data\":\"m\"}},\"spec\":{\"nix\":1}}");
	AUTO_BUF struct buf out = {0};
	struct doc_vm vm;
	struct doc_net net = {.by = "x"};
	struct doc_spec spec;
	struct err err = {0};

	is_str(doc_id(doc, &err), ID, "id");
	is_int(doc_bind(doc, "vm", &doc_vm_table, &vm, &err), 0, "vm");
	is_str(vm.id, ID, "vm.id");
	is_int(doc_bind(doc, "net", &doc_net_table, &net, &err), -1, "no net");
	is_int(err.code, ERR_INPUT, "is bad input");
	ok(strstr(err.msg, ".net") != NULL, "which names it: %s", err.msg);
	is_int(doc_bind_optional(doc, "net", &doc_net_table, &net, &err), 0,
	    "no net is fine");
	ok(!net.by, "and is empty");
	is_int(doc_bind(doc, "spec", &doc_spec_table, &spec, &err), -1, "typo");
	is_str(err.msg, ".spec.nix: unknown member", "the typo's path");
	doc_redact(doc);
	jval_print(jval_get(doc, "boot"), &out);
	is_str(out.data,
	    "{\"password_hash\":\"***\",\"seed\":{\"user_data\":\"***\","
	    "\"meta_data\":\"m\"}}",
	    "redacted");
	jdoc_free_bound();
}

static void ids(void)
{
	static const char *const bad[] = {"{}", "{\"vm\":{}}",
	    "{\"vm\":{\"id\":1}}", "{\"vm\":{\"id\":\"../x\"}}",
	    "{\"vm\":[\"id\"]}"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_JSON struct json_object *doc = parse(bad[i]);
		struct err err = {0};

		ok(!doc_id(doc, &err), "no id in %s", bad[i]);
		is_int(err.code, ERR_INPUT, "code for %s", bad[i]);
	}
}

static void guests(void)
{
	const char *one[] = {"10.0.0.2/24"}, *two[] = {"10.0.0.2/24", "::2/64"},
		   *other[] = {"10.0.0.3/24"};
	struct doc_nic nic = {
	    .mac = "02:00:00:00:00:01", .addresses = {one, 1}};
	struct doc_guest g = {.mac = nic.mac, .addresses = {one, 1}};

	ok(doc_guest_is(&g, &nic), "the NIC that it knows");
	g.addresses = (struct jstrs){other, 1};
	ok(!doc_guest_is(&g, &nic), "another address");
	g.addresses = (struct jstrs){two, 2};
	ok(!doc_guest_is(&g, &nic), "one address more");
	g.addresses = (struct jstrs){NULL, 0};
	ok(!doc_guest_is(&g, &nic), "no address");
	g = (struct doc_guest){
	    .mac = "02:00:00:00:00:02", .addresses = {one, 1}};
	ok(!doc_guest_is(&g, &nic), "another MAC");
}

/* The names of tables are the members' names: redaction depends on it. */
static void tables(void)
{
	static const char *const names[] = {
	    "vm", "spec", "image", "plan", "net", "boot", "hv"};

	for (size_t i = 0; i < ARRAY_LEN(names) && doc_tables[i]; i++)
		is_str(doc_tables[i]->name, names[i], "table %zu", i);
	for (size_t i = 0; doc_tables[i]; i++)
		for (size_t k = 0; k < doc_tables[i]->n; k++)
			ok(doc_tables[i]->fields[k].help != NULL,
			    "%s.%s is described", doc_tables[i]->name,
			    doc_tables[i]->fields[k].name);
}

int main(void)
{
	charsets();
	made();
	errors();
	binding();
	ids();
	guests();
	tables();
	return done();
}
