/* SPDX-License-Identifier: MIT */
#include "img.h"

static const struct verb *const verbs[] = {&verb_pull, &verb_import,
    &verb_resolve, &verb_list, &verb_inspect, &verb_rm, &verb_verify, &verb_gc,
    &verb_doctor, NULL};

int main(int argc, char **argv)
{
	static const struct tool tool = {
	    .name = "cocoon-img",
	    .summary = "The image store: layers as EROFS files, by digest.",
	    .verbs = verbs,
	};

	return tool_main(&tool, argc, argv);
}
