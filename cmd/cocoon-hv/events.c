/* SPDX-License-Identifier: MIT */
/* vm/ID/events: one JSON line for each thing that happened to the VMM. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "hv.h"
#include "live.h"

#define TAIL 4096

void event_append(int events_fd, uint64_t n, const char *event,
    const char *reason, const char *detail, int status)
{
	AUTO_JSON struct json_object *o = jval_object();
	AUTO_BUF struct buf line = {0};

	jval_set_int(o, "at", wall_ms());
	jval_set_int(o, "generation", (int64_t)n);
	jval_set_str(o, "event", event);
	if (reason)
		jval_set_str(o, "reason", reason);
	if (detail && *detail)
		jval_set_str(o, "detail", detail);
	if (status >= 0)
		jval_set_int(o, "status", status);
	jval_print(o, &line);
	buf_ch(&line, '\n');
	/* One write, appended; a full disk loses the reason, not the VM. */
	if (write_all(events_fd, line.data, line.len) < 0)
		return;
}

/* Walks back over the lines in text; true when it was the one. */
static bool take_line(const char *line, size_t len, uint64_t n,
    struct doc_ended *out, struct json_object **keep)
{
	struct err ignored;
	struct json_object *o = jval_parse(line, len, &ignored);
	const char *event = jval_str(o, "event");

	if (!event || strcmp(event, "ended") ||
	    jval_int(o, "generation", -1) != (int64_t)n) {
		jval_put(o);
		return false;
	}
	out->reason = jval_str(o, "reason");
	out->detail = jval_str(o, "detail");
	out->at = (uint64_t)jval_int(o, "at", 0);
	out->status = (uint64_t)jval_int(o, "status", 0);
	*keep = o;
	return true;
}

void event_last(
    int vm_fd, uint64_t n, struct doc_ended *out, struct json_object **keep)
{
	AUTO_FD int fd =
	    openat(vm_fd, "events", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[TAIL];
	struct stat st;
	ssize_t len;

	*out = (struct doc_ended){0};
	*keep = NULL;
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	len = pread(
	    fd, text, sizeof(text), st.st_size > TAIL ? st.st_size - TAIL : 0);
	while (len > 0) {
		const char *start;

		if (text[len - 1] == '\n')
			len--;
		start = memrchr(text, '\n', (size_t)len);
		start = start ? start + 1 : text;
		if (take_line(
			start, (size_t)(text + len - start), n, out, keep))
			return;
		len = start - text;
	}
}
