# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2069,SC2154
# cocoon-img pull from a registry, killed; the same again, which takes up what
# had come. An image that shares a layer stays.
NEEDS="cocoon-img mkfs.erofs python3"
COMMAND='cocoon-img pull "$AT/new:1"'

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
	"$here/../double/registry" "$P/new" "$W/registry" >"$W/port" \
		2>/dev/null </dev/null &
	until [ -s "$W/port" ]; do
		sleep 0.05
	done
	AT=127.0.0.1:$(cat "$W/port")
	export AT
	remember
}

next() {
	cocoon-img list >/dev/null &&
		cocoon-img pull "$AT/new:1" &&
		cocoon-img verify "$AT/new:1" kept &&
		cocoon-img rm "$AT/new:1"
}

check() {
	unchanged
	cocoon-img verify kept 2>&1 >/dev/null || echo "kept: broken"
}
