/* SPDX-License-Identifier: MIT */
/* A fuzz target as a test: calls it with the content of each file; TAP. */
#include <fcntl.h>

#include "buf.h"
#include "file.h"
#include "fuzz.h"

int main(int argc, char **argv)
{
	printf("1..%d\n", argc - 1);
	for (int i = 1; i < argc; i++) {
		AUTO_BUF struct buf b = {0};
		struct err err = {0};

		/* A crash ends the list: the plan above tells. */
		if (file_read(AT_FDCWD, argv[i], &b, 1 << 24, &err) == 0)
			LLVMFuzzerTestOneInput((uint8_t *)b.data, b.len);
		printf("%s %d - %s %s\n", err.code ? "not ok" : "ok", i,
		    argv[i], err.msg);
		fflush(stdout);
	}
	return argc > 1 ? 0 : 1;
}
