/* SPDX-License-Identifier: MIT */
#include "seed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "iso.h"

#define MAX_SEED ((size_t)8 << 20)

static void add_file(
    struct iso_file *files, size_t *n, const char *name, const char *text)
{
	if (text)
		files[(*n)++] = (struct iso_file){name, text, strlen(text)};
}

int seed_image(const struct doc_seed *s, int out_fd, struct err *err)
{
	struct iso_file files[ISO_MAX_FILES];
	AUTO_FREE unsigned char *image = NULL;
	size_t n = 0, size;

	add_file(files, &n, "meta-data", s->meta_data);
	add_file(files, &n, "user-data", s->user_data);
	add_file(files, &n, "network-config", s->network_config);
	add_file(files, &n, "cocoon.conf", s->cocoon_conf);
	add_file(files, &n, "cocoon.sh", s->script);
	size = iso_size(files, n);
	if (size > MAX_SEED)
		return err_set(err, ERR_INPUT,
		    "seed image: its texts are more than 8 MiB");
	image = xcalloc(1, size);
	iso_write(files, n, ISO_SEED_LABEL, image);
	if (write_all(out_fd, image, size) < 0)
		return err_sys(err, errno, "seed image: write");
	return 0;
}
