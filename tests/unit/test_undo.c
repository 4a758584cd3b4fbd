/* SPDX-License-Identifier: MIT */
#include "undo.h"

#include <unistd.h>

#include "buf.h"
#include "log.h"
#include "tap.h"

static struct buf trail;

static int note(void *arg, struct err *err)
{
	(void)err;
	buf_str(&trail, arg);
	return 0;
}

static int refuse(void *arg, struct err *err)
{
	buf_str(&trail, arg);
	return err_set(err, ERR_FAILED, "no");
}

static char a[] = "a", b[] = "b", c[] = "c";

int main(void)
{
	size_t outer, inner;

	log_init("test");
	log_set_level(LOG_ERR_);
	outer = undo_mark();
	undo_push(note, a, "a");
	undo_push(note, b, "b");
	inner = undo_mark();
	undo_push(note, c, "c");
	undo_run(inner);
	is_str(trail.data, "c", "back to the inner mark only");
	undo_push(note, c, "c");
	undo_forget(inner);
	undo_run(outer);
	is_str(trail.data, "cba", "in reverse, without what was kept");
	undo_run(0);
	is_str(trail.data, "cba", "nothing is undone twice");
	buf_release(&trail);
	undo_push(note, a, "a");
	undo_push(refuse, b, "b");
	undo_push(note, c, "c");
	undo_run(0);
	is_str(trail.data, "cba", "a step that fails does not stop the rest");
	undo_push(note, a, "a");
	undo_forget(0);
	is_int(undo_mark(), 0, "all forgotten");
	buf_release(&trail);
	for (int i = 0; i < 256; i++)
		undo_push(note, a, "a");
	undo_run(0);
	is_int(trail.len, 256, "room for 256 steps");
	buf_release(&trail);
	return done();
}
