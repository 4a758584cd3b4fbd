# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# cocoon-net del, killed; the same again; another network stays.
NEEDS="cocoon-net nft ip"
COMMAND='cocoon-net del $(cat $W/id)'

setup() {
	echo "$ID" >"$W/id"
	doc "$KEPT" | cocoon-net add >"$W/kept"
	remember
	doc "$ID" | cocoon-net add >"$W/out"
}

next() {
	cocoon-net check "$KEPT" >/dev/null && cocoon-net del "$ID"
}

check() {
	unchanged
	cocoon-net check "$KEPT" 2>&1 || echo "the other network is broken"
}
