/* SPDX-License-Identifier: MIT */
#include "opt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INTEGER (UINT64_C(1) << 53) /* what survives jq */

int parse_u64(const char *text, uint64_t *out)
{
	char *end;
	unsigned long long v;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || v > MAX_INTEGER)
		return -1;
	*out = v;
	return 0;
}

/* The power of 1024 that a suffix stands for, or -1. */
static int suffix_power(const char *s)
{
	static const char units[] = "kmgtp";
	const char *u;

	if (!*s)
		return 0;
	if (!strcasecmp(s, "b"))
		return 0;
	u = strchr(units, tolower((unsigned char)*s));
	if (!u || !*u)
		return -1;
	s++;
	if (*s && strcasecmp(s, "b") && strcasecmp(s, "ib"))
		return -1;
	return (int)(u - units) + 1;
}

int parse_size(const char *text, uint64_t *out)
{
	long double value;
	int power;
	char *end;
	size_t digits = strspn(text, "0123456789.");

	if (!digits || !isdigit((unsigned char)text[0]) ||
	    !isdigit((unsigned char)text[digits - 1]) ||
	    memchr(text, '.', digits) != memrchr(text, '.', digits))
		return -1;
	value = strtold(text, &end);
	if (end != text + digits)
		return -1;
	if (*end == ' ')
		end++;
	power = suffix_power(end);
	if (power < 0)
		return -1;
	while (power-- > 0)
		value *= 1024;
	if (value > (long double)MAX_INTEGER)
		return -1;
	*out = (uint64_t)value;
	return 0;
}

static void format_units(
    uint64_t bytes, double base, const char *const *units, char out[32])
{
	double v = (double)bytes;
	int i = 0;

	while (v >= base && i < 5) {
		v /= base;
		i++;
	}
	snprintf(out, 32, "%.4g%s", v, units[i]);
}

void format_size(uint64_t bytes, char out[32])
{
	static const char *const units[] = {
	    "B", "KiB", "MiB", "GiB", "TiB", "PiB"};

	format_units(bytes, 1024, units, out);
}

void format_size_si(uint64_t bytes, char out[32])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};

	format_units(bytes, 1000, units, out);
}

static bool is_choice(const char *choices, const char *value)
{
	size_t len = strlen(value);
	const char *p = choices;

	for (; *p; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == len && !strncmp(p, value, len))
			return true;
	return false;
}

static int store_number(
    const struct opt *o, const char *value, uint64_t *out, struct err *err)
{
	int r = o->kind == OPT_SIZE ? parse_size(value, out)
				    : parse_u64(value, out);
	char lo[32], hi[32];

	if (r < 0)
		return err_set(err, ERR_USAGE, "invalid --%s \"%s\"%s", o->name,
		    value,
		    o->kind == OPT_SIZE ? ": want a size such as 512M or 10G"
					: ": want a whole number");
	if (*out >= o->min && (!o->max || *out <= o->max))
		return 0;
	if (o->kind == OPT_SIZE) {
		format_size(o->min, lo);
		format_size(o->max, hi);
	} else {
		snprintf(lo, sizeof(lo), "%llu", (unsigned long long)o->min);
		snprintf(hi, sizeof(hi), "%llu", (unsigned long long)o->max);
	}
	if (*out < o->min)
		return err_set(
		    err, ERR_USAGE, "--%s must be at least %s", o->name, lo);
	return err_set(err, ERR_USAGE, "--%s must be at most %s", o->name, hi);
}

static int store(
    const struct opt *o, const char *value, void *out, struct err *err)
{
	char *at = (char *)out + o->offset;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)at = true;
		return 0;
	case OPT_COUNT:
		++*(int *)at;
		return 0;
	case OPT_STRING:
		*(const char **)at = value;
		return 0;
	case OPT_LIST:
		strv_addf(
		    (struct strv *)at, "%s%s", o->tag ? o->tag : "", value);
		return 0;
	case OPT_ENUM:
		if (!is_choice(o->metavar, value))
			return err_set(err, ERR_USAGE,
			    "invalid --%s \"%s\": want one of %s", o->name,
			    value, o->metavar);
		*(const char **)at = value;
		return 0;
	case OPT_U64:
	case OPT_SIZE:
		return store_number(o, value, (uint64_t *)at, err);
	}
	return 0;
}

/* "--x=false": the last wins, over a default, too. */
static int unset(const struct opt *o, void *out)
{
	char *at = (char *)out + o->offset;

	if (o->kind == OPT_COUNT)
		*(int *)at = 0;
	else
		*(bool *)at = false;
	return 0;
}

static bool takes_value(const struct opt *o)
{
	return o->kind != OPT_FLAG && o->kind != OPT_COUNT;
}

static const struct opt *find_long(
    const struct opt *opts, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(opts[i].name) == len &&
		    !strncmp(opts[i].name, name, len))
			return &opts[i];
	return NULL;
}

static const struct opt *find_letter(const struct opt *opts, size_t n, char c)
{
	for (size_t i = 0; i < n; i++)
		if (opts[i].letter == c)
			return &opts[i];
	return NULL;
}

/* "--x", "--x=v", "--x v"; *i is left on the last word used. */
static int parse_long(const struct opt *opts, size_t n, int argc, char **argv,
    int *i, void *out, struct err *err)
{
	const char *name = argv[*i] + 2, *value = strchr(name, '=');
	size_t len = value ? (size_t)(value - name) : strlen(name);
	const struct opt *o = find_long(opts, n, name, len);

	if (!o)
		return err_set(
		    err, ERR_USAGE, "unknown option --%.*s", (int)len, name);
	if (value)
		value++;
	if (!takes_value(o)) {
		if (!value || !strcmp(value, "true"))
			return store(o, NULL, out, err);
		if (!strcmp(value, "false"))
			return unset(o, out);
		return err_set(err, ERR_USAGE, "--%s takes no value", o->name);
	}
	if (!value) {
		if (*i + 1 >= argc)
			return err_set(
			    err, ERR_USAGE, "--%s wants a value", o->name);
		value = argv[++*i];
	}
	return store(o, value, out, err);
}

/* "-v", "-vv", "-o v", "-ov". */
static int parse_letters(const struct opt *opts, size_t n, int argc,
    char **argv, int *i, void *out, struct err *err)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct opt *o = find_letter(opts, n, *p);

		if (!o)
			return err_set(
			    err, ERR_USAGE, "unknown option -%c", *p);
		if (!takes_value(o)) {
			if (store(o, NULL, out, err) < 0)
				return -1;
			continue;
		}
		if (p[1] == '=')
			return store(o, p + 2, out, err);
		if (p[1])
			return store(o, p + 1, out, err);
		if (*i + 1 >= argc)
			return err_set(err, ERR_USAGE, "-%c wants a value", *p);
		return store(o, argv[++*i], out, err);
	}
	return 0;
}

int opt_parse(const struct opt *opts, size_t n, int argc, char **argv,
    void *out, struct strv *args, struct err *err)
{
	bool only_args = false;

	for (int i = 0; i < argc; i++) {
		const char *a = argv[i];
		int r = 0;

		if (only_args || a[0] != '-' || !a[1])
			strv_add(args, a);
		else if (!strcmp(a, "--"))
			only_args = true;
		else if (a[1] == '-')
			r = parse_long(opts, n, argc, argv, &i, out, err);
		else
			r = parse_letters(opts, n, argc, argv, &i, out, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

void opt_release(const struct opt *opts, size_t n, void *out)
{
	for (size_t i = 0; i < n; i++)
		if (opts[i].kind == OPT_LIST)
			strv_release(
			    (struct strv *)((char *)out + opts[i].offset));
}

void opt_help(const struct opt *opts, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = &opts[i];
		char head[80];
		int len;

		len = snprintf(head, sizeof(head), "  %c%c%s--%s%s%s",
		    o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
		    o->letter ? ", " : "  ", o->name, o->metavar ? " " : "",
		    o->metavar ? o->metavar : "");
		buf_str(out, head);
		if (len > 26)
			buf_addf(out, "\n%28s%s\n", "", o->help);
		else
			buf_addf(out, "%*s%s\n", 28 - len, "", o->help);
	}
}

void opt_synopsis(const struct opt *opts, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = &opts[i];

		if (o->letter)
			buf_addf(out, " [-%c", o->letter);
		else
			buf_addf(out, " [--%s", o->name);
		if (o->metavar)
			buf_addf(out, " %s", o->metavar);
		buf_str(out, o->kind == OPT_LIST ? "]..." : "]");
	}
}
