# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# cocoon-net del, killed; the same again; another network stays.
NEEDS="cocoon-net nft ip"
COMMAND='cocoon-net del $(cat $W/id)'

setup() {
	echo "$ID" >"$W/id"
	doc "$KEPT" | cocoon-net add >"$W/kept"
	host_state >"$W/before"
	root_state >"$W/before-root"
	doc "$ID" | cocoon-net add >"$W/out"
}

next() {
	cocoon-net check "$KEPT" >/dev/null && cocoon-net del "$ID"
}

check() {
	same host_state "$(cat "$W/before")"
	same root_state "$(cat "$W/before-root")"
	cocoon-net check "$KEPT" 2>&1 || echo "the other network is broken"
}
