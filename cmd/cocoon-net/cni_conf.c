/* SPDX-License-Identifier: MIT */
/*
 * One bad file is no reason to have no network: it is remembered with what is
 * wrong, and the others are used. A file is a list if it has plugins, whatever
 * it is called.
 */
#include "cni.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "jdoc.h"

#define CONF_MAX (256 * 1024)
#define PLUGINS_MAX 16
#define OLDEST 300
#define NEWEST 10199

const char *cni_conf_dir(void)
{
	const char *dir = getenv("COCOON_CNI_CONF_DIR");

	return dir && *dir ? dir : "/etc/cni/net.d";
}

int cni_version(const char *text)
{
	int v = 0;

	for (int i = 0; i < 3; i++) {
		size_t len = strspn(text, "0123456789");

		if (len < 1 || len > 2)
			return -1;
		v = v * 100 + atoi(text);
		text += len;
		if (*text++ != (i < 2 ? '.' : '\0'))
			return -1;
	}
	return v;
}

static bool supported(const char *text)
{
	int v = text ? cni_version(text) : -1;

	return v >= OLDEST && v <= NEWEST;
}

/* The newest that we know of cniVersions, else cniVersion. */
static const char *choose_version(const struct json_object *conf)
{
	const struct json_object *list = jval_get(conf, "cniVersions");
	const char *best = NULL;

	for (size_t i = 0; i < jval_len(list); i++) {
		const char *v = jval_str_at(list, i);

		if (supported(v) &&
		    (!best || cni_version(v) > cni_version(best)))
			best = v;
	}
	return best ? best : jval_str(conf, "cniVersion");
}

/* What becomes the name of a directory or of a program. */
static bool plain(const char *s)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return s && *s && *s != '.' && *s != '-' && *s != '_' &&
	       strlen(s) <= 128 && !s[strspn(s, set)];
}

static int check_plugins(struct cni_file *f, struct err *err)
{
	const struct json_object *plugins = jval_get(f->conf, "plugins");
	size_t n = jval_len(plugins);

	if (n < 1 || n > PLUGINS_MAX)
		return err_set(err, ERR_FAILED, "plugins: want 1 to %d of them",
		    PLUGINS_MAX);
	f->loopback = true;
	for (size_t i = 0; i < n; i++) {
		const struct json_object *p = jval_at(plugins, i);
		const char *type = jval_is_object(p) ? jval_str(p, "type") : "";
		const char *ipam;

		if (!plain(type))
			return err_set(err, ERR_FAILED,
			    "plugins[%zu].type: want the name of a program", i);
		if (strcmp(type, "loopback") != 0)
			f->loopback = false;
		ipam = jval_str(jval_get(p, "ipam"), "type");
		if (ipam && !strcmp(ipam, "dhcp"))
			err_set(&f->err, ERR_UNSUPPORTED,
			    "ipam.type dhcp: the host would ask for the "
			    "guest's lease and fight it; \"ipam\": {} lets "
			    "the guest ask itself");
	}
	return 0;
}

/* A single plugin becomes a list of one. */
static void make_list(struct cni_file *f)
{
	struct json_object *list, *plugins;

	if (jval_get(f->conf, "plugins") || !jval_get(f->conf, "type"))
		return;
	list = jval_object();
	plugins = jval_array();
	for (int i = 0; i < 2; i++) {
		const char *key = i ? "cniVersions" : "cniVersion";
		struct json_object *v = jval_get(f->conf, key);

		if (v)
			jval_set(list, key, jval_ref(v));
	}
	if (jval_str(f->conf, "name"))
		jval_set_str(list, "name", jval_str(f->conf, "name"));
	jval_push(plugins, f->conf);
	jval_set(list, "plugins", plugins);
	f->conf = list;
}

static int understand(struct cni_file *f, struct err *err)
{
	const char *version;

	if (!jval_is_object(f->conf))
		return err_set(err, ERR_FAILED, "no object");
	make_list(f);
	if (!plain(jval_str(f->conf, "name")))
		return err_set(
		    err, ERR_FAILED, "name: want letters, digits, \"._-\"");
	version = choose_version(f->conf);
	if (!supported(version))
		return err_set(err, ERR_UNSUPPORTED,
		    "cniVersion %.20s: want 0.3.0 to 1.1.0",
		    version ? version : "missing, which means 0.1.0");
	if (check_plugins(f, err) < 0)
		return -1;
	f->name = xstrdup(jval_str(f->conf, "name"));
	/* A copy: setting it frees what it was. */
	AUTO_FREE char *v = xstrdup(version);
	jval_set_str(f->conf, "cniVersion", v);
	return 0;
}

static int read_conf(int dir, struct cni_file *f, struct err *err)
{
	/* The administrator's directory: links and all. */
	AUTO_FD int fd =
	    openat(dir, f->file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	AUTO_BUF struct buf text = {0};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_FAILED, "no regular file");
	if (read_all(fd, &text, CONF_MAX, "it", err) < 0)
		return -1;
	f->conf = jval_parse(text.data, text.len, err);
	if (f->conf)
		return understand(f, err);
	/* It is no document from outside. */
	err->code = ERR_FAILED;
	return -1;
}

static int is_conf(const struct dirent *de)
{
	static const char *const ends[] = {".conflist", ".conf", ".json"};
	const char *end = strrchr(de->d_name, '.');

	for (size_t i = 0; end && i < ARRAY_LEN(ends); i++)
		if (!strcmp(end, ends[i]) && end != de->d_name)
			return 1;
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int cni_load(struct cni_files *f, struct err *err)
{
	AUTO_FD int dir =
	    open(cni_conf_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names;
	int n;

	*f = (struct cni_files){0};
	if (dir < 0 && errno == ENOENT)
		return 0;
	n = dir < 0 ? -1 : scandirat(dir, ".", &names, is_conf, by_name);
	if (n < 0)
		return err_sys(err, errno, "%s: read", cni_conf_dir());
	f->v = xcalloc((size_t)n + 1, sizeof(*f->v));
	for (; f->n < (size_t)n; f->n++) {
		struct cni_file *file = &f->v[f->n];
		struct err e = {0};

		file->file = xstrdup(names[f->n]->d_name);
		free(names[f->n]);
		if (read_conf(dir, file, &e) < 0)
			file->err = e;
		f->usable += file->name && !file->loopback;
	}
	free(names);
	return 0;
}

void cni_release(struct cni_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free_ptr(&f->v[i].file);
		free_ptr(&f->v[i].name);
		jval_put(f->v[i].conf);
	}
	free_ptr(&f->v);
	*f = (struct cni_files){0};
}

const struct cni_file *cni_find(const struct cni_files *f, const char *name)
{
	const struct cni_file *found = NULL;

	for (size_t i = 0; !name && i < f->n; i++)
		/* Of this name, the last file counts. */
		if (f->v[i].name && !f->v[i].loopback)
			return cni_find(f, f->v[i].name);
	for (size_t i = 0; name && i < f->n; i++)
		if (f->v[i].name && !strcmp(f->v[i].name, name))
			found = &f->v[i];
	return found;
}
