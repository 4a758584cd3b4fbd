/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <errno.h>
#include <stdlib.h>

#include "tap.h"

static void grow(void)
{
	AUTO_BUF struct buf b = {0};
	bool same = true;

	for (int i = 0; i < 100000; i++)
		buf_ch(&b, (char)('a' + i % 26));
	for (int i = 0; i < 100000; i++)
		same &= b.data[i] == 'a' + i % 26;
	ok(same, "100000 characters, one by one");
	is_int(b.len, 100000, "length");
	is_int(b.data[b.len], 0, "ends in NUL");
	buf_consume(&b, 99998);
	is_str(b.data, "cd", "what is left of it");
	buf_consume(&b, 2);
	is_str(b.data, "", "nothing is left");
	buf_addf(&b, "%d-%s", 7, "x");
	is_str(b.data, "7-x", "formatted");
	buf_add(&b, "\0y", 2);
	is_int(b.len, 5, "NUL is a byte like others");
}

int main(void)
{
	AUTO_STRV struct strv l = {0};
	struct buf b = {0};
	char *s = xasprintf("%s/%d", "a", 1);
	char *part = xstrndup("abcdef", 3);

	is_str(s, "a/1", "xasprintf");
	is_str(part, "abc", "xstrndup");
	free_ptr(&s);
	ok(!s, "free_ptr resets");
	free_ptr(&s);
	free_ptr(&part);
	s = xmalloc(0);
	ok(s != NULL, "nothing is something, too");
	free_ptr(&s);
	buf_consume(&b, 0);
	buf_add(&b, NULL, 0);
	is_str(b.data, "", "adding nothing makes a text");
	errno = EXDEV;
	buf_release(&b);
	ok(!b.data && !b.len && !b.cap, "released: empty again");
	is_int(errno, EXDEV, "release keeps errno");
	buf_release(&b);
	grow();
	strv_add(&l, "one");
	strv_addf(&l, "%s%d", "tw", 2);
	is_int(l.n, 2, "two strings");
	is_str(l.v[1], "tw2", "the second");
	ok(!l.v[2], "NULL behind the last");
	strv_release(&l);
	ok(!l.v && !l.n, "released list");
	return done();
}
