/* SPDX-License-Identifier: MIT */
#include "seed.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "proc.h"

#define TIMEOUT_MS 30000

/* The framing that cmd/cocoon-hint/seed/main.c describes. */
static void add_file(struct buf *b, const char *name, const char *text)
{
	if (text)
		buf_addf(b, "%s %zu\n%s", name, strlen(text), text);
}

/* A file in memory with that content, at its start. */
static int memory_file(const struct buf *b, struct err *err)
{
	AUTO_FD int fd = memfd_create("seed", MFD_CLOEXEC);

	if (fd < 0 || (b->len && write_all(fd, b->data, b->len) < 0) ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "seed: memory");
	return take_fd(&fd);
}

/* What the helper said of its failure. */
static int failed(int status, int words_fd, struct err *err)
{
	char words[200];
	ssize_t n = pread(words_fd, words, sizeof(words) - 1, 0);

	words[n > 0 ? n : 0] = '\0';
	words[strcspn(words, "\n")] = '\0';
	if (WIFSIGNALED(status))
		return err_set(err, ERR_FAILED,
		    "seed image: the helper was killed by signal %d",
		    WTERMSIG(status));
	return err_set(err, ERR_FAILED, "seed image: %s",
	    words[0] ? words : "the helper failed");
}

int seed_image(const struct doc_seed *s, int out_fd, struct err *err)
{
	AUTO_PROC struct proc p = PROC_NONE;
	AUTO_BUF struct buf in = {0};
	AUTO_FREE char *helper = proc_helper("seed");
	AUTO_FD int in_fd = -1, words_fd = -1;
	int status;
	pid_t pid;

	proc_init(&p);
	add_file(&in, "meta-data", s->meta_data);
	add_file(&in, "user-data", s->user_data);
	add_file(&in, "network-config", s->network_config);
	add_file(&in, "cocoon.conf", s->cocoon_conf);
	add_file(&in, "cocoon.sh", s->script);
	in_fd = memory_file(&in, err);
	if (in_fd < 0)
		return -1;
	words_fd = memory_file(&(struct buf){0}, err);
	if (words_fd < 0)
		return -1;
	strv_add(&p.argv, helper);
	p.in = in_fd;
	p.out = out_fd;
	p.err = words_fd;
	p.clean_env = true;
	p.die_with_us = true;
	pid = proc_spawn(&p, err);
	if (pid < 0)
		return err_wrap(err, "seed image");
	if (proc_wait(pid, TIMEOUT_MS, "seed image", &status, err) < 0)
		return -1;
	return status ? failed(status, words_fd, err) : 0;
}
