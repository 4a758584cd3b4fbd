/* SPDX-License-Identifier: MIT */
/*
 * The user's own user-data beside ours, as cloud-init takes several: a MIME
 * message of parts. The user's part comes first, and ours merges into it so
 * that lists grow (users, mounts) and whatever else the user said, stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "file.h"
#include "hint.h"
#include "texts.h"

#define MAX_USER_DATA ((size_t)512 << 10)

/* A MIME message has headers, anything else a first line that begins so. */
static bool is_message(const char *text)
{
	return !strncasecmp(text, "Content-Type:", 13) ||
	       !strncasecmp(text, "MIME-Version:", 13);
}

int user_data_read(const char *file, char **out, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t n = 0, step = 1;

	if (fd < 0)
		return err_sys(err, errno, "%s: open", file);
	if (read_all(fd, &text, MAX_USER_DATA, file, err) < 0)
		return -1;
	if (text.len > 1 && !memcmp(text.data, "\x1f\x8b", 2))
		return err_set(err, ERR_USAGE,
		    "%s: is compressed: unpack it, cloud-init takes it as it "
		    "is",
		    file);
	for (; n < text.len && step; n += step)
		step = strchr("\t\n\r", text.data[n]) && text.data[n]
			   ? 1
			   : utf8_len(text.data + n, text.len - n);
	if (!step)
		return err_set(err, ERR_USAGE, "%s: not a text in UTF-8", file);
	if (!text.len || (*text.data != '#' && !is_message(text.data)))
		return err_set(err, ERR_USAGE,
		    "%s: not user-data: the first line must be #cloud-config, "
		    "#! and an interpreter, or another that cloud-init knows",
		    file);
	*out = xstrndup(text.data, text.len);
	return 0;
}

static void base64(const char *s, size_t n, struct buf *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = 0; i < n; i += 3) {
		unsigned int left = n - i < 3 ? (unsigned int)(n - i) : 3;
		unsigned int v = (unsigned int)p[i] << 16;

		v |= left > 1 ? (unsigned int)p[i + 1] << 8 : 0;
		v |= left > 2 ? (unsigned int)p[i + 2] : 0;
		for (unsigned int k = 0; k < 4; k++)
			buf_ch(out,
			    k > left ? '=' : digits[v >> (18 - 6 * k) & 63]);
		if (i % 54 == 51 || i + 3 >= n)
			buf_ch(out, '\n');
	}
}

/* In base64: of all ways the one that every version reads back the same. */
static void add_part(
    const char *headers, const char *text, size_t len, struct buf *out)
{
	buf_addf(out, "%sContent-Transfer-Encoding: base64\n\n", headers);
	base64(text, len, out);
}

void user_data_merge(
    const struct hint *h, const struct buf *ours, struct buf *out)
{
	const char *theirs = h->boot.user_data;
	const char *id = h->vm.id;

	if (!theirs) {
		buf_str(out, ours->data);
		return;
	}
	buf_addf(out,
	    "Content-Type: multipart/mixed; boundary=\"==cocoon-%s==\"\n"
	    "MIME-Version: 1.0\n\n--==cocoon-%s==\n",
	    id, id);
	/* text/plain: cloud-init looks at the first line. */
	if (is_message(theirs))
		buf_addf(out, "%s\n", theirs);
	else
		add_part("Content-Type: text/plain; charset=\"utf-8\"\n",
		    theirs, strlen(theirs), out);
	buf_addf(out, "--==cocoon-%s==\n", id);
	add_part("Content-Type: text/cloud-config; charset=\"utf-8\"\n"
		 "Merge-Type: list(append)+dict(recurse_array)+str()\n",
	    ours->data, ours->len, out);
	buf_addf(out, "--==cocoon-%s==--\n", id);
}
