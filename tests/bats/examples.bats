#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# EXAMPLES of the manual, run as they stand. What a block needs is said in a
# comment in front of it (.\" needs: ...); a terminal and minutes are not had
# here: README's own commands are those.
load lib
load hv

setup_file() {
	mini_build
	printf '%s\n' layer 'd etc' 'f etc/hostname mini' layer 'd boot' \
		"copy boot/vmlinuz-1 $BATS_FILE_TMPDIR/mini/kernel" \
		'f boot/initrd.img-1 initrd' |
		"${BATS_TEST_FILENAME%/*}/../double/oci-layout" \
			"$BATS_FILE_TMPDIR/layout"
}

setup() {
	host_netns
	need jq mandoc mkfs.erofs dump.erofs nft
	setup_root
	mini_setup
	cd "$BATS_TEST_TMPDIR"
	cocoon image import debian "$BATS_FILE_TMPDIR/layout" >/dev/null
}

teardown() {
	cocoon vm list -o json | jq -r '.[].vm.id' |
		xargs -r cocoon vm rm --force >/dev/null
	cocoon gc --all >/dev/null
}

# blocks PAGE NEED: the commands of its blocks, a script each, NUL-terminated.
blocks() {
	awk -v want="$2" '
		/^\.\\" needs:/ {
			needs = substr($0, 12)
			ours = index(needs, want) && !(needs ~ /minutes|terminal/)
			if (want != "vm web1" && needs ~ /vm web1/)
				ours = 0
			if (want != "image debian" && needs ~ /image debian/)
				ours = 0
		}
		/^\.Ed/ { if (on) printf "%c", 0; on = 0; ours = 0 }
		on { sub(/^[$#] /, ""); gsub(/\\e/, "\\"); gsub(/\\&/, ""); print }
		/^\.Bd/ && ours { on = 1 }' "$1"
}

# Every block of every page that has that need.
run_all() {
	local page script n=0

	for page in "$TOP"/man/*.[1-9]; do
		while IFS= read -r -d '' script; do
			n=$((n + 1))
			if ! bash -e -o pipefail -c "$script" >out 2>err; then
				# A finding is what these are for.
				[[ $script == *doctor* ]] && continue
				echo "${page##*/}: $script"
				cat out err
				return 1
			fi
		done < <(blocks "$page" "$1")
	done >&2
	[ "$n" -gt 0 ]
}

@test "examples that need nothing" {
	run_all nothing
}

@test "examples that need root" {
	run_all root
	[ -z "$(ls "$COCOON_ROOT_DIR/net/"*.json 2>/dev/null)" ]
}

@test "examples that need an image" {
	# The password's file of the page is root's; ours is elsewhere.
	echo secret >password
	sed_pages
	run_all 'image debian'
}

# Pages with paths that this machine may not have written to.
sed_pages() {
	mkdir -p pages/man
	for page in "$TOP"/man/*.[1-9]; do
		sed "s|/root/db.password|$PWD/password|" "$page" \
			>"pages/man/${page##*/}"
	done
	TOP=$PWD/pages
}

@test "examples that need a running VM" {
	cocoon vm run --name web1 --cpu 1 --memory 64M --storage 64M debian \
		>/dev/null
	run_all 'vm web1'
}
