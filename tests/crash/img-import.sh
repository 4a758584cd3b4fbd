# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2069
# cocoon-img import, killed; the same again. An image that shares a layer stays.
NEEDS="cocoon-img mkfs.erofs python3"
COMMAND='cocoon-img import new $P/new'

prepare() {
	export COCOON_ROOT_DIR=$P/root COCOON_STATE_RUN=$P/run

	mkdir -m 700 "$P/root"
	layout kept <<-END
		layer
		d boot
		f boot/vmlinuz-1 k
		f boot/initrd.img-1 i
	END
	layout new <<-END
		layer
		d boot
		f boot/vmlinuz-1 k
		f boot/initrd.img-1 i
		layer
		d etc
		f etc/a text
		l etc/b a
		big etc/c 100000
	END
	cocoon-img import kept "$P/kept"
}

setup() {
	cp -a "$P/root/." "$COCOON_ROOT_DIR"
	remember
}

next() {
	cocoon-img list >/dev/null &&
		cocoon-img import new "$P/new" &&
		cocoon-img verify new kept &&
		cocoon-img rm new
}

check() {
	unchanged
	cocoon-img verify kept 2>&1 >/dev/null || echo "kept: broken"
}
