/* SPDX-License-Identifier: MIT */
/* --data-disk SPEC. */
#include <string.h>

#include "disks.h"

#define MIN_DATA_DISK (UINT64_C(16) << 20)
#define MAX_BYTES (UINT64_C(1) << 50)

/* One "key=value" of a data disk. */
static int disk_item(struct doc_data_disk *d, char *key, char *value,
    const char *text, struct err *err)
{
	if (!strcmp(key, "size")) {
		if (parse_size(value, &d->size) < 0)
			return err_set(err, ERR_USAGE,
			    "--data-disk %s: invalid size \"%s\"", text, value);
	} else if (!strcmp(key, "name")) {
		d->name = value;
	} else if (!strcmp(key, "fstype")) {
		if (strcmp(value, "ext4") && strcmp(value, "none"))
			return err_set(err, ERR_USAGE,
			    "--data-disk %s: fstype must be ext4 or none",
			    text);
		d->fstype = value;
	} else if (!strcmp(key, "mount")) {
		d->mount = value;
	} else if (!strcmp(key, "directio")) {
		if (strcmp(value, "on") && strcmp(value, "off") &&
		    strcmp(value, "auto"))
			return err_set(err, ERR_USAGE,
			    "--data-disk %s: directio must be on, off or auto",
			    text);
		d->directio = value;
	} else {
		return err_set(err, ERR_USAGE,
		    "--data-disk %s: unknown key \"%s\"", text, key);
	}
	return 0;
}

/* Fills d from "size=1G,name=db,..."; strings stay for the process. */
static int parse_disk(
    const char *text, struct doc_data_disk *d, struct err *err)
{
	char *copy = xstrdup(text), *save = NULL;

	for (char *item = strtok_r(copy, ",", &save); item;
	     item = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(item, '=');

		item += strspn(item, " ");
		if (!eq)
			return err_set(err, ERR_USAGE,
			    "--data-disk %s: \"%s\" is not key=value", text,
			    item);
		*eq++ = '\0';
		if (disk_item(d, item, eq, text, err) < 0)
			return -1;
	}
	if (d->size < MIN_DATA_DISK)
		return err_set(err, ERR_USAGE,
		    "--data-disk %s: size must be given, at least 16M", text);
	if (d->size > MAX_BYTES)
		return err_set(err, ERR_USAGE,
		    "--data-disk %s: size must be at most 1PiB", text);
	return 0;
}

static bool disk_taken(
    const struct doc_data_disk *d, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (d[i].name && !strcmp(d[i].name, name))
			return true;
	return false;
}

/* Names and mount points that were not given, then the checks. */
static int complete_disk(
    struct doc_data_disk *d, size_t n, size_t i, struct err *err)
{
	int number = 1;

	while (!d[i].name) {
		char *name = xasprintf("data%d", number++);

		if (!disk_taken(d, n, name))
			d[i].name = name;
	}
	if (!valid_disk_name(d[i].name))
		return err_set(err, ERR_USAGE,
		    "--data-disk: name \"%.40s\" is invalid: must match "
		    "^[a-z][a-z0-9_-]{0,19}$, not cocoon-...",
		    d[i].name);
	if (disk_taken(d, i, d[i].name))
		return err_set(err, ERR_USAGE,
		    "--data-disk: two disks named \"%s\"", d[i].name);
	if (!d[i].fstype)
		d[i].fstype = "ext4";
	if (!strcmp(d[i].fstype, "none")) {
		if (d[i].mount && *d[i].mount)
			return err_set(err, ERR_USAGE,
			    "--data-disk: %s: fstype none cannot be mounted",
			    d[i].name);
		d[i].mount = NULL;
		return 0;
	}
	if (!d[i].mount)
		d[i].mount = xasprintf("/mnt/%s", d[i].name);
	if (*d[i].mount && d[i].mount[0] != '/')
		return err_set(err, ERR_USAGE,
		    "--data-disk: %s: mount must be an absolute path",
		    d[i].name);
	for (const char *p = d[i].mount; *p; p++)
		if ((unsigned char)*p < 0x20)
			return err_set(err, ERR_USAGE,
			    "--data-disk: %s: control character in mount",
			    d[i].name);
	if (!*d[i].mount)
		d[i].mount = NULL;
	return 0;
}

int data_disks(const struct strv *texts, struct jarr *all, struct err *err)
{
	size_t had = all->n, n = had + texts->n;
	struct doc_data_disk *d = xcalloc(n + 1, sizeof(*d));

	if (had)
		memcpy(d, all->v, had * sizeof(*d));
	for (size_t i = had; i < n; i++)
		if (parse_disk(texts->v[i - had], &d[i], err) < 0)
			return -1;
	for (size_t i = had; i < n; i++)
		if (complete_disk(d, n, i, err) < 0)
			return -1;
	*all = (struct jarr){d, n};
	return 0;
}
