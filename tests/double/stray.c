/* SPDX-License-Identifier: MIT */
/* For a hypervisor that loads a state: it opens a file that the state does not
 * name, as one that is led astray would. */
#include <fcntl.h>
#include <string.h>

__attribute__((constructor)) static void begin(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "-incoming"))
			(void)open("stray.raw", O_RDWR | O_CREAT, 0600);
}
