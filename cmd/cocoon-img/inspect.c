/* SPDX-License-Identifier: MIT */
#include "img.h"
#include "ref.h"

/* Also of an image whose blobs are gone: that is what one inspects. */
static int inspect_run(struct call *call, struct err *err)
{
	AUTO_STORE struct store s = STORE_NONE;
	AUTO_IMAGE struct image img = {0};
	AUTO_STRV struct strv paths = {0};
	AUTO_JSON struct json_object *o = NULL;
	struct err e = {0};

	if (store_open(&s, false, err) < 0 ||
	    ref_open(&s, call->args.v[0], &img, err) < 0)
		return -1;
	if (image_paths(&s, &img.doc, &paths, &e) < 0)
		tool_fail(call, NULL, &e);
	o = jbuild(&doc_image_table, &img.doc);
	jval_set_str(o, "id", img.doc.digest);
	jval_pretty(o, &call->out);
	buf_ch(&call->out, '\n');
	return 0;
}

const struct verb verb_inspect = {
    .name = "inspect",
    .summary = "prints an image: digest, layers, kernel, where they are",
    .operands = "IMAGE",
    .min_args = 1,
    .max_args = 1,
    .run = inspect_run,
};
