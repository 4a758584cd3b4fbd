/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "img.h"
#include "ref.h"

#define NAME_MAX_BYTES 255
#define PLAIN                                                                  \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=@" \
	","

int name_check(const char *name, struct err *err)
{
	AUTO_FREE char *file = NULL;
	size_t len = strlen(name);

	if (!len || len > NAME_MAX_BYTES)
		return err_set(err, ERR_USAGE,
		    "image name: want 1 to 255 characters, got %zu", len);
	if (name[0] == '-')
		return err_set(err, ERR_USAGE,
		    "image name \"%.80s\": must not begin with '-'", name);
	for (size_t i = 0; i < len; i++)
		if (name[i] < 0x20 || name[i] > 0x7e)
			return err_set(err, ERR_USAGE,
			    "image name \"%.80s\": only printable ASCII "
			    "characters are allowed",
			    name);
	file = name_escape(name);
	if (strlen(file) > NAME_MAX_BYTES)
		return err_set(err, ERR_USAGE,
		    "image name \"%.80s\": too long: '/', ':' and the like "
		    "count as three of 255 characters",
		    name);
	return 0;
}

char *name_escape(const char *name)
{
	struct buf out = {0};

	buf_str(&out, "");
	for (const char *p = name; *p; p++)
		if (strchr(PLAIN, *p) && !(p == name && *p == '.'))
			buf_ch(&out, *p);
		else
			buf_addf(&out, "%%%02X", (unsigned char)*p);
	return out.data;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

char *name_unescape(const char *file)
{
	AUTO_BUF struct buf out = {0};
	AUTO_FREE char *again = NULL;

	buf_str(&out, "");
	for (const char *p = file; *p; p++) {
		int high, low;

		if (*p != '%') {
			buf_ch(&out, *p);
			continue;
		}
		high = hex_digit(p[1]);
		low = high < 0 ? -1 : hex_digit(p[2]);
		if (low < 0)
			return NULL;
		buf_ch(&out, (char)(high * 16 + low));
		p += 2;
	}
	/* Only what escapes to this very file name is one of ours. */
	again = name_escape(out.data);
	return strcmp(again, file) ? NULL : xstrdup(out.data);
}

/* Does the first component name a registry? */
static bool has_registry(const char *name)
{
	size_t len = strcspn(name, "/");

	return name[len] == '/' &&
	       (memchr(name, '.', len) || memchr(name, ':', len) ||
		   !strncmp(name, "localhost/", 10));
}

char *name_normal(const char *name)
{
	const char *base = strrchr(name, '/'), *path = name;
	bool tagged = strchr(name, '@') || strchr(base ? base + 1 : name, ':');
	const char *tag = tagged ? "" : ":latest";

	if (!*name ||
	    strspn(name,
		"abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@") != strlen(name))
		return xstrdup(name);
	if (has_registry(name) && strncmp(name, "docker.io/", 10) &&
	    strncmp(name, "index.docker.io/", 16))
		return xasprintf("%s%s", name, tag);
	if (has_registry(name))
		path = strchr(name, '/') + 1;
	return xasprintf(
	    "docker.io/%s%s%s", strchr(path, '/') ? "" : "library/", path, tag);
}
