/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdint.h>
#include <string.h>

/* The length of the UTF-8 sequence at s, its code point in *cp; 0: none. */
static int utf8_next(const char *s, uint32_t *cp)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *p = (const unsigned char *)s;
	int len = *p < 0x80       ? 1
		  : *p >> 5 == 6  ? 2
		  : *p >> 4 == 14 ? 3
		  : *p >> 3 == 30 ? 4
				  : 0;

	if (!len)
		return 0;
	*cp = len == 1 ? *p : *p & (0xffU >> (len + 1));
	for (int i = 1; i < len; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		*cp = *cp << 6 | (p[i] & 0x3f);
	}
	if (*cp < least[len] || *cp > 0x10ffff || *cp >> 11 == 0x1b)
		return 0;
	return len;
}

bool text_is_line(const char *s)
{
	uint32_t cp;
	int len;

	for (; *s; s += len) {
		len = utf8_next(s, &cp);
		/* C1 controls and the two Unicode line ends as well. */
		if (!len || cp < 0x20 || (cp >= 0x7f && cp < 0xa0) ||
		    cp == 0x2028 || cp == 0x2029)
			return false;
	}
	return true;
}

void yaml_quote(struct buf *out, const char *s)
{
	uint32_t cp;
	int len;

	buf_ch(out, '"');
	for (; *s; s += len) {
		len = utf8_next(s, &cp);
		if (!len) {
			/* The caller has checked it: keep it visible. */
			cp = 0xfffd;
			len = 1;
		}
		if (cp == '"' || cp == '\\')
			buf_addf(out, "\\%c", (int)cp);
		else if (cp >= 0x20 && cp < 0x7f)
			buf_ch(out, (char)cp);
		else if (cp < 0x100)
			buf_addf(out, "\\x%02X", cp);
		else if (cp < 0x10000)
			buf_addf(out, "\\u%04X", cp);
		else
			buf_addf(out, "\\U%08X", cp);
	}
	buf_ch(out, '"');
}
