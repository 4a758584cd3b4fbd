/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "doctor.h"
#include "hint.h"
#include "proc.h"

static void check_seed(struct call *call)
{
	AUTO_FREE char *helper = proc_helper("seed");
	bool there = access(helper, X_OK) == 0;

	doctor_say(call, "seed", there ? "ok" : "fail", helper,
	    "install the helper beside the tools, or set COCOON_LIBEXEC");
}

static void check_crypt(struct call *call)
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];

	if (crypt_gensalt_rn("$6$", 0, NULL, 0, salt, sizeof(salt))) {
		doctor_say(call, "crypt", "ok",
		    "passwords are hashed with SHA-512", NULL);
		return;
	}
	doctor_say(call, "crypt", "fail", "libcrypt has no SHA-512",
	    "install libcrypt1 with SHA-512 crypt");
}

int doctor_run(struct call *call, struct err *err)
{
	(void)err;
	check_crypt(call);
	check_seed(call);
	return 0;
}
