# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# cocoon-net add, killed, cleaned up by gc --all alone, with a living network
# beside it that must stay as it is.
NEEDS="cocoon-net nft ip"
COMMAND='cocoon-net add <$W/doc >$W/out; cocoon-net gc --all'

setup() {
	doc "$ID" >"$W/doc"
	host_state >"$W/before"
}

next() {
	cocoon-net gc --all
}

check() {
	same host_state "$(cat "$W/before")"
	same root_state ""
}
