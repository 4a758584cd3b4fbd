/* SPDX-License-Identifier: MIT */
/*
 * The blobs of an image into blobs/sha256 of a layout: documents at once,
 * layers some at a time and in their order, while others are converted. A
 * blob has its name only when its digest is right; until then it is HEX.part,
 * which a later command takes up where it ended.
 */
#include "download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "log.h"

#define HEX_AT 7 /* behind "sha256:" */

static bool has(const struct downloads *d, const char *digest, uint64_t size)
{
	struct stat st;

	return fstatat(d->blobs_fd, digest + HEX_AT, &st,
		   AT_SYMLINK_NOFOLLOW) == 0 &&
	       (uint64_t)st.st_size == size;
}

static int open_part(
    const struct downloads *d, const char *digest, struct err *err)
{
	AUTO_FREE char *part = xasprintf("%s.part", digest + HEX_AT);
	int fd = openat(
	    d->blobs_fd, part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(err, errno, "%s: create", part) : fd;
}

static int finish_part(
    const struct downloads *d, const char *digest, struct err *err)
{
	AUTO_FREE char *part = xasprintf("%s.part", digest + HEX_AT);

	if (renameat(d->blobs_fd, part, d->blobs_fd, digest + HEX_AT) < 0)
		return err_sys(err, errno, "%s: rename", part);
	return 0;
}

/* Did a connection break, so that a later command can go on? */
static int failed(struct downloads *d, const struct err *err)
{
	d->kept |= (err->code == ERR_FAILED && err->sys != ENOSPC) ||
		   err->code == ERR_TIMEOUT;
	return -1;
}

static int bring_document(struct bringer *b, const char *digest, uint64_t size,
    bool config, struct err *err)
{
	struct downloads *d = (struct downloads *)b;
	AUTO_JSON struct json_object *q = NULL, *answer = NULL;
	AUTO_FD int fd = -1;

	if (has(d, digest, size))
		return 0;
	fd = open_part(d, digest, err);
	if (fd < 0)
		return -1;
	q = registry_request(d->reg, config ? "blobs" : "manifests", digest);
	jval_set_int(q, "size", (int64_t)size);
	if (fetch_run(q, fd, d->work->fd, &answer, err) < 0) {
		err_wrap(
		    err, "%s %.19s", config ? "config" : "manifest", digest);
		return failed(d, err);
	}
	registry_learn(d->reg, answer);
	return finish_part(d, digest, err);
}

/* Does the image fit into what is allowed and into what is free? */
static int check_total(
    const struct downloads *d, uint64_t total, struct err *err)
{
	char size[32], room[32];
	struct statvfs v;

	format_size_si(total, size);
	format_size_si(d->max_bytes, room);
	if (total > d->max_bytes)
		return err_set(err, ERR_INPUT,
		    "its layers are %s, more than %s; --max-size allows more",
		    size, room);
	if (fstatvfs(d->blobs_fd, &v) < 0)
		return err_sys(err, errno, "statvfs");
	format_size_si((uint64_t)v.f_bavail * v.f_frsize, room);
	if (total / v.f_frsize >= v.f_bavail)
		return err_set(err, ERR_FAILED,
		    "its layers are %s, there is room for %s", size, room);
	return 0;
}

/* Which layers are wanted, and what they come to. */
static int plan(struct downloads *d, struct err *err)
{
	const struct source *src = &d->work->src;
	uint64_t total = 0;

	free_ptr(&d->want);
	d->want = xcalloc(src->n, sizeof(*d->want));
	d->next = 0;
	d->done = 0;
	if (import_missing(d->work, d->want, &d->n, err) < 0)
		return -1;
	for (size_t i = 0; i < d->n; i++) {
		const struct source_layer *l = &src->layers[d->want[i]];

		if (!l->size)
			return err_set(err, ERR_INPUT,
			    "layer %.19s: of 0 bytes", l->digest);
		if (__builtin_add_overflow(total, l->size, &total))
			total = UINT64_MAX;
	}
	if (check_total(d, total, err) < 0)
		return -1;
	progress_begin(&d->bar, d->reg->name, total);
	return 0;
}

static bool under_way(const struct downloads *d, const char *digest)
{
	for (size_t i = 0; i < DOWNLOADS; i++)
		if (d->jobs[i].fd >= 0 &&
		    !strcmp(
			d->work->src.layers[d->jobs[i].layer].digest, digest))
			return true;
	return false;
}

/* The next layer that has to be asked for. */
static const struct source_layer *next_layer(struct downloads *d)
{
	while (d->next < d->n) {
		const struct source_layer *l =
		    &d->work->src.layers[d->want[d->next]];

		if (!under_way(d, l->digest) && !has(d, l->digest, l->size))
			return l;
		if (has(d, l->digest, l->size))
			d->done += l->size;
		d->next++;
	}
	return NULL;
}

static int start(struct downloads *d, struct download *j, struct err *err)
{
	const struct source_layer *l = next_layer(d);
	struct epoll_event ev = {.events = EPOLLIN};
	AUTO_JSON struct json_object *q = NULL;

	if (!l)
		return 0;
	j->layer = d->want[d->next++];
	j->fd = open_part(d, l->digest, err);
	if (j->fd < 0)
		return -1;
	q = registry_request(d->reg, "blobs", l->digest);
	jval_set_int(q, "size", (int64_t)l->size);
	if (fetch_start(&j->fetch, q, j->fd, d->work->fd, err) < 0)
		return -1;
	if (epoll_ctl(d->bring.fd, EPOLL_CTL_ADD, j->fetch.out, &ev) < 0)
		return err_sys(err, errno, "epoll");
	return 0;
}

static int reap(struct downloads *d, struct download *j, struct err *err)
{
	const struct source_layer *l = &d->work->src.layers[j->layer];
	AUTO_JSON struct json_object *answer = NULL;
	int r = fetch_poll(&j->fetch, &answer, err);

	if (r == 0)
		return 0;
	close_fd(&j->fd);
	if (r < 0) {
		err_wrap(err, "layer %.19s", l->digest);
		return failed(d, err);
	}
	registry_learn(d->reg, answer);
	d->done += l->size;
	return finish_part(d, l->digest, err);
}

static uint64_t bytes_so_far(const struct downloads *d)
{
	uint64_t sum = d->done;
	struct stat st;

	for (size_t i = 0; i < DOWNLOADS; i++)
		if (d->jobs[i].fd >= 0 && fstat(d->jobs[i].fd, &st) == 0)
			sum += (uint64_t)st.st_size;
	return sum;
}

static bool planned(const struct downloads *d, size_t layer)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->want[i] == layer)
			return true;
	return false;
}

static int bring_layer(struct bringer *b, size_t i, struct err *err)
{
	struct downloads *d = (struct downloads *)b;
	const struct source_layer *l = &d->work->src.layers[i];

	if (!planned(d, i) && plan(d, err) < 0)
		return -1;
	for (size_t k = 0; k < DOWNLOADS; k++) {
		struct download *j = &d->jobs[k];

		if (j->fd >= 0 && reap(d, j, err) < 0)
			return -1;
		if (j->fd < 0 && start(d, j, err) < 0)
			return -1;
	}
	progress_show(&d->bar, bytes_so_far(d));
	return has(d, l->digest, l->size);
}

int downloads_open(struct downloads *d, struct registry *r, struct work *w,
    int blobs_fd, struct err *err)
{
	d->reg = r;
	d->work = w;
	d->blobs_fd = blobs_fd;
	for (size_t i = 0; i < DOWNLOADS; i++)
		d->jobs[i] = (struct download){.fetch = FETCH_NONE, .fd = -1};
	d->bring = (struct bringer){.document = bring_document,
	    .layer = bring_layer,
	    .fd = epoll_create1(EPOLL_CLOEXEC)};
	return d->bring.fd < 0 ? err_sys(err, errno, "epoll") : 0;
}

void downloads_release(struct downloads *d)
{
	for (size_t i = 0; i < DOWNLOADS; i++) {
		fetch_kill(&d->jobs[i].fetch);
		close_fd(&d->jobs[i].fd);
	}
	close_fd(&d->bring.fd);
	free_ptr(&d->want);
	progress_end(&d->bar);
}
