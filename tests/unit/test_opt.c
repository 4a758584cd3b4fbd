/* SPDX-License-Identifier: MIT */
#include "opt.h"

#include "tap.h"

struct opts {
	bool flag, keep;
	const char *name, *mode;
	uint64_t count, size;
	struct strv list;
	int verbose;
};

#define O(m, l, k, lo, hi, mv)                                                \
	{                                                                     \
		.name = #m, .letter = (l), .kind = (k),                       \
		.offset = offsetof(struct opts, m), .min = (lo), .max = (hi), \
		.metavar = (mv), .help = "help of " #m                        \
	}
static const struct opt table[] = {
    O(flag, 'f', OPT_FLAG, 0, 0, NULL),
    O(keep, 0, OPT_FLAG, 0, 0, NULL),
    O(name, 'n', OPT_STRING, 0, 0, "NAME"),
    O(mode, 'o', OPT_ENUM, 0, 0, "json|table"),
    O(count, 'c', OPT_U64, 1, 64, "N"),
    O(size, 0, OPT_SIZE, 512, 1 << 20, "SIZE"),
    O(list, 'l', OPT_LIST, 0, 0, "X"),
    {.name = "tagged",
	.kind = OPT_LIST,
	.offset = offsetof(struct opts, list),
	.metavar = "Y",
	.tag = "y=",
	.help = "into the same list"},
    O(verbose, 'v', OPT_COUNT, 0, 0, NULL),
};

/* Splits line at spaces into argv and parses it; "" is a word: ''. */
static int parse(
    const char *line, struct opts *o, struct strv *args, struct err *err)
{
	static char copy[512];
	char *argv[32], *save = NULL, *w;
	int argc = 0;

	*o = (struct opts){.keep = true};
	snprintf(copy, sizeof(copy), "%s", line);
	for (w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(w, "''") ? w : w + 2;
	return opt_parse(table, ARRAY_LEN(table), argc, argv, o, args, err);
}

static void good(void)
{
	AUTO_STRV struct strv args = {0};
	struct err err = {0};
	struct opts o;

	is_int(parse("a -f --name=x --count 7 b --size 1k --mode json -l 1 "
		     "--tagged 5 --list=2 -vv -v - -- --flag -x",
		   &o, &args, &err),
	    0, "a line with everything: %s", err.msg);
	ok(o.flag, "flag");
	is_str(o.name, "x", "string");
	is_int(o.count, 7, "number");
	is_int(o.size, 1024, "size");
	is_str(o.mode, "json", "enum");
	is_int(o.list.n, 3, "list: three");
	is_str(o.list.v[1], "y=5", "list: one that was tagged, in its place");
	is_str(o.list.v[2], "2", "list: the last");
	is_int(o.verbose, 3, "counted flag");
	is_int(args.n, 5, "operands");
	is_str(args.v[1], "b", "operand between options");
	is_str(args.v[2], "-", "a dash is an operand");
	is_str(args.v[3], "--flag", "behind -- all is operand");
	is_str(args.v[4], "-x", "behind -- all is operand");
	opt_release(table, ARRAY_LEN(table), &o);
	ok(!o.list.v, "lists are released");
}

static void forms(void)
{
	static const struct {
		const char *line, *name;
		int verbose;
		uint64_t count;
		bool flag, keep;
	} cases[] = {
	    {"--name= ", "", 0, 0, false, true},
	    {"--name ''", "", 0, 0, false, true},
	    {"--name=a=b", "a=b", 0, 0, false, true},
	    {"--name --flag", "--flag", 0, 0, false, true},
	    {"-n x", "x", 0, 0, false, true},
	    {"-nx", "x", 0, 0, false, true},
	    {"-n=x", "x", 0, 0, false, true},
	    {"-vfn x", "x", 1, 0, true, true},
	    {"-vfnx", "x", 1, 0, true, true},
	    {"-c1 -c 64", NULL, 0, 64, false, true},
	    {"--name a --name b", "b", 0, 0, false, true},
	    {"--flag=true", NULL, 0, 0, true, true},
	    {"--keep=false", NULL, 0, 0, false, false},
	    {"--flag --flag=false", NULL, 0, 0, false, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STRV struct strv args = {0};
		struct err err = {0};
		struct opts o;
		int r = parse(cases[i].line, &o, &args, &err);

		is_int(r, 0, "parses: %s %s", cases[i].line, err.msg);
		is_str(o.name, cases[i].name, "name of: %s", cases[i].line);
		is_int(o.verbose, cases[i].verbose, "v of: %s", cases[i].line);
		is_int(o.count, cases[i].count, "count of: %s", cases[i].line);
		is_int(o.flag, cases[i].flag, "flag of: %s", cases[i].line);
		is_int(o.keep, cases[i].keep, "keep of: %s", cases[i].line);
		opt_release(table, ARRAY_LEN(table), &o);
	}
}

static void errors(void)
{
	static const struct {
		const char *line, *msg;
	} cases[] = {
	    {"--nam x", "unknown option --nam"},
	    {"--names x", "unknown option --names"},
	    {"--=x", "unknown option --"},
	    {"-x", "unknown option -x"},
	    {"-fx", "unknown option -x"},
	    {"--name", "--name wants a value"},
	    {"-n", "-n wants a value"},
	    {"--flag=yes", "--flag takes no value"},
	    {"--mode=xml", "invalid --mode \"xml\": want one of json|table"},
	    {"--mode=json|table",
		"invalid --mode \"json|table\": want one of json|table"},
	    {"--mode=", "invalid --mode \"\": want one of json|table"},
	    {"--count=x", "invalid --count \"x\": want a whole number"},
	    {"--count=-1", "invalid --count \"-1\": want a whole number"},
	    {"--count=0", "--count must be at least 1"},
	    {"--count=65", "--count must be at most 64"},
	    {"--count=99999999999999999999",
		"invalid --count \"99999999999999999999\": "
		"want a whole number"},
	    {"--size=x", "invalid --size \"x\": want a size such as 512M or "
			 "10G"},
	    {"--size=511", "--size must be at least 512B"},
	    {"--size=2M", "--size must be at most 1MiB"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STRV struct strv args = {0};
		struct err err = {0};
		struct opts o;

		is_int(parse(cases[i].line, &o, &args, &err), -1, "refused: %s",
		    cases[i].line);
		is_int(err.code, ERR_USAGE, "usage error: %s", cases[i].line);
		is_str(err.msg, cases[i].msg, "message: %s", cases[i].line);
		opt_release(table, ARRAY_LEN(table), &o);
	}
}

static void sizes(void)
{
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} cases[] = {
	    {"0", 0, 0},
	    {"1", 0, 1},
	    {"4096", 0, 4096},
	    {"1b", 0, 1},
	    {"1k", 0, 1024},
	    {"1K", 0, 1024},
	    {"1kb", 0, 1024},
	    {"1KiB", 0, 1024},
	    {"1 kib", 0, 1024},
	    {"1.5 GiB", 0, 1610612736},
	    {"512M", 0, 536870912},
	    {"2t", 0, UINT64_C(2) << 40},
	    {"8p", 0, UINT64_C(8) << 50},
	    {"0.5k", 0, 512},
	    {"1.0001k", 0, 1024},
	    {"0.3", 0, 0},
	    {"9007199254740992", 0, UINT64_C(1) << 53},
	    {"9007199254740993", -1, 0},
	    {"9p", -1, 0},
	    {"8.5p", -1, 0},
	    {"18446744073709551616", -1, 0},
	    {"0x60000000000000K", -1, 0},
	    {"60000000000000000K", -1, 0},
	    {"1e3", -1, 0},
	    {"", -1, 0},
	    {"k", -1, 0},
	    {" 1", -1, 0},
	    {"1  k", -1, 0},
	    {"-1", -1, 0},
	    {"+1", -1, 0},
	    {"1.", -1, 0},
	    {".5", -1, 0},
	    {"1.2.3", -1, 0},
	    {"1..2", -1, 0},
	    {"1kk", -1, 0},
	    {"1bb", -1, 0},
	    {"1x", -1, 0},
	    {"1kx", -1, 0},
	    {"1i", -1, 0},
	    {"nan", -1, 0},
	    {"inf", -1, 0},
	    {"1,5", -1, 0},
	    {"1e", -1, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 0;

		is_int(parse_size(cases[i].text, &v), cases[i].r, "size \"%s\"",
		    cases[i].text);
		is_int(v, cases[i].value, "value of \"%s\"", cases[i].text);
	}
}

static void numbers(void)
{
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} cases[] = {
	    {"0", 0, 0},
	    {"10", 0, 10},
	    {"007", 0, 7},
	    {"9007199254740992", 0, UINT64_C(1) << 53},
	    {"9007199254740993", -1, 0},
	    {"18446744073709551616", -1, 0},
	    {"", -1, 0},
	    {"-1", -1, 0},
	    {"+1", -1, 0},
	    {" 1", -1, 0},
	    {"1 ", -1, 0},
	    {"0x10", -1, 0},
	    {"1.0", -1, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 0;

		is_int(parse_u64(cases[i].text, &v), cases[i].r,
		    "number \"%s\"", cases[i].text);
		is_int(v, cases[i].value, "value of \"%s\"", cases[i].text);
	}
}

static void formats(void)
{
	static const struct {
		uint64_t bytes;
		const char *binary, *decimal;
	} cases[] = {
	    {0, "0B", "0B"},
	    {1, "1B", "1B"},
	    {1023, "1023B", "1.023kB"},
	    {1024, "1KiB", "1.024kB"},
	    {1536, "1.5KiB", "1.536kB"},
	    {536870912, "512MiB", "536.9MB"},
	    {1073741824, "1GiB", "1.074GB"},
	    {UINT64_C(1) << 53, "8PiB", "9.007PB"},
	};
	char text[32];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		format_size(cases[i].bytes, text);
		is_str(text, cases[i].binary, "binary units %zu", i);
		format_size_si(cases[i].bytes, text);
		is_str(text, cases[i].decimal, "decimal units %zu", i);
	}
}

static void help(void)
{
	AUTO_BUF struct buf out = {0};

	opt_help(table, ARRAY_LEN(table), &out);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_FREE char *line = xasprintf("--%s", table[i].name);

		ok(strstr(out.data, line) != NULL, "help has %s", line);
	}
	ok(strstr(out.data, "  -o, --mode json|table") != NULL, "choices");
	buf_release(&out);
	opt_synopsis(table, 4, &out);
	is_str(
	    out.data, " [-f] [--keep] [-n NAME] [-o json|table]", "synopsis");
}

int main(void)
{
	good();
	forms();
	errors();
	sizes();
	numbers();
	formats();
	help();
	return done();
}
