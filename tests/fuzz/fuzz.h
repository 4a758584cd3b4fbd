/* SPDX-License-Identifier: MIT */
/* What a fuzz target has: one entry, and an assertion that is always there. */
#ifndef COCOON_FUZZ_H
#define COCOON_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define must(cond)                                                       \
	do {                                                             \
		if (!(cond)) {                                           \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
			    __LINE__, #cond);                            \
			abort();                                         \
		}                                                        \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
