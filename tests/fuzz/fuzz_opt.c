/* SPDX-License-Identifier: MIT */
/*
 * Sizes and numbers keep their limits and agree with each other; a command
 * line, one word a line, parses or says why not.
 */
#include <inttypes.h>
#include <string.h>

#include "fuzz.h"
#include "log.h"
#include "opt.h"

#define LIMIT (UINT64_C(1) << 53)

struct opts {
	bool flag;
	const char *name, *mode;
	uint64_t count, size;
	struct strv list;
	int verbose;
};

#define O(m, l, k, hi, mv)                                       \
	{                                                        \
		.name = #m, .letter = (l), .kind = (k),          \
		.offset = offsetof(struct opts, m), .max = (hi), \
		.metavar = (mv), .help = ""                      \
	}
static const struct opt table[] = {
    O(flag, 'f', OPT_FLAG, 0, NULL),
    O(name, 'n', OPT_STRING, 0, "NAME"),
    O(mode, 'o', OPT_ENUM, 0, "json|table"),
    O(count, 'c', OPT_U64, 64, "N"),
    O(size, 's', OPT_SIZE, 1 << 20, "SIZE"),
    O(list, 'l', OPT_LIST, 0, "X"),
    O(verbose, 'v', OPT_COUNT, 0, NULL),
};

static void check_numbers(const char *text)
{
	uint64_t size = 0, number = 0, again = 0;
	char shown[32], exact[32];

	if (parse_size(text, &size) == 0) {
		must(size <= LIMIT);
		format_size(size, shown);
		must(parse_size(shown, &again) == 0 || size > LIMIT / 2);
		format_size_si(size, shown);
		snprintf(exact, sizeof(exact), "%" PRIu64, size);
		must(parse_size(exact, &again) == 0 && again == size);
	}
	if (parse_u64(text, &number) == 0) {
		must(number <= LIMIT);
		must(parse_size(text, &size) == 0 && size == number);
	}
}

static void check_line(char *text)
{
	AUTO_STRV struct strv args = {0};
	struct opts o = {0};
	struct err err = {0};
	char *argv[64], *word, clean[2048];
	int argc = 0;

	while (argc < 64 && (word = strsep(&text, "\n")))
		argv[argc++] = word;
	if (opt_parse(table, ARRAY_LEN(table), argc, argv, &o, &args, &err)) {
		must(err.code == ERR_USAGE && err.msg[0]);
		log_escape(clean, sizeof(clean), err.msg);
		must(!strchr(clean, '\n'));
	} else {
		must(o.count <= 64 && o.size <= 1 << 20);
		must(!o.mode || !strcmp(o.mode, "json") ||
		     !strcmp(o.mode, "table"));
	}
	opt_release(table, ARRAY_LEN(table), &o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xstrndup((const char *)data, size);

	check_numbers(text);
	check_line(text);
	return 0;
}
