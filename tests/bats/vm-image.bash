# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The image of a real guest. lib.bash comes first.

# A scratch host has no way to any network, so the image was built before.
VM_IMAGE_CACHE=$(cd "$BIN/.." && pwd)/os-image-test

# vm_image NAME, in setup_file: into the store of $COCOON_ROOT_DIR. Status 1 if
# there is none to be had.
vm_image() {
	local layout

	layout=$("$TOP/tests/os-image" --cached "$VM_IMAGE_CACHE") || return 1
	cocoon-img import "$1" "$layout" >/dev/null
}

# In setup: skips where vm_image did not get one.
need_vm_image() {
	[ -e "$COCOON_ROOT_DIR/image" ] ||
		skip_for "there is no image to boot: set COCOON_TEST_IMAGE," \
			"or run tests/os-image $VM_IMAGE_CACHE"
}
