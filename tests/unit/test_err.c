/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <errno.h>

#include "tap.h"

static void codes(void)
{
	static const struct {
		int sys;
		enum err_code code;
	} cases[] = {
	    {ENOENT, ERR_NOTFOUND},
	    {EEXIST, ERR_STATE},
	    {ENOTEMPTY, ERR_STATE},
	    {ETIMEDOUT, ERR_TIMEOUT},
	    {EPERM, ERR_UNSUPPORTED},
	    {EACCES, ERR_UNSUPPORTED},
	    {EOPNOTSUPP, ERR_UNSUPPORTED},
	    {EIO, ERR_FAILED},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = {0};

		is_int(err_sys(&e, cases[i].sys, "x"), -1, "err_sys is -1");
		is_int(e.code, cases[i].code, "code of errno %d", cases[i].sys);
		is_int(e.sys, cases[i].sys, "errno %d is kept", cases[i].sys);
	}
	for (int i = 0; i < ERR_CODES; i++) {
		ok(err_kind((enum err_code)i)[0], "code %d has a kind", i);
		is_int(err_code_of(i), i ? i : ERR_FAILED, "status %d", i);
	}
	is_int(err_code_of(ERR_CODES), ERR_FAILED, "status beyond the table");
	is_int(err_code_of(-1), ERR_FAILED, "negative status");
	is_int(err_code_of(137), ERR_FAILED, "status of a killed process");
	is_str(err_kind((enum err_code)99), "failed", "kind of an odd code");
}

static void long_messages(void)
{
	struct err e = {0};
	char text[sizeof(e.msg) + 100];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&e, ERR_FAILED, "%s", text);
	is_int(strlen(e.msg), sizeof(e.msg) - 1, "cut to the space");
	is_str(e.msg + sizeof(e.msg) - 4, "...", "err_set: the cut is marked");
	err_sys(&e, EIO, "%s", text);
	is_str(e.msg + sizeof(e.msg) - 4, "...", "err_sys: the cut is marked");
	text[sizeof(e.msg) - 8] = '\0';
	err_sys(&e, EIO, "%s", text);
	is_str(e.msg + sizeof(e.msg) - 4, "...", "strerror cut is marked");
	memset(text, 'x', sizeof(text) - 1);
	err_set(&e, ERR_FAILED, "short");
	err_wrap(&e, "%s", text);
	is_str(e.msg + sizeof(e.msg) - 4, "...", "err_wrap: the cut is marked");
	text[sizeof(e.msg) - 1] = '\0';
	memset(text, 'y', sizeof(e.msg) - 1);
	err_set(&e, ERR_FAILED, "%s", text);
	is_str(e.msg, text, "what just fits has no mark");
}

int main(void)
{
	struct err e = {0};

	is_int(err_set(&e, ERR_STATE, "vm %s: rm: is running", "a"), -1,
	    "err_set is -1");
	is_str(e.msg, "vm a: rm: is running", "err_set: text");
	is_int(e.sys, 0, "err_set: no errno");
	err_wrap(&e, "net %d", 3);
	is_str(e.msg, "net 3: vm a: rm: is running", "err_wrap: prefix");
	is_int(e.code, ERR_STATE, "err_wrap: code is kept");
	err_sys(&e, ENOENT, "a/b: open");
	is_str(e.msg, "a/b: open: No such file or directory", "err_sys: text");
	err_object(&e, "first");
	err_object(&e, "second");
	is_str(e.object, "first", "the first object stays");
	err_set(&e, ERR_FAILED, "again");
	is_str(e.object, "", "a new error has no object");
	codes();
	long_messages();
	return done();
}
