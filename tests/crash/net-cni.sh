# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
# cocoon-net add with NICs on a CNI network and on the built-in one, killed;
# then another one on the same network, then del of both: no lease is left.
NEEDS="cocoon-net nft ip jq /usr/lib/cni/bridge"
COMMAND='cocoon-net add <$W/doc >$W/out'

setup() {
	export COCOON_CNI_CONF_DIR=$W/conf COCOON_CNI_BIN_DIR=/usr/lib/cni
	mkdir -p "$W/conf"
	jq -n --arg dir "$W/ipam" '{cniVersion: "1.0.0", name: "lan", plugins: [
		{type: "bridge", bridge: "lan0", ipam: {type: "host-local",
		dataDir: $dir, subnet: "10.90.0.0/24"}}]}' >"$W/conf/1.conflist"
	# The plugin never removes it.
	ip link show lan0 >/dev/null 2>&1 || ip link add lan0 type bridge
	doc "$ID" 2 | jq -c '.spec.networks = ["lan", "cocoon"]' >"$W/doc"
	host_state >"$W/before"
}

next() {
	doc "$OTHER" | cocoon-net add >"$W/other" &&
		cocoon-net check "$OTHER" >/dev/null &&
		cocoon-net del "$ID" &&
		cocoon-net del "$OTHER"
}

check() {
	same host_state "$(cat "$W/before")"
	same root_state ""
	find "$W/ipam" -type f -not -name lock -not -name 'last_*' \
		-printf 'lease %f\n'
}
