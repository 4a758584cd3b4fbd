#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# cocoon-img and the helper layer.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load lib

setup() {
	need python3 jq mkfs.erofs
	setup_root
	cd "$BATS_TEST_TMPDIR" || exit 1
}

teardown() {
	local m

	for m in "$BATS_TEST_TMPDIR"/mnt/*; do
		! mountpoint -q "$m" || umount "$m"
	done
}

# layout NAME <SCRIPT
layout() {
	rm -rf "$1"
	"$TOP/tests/double/oci-layout" "$1"
}

# An image of two layers that boots, and one of one that does not.
base_layout() {
	layout "$1" <<-'EOF'
		layer
		d boot
		f boot/vmlinuz-6.1.0-9 k9
		f boot/initrd.img-6.1.0-9 i9
		d etc
		f etc/a text
		layer
		f etc/b more
	EOF
}

plain_layout() {
	layout "$1" <<-'EOF'
		layer
		d etc
		f etc/a other
	EOF
}

blobs() {
	ls -A "$COCOON_ROOT_DIR/image/blob"
}

# Nothing of an import is in the store.
empty_store() {
	local d

	for d in blob ref tmp; do
		[ ! -e "$COCOON_ROOT_DIR/image/$d" ] ||
			[ -z "$(ls -A "$COCOON_ROOT_DIR/image/$d")" ] || {
			echo "left in $d: $(ls -A "$COCOON_ROOT_DIR/image/$d")" >&2
			return 1
		}
	done
}

# refused CODE WORDS: the layout `l` is, for that reason, and leaves nothing.
refused() {
	t "$1" cocoon-img import x l || return 1
	[[ $stderr = *"$2"* ]] || {
		echo "expected \"$2\" in: $stderr" >&2
		return 1
	}
	[ "$(wc -l <<<"$stderr")" = 1 ]
	[ -z "$output" ]
	empty_store
}

# bad CODE WORDS <SCRIPT: a layer with these entries is refused.
bad() {
	{ echo layer && cat; } | layout l
	refused "$@"
}

# The JSON file of the layout's manifest, and its new name after a change.
manifest_file() {
	echo "$1/blobs/sha256/$(jq -r '.manifests[0].digest[7:]' "$1/index.json")"
}

# edit_manifest DIR FILTER: with digest and size in the index made right.
edit_manifest() {
	local old new sum

	old=$(manifest_file "$1")
	new=$(jq -c "$2" "$old")
	rm "$old"
	sum=$(printf %s "$new" | sha256sum | cut -c1-64)
	printf %s "$new" >"$1/blobs/sha256/$sum"
	edit_index "$1" --arg d "sha256:$sum" --argjson n "${#new}" \
		'.manifests[0].digest = $d | .manifests[0].size = $n'
}

edit_index() {
	local dir=$1

	shift
	jq -c "$@" "$dir/index.json" >"$dir/new"
	mv "$dir/new" "$dir/index.json"
}

# Layer N (from 0) of a layout: its file.
layer_file() {
	echo "$1/blobs/sha256/$(jq -r ".layers[$2].digest[7:]" \
		"$(manifest_file "$1")")"
}

@test "import, list, inspect, resolve, verify, rm, gc" {
	base_layout l
	t 0 cocoon-img list
	[ "$output" = "No images found." ]
	t 0 cocoon-img list -o json
	[ "$output" = "[]" ]
	t 0 cocoon-img import web:1 l
	[[ $output = "imported: web:1 sha256:"* ]]
	[ -z "$stderr" ]
	digest=$(jq -r '.manifests[0].digest' l/index.json)

	t 0 cocoon-img list
	[[ ${lines[0]} =~ ^TYPE\ +NAME\ +DIGEST\ +SIZE\ +CREATED$ ]]
	[[ ${lines[1]} =~ ^oci\ +web:1\ +${digest:0:19}\ +[0-9.]+kB\ +20 ]]
	t 0 cocoon-img list --format json
	[ "$(jq -r '.[0] | .id + " " + .name + " " + .type' <<<"$output")" = \
		"$digest web:1 oci" ]
	[ "$(jq '.[0] | (.size > 4096) and (.created_at > 1.6e12)' \
		<<<"$output")" = true ]

	t 0 cocoon-img resolve web:1
	[ "$(jq -r .digest <<<"$output")" = "$digest" ]
	[ "$(jq '.layers | length' <<<"$output")" = 2 ]
	[ "$(cat "$(jq -r .kernel.path <<<"$output")")" = k9 ]
	[ "$(cat "$(jq -r .initrd.path <<<"$output")")" = i9 ]
	for p in $(jq -r '.layers[].path' <<<"$output"); do
		[ "$(stat -c %a "$p")" = 444 ]
		fsck.erofs "$p"
	done
	t 0 cocoon-img inspect web:1
	[ "$(jq -r .id <<<"$output")" = "$digest" ]

	t 0 cocoon-img verify
	[ "$output" = "ok: web:1" ]
	t 0 cocoon-img gc
	[ -z "$output" ]
	t 0 cocoon-img rm web:1
	[ "$output" = "deleted: web:1" ]
	t 0 cocoon-img gc -n
	[[ $output = *"would remove blob "* ]]
	[ "$(blobs | wc -l)" = 8 ]
	t 0 cocoon-img gc -o json
	[ "$(jq -s 'length' <<<"$output")" = 8 ]
	empty_store
}

@test "resolve as a filter" {
	base_layout l
	t 0 cocoon-img import web:1 l
	doc='{"v":1,"vm":{"id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ"},"x":[1.5],'
	doc+='"spec":{"image":"web:1","nics":0}}'
	t 0 cocoon-img resolve <<<"$doc$doc"
	[ "${#lines[@]}" = 2 ]
	[ "$(jq -r .image.name <<<"${lines[1]}")" = web:1 ]
	[ "$(jq -c .x <<<"${lines[1]}")" = "[1.5]" ]
	t 4 cocoon-img resolve <<<"${doc/web:1/no}"
	[ "$(jq -r .error.code <<<"$output")" = 4 ]
	[[ $stderr = *'image "no" not resolved: not in the store; pull: no: '* ]]
	t 4 cocoon-img resolve --pull never <<<"${doc/web:1/no}"
	[[ $stderr = *'image "no" not resolved: not in the store; import it'* ]]
	t 0 cocoon-img resolve --pull never <<<"$doc"
	t 3 cocoon-img resolve <<<"${doc/\"image\":\"web:1\",/}"
	t 2 cocoon-img resolve --pull sometimes <<<"$doc"
}

@test "references: names, normal forms, digests, prefixes" {
	base_layout a
	plain_layout b
	t 0 cocoon-img import debian:12 a
	t 0 cocoon-img import docker.io/library/fedora b
	hex=$(jq -r '.manifests[0].digest[7:]' a/index.json)
	for ref in debian:12 library/debian:12 docker.io/debian:12 \
		docker.io/library/debian:12 index.docker.io/library/debian:12 \
		"sha256:$hex" "$hex" "${hex:0:12}" "sha256:${hex:0:12}" \
		"example.org/x@sha256:$hex"; do
		t 0 cocoon-img resolve "$ref"
		[ "$(jq -r .name <<<"$output")" = debian:12 ]
	done
	t 0 cocoon-img resolve fedora
	t 0 cocoon-img resolve fedora:latest
	for ref in debian debian:1 debian:12x "${hex:0:11}" example.org/debian:12; do
		t 4 cocoon-img resolve "$ref"
	done
	# Another name of the same image is no conflict, another image is.
	t 0 cocoon-img import docker.io/library/debian:12 a
	t 0 cocoon-img resolve library/debian:12
	t 0 cocoon-img import docker.io/debian:12 b
	t 0 cocoon-img resolve debian:12
	t 0 cocoon-img rm docker.io/library/debian:12
	t 5 cocoon-img resolve library/debian:12
	t 5 cocoon-img rm library/debian:12
	t 0 cocoon-img resolve docker.io/debian:12
}

@test "names: odd ones are kept, bad ones refused" {
	plain_layout l
	for name in 'a b' '.hidden' 'x%2Fy' 'x/y' '..' '../../../e' '~$`"'; do
		t 0 cocoon-img import "$name" l
		[ "$(cocoon-img list -o json | jq -r '.[].name')" = "$name" ]
		t 0 cocoon-img rm "$name"
	done
	t 2 cocoon-img import '' l
	t 2 cocoon-img import $'a\nb' l
	t 2 cocoon-img import -- -x l
	t 2 cocoon-img import "$(printf '%0256d' 0)" l
	t 2 cocoon-img import "$(printf '%0200d/////////////////////' 0)" l
	t 2 cocoon-img import
	t 0 cocoon-img gc
	empty_store
}

@test "rm: an unknown one among several deletes nothing" {
	base_layout a
	plain_layout b
	t 0 cocoon-img import a a
	t 0 cocoon-img import b b
	t 4 cocoon-img rm a no b
	[ "$(cocoon-img list -o json | jq length)" = 2 ]
	t 0 cocoon-img rm a b a
	[ "$output" = $'deleted: a\ndeleted: b' ]
}

@test "import over a name replaces it" {
	base_layout a
	plain_layout b
	t 0 cocoon-img import x a
	t 0 cocoon-img import x b
	[[ $stderr = *"no kernel in it: it cannot be booted directly"* ]]
	t 0 cocoon-img resolve x
	[ "$(jq -r .digest <<<"$output")" = \
		"$(jq -r '.manifests[0].digest' b/index.json)" ]
	t 0 cocoon-img gc
	[ "$(blobs | wc -l)" = 3 ]
}

@test "the stack is what umoci unpacks" {
	need umoci setcap setfattr getfattr mount
	host_netns
	umoci init --layout l
	umoci new --image l:t
	umoci unpack --image l:t u1
	make_tree u1/rootfs
	umoci repack --image l:t u1
	umoci unpack --image l:t u2
	change_tree u2/rootfs
	umoci repack --image l:t u2
	umoci unpack --image l:t u3
	t 0 cocoon-img import x l
	mkdir -p mnt/all
	i=0 low=
	for p in $(cocoon-img resolve x | jq -r '.layers[].path'); do
		mkdir "mnt/$i"
		mount -t erofs -o loop,ro "$p" "mnt/$i" ||
			skip_for "mounting EROFS"
		low=$PWD/mnt/$i${low:+:$low}
		i=$((i + 1))
	done
	mount -t overlay -o "ro,lowerdir=$low" overlay mnt/all
	describe mnt/all >is
	describe u3/rootfs >want
	diff want is
	[ "$(wc -l <is)" -gt 50 ]
	t 0 cocoon-img resolve x
	[ "$(cat "$(jq -r .kernel.path <<<"$output")")" = k18 ]
	[ "$(cat "$(jq -r .initrd.path <<<"$output")")" = i18 ]
}

make_tree() {
	local n

	n=$(printf 'n%.0s' {1..200})
	cd "$1" || return 1
	mkdir -p etc/deep/dir usr/bin boot dev tmp opq gone/sub "$n/$n.d/$n.e"
	chmod 1777 tmp
	chmod 700 gone etc/deep
	chown 7:8 etc/deep
	echo k9 >boot/vmlinuz-6.1.0-9
	echo i9 >boot/initrd.img-6.1.0-9
	ln -s boot/vmlinuz-6.1.0-9 vmlinuz
	echo hi >etc/a
	ln etc/a etc/b
	ln etc/a etc/deep/c
	ln -s ../x etc/l
	cp /bin/true usr/bin/ping
	setcap cap_net_raw+ep usr/bin/ping
	cp /bin/true usr/bin/su
	chown 0:42 usr/bin/su
	chmod 6755 usr/bin/su
	mknod -m 666 dev/null c 1 3
	mknod dev/sda b 8 0
	mkfifo dev/fifo
	setfattr -n user.k -v v1 etc/a
	setfattr -n trusted.t -v v2 etc/deep
	echo deep >"$n/$n.d/$n.e/$n"
	# Composed, decomposed, no UTF-8 at all.
	echo 1 >$'\xc3\xbc'
	echo 2 >$'u\xcc\x88'
	echo 3 >$'bad\xff'
	truncate -s 5M sparse
	printf end >>sparse
	echo o >opq/1
	echo g >gone/x
	echo r >rep
	chown 70000:70001 rep
	touch -d 2001-02-03T04:05:06 etc/a
	cd "$BATS_TEST_TMPDIR" || return 1
}

change_tree() {
	cd "$1" || return 1
	rm boot/*
	echo k18 >boot/vmlinuz-6.1.0-18
	echo i18 >boot/initrd.img-6.1.0-18
	rm -r gone rep opq etc/deep/c
	mkdir rep opq
	echo n >rep/n
	echo o3 >opq/3
	echo new >etc/deep/new
	echo t >tmp/t
	cd "$BATS_TEST_TMPDIR" || return 1
}

# Everything of a tree that an image keeps.
describe() (
	cd "$1" || exit 1
	find . -mindepth 1 -printf '%P %y %m %U:%G %s %T@ %n %l\n' |
		awk '$2 == "d" { $5 = $7 = "-" } { print }' | LC_ALL=C sort
	find . -type f -exec sha256sum {} + | LC_ALL=C sort -k 2
	find . -type b,c -printf '%P ' -exec stat -c %t:%T {} \; |
		LC_ALL=C sort
	find . -print0 | LC_ALL=C sort -z |
		xargs -0 getfattr -h -d -m '^user|^trusted.[^o]|^security.cap' --
)

@test "whiteouts and opaque directories" {
	need mount getfattr
	host_netns
	layout l <<-'EOF'
		layer
		f .wh.gone
		d dir
		f dir/.wh..wh..opq
		f dir/new x
		f late/.wh.sub
		f late/sub/file x
		f .wh.same
		d same
		f .wh..wh.aufs
		d .wh..wh.plnk
		f .wh..wh.plnk/1.2 x
	EOF
	t 0 cocoon-img import x l
	mkdir -p mnt/0
	mount -t erofs -o loop,ro \
		"$(cocoon-img resolve x | jq -r '.layers[0].path')" mnt/0 ||
		skip_for "mounting EROFS"
	[ "$(stat -c '%F %t:%T' mnt/0/gone)" = "character special file 0:0" ]
	for d in dir late/sub same; do
		[ "$(getfattr --only-values -n trusted.overlay.opaque \
			"mnt/0/$d" 2>/dev/null)" = y ]
	done
	t 1 getfattr -n trusted.overlay.opaque mnt/0/late
	[ "$(find mnt/0 -name '.wh*')" = "" ]
	[ "$(cat mnt/0/dir/new)" = x ]
}

@test "a later entry replaces an earlier one" {
	host_netns
	layout l <<-'EOF'
		layer
		f a old
		f a new
		l link target
		f link file
		l dir /etc
		d dir 750
		f dir/x y
		d empty
		f empty now
		f one 1
		h two one
		f one other
	EOF
	t 0 cocoon-img import x l
	mkdir -p mnt/0
	mount -t erofs -o loop,ro \
		"$(cocoon-img resolve x | jq -r '.layers[0].path')" mnt/0 ||
		skip_for "mounting EROFS"
	[ "$(cat mnt/0/a)" = new ]
	[ "$(cat mnt/0/link)" = file ]
	[ ! -L mnt/0/link ]
	[ "$(stat -c %a mnt/0/dir)" = 750 ]
	[ "$(cat mnt/0/dir/x)" = y ]
	[ "$(cat mnt/0/empty)" = now ]
	[ "$(cat mnt/0/one)" = other ]
	[ "$(cat mnt/0/two)" = 1 ]
	[ ! -e /etc/x ]
}

@test "the root by its names: ., ./, /" {
	local name

	host_netns
	bad 3 'layer' <<<'f / x'
	bad 3 'layer' <<<'l / /etc'
	mkdir mnt
	for name in . ./ / //; do
		rm -rf l
		layout l <<-EOF
			layer
			d $name 750
			f a x
		EOF
		t 0 cocoon-img import x l
		mount -t erofs -o loop,ro \
			"$(cocoon-img resolve x | jq -r '.layers[0].path')" mnt ||
			skip_for "mounting EROFS"
		[ "$(stat -c %a mnt)" = 750 ]
		[ "$(cat mnt/a)" = x ]
		umount mnt
	done
}

@test "refused: names that lead elsewhere" {
	bad 3 '".." in its name' <<<'f ../x'
	bad 3 '".." in its name' <<<'f a/../x'
	bad 3 '".." in its name' <<<'d a/..'
	bad 3 'refused: ".." in its name' <<<'f "../\xff\x01"'
	bad 3 'an absolute name' <<<'f /etc/x'
	bad 3 'an absolute name' <<<'f //x'
	bad 3 'through a symbolic link' <<-'EOF'
		l out /etc
		f out/x owned
	EOF
	bad 3 'through a symbolic link' <<-'EOF'
		d real
		l in real
		f in/x y
	EOF
	bad 3 'through a symbolic link' <<-'EOF'
		l a /
		d a/etc
	EOF
	bad 3 'is no directory' <<-'EOF'
		f a x
		f a/b x
	EOF
	bad 3 'a directory that is not empty' <<-'EOF'
		d a
		f a/x y
		f a z
	EOF
	bad 3 'no directory' <<<'f . x'
	[ ! -e /etc/x ]
}

@test "refused: hard links to what is not there" {
	bad 3 'which is not in this layer' <<<'h a etc/passwd'
	bad 3 'an absolute name' <<<'h a /etc/passwd'
	bad 3 '".." in its name' <<<'h a ../../../etc/passwd'
	bad 3 'which is not in this layer' <<-'EOF'
		l out /etc
		h a out/passwd
	EOF
	bad 3 'which is no file' <<-'EOF'
		d d
		h a d
	EOF
	bad 3 'which is no file' <<-'EOF'
		f .wh.gone
		h a gone
	EOF
	# A hard link to a symbolic link is one to the link.
	layout l <<-'EOF'
		layer
		l out /etc/passwd
		h a out
	EOF
	t 0 cocoon-img import ok l
}

@test "refused: whiteouts and devices that are tricks" {
	bad 3 'character device 0:0' <<<'c x 0 0'
	bad 3 'a whiteout of no name' <<<'f .wh.'
	bad 3 'a whiteout of no name' <<<'f .wh..'
	bad 3 'a whiteout of no name' <<<'f .wh...'
	bad 3 'a whiteout is used as a directory' <<<'f .wh.a/b x'
	bad 3 'a whiteout is used as a directory' <<<'f .wh.../x y'
	bad 3 'a whiteout that is no plain file' <<<'d .wh.a'
	bad 3 'a whiteout that is no plain file' <<<'l .wh.a /etc'
	bad 3 'extended attribute trusted.overlay.redirect' <<-'EOF'
		x trusted.overlay.redirect /etc
		d a
	EOF
	bad 3 'extended attribute trusted.overlay.opaque' <<-'EOF'
		x trusted.overlay.opaque y
		d a
	EOF
}

@test "refused: too long, too deep, too many, too big" {
	deep=$(printf 'd/%.0s' {1..257})
	bad 3 'more than 256 directories deep' <<<"f ${deep}x"
	long=$(printf '%0250d/' {1..20})
	bad 3 'a path of more than 4095 bytes' <<<"f ${long}x"
	bad 3 'a component of more than 255 bytes' <<<"f $(printf %0256d 0)"
	layout l <<-'EOF'
		layer
		big a 3000000
		many f 20
	EOF
	t 3 cocoon-img import --max-size 2M x l
	[[ $stderr = *"more than 2097152 bytes in the layer"* ]]
	empty_store
	t 3 cocoon-img import --max-entries 20 x l
	[[ $stderr = *"more than 20 entries in the layer"* ]]
	empty_store
	t 0 cocoon-img import --max-size 3M --max-entries 21 x l
}

@test "refused: damaged blobs" {
	# A bit of the layer, of the manifest, of the config.
	base_layout l
	printf X | dd of="$(layer_file l 0)" bs=1 seek=9 conv=notrunc status=none
	refused 3 'layer sha256:'
	base_layout l
	sed -i 's/schemaVersion": 2/schemaVersion": 3/' "$(manifest_file l)"
	refused 3 'its digest is'
	base_layout l
	config=l/blobs/sha256/$(jq -r '.config.digest[7:]' "$(manifest_file l)")
	sed -i 's/amd64/amd65/' "$config"
	refused 3 'config sha256:'
	# Truncated, and too long.
	base_layout l
	truncate -s -1 "$(layer_file l 1)"
	refused 3 'its descriptor says'
	base_layout l
	echo >>"$(layer_file l 1)"
	refused 3 'its descriptor says'
	# What hashes to its name, but is no whole tar.
	base_layout l
	file=$(layer_file l 1)
	truncate -s 60 "$file"
	swap_layer l "$file"
	refused 3 'not a good archive'
	base_layout l
	file=$(layer_file l 1)
	head -c 3000 /dev/urandom >"$file"
	swap_layer l "$file"
	refused 3 'not a good archive'
	layout l <<-'EOF'
		layer plain
		f a 0123456789
	EOF
	file=$(layer_file l 0)
	truncate -s 514 "$file"
	swap_layer l "$file" 0
	refused 3 'a: read: Truncated tar archive'
	# Bytes that stand behind the end of the tar are hashed, too.
	base_layout l
	file=$(layer_file l 1)
	head -c 100000 /dev/zero >>"$file"
	swap_layer l "$file"
	t 0 cocoon-img import x l
}

# swap_layer DIR FILE [N]: the changed file becomes layer N under its digest.
swap_layer() {
	local sum n=${3-1}

	sum=$(sha256sum "$2" | cut -c1-64)
	size=$(stat -c %s "$2")
	mv "$2" "$1/blobs/sha256/$sum"
	edit_manifest "$1" ".layers[$n].digest = \"sha256:$sum\" |
		.layers[$n].size = $size"
}

@test "refused: a blob that is a link, a fifo, missing" {
	base_layout l
	file=$(layer_file l 0)
	mv "$file" outside
	ln -s "$PWD/outside" "$file"
	refused 3 'layout: blobs/sha256/'
	rm "$file"
	mkfifo "$file"
	refused 3 'not a regular file'
	rm "$file"
	refused 3 'layout: blobs/sha256/'
	base_layout l
	mv l/blobs other
	ln -s ../other l/blobs
	refused 3 'layout: blobs/sha256/'
}

@test "refused: what is no such layout" {
	base_layout l
	t 3 cocoon-img import x l/index.json
	[[ $stderr = *"is no disk"* ]]
	t 3 cocoon-img import x l l
	t 4 cocoon-img import x nowhere
	mkdir empty
	t 3 cocoon-img import x empty
	[[ $stderr = *"not an OCI image layout"* ]]
	echo '{"imageLayoutVersion":"2.0.0"}' >l/oci-layout
	refused 7 'layout version 2.0.0'
	base_layout l
	echo '{' >l/index.json
	refused 3 'index.json'
	for type in application/vnd.oci.image.layer.nondistributable.v1.tar+gzip \
		application/vnd.docker.image.rootfs.foreign.diff.tar.gzip \
		application/x-unknown; do
		base_layout l
		edit_manifest l ".layers[1].mediaType = \"$type\""
		refused 7 "type $type is not supported"
	done
	base_layout l
	edit_manifest l '.config.mediaType = "application/vnd.x"'
	refused 7 'not an image'
	base_layout l
	edit_manifest l '.layers = []'
	refused 3 'want 1 to 512 layers'
	base_layout l
	edit_manifest l '.layers[0].digest = "sha512:00"'
	refused 7 'only sha256'
	base_layout l
	edit_manifest l '.layers[0].digest = "sha256:../../../x"'
	refused 7 'only sha256'
}

@test "platforms, nested indexes, Docker's types, --ref" {
	[ "$(uname -m)" = x86_64 ] || skip_for "x86_64"
	ARCH=arm64 base_layout l
	refused 7 'the image is for linux/arm64'
	base_layout l
	edit_index l '.manifests[0].platform = {os: "linux",
		architecture: "arm64"}'
	refused 7 'no image for linux/amd64'
	# Two platforms in an index within the index, and an attestation.
	base_layout l
	inner=$(jq -c '.manifests[0] as $m | .manifests =
		[($m | .platform = {os: "linux", architecture: "arm64"}
			| .digest = "sha256:" + "0" * 64),
		 ($m | .platform = {os: "linux", architecture: "amd64"}),
		 ($m | .platform = {os: "unknown", architecture: "unknown"}
			| .digest = "sha256:" + "1" * 64)]' l/index.json)
	sum=$(printf %s "$inner" | sha256sum | cut -c1-64)
	printf %s "$inner" >"l/blobs/sha256/$sum"
	edit_index l --arg d "sha256:$sum" --argjson n "${#inner}" '.manifests =
		[{mediaType: "application/vnd.oci.image.index.v1+json",
		  digest: $d, size: $n}]'
	t 0 cocoon-img import nested l

	base_layout l
	edit_manifest l '.mediaType =
		"application/vnd.docker.distribution.manifest.v2+json" |
		.config.mediaType =
		"application/vnd.docker.container.image.v1+json" |
		.layers[].mediaType =
		"application/vnd.docker.image.rootfs.diff.tar.gzip"'
	edit_index l '.manifests[0].mediaType =
		"application/vnd.docker.distribution.manifest.v2+json"'
	t 0 cocoon-img import docker l

	base_layout l
	plain_layout m
	cp -r m/blobs l/
	other=$(jq -c '.manifests[0]' m/index.json)
	edit_index l --argjson o "$other" '.manifests += [$o] |
		.manifests[1].annotations["org.opencontainers.image.ref.name"]
		= "two"'
	t 2 cocoon-img import x l
	[[ $stderr = *"choose one with --ref: latest, two"* ]]
	t 4 cocoon-img import --ref three x l
	t 0 cocoon-img import --ref two x l
	[ "$(cocoon-img resolve x | jq -r .digest)" = \
		"$(jq -r .digest <<<"$other")" ]
}

@test "plain and zstd layers" {
	need zstd
	layout l <<-'EOF'
		layer plain
		f a x
	EOF
	t 0 cocoon-img import plain l
	zstd -q "$(layer_file l 0)" -o z
	file=$(layer_file l 0)
	mv z "$file"
	swap_layer l "$file" 0
	edit_manifest l '.layers[0].mediaType += "+zstd"'
	t 0 cocoon-img import zstd l
	t 0 cocoon-img verify
}

# boots KERNEL INITRD <SCRIPT
boots() {
	layout l
	t 0 cocoon-img import x l
	t 0 cocoon-img resolve x
	[ "$(cat "$(jq -r .kernel.path <<<"$output")")" = "$1" ]
	[ "$(cat "$(jq -r .initrd.path <<<"$output")")" = "$2" ]
}

@test "which kernel" {
	# The newest that has both; numbers count as numbers.
	boots k18 i18 <<-'EOF'
		layer
		f boot/vmlinuz-6.1.0-9 k9
		f boot/initrd.img-6.1.0-9 i9
		f boot/vmlinuz-6.1.0-18 k18
		f boot/initrd.img-6.1.0-18 i18
		f boot/vmlinuz-6.5.0 k65
		f boot/vmlinuz-7.old old
		f boot/initrd.img-7.old old
	EOF
	# Upper layers add, hide and replace.
	boots k10 j10 <<-'EOF'
		layer
		f boot/vmlinuz-10 k10
		f boot/initrd.img-10 i10
		f boot/vmlinuz-11 k11
		f boot/initrd.img-11 i11
		layer
		f boot/.wh.vmlinuz-11
		f boot/initrd.img-10 j10
	EOF
	boots k5 i5 <<-'EOF'
		layer
		f boot/vmlinuz-11 k11
		f boot/initrd.img-11 i11
		layer
		f boot/.wh..wh..opq
		f boot/vmlinuz-5 k5
		f boot/initrd.img-5 i5
	EOF
	# Links, within a layer and across; other names; the root directory.
	boots k i <<-'EOF'
		layer
		f usr/lib/kernel k
		h boot/initrd.img-1 usr/lib/kernel
		f boot/initrd.img-2 i
		layer
		l boot/vmlinuz-2 ../kern
		f kern k
	EOF
	boots k i <<-'EOF'
		layer
		f boot/vmlinuz-1 k
		f boot/initrd.img-1 i
		layer
		l vmlinuz boot/vmlinuz-1
		l initrd.img /boot/initrd.img-1
		f boot/.wh.none
	EOF
	boots k i <<-'EOF'
		layer
		f boot/vmlinuz-linux k
		f boot/initramfs-linux.img i
	EOF
	# A name that could break out of the helper's JSON is none.
	layout l <<-'EOF'
		layer
		f 'boot/vmlinuz-"1' k
		f boot/initrd.img-1 i
		l boot/vmlinuz-1 /proc/self/exe
	EOF
	t 0 cocoon-img import x l
	[[ $stderr = *"no kernel in it"* ]]
	[ "$(cocoon-img resolve x | jq .kernel)" = null ]
}

@test "layers are shared, and made again when gc took them" {
	base_layout a
	t 0 cocoon-img import a a
	before=$(cd "$COCOON_ROOT_DIR/image/blob" && stat -c '%n %i %Y' ./*)
	t 0 cocoon-img import b a
	[ "$before" = "$(cd "$COCOON_ROOT_DIR/image/blob" &&
		stat -c '%n %i %Y' ./*)" ]
	rm "$COCOON_ROOT_DIR"/image/blob/*.kernel
	t 4 cocoon-img resolve a
	t 1 cocoon-img verify
	t 0 cocoon-img import a a
	t 0 cocoon-img verify
	: >"$COCOON_ROOT_DIR/image/ref/a"
	t 1 cocoon-img list
	[[ $output = *" b "* ]]
	t 1 cocoon-img gc
	[[ $stderr = *"nothing removed"* ]]
	t 0 cocoon-img rm a
	t 0 cocoon-img gc
}

@test "an image is the same bytes whenever it is made" {
	base_layout l
	t 0 cocoon-img import x l
	one=$(cd "$COCOON_ROOT_DIR/image/blob" && sha256sum ./*)
	t 0 cocoon-img rm x
	t 0 cocoon-img gc
	empty_store
	t 0 cocoon-img import x l
	[ "$one" = "$(cd "$COCOON_ROOT_DIR/image/blob" && sha256sum ./*)" ]
}

@test "what a VM has linked stays" {
	base_layout l
	t 0 cocoon-img import x l
	mkdir "$COCOON_ROOT_DIR/pin"
	ln "$COCOON_ROOT_DIR"/image/blob/*.kernel "$COCOON_ROOT_DIR/pin/"
	erofs=$(cocoon-img resolve x | jq -r '.layers[0].path')
	ln "$erofs" "$COCOON_ROOT_DIR/pin/"
	t 0 cocoon-img rm x
	t 0 cocoon-img gc
	[ -e "$erofs" ]
	# With what belongs to that layer; the other one is gone.
	[ "$(blobs | wc -l)" = 5 ]
	rm -r "$COCOON_ROOT_DIR/pin"
	t 0 cocoon-img gc
	empty_store
}

@test "verify names what is damaged or missing" {
	base_layout l
	plain_layout m
	t 0 cocoon-img import x l
	t 0 cocoon-img import y m
	t 0 cocoon-img verify x y
	erofs=$(cocoon-img resolve x | jq -r '.layers[1].path')
	printf X | dd of="$erofs" bs=1 seek=5000 conv=notrunc status=none
	t 1 cocoon-img verify
	[[ ${lines[0]} = "bad: x: image/blob/"*".erofs: corrupt"* ]]
	[ "${lines[1]}" = "ok: y" ]
	[[ $stderr = *"1 of 2 images are bad"* ]]
	rm "$COCOON_ROOT_DIR"/image/blob/*.initrd
	t 1 cocoon-img verify x
	[ "${#lines[@]}" = 2 ]
	t 0 cocoon-img verify y
	t 4 cocoon-img verify z
	truncate -s 0 "$erofs"
	t 1 cocoon-img resolve x
}

# A layer whose import takes a while, even on a fast machine.
slow_layout() {
	layout l <<-'EOF'
		layer
		f a x
		layer
		many f 3000
		big b 300000000
	EOF
}

start_import() {
	slow_layout
	cocoon-img import slow l </dev/null >out 2>err 3>&- &
	pid=$!
	wait_until 20 compgen -G "$COCOON_ROOT_DIR/image/tmp/import-*/1/tree/f9"
}

no_children() {
	! pgrep -f "$BIN/libexec/layer unpack" >/dev/null &&
		! pgrep -x mkfs.erofs >/dev/null
}

@test "killed in the middle: gc removes what is left" {
	host_netns
	start_import
	kill -9 "$pid"
	wait "$pid" || true
	wait_until 10 no_children
	t 0 cocoon-img gc -n
	[[ $output = "would remove temporary import-"* ]]
	t 0 cocoon-img gc
	[[ $output = "removed temporary import-"* ]]
	empty_store
	t 0 cocoon-img import slow l
}

@test "interrupted: undone at once" {
	host_netns
	for signal in INT TERM HUP; do
		start_import
		kill -"$signal" "$pid"
		status=0
		wait "$pid" || status=$?
		[ "$status" = 1 ]
		[ "$(cat err)" = "cocoon-img: import: image slow: interrupted" ]
		no_children
		empty_store
	done
}

@test "gc leaves an import in progress alone" {
	host_netns
	start_import
	kill -STOP "$pid"
	t 0 cocoon-img gc
	[ -z "$output" ]
	kill -CONT "$pid"
	wait "$pid"
	t 0 cocoon-img verify slow
}

@test "gc waits for who creates, not for ever" {
	plain_layout l
	t 0 cocoon-img import x l
	exec 8<"$COCOON_ROOT_DIR/lock"
	flock -s 8
	t 6 cocoon-img gc
	[[ $stderr = *"gc: something is being made"* ]]
	exec 8<&-
	t 0 cocoon-img gc
}

@test "two imports of one image at once" {
	slow_layout
	for i in 1 2 3; do
		cocoon-img import "x$i" l </dev/null >"out$i" 2>&1 3>&- &
		pids[i]=$!
	done
	for i in 1 2 3; do
		wait "${pids[i]}"
	done
	t 0 cocoon-img verify
	[ "${#lines[@]}" = 3 ]
	[ "$(blobs | wc -l)" = 6 ]
	t 0 cocoon-img gc
	[ -z "$output" ]
}

@test "gc between an import's conversion and its commit" {
	host_netns
	slow_layout
	# Layer 0 is in the store as garbage when the import begins.
	cp -r l l0
	edit_manifest l0 '.layers |= .[:1]'
	config_without_diffs l0
	t 0 cocoon-img import first l0
	t 0 cocoon-img rm first
	cocoon-img import slow l </dev/null >out 2>err 3>&- &
	pid=$!
	wait_until 20 compgen -G "$COCOON_ROOT_DIR/image/tmp/import-*/1/tree/f9"
	t 0 cocoon-img gc
	[[ $output = *"removed blob "*".erofs"* ]]
	wait "$pid"
	t 0 cocoon-img verify slow
}

config_without_diffs() {
	local c='{"os":"linux"}' sum

	sum=$(printf %s "$c" | sha256sum | cut -c1-64)
	printf %s "$c" >"$1/blobs/sha256/$sum"
	edit_manifest "$1" ".config.digest = \"sha256:$sum\" |
		.config.size = ${#c}"
}

@test "no space: a clear error, nothing left" {
	need mount
	host_netns
	mkdir -p mnt/small
	mount -t tmpfs -o size=5m tmpfs mnt/small || skip_for "mounting tmpfs"
	export COCOON_ROOT_DIR=$PWD/mnt/small
	layout l <<-'EOF'
		layer
		big a 3000000
	EOF
	# The tree fits, the image beside it does not.
	refused 1 'No space left on device'
	layout l <<-'EOF'
		layer
		big a 6000000
	EOF
	refused 1 'No space left on device'
}

# The helper's /proc/PID/status, caught while it unpacks.
helper_status() {
	local child

	for _ in 1 2 3 4 5; do
		start_import
		child=$(pgrep -o -P "$pid" layer) && kill -STOP "$child" &&
			cat "/proc/$child/status" && kill -CONT "$child" &&
			wait "$pid" && return 0
		wait "$pid" || true
		cocoon-img rm slow >/dev/null
		cocoon-img gc >/dev/null
	done
	return 1
}

@test "the helper has few rights" {
	host_netns
	helper_status >status
	# chown dac_override fowner fsetid sys_admin mknod setfcap
	grep -q '^CapEff:.000000008820001b$' status
	grep -q '^CapBnd:.000000008820001b$' status
	grep -q '^NoNewPrivs:.1$' status
	grep -q '^Seccomp:.2$' status
}

@test "memory does not grow with the layer" {
	[ -z "${COCOON_TEST_SAN-}" ] || ! ldd "$BIN/cocoon-img" | grep -q asan ||
		skip "a sanitizer has its own memory"
	layout l <<-'EOF'
		layer
		big a 500000000
		many d/ 5000
	EOF
	t 0 python3 -c '
import resource, subprocess, sys
subprocess.run(["cocoon-img", "import", "x", "l"], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
	[ "${lines[-1]}" -lt 65536 ]
}

@test "doctor" {
	t 0 cocoon-img doctor
	[ "$(jq -s 'map(.check) | index("mkfs.erofs", "layer", "store") >= 0' \
		<<<"$output" | sort -u)" = true ]
	[ "$(jq -r 'select(.status == "fail") | .check' <<<"$output")" = "" ]
	COCOON_LIBEXEC=/nowhere t 7 cocoon-img doctor
	[ "$(jq -r 'select(.status == "fail") | .check' <<<"$output")" = layer ]
}
