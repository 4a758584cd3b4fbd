/* SPDX-License-Identifier: MIT */
/*
 * Command lines by table. Exact names only, `--x=v` and `--x v`, `--`,
 * options also after operands. Values are parsed once, here, with range and
 * overflow checked. Help comes from the same table.
 */
#ifndef COCOON_OPT_H
#define COCOON_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

enum opt_kind {
	OPT_FLAG,   /* bool */
	OPT_STRING, /* const char * into argv */
	OPT_U64,    /* uint64_t */
	OPT_SIZE,   /* uint64_t, bytes; see parse_size */
	OPT_ENUM,   /* const char *, one of choices ("a|b|c") */
	OPT_LIST,   /* struct strv, repeatable */
	OPT_COUNT,  /* int, repeatable flag */
};

struct opt {
	const char *name; /* "cpu" */
	char letter;      /* 'o', or 0 */
	enum opt_kind kind;
	size_t offset;       /* in the struct that opt_parse fills */
	uint64_t min, max;   /* U64 and SIZE; both 0: any */
	const char *metavar; /* "N"; for ENUM the choices */
	const char *help;
	/* LIST: put in front of each value, so that several options can fill
	 * one list in the order of the command line. */
	const char *tag;
};

/*
 * Parses argv[0..argc) into *out; operands go to *args (borrowed strings).
 * A repeated option that takes one value: the last wins, as pflag has it.
 * ERR_USAGE with a message that names the option and the value.
 */
int opt_parse(const struct opt *opts, size_t n, int argc, char **argv,
    void *out, struct strv *args, struct err *err);
void opt_release(const struct opt *opts, size_t n, void *out);
/* The options' help lines, at most 80 columns. */
void opt_help(const struct opt *opts, size_t n, struct buf *out);
/* "[--cpu N] [--name NAME] ..." wrapped at 80 columns for a synopsis. */
void opt_synopsis(const struct opt *opts, size_t n, struct buf *out);

/*
 * "512M", "1.5 GiB", "4096": a decimal number, an optional space, a suffix
 * k m g t p with an optional b or ib, any case, powers of 1024; truncated to
 * whole bytes (docker/go-units RAMInBytes). -1 if it is not that or > 2^53.
 */
int parse_size(const char *text, uint64_t *out);
int parse_u64(const char *text, uint64_t *out);
/* "1GiB", "512MiB": binary units, at most 4 significant digits. */
void format_size(uint64_t bytes, char out[32]);
/* "1.074GB": decimal units, at most 4 significant digits. */
void format_size_si(uint64_t bytes, char out[32]);

#endif
