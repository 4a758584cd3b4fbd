/* SPDX-License-Identifier: MIT */
#include "layer.h"

#include <string.h>

#define WH ".wh."
#define WH_WH ".wh..wh."
#define WH_OPAQUE ".wh..wh..opq"

static int refuse(struct err *err, const char *raw, const char *why)
{
	return err_set(err, ERR_INPUT, "entry \"%.200s\": refused: %s",
	    raw ? raw : "", why);
}

/* Appends one component; 1 when it was ".". */
static int add(struct name *n, const char *raw, const char *comp, size_t len,
    struct err *err)
{
	if (len == 1 && comp[0] == '.')
		return 0;
	if (len == 2 && comp[0] == '.' && comp[1] == '.')
		return refuse(err, raw, "\"..\" in its name");
	if (len > NAME_MAX)
		return refuse(err, raw, "a component of more than 255 bytes");
	if (n->len + len + 2 > sizeof(n->path))
		return refuse(err, raw, "a path of more than 4095 bytes");
	if (n->len)
		n->path[n->len++] = '/';
	n->base = n->len;
	memcpy(n->path + n->len, comp, len);
	n->len += len;
	n->path[n->len] = '\0';
	return 0;
}

/* What the components before the last may not be. */
static int check_dirs(
    const struct name *n, const char *raw, bool *skip, struct err *err)
{
	unsigned int depth = 1;

	for (const char *p = n->path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (!strncmp(p, WH_WH, 8))
			*skip = true;
		else if (!strncmp(p, WH, 4) && p != n->path + n->base)
			return refuse(
			    err, raw, "a whiteout is used as a directory");
		if (depth++ > NAME_DEPTH)
			return refuse(
			    err, raw, "more than 256 directories deep");
	}
	return 0;
}

/* ".wh.NAME" to NAME. */
static int cut_whiteout(struct name *n, const char *raw, struct err *err)
{
	char *base = n->path + n->base;

	memmove(base, base + 4, n->len - n->base - 4 + 1);
	n->len -= 4;
	if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
		return refuse(err, raw, "a whiteout of no name");
	return 0;
}

int name_parse(
    struct name *n, const char *raw, enum name_kind *kind, struct err *err)
{
	const char *p = raw;
	bool skip = false;

	n->len = n->base = 0;
	n->path[0] = '\0';
	*kind = NAME_PLAIN;
	if (!raw || !*raw)
		return refuse(err, raw, "no name");
	/* "/" alone is how some tools name the root. */
	if (*raw == '/' && raw[strspn(raw, "/")])
		return refuse(err, raw, "an absolute name");
	while (*p) {
		size_t len = strcspn(p, "/");

		if (len && add(n, raw, p, len, err) < 0)
			return -1;
		p += len;
		p += strspn(p, "/");
	}
	if (check_dirs(n, raw, &skip, err) < 0)
		return -1;
	if (!strcmp(n->path + n->base, WH_OPAQUE))
		*kind = NAME_OPAQUE;
	else if (skip)
		*kind = NAME_SKIP;
	else if (!strncmp(n->path + n->base, WH, 4))
		*kind = NAME_WHITEOUT;
	return *kind == NAME_WHITEOUT ? cut_whiteout(n, raw, err) : 0;
}
