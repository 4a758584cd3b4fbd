/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "jtext.h"
#include "net.h"
#include "nic.h"

static void record_name(const char *id, char out[40])
{
	snprintf(out, 40, "%s.json", id);
}

int record_read(struct net *n, const char *id, struct json_object **doc,
    struct doc_net *out, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	AUTO_JSON struct json_object *v = NULL;
	struct err e = {0};
	char name[40];

	record_name(id, name);
	if (n->dir_fd < 0)
		return 0;
	if (file_read(n->dir_fd, name, &text, JTEXT_MAX_SIZE, &e) < 0) {
		if (e.code == ERR_NOTFOUND)
			return 0;
		*err = e;
		return err_wrap(err, "net");
	}
	v = jval_parse(text.data ? text.data : "", text.len, err);
	if (!v || doc_bind(v, "net", &doc_net_table, out, err) < 0 ||
	    nics_valid(id, out, err) < 0) {
		/* It is no document from outside: our own file is damaged. */
		err->code = ERR_FAILED;
		return err_wrap(err, "net/%s", name);
	}
	*doc = v;
	v = NULL;
	return 1;
}

int record_claim(struct net *n, const char *id, const struct doc_net *net,
    struct json_object *cni, struct err *err)
{
	AUTO_JSON struct json_object *doc = jval_object();
	struct json_object *vm = jval_object();
	AUTO_BUF struct buf text = {0};
	char name[40];

	record_name(id, name);
	jval_set_int(doc, "v", 1);
	jval_set_str(vm, "id", id);
	jval_set(doc, "vm", vm);
	doc_put(doc, "net", &doc_net_table, net);
	if (cni)
		jval_set(doc, "cni", jval_ref(cni));
	jval_print(doc, &text);
	buf_ch(&text, '\n');
	if (file_claim(n->dir_fd, name, text.data, text.len, true, err) == 0)
		return 0;
	if (err->sys == EEXIST)
		return err_set(err, ERR_STATE,
		    "vm %s: it has a network; `add --ensure` repairs it, "
		    "`del` removes it",
		    id);
	return -1;
}

int record_update(struct net *n, const char *id, struct json_object *net,
    struct json_object *cni, struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	AUTO_BUF struct buf text = {0};
	struct doc_net ignored;
	int r = record_read(n, id, &doc, &ignored, err);
	char name[40];

	record_name(id, name);
	if (r <= 0)
		return r < 0 ? -1
			     : err_set(err, ERR_STATE,
				   "net/%s: removed meanwhile", name);
	if (net)
		jval_set(doc, "net", jval_ref(net));
	if (cni)
		jval_set(doc, "cni", jval_ref(cni));
	jval_print(doc, &text);
	buf_ch(&text, '\n');
	return file_replace(n->dir_fd, name, text.data, text.len, true, err);
}

int record_unlink(struct net *n, const char *id, struct err *err)
{
	char name[40];

	record_name(id, name);
	if (unlinkat(n->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "net/%s: unlink", name);
	return 0;
}

/* "ID.json" -> ID */
static bool id_of(const char *name, char id[STATE_ID_LEN + 1])
{
	if (strlen(name) != STATE_ID_LEN + 5 ||
	    strcmp(name + STATE_ID_LEN, ".json") != 0)
		return false;
	memcpy(id, name, STATE_ID_LEN);
	id[STATE_ID_LEN] = '\0';
	return valid_id(id);
}

int record_each(struct net *n, int (*fn)(const char *id, void *arg), void *arg,
    struct err *err)
{
	int fd, r = 0;
	struct dirent *de;
	DIR *d;

	if (n->dir_fd < 0)
		return 0;
	fd = openat(n->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		close_fd(&fd);
		return err_sys(err, errno, "net: open");
	}
	while (r == 0 && (de = readdir(d))) {
		char id[STATE_ID_LEN + 1];

		if (id_of(de->d_name, id))
			r = fn(id, arg);
	}
	closedir(d);
	return r;
}
