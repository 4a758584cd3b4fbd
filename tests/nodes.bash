# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Device nodes that hypervisors open, in the mount namespace of a test.

nodes=${BATS_TEST_TMPDIR:-/run}/nodes

# open_nodes MODE: as udev, or nobody, has set them.
open_nodes() {
	mkdir -p "$nodes"
	mount -t tmpfs -o dev tmpfs "$nodes"
	mknod -m "$1" "$nodes/kvm" c 10 232
	mknod -m "$1" "$nodes/tun" c 10 200
	mount --bind "$nodes/kvm" /dev/kvm
	mount --bind "$nodes/tun" /dev/net/tun
}

# In teardown: what open_nodes mounted.
close_nodes() {
	while umount /dev/kvm 2>/dev/null; do :; done
	while umount /dev/net/tun 2>/dev/null; do :; done
	while umount "$nodes" 2>/dev/null; do :; done
}
