# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The image of a real guest. lib.bash comes first.

# A scratch host has no way to any network, so the image was built before.
VM_IMAGE_CACHE=$(cd "$BIN/.." && pwd)/os-image-test

# In setup_file: prints the OCI layout; status 1 if there is none to be had.
vm_image() {
	"$TOP/tests/os-image" --cached "$VM_IMAGE_CACHE"
}

# In setup: skips where there is none.
need_vm_image() {
	vm_image >/dev/null ||
		skip_for "there is no image to boot: set COCOON_TEST_IMAGE," \
			"or run tests/os-image $VM_IMAGE_CACHE"
}
