# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# cocoon-net add by hand, killed; then another network, then del of both.
NEEDS="cocoon-net nft ip"
COMMAND='cocoon-net add <$W/doc >$W/out'

setup() {
	doc "$ID" 2 >"$W/doc"
	host_state >"$W/before"
}

next() {
	doc "$OTHER" | cocoon-net add >"$W/other" &&
		cocoon-net check "$OTHER" >/dev/null &&
		cocoon-net list >/dev/null &&
		cocoon-net del "$ID" &&
		cocoon-net del "$OTHER"
}

check() {
	same host_state "$(cat "$W/before")"
	same root_state ""
}
