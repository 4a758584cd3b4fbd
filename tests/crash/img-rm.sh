# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2069
# cocoon-img rm and gc, killed; the same again. The other image stays.
NEEDS="cocoon-img mkfs.erofs python3"
COMMAND='cocoon-img rm new && cocoon-img gc'

prepare() {
	export COCOON_ROOT_DIR=$P/root COCOON_STATE_RUN=$P/run

	mkdir -m 700 "$P/root"
	layout kept <<-END
		layer
		f etc/a text
	END
	layout new <<-END
		layer
		f etc/a text
		layer
		f etc/b other
		layer
		f etc/c third
	END
	cocoon-img import kept "$P/kept"
	cp -a "$P/root" "$P/before"
	cocoon-img import new "$P/new"
}

setup() {
	COCOON_ROOT_DIR=$P/before root_state >"$W/before-root"
	cp -a "$P/root/." "$COCOON_ROOT_DIR"
	host_state >"$W/before"
}

next() {
	local status=0

	cocoon-img list >/dev/null || return
	cocoon-img rm new 2>/dev/null || status=$?
	[ "$status" = 0 ] || [ "$status" = 4 ]
}

check() {
	unchanged
	cocoon-img verify kept 2>&1 >/dev/null || echo "kept: broken"
}
