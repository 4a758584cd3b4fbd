/* SPDX-License-Identifier: MIT */
/*
 * A cloud image by URL, which is its name in the store. With a digest, what
 * an earlier pull got is gone on with; without one only the server's ETag
 * tells whether it is still the same file.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "download.h"
#include "input.h"
#include "ref.h"
#include "sandbox.h"
#include "undo.h"

#define FILE_NAME "file"
#define SUMS_MAX ((size_t)1 << 20)
#define TRIES 8
#define HEX "0123456789abcdef"

struct file_pull {
	const struct pull_opts *o;
	const char *url;
	struct work work;
	char digest[72]; /* "" : any */
	char *etag;      /* that the store's image has, then the new one's */
	bool same;       /* the server has no other */
	bool kept;
};

bool is_url(const char *ref)
{
	return !strncasecmp(ref, "https://", 8) ||
	       !strncasecmp(ref, "http://", 7);
}

static struct json_object *request(
    const struct file_pull *p, const char *url, uint64_t max)
{
	struct json_object *q = jval_object();

	jval_set_str(q, "url", url);
	jval_set_int(q, "max", (int64_t)max);
	jval_set_int(q, "tries", TRIES);
	jval_set_bool(q, "insecure", p->o->insecure);
	return q;
}

/* "HEX  NAME", "HEX *NAME" or "SHA256 (NAME) = HEX". */
static bool sum_of(char *line, const char *name, size_t len, char digest[72])
{
	char *hex = line, *end;

	if (!strncmp(line, "SHA256 (", 8)) {
		if (strncmp(line + 8, name, len) ||
		    strncmp(line + 8 + len, ") = ", 4))
			return false;
		hex = line + 8 + len + 4;
		end = hex + strspn(hex, HEX);
		if (*end)
			return false;
	} else {
		end = hex + strspn(hex, HEX);
		if ((strncmp(end, "  ", 2) && strncmp(end, " *", 2)) ||
		    strncmp(end + 2, name, len) || end[2 + len])
			return false;
	}
	if (end - hex != 64)
		return false;
	snprintf(digest, 72, "sha256:%.64s", hex);
	return true;
}

static int find_sum(struct file_pull *p, char *text, struct err *err)
{
	size_t end = strcspn(p->url, "?#");
	const char *name = p->url + end;
	char *save = NULL;

	while (name > p->url && name[-1] != '/')
		name--;
	end -= (size_t)(name - p->url);
	for (char *l = strtok_r(text, "\r\n", &save); end && l;
	     l = strtok_r(NULL, "\r\n", &save))
		if (sum_of(l, name, end, p->digest))
			return 0;
	return err_set(err, ERR_NOTFOUND, "%.200s: has no SHA-256 of %.*s",
	    p->o->sha256, (int)(end < 100 ? end : 100), name);
}

/* A list of digests, by its URL. */
static int fetch_sums(struct file_pull *p, struct err *err)
{
	AUTO_JSON struct json_object *q = request(p, p->o->sha256, SUMS_MAX);
	AUTO_JSON struct json_object *answer = NULL;
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = openat(
	    p->work.store.tmp_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(err, errno, "image/tmp: create a file");
	if (fetch_run(q, fd, -1, &answer, err) < 0)
		return err_wrap(err, "--sha256");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "--sha256: rewind");
	if (read_all(fd, &text, SUMS_MAX, "--sha256", err) < 0)
		return -1;
	buf_str(&text, "");
	return find_sum(p, text.data, err);
}

static int want_digest(struct file_pull *p, struct err *err)
{
	const char *is = p->o->sha256;

	if (!is)
		return 0;
	if (is_url(is))
		return fetch_sums(p, err);
	if (!strncmp(is, "sha256:", 7))
		is += 7;
	snprintf(p->digest, sizeof(p->digest), "sha256:%.64s", is);
	if (strlen(is) == 64 && valid_digest(p->digest))
		return 0;
	return err_set(err, ERR_USAGE,
	    "--sha256 %.80s: want 64 digits of 0-9a-f, or a URL", is);
}

/* What the server called the image that is in the store, if it is whole. */
static void known_etag(struct file_pull *p)
{
	AUTO_IMAGE struct image img = {0};
	AUTO_STRV struct strv paths = {0};
	struct err ignored;

	if (!p->o->force &&
	    ref_load(&p->work.store, p->url, &img, &ignored) == 0 &&
	    img.doc.etag &&
	    image_paths(&p->work.store, &img.doc, &paths, &ignored) == 0)
		p->etag = xstrdup(img.doc.etag);
}

/* The download, with a bar. */
static int watch(struct file_pull *p, struct json_object *q, int fd,
    struct json_object **answer, struct err *err)
{
	struct fetch f = FETCH_NONE;
	struct progress bar;
	struct stat st;
	int r = fetch_start(&f, q, fd, p->work.fd, err);

	progress_begin(&bar, p->url, 0);
	while (r == 0) {
		struct pollfd fds = {f.out, POLLIN, 0};

		poll(&fds, 1, 200);
		if (fstat(fd, &st) == 0)
			progress_show(&bar, (uint64_t)st.st_size);
		r = tool_check(err) < 0 ? -1 : fetch_poll(&f, answer, err);
	}
	progress_end(&bar);
	fetch_kill(&f);
	return r < 0 ? -1 : 0;
}

static int fetch_file(struct file_pull *p, int fd, struct err *err)
{
	AUTO_JSON struct json_object *q = request(p, p->url, p->o->max.bytes);
	AUTO_JSON struct json_object *answer = NULL;
	const char *etag;

	if (p->digest[0])
		jval_set_str(q, "digest", p->digest);
	else if (ftruncate(fd, 0) < 0)
		return err_sys(err, errno, "%s: truncate", FILE_NAME);
	if (p->etag)
		jval_set_str(q, "etag", p->etag);
	if (watch(p, q, fd, &answer, err) < 0) {
		p->kept = p->digest[0] && err->sys != ENOSPC &&
			  (err->code == ERR_FAILED || err->code == ERR_TIMEOUT);
		return -1;
	}
	p->same = jval_int(answer, "status", 0) == 304;
	etag = jval_str(answer, "etag");
	free_ptr(&p->etag);
	if (etag)
		p->etag = xstrdup(etag);
	return 0;
}

static int record_etag(struct file_pull *p, struct err *err)
{
	AUTO_IMAGE struct image img = {0};
	AUTO_FD int lock = -1;

	if (!p->etag)
		return 0;
	lock = work_lock(&p->work, err);
	if (lock < 0 || ref_load(&p->work.store, p->url, &img, err) < 0)
		return -1;
	img.doc.etag = p->etag;
	return ref_write(&p->work.store, &img.doc, err);
}

static int pull_file(struct file_pull *p, struct buf *out, struct err *err)
{
	struct work *w = &p->work;
	AUTO_FD int fd = -1;
	struct cloud from = {
	    .fds = &fd, .n = 1, .max_bytes = p->o->max.bytes, .take = true};
	char key[72];

	if (name_check(p->url, err) < 0 ||
	    store_open(&w->store, true, err) < 0 || want_digest(p, err) < 0 ||
	    digest_of_text(p->url, strlen(p->url), key, err) < 0 ||
	    pull_claim(w, key, err) < 0)
		return -1;
	known_etag(p);
	fd = openat(
	    w->fd, FILE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%s: create", FILE_NAME);
	if (fetch_file(p, fd, err) < 0)
		return -1;
	if (p->same) {
		buf_addf(out, "up to date: %s\n", p->url);
		return 0;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "%s: rewind", FILE_NAME);
	w->did = "pulled";
	if (cloud_import(w, p->url, &from, out, err) < 0)
		return -1;
	return record_etag(p, err);
}

int pull_url(const struct pull_opts *o, const char *url, struct buf *out,
    struct err *err)
{
	struct file_pull p = {.o = o, .url = url, .work = WORK_NONE};
	size_t mark = undo_mark();
	int r = pull_file(&p, out, err);

	if (r < 0)
		err_wrap(err, "%.100s", url);
	if (r < 0 && p.kept && !tool_interrupted())
		undo_forget(mark);
	else
		undo_run(mark);
	close_fd(&p.work.fd);
	store_close(&p.work.store);
	free_ptr(&p.etag);
	return r;
}
