#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# cocoon-img import: what is no layout directory. Disks, archives, streams.
# shellcheck disable=SC2030,SC2031,SC2154

load lib

setup_file() {
	cd "$BATS_FILE_TMPDIR" || exit 1
	need qemu-img
	# 20 MiB with an MBR, something in it, and holes.
	truncate -s 20M d.raw
	printf '\x55\xaa' | dd of=d.raw bs=1 seek=510 conv=notrunc status=none
	head -c 300000 /dev/urandom |
		dd of=d.raw bs=4k seek=1000 conv=notrunc status=none
	qemu-img convert -O qcow2 d.raw d.qcow2
	mkdir -p r/boot r/etc
	echo k >r/boot/vmlinuz-6.1
	echo i >r/boot/initrd.img-6.1
	echo x >r/etc/x
	tar cf r.tar --sort=name --owner=0 --group=0 --mtime=@1 -C r .
}

setup() {
	need python3 jq mkfs.erofs
	setup_root
	cd "$BATS_TEST_TMPDIR" || exit 1
	in=$BATS_FILE_TMPDIR
}

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

# refused CODE WORDS FILE...: the import is, for that reason, and leaves nothing.
refused() {
	local code=$1 words=$2

	shift 2
	t "$code" cocoon-img import x "$@" || return 1
	[[ $stderr = *"$words"* ]] || {
		echo "expected \"$words\" in: $stderr" >&2
		return 1
	}
	[ "$(wc -l <<<"$stderr")" = 1 ]
	[ -z "$output" ]
	empty_store
}

sum() {
	sha256sum "$1" | cut -c1-64
}

# is_disk IMAGE FILE FORMAT: what was imported are these bytes, 0444.
is_disk() {
	t 0 cocoon-img resolve "$1"
	[ "$(jq -r '[.type, .disk.format, .disk.virtual_size] | @tsv' \
		<<<"$output")" = "cloudimg	$3	20971520" ]
	[ "$(jq -r .digest <<<"$output")" = "sha256:$(sum "$2")" ]
	path=$(jq -r .disk.path <<<"$output")
	cmp "$2" "$path"
	[ "$(stat -c '%a %u %h' "$path")" = "444 0 1" ]
}

@test "disks: qcow2 and raw, plain and packed, whole, in parts, as a stream" {
	need gzip xz zstd split
	for f in raw qcow2; do
		gzip -c "$in/d.$f" >"$f.gz"
		xz -0 -c "$in/d.$f" >"$f.xz"
		zstd -q "$in/d.$f" -o "$f.zst"
		split -b 100k "$f.gz" "$f.gz."
		split -b 3M "$in/d.$f" "$f."
		t 0 cocoon-img import "$f" "$in/d.$f"
		[[ $output = "imported: $f sha256:"*" $f disk of 20.97MB" ]]
		is_disk "$f" "$in/d.$f" "$f"
		for how in gz xz zst; do
			t 0 cocoon-img import "$f-$how" "$f.$how"
			is_disk "$f-$how" "$in/d.$f" "$f"
		done
		t 0 cocoon-img import parts "$f".a?
		is_disk parts "$in/d.$f" "$f"
		t 0 cocoon-img import gzparts "$f".gz.*
		is_disk gzparts "$in/d.$f" "$f"
		# shellcheck disable=SC2002
		t 0 eval "cat '$in/d.$f' | cocoon-img import stream"
		is_disk stream "$in/d.$f" "$f"
		t 0 eval "cat $f.xz | cocoon-img import stream -"
		is_disk stream "$in/d.$f" "$f"
		t 0 cocoon-img import stream <"$in/d.$f"
		is_disk stream "$in/d.$f" "$f"
	done
	# One file each, whatever way it came, and with its holes.
	[ "$(ls "$COCOON_ROOT_DIR/image/blob" | wc -l)" = 2 ]
	[ "$(du -k "$COCOON_ROOT_DIR"/image/blob/*.raw | cut -f1)" -lt 1000 ]
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/tmp")" ]
}

@test "a qcow2 of version 2, with compressed clusters, by zlib and zstd" {
	qemu-img convert -O qcow2 -o compat=0.10 "$in/d.raw" 2
	qemu-img convert -c -O qcow2 "$in/d.raw" c
	qemu-img convert -c -O qcow2 -o compression_type=zstd "$in/d.raw" z
	qemu-img convert -O qcow2 -o cluster_size=512 "$in/d.raw" s
	qemu-img convert -O qcow2 -o cluster_size=2M "$in/d.raw" l
	for f in 2 c z s l; do
		t 0 cocoon-img import "i$f" "$f"
		is_disk "i$f" "$f" qcow2
	done
}

@test "cloud images: list, inspect, references, verify, rm, gc, links" {
	t 0 cocoon-img import cloud "$in/d.qcow2"
	t 0 cocoon-img import again "$in/d.qcow2"
	digest=$(sum "$in/d.qcow2")
	t 0 cocoon-img list
	[[ ${lines[1]} = cloudimg*again*"sha256:${digest:0:12}"* ]]
	t 0 cocoon-img list -o json
	[ "$(jq -r '.[1] | .name, .type, .id' <<<"$output")" = "cloud
cloudimg
sha256:$digest" ]
	t 0 cocoon-img inspect "${digest:0:12}"
	[ "$(jq -r .disk.format <<<"$output")" = qcow2 ]
	t 0 cocoon-img verify
	[ "$output" = "ok: again
ok: cloud" ]
	blob=$COCOON_ROOT_DIR/image/blob/$digest.qcow2
	ln "$blob" pin
	t 0 cocoon-img rm "sha256:$digest"
	[ "$output" = "deleted: again
deleted: cloud" ]
	t 0 cocoon-img gc
	[ -z "$output" ]
	[ -e "$blob" ]
	rm pin
	t 0 cocoon-img gc -n
	t 0 cocoon-img gc
	[ "$output" = "removed blob $digest.qcow2 (no image, no VM)" ]
	empty_store
}

@test "what verify finds damaged leaves the store, and import makes it again" {
	t 0 cocoon-img import cloud "$in/d.qcow2"
	t 0 cocoon-img import tar "$in/r.tar"
	disk=$(cocoon-img resolve cloud | jq -r .disk.path)
	layer=$(cocoon-img resolve tar | jq -r '.layers[0].path')
	ln "$disk" pin
	for f in "$disk" "$layer"; do
		printf X | dd of="$f" bs=1 seek=5000 conv=notrunc status=none
	done
	t 1 cocoon-img verify
	[[ $stderr = *"2 of 2 images are bad; import them again"* ]]
	[ ! -e "$disk" ]
	[ ! -e "$layer" ]
	[ -e pin ]
	t 4 cocoon-img resolve cloud
	t 4 cocoon-img resolve tar
	t 0 cocoon-img import cloud "$in/d.qcow2"
	t 0 cocoon-img import tar "$in/r.tar"
	t 0 cocoon-img verify
}

@test "refused: a qcow2 that is more than one file, or damaged" {
	qemu-img create -q -f qcow2 -b "$in/d.qcow2" -F qcow2 back
	refused 7 "backing file" back
	qemu-img create -q -f qcow2 -o data_file=x,data_file_raw=on ext 1M
	refused 7 "external data file" ext
	cp "$in/d.qcow2" snap
	qemu-img snapshot -c a snap
	refused 7 "snapshots" snap
	qemu-img create -q -f qcow2 huge 3T
	refused 7 "2 TiB" huge
	cp "$in/d.qcow2" luks
	printf '\x02' | dd of=luks bs=1 seek=35 conv=notrunc status=none
	refused 7 "encrypted" luks
	# Its L1 table names a cluster beyond the file; one that is the header.
	l1=$((0x$(xxd -s 40 -l 8 -p "$in/d.qcow2")))
	for at in 7fffffff0000 000000000000; do
		cp "$in/d.qcow2" bent
		printf "\x80\x00\x${at:0:2}\x${at:2:2}\x${at:4:2}\x${at:6:2}\x00\x08" |
			dd of=bent bs=1 seek="$l1" conv=notrunc status=none
		refused 1 "qcow2: damaged" bent
	done
	head -c 70000 "$in/d.qcow2" >short
	refused 3 "qcow2: " short
	head -c 90 "$in/d.qcow2" >head
	refused 3 "ends in its header" head
}

@test "refused: no disk, other disks, too large, truncated" {
	need gzip xz zstd
	echo hello >text
	refused 3 "no disk" text
	printf '<!DOCTYPE html>' >web
	refused 7 "a web page" web
	printf 'KDMV%5000s' x >vmdk
	refused 7 "a VMDK" vmdk
	: >empty
	refused 3 "empty" empty
	t 3 cocoon-img import x </dev/null
	[[ $stderr = *"standard input: empty"* ]]
	refused 3 "--max-size" --max-size 1M "$in/d.raw"
	gzip -c "$in/d.raw" >gz
	refused 3 "--max-size" --max-size 10M gz
	for how in "gzip" "xz -0" "zstd -q"; do
		$how -c "$in/d.raw" | head -c 200000 >cut
		refused 3 "not a good archive" cut
	done
	head -c 5000 "$in/d.raw" >odd
	refused 3 "truncated" odd
	refused 4 "nothere" nothere
	mkfifo fifo
	refused 3 "not a regular file" fifo
	mkdir dir
	refused 3 "imported alone" "$in/d.raw" dir
	refused 2 "--ref" --ref t "$in/d.raw"
}

@test "tars of a root file system: plain, packed, several, a stream" {
	need gzip xz zstd
	gzip -nc "$in/r.tar" >gz
	xz -c "$in/r.tar" >xz
	zstd -qc "$in/r.tar" >zst
	t 0 cocoon-img import t "$in/r.tar"
	t 0 cocoon-img resolve t
	[ "$(jq -r '[.type, .layers[0].digest] | @tsv' <<<"$output")" = \
		"oci	sha256:$(sum "$in/r.tar")" ]
	[ "$(cat "$(jq -r .kernel.path <<<"$output")")" = k ]
	[ "$(cat "$(jq -r .initrd.path <<<"$output")")" = i ]
	for f in gz xz zst; do
		t 0 cocoon-img import "t$f" "$f"
		t 0 cocoon-img resolve "t$f"
		[ "$(jq -r '.layers[0].digest' <<<"$output")" = "sha256:$(sum $f)" ]
		t 0 eval "cat $f | cocoon-img import s$f -"
		[[ $output = *"$(cocoon-img resolve "t$f" | jq -r .digest)"* ]]
	done
	mkdir -p u/etc
	echo y >u/etc/y
	tar cf upper.tar -C u etc/y
	t 0 cocoon-img import two "$in/r.tar" upper.tar
	t 0 cocoon-img resolve two
	[ "$(jq '.layers | length' <<<"$output")" = 2 ]
	refused_later=$(ls "$COCOON_ROOT_DIR/image/ref")
	t 3 cocoon-img import x "$in/r.tar" "$in/d.raw"
	[[ $stderr = *"file 2 is no tar"* ]]
	head -c 3000 "$in/r.tar" >cut
	t 3 cocoon-img import x cut
	[ "$refused_later" = "$(ls "$COCOON_ROOT_DIR/image/ref")" ]
	tar cf nokernel.tar -C u .
	t 0 cocoon-img import nokernel nokernel.tar
	[[ $stderr = *"no kernel in it"* ]]
}

layout() {
	rm -rf "$1"
	"$TOP/tests/double/oci-layout" "$1" <<-'EOF'
		layer
		d boot
		f boot/vmlinuz-6.1.0-9 k9
		f boot/initrd.img-6.1.0-9 i9
		layer
		d etc
		f etc/b more
	EOF
}

@test "the tar of a layout is as its directory" {
	layout l
	t 0 cocoon-img import dir l
	want=$(cocoon-img resolve dir | jq -c '[.digest, .layers, .kernel]')
	tar cf a.tar -C l .
	tar czf b.tgz -C l oci-layout index.json blobs
	for f in a.tar b.tgz; do
		t 0 cocoon-img import t "$f"
		[ "$(cocoon-img resolve t | jq -c '[.digest, .layers, .kernel]')" = \
			"$want" ]
	done
	t 0 eval 'cat a.tar | cocoon-img import t -'
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/tmp")" ]
	t 2 cocoon-img import t a.tar b.tgz
}

@test "what docker saves" {
	need skopeo
	layout l
	t 0 cocoon-img import oci l
	skopeo --insecure-policy copy -q oci:l:latest docker-archive:d.tar:a/b:c
	for from in d.tar "--ref c d.tar" "--ref a/b:c d.tar"; do
		# shellcheck disable=SC2086
		t 0 cocoon-img import t $from
		t 0 cocoon-img resolve t
		[ "$(jq '.layers | length' <<<"$output")" = 2 ]
		[ "$(cat "$(jq -r .kernel.path <<<"$output")")" = k9 ]
	done
	# The layers are those that the configuration names by their tars.
	[ "$(jq -c '[.layers[].digest]' <<<"$output")" = \
		"$(tar xOf d.tar "$(tar xOf d.tar manifest.json |
			jq -r '.[0].Config')" | jq -c .rootfs.diff_ids)" ]
	t 4 cocoon-img import x --ref nosuch d.tar
	t 0 eval 'cat d.tar | cocoon-img import t'
	# Packed layers, as some tools write them, and one that is not the tar
	# that the configuration says.
	mkdir s
	tar xf d.tar -C s
	for f in $(jq -r '.[0].Layers[]' s/manifest.json); do
		gzip -n "s/$f"
		mv "s/$f.gz" "s/$f"
	done
	tar cf packed.tar -C s .
	t 0 cocoon-img import t packed.tar
	gzip -dc "s/$f" | sed s/more/MORE/ | gzip -n >new
	mv new "s/$f"
	tar cf bad.tar -C s .
	t 0 cocoon-img rm t oci
	t 0 cocoon-img gc
	refused 3 "the configuration says" bad.tar
}

@test "refused: an image's archive that leads elsewhere" {
	python3 - <<-'EOF'
		import io, tarfile
		def make(file, name, kind=tarfile.REGTYPE, link=""):
		    with tarfile.open(file, "w") as t:
		        for n, k, l in (("oci-layout", tarfile.REGTYPE, ""),
		                        (name, kind, link)):
		            i = tarfile.TarInfo(n)
		            i.type, i.linkname, i.size = k, l, 0
		            t.addfile(i, io.BytesIO(b""))
		make("up.tar", "../out")
		make("up2.tar", "blobs/../../out")
		make("abs.tar", "/tmp/out")
		make("dev.tar", "null", tarfile.CHRTYPE)
		make("hard.tar", "h", tarfile.LNKTYPE, "/etc/passwd")
		make("link.tar", "manifest.json", tarfile.SYMTYPE, "/etc/passwd")
		make("link2.tar", "index.json", tarfile.SYMTYPE, "../../../ref/x")
	EOF
	refused 3 "not a plain name" up.tar
	refused 3 "not a plain name" up2.tar
	refused 3 "not a plain name" abs.tar
	refused 3 "not a file" dev.tar
	refused 3 "a hard link" hard.tar
	refused 3 "leads elsewhere" link.tar
	refused 3 "layout" link2.tar
}

# bzimage FILE: one whose payload is FILE, as the kernel's build packs it.
bzimage() {
	python3 - "$1" <<-'EOF'
		import struct, sys
		d = open(sys.argv[1], "rb").read()
		if d[:2] != b"\x1f\x8b":
		    d += struct.pack("<I", 12345)
		h = bytearray(5 * 512)
		h[0x1f1], h[0x1fe:0x200], h[0x202:0x206] = 4, b"\x55\xaa", b"HdrS"
		h[0x206:0x208] = struct.pack("<H", 0x20f)
		h[0x248:0x250] = struct.pack("<II", 100, len(d))
		sys.stdout.buffer.write(bytes(h) + bytes(100) + d + b"rest")
	EOF
}

# kernel_is FILE: an image with that kernel has $elf as its vmlinux.
kernel_is() {
	rm -rf k
	mkdir -p k/boot
	cp "$1" k/boot/vmlinuz-6.1
	echo i >k/boot/initrd.img-6.1
	tar cf k.tar -C k .
	t 0 cocoon-img import "k-${1##*/}" k.tar
	t 0 cocoon-img resolve "k-${1##*/}"
	[ "$(jq -r .kernel.digest <<<"$output")" = "sha256:$(sum "$1")" ]
	[ "$(jq -r .vmlinux.digest <<<"$output")" = "sha256:$(sum "$elf")" ]
	path=$(jq -r .vmlinux.path <<<"$output")
	cmp "$path" "$elf"
	[ "$(stat -c %a "$path")" = 444 ]
}

@test "the kernel as an ELF file, however it is packed" {
	need gzip xz zstd lz4
	elf=$(readlink -f /bin/true)
	kernel_is "$elf"
	gzip -c "$elf" >gz
	xz --check=crc32 --x86 --lzma2=dict=32MiB -c "$elf" >xz
	zstd -q --ultra -22 -c "$elf" >zst
	lz4 -ql -c "$elf" >lz4
	for f in gz xz zst lz4; do
		kernel_is "$f"
		bzimage "$f" >"bz$f"
		kernel_is "bz$f"
	done
	t 0 cocoon-img verify
	[ "$(ls "$COCOON_ROOT_DIR"/image/blob/*.vmlinux | wc -l)" = 1 ]
	t 0 cocoon-img gc
	[ -z "$output" ]
	# Damaged: the image is there, without.
	bzimage xz | head -c 9000 >cut
	printf '\x00' | dd of=cut bs=1 seek=$((0x24f)) conv=notrunc status=none
	for f in cut "$in/r.tar"; do
		cp "$f" k/boot/vmlinuz-6.1
		tar cf k.tar -C k .
		t 0 cocoon-img import other k.tar
		[ "$(cocoon-img resolve other | jq .vmlinux)" = null ]
	done
	printf X | dd of="$path" bs=1 seek=5000 conv=notrunc status=none
	t 1 cocoon-img verify k-gz
	[[ $output = *".vmlinux: corrupt"* ]]
	t 0 cocoon-img import k-gz "k.tar"
	kernel_is gz
}

# A tree, what unpack says of it, and its image, without any sandbox.
helper_layer() {
	mkdir tree out
	"$TOP/tests/double/oci-layout" l <<-'EOF'
		layer
		d etc
		x user.a b
		f etc/a text
		big etc/b 20000
		h etc/c etc/a
		l etc/l a
		f etc/same text
		c null 1 3
	EOF
	blob=l/blobs/sha256/$(jq -r '.layers[0].digest[7:]' \
		"l/blobs/sha256/$(jq -r '.manifests[0].digest[7:]' l/index.json)")
	t 0 "$BIN/libexec/layer" unpack 8 9 100000 100 0 8<tree 9<out <"$blob"
	SOURCE_DATE_EPOCH=17179869183 mkfs.erofs --quiet -Enoinline_data e tree
}

verify() {
	"$BIN/libexec/layer" verify 8 9 8<tree 9<out <"${1-e}"
}

# differs WORDS: the tree is no more what the image has, nor the other way.
differs() {
	t 1 verify
	echo "$output" >&2
	[[ $output = *"$1"*differs* ]]
	rm -r tree
	cp -a tree.orig tree
}

@test "what mkfs.erofs made is compared with the layer" {
	need setfattr
	[ "$(id -u)" = 0 ] || skip_for "root is missing"
	helper_layer
	t 0 verify
	cp e e.orig
	# Other bytes in the image: those of the archive count, not the tree's.
	at=$(grep -abo text e | head -n 1 | cut -d: -f1)
	printf T | dd of=e bs=1 seek="$at" conv=notrunc status=none
	t 1 verify
	[[ $output = *"etc/"*": content differs"* ]]
	cp e.orig e
	# The attributes of the tree, one after the other.
	mv tree tree.orig
	for change in "mode:chmod 600 tree/etc/a" "owner:chown 5 tree/etc/a" \
		"time:touch tree/etc/a" "target:ln -sfn b tree/etc/l" \
		"user.a:setfattr -n user.a -v c tree/etc/a" \
		"number of attributes:setfattr -n user.b -v c tree/etc/b" \
		"number of names:touch tree/etc/new" "name:rm tree/etc/l" \
		"number of links:rm tree/etc/c" "size:truncate -s 3 tree/etc/b" \
		"mode:chmod 700 tree" "device:eval rm tree/null && mknod -m 644 tree/null c 1 5"; do
		cp -a tree.orig tree
		m=$(stat -c %y tree/etc)
		mr=$(stat -c %y tree)
		ml=$(stat -c %y tree/etc/l)
		mn=$(stat -c %y tree/null)
		# cp has made new inodes; the contents are known by them.
		rm -rf out
		mkdir out
		python3 - <<-'EOF'
			import hashlib, os, struct
			with open("out/content", "wb") as f:
			    for d, _, names in os.walk("tree"):
			        for n in names:
			            p = d + "/" + n
			            if os.path.isfile(p) and not os.path.islink(p):
			                sha = hashlib.sha256(open(p, "rb").read())
			                f.write(struct.pack("QQ64s", os.stat(p).st_ino,
			                        1, sha.hexdigest().encode()))
		EOF
		t 0 verify
		${change#*:}
		touch -d "$m" tree/etc
		touch -d "$mr" tree
		[ ! -L tree/etc/l ] || touch -hd "$ml" tree/etc/l
		[ ! -e tree/null ] || touch -hd "$mn" tree/null
		differs "${change%%:*}"
		rm -r tree
	done
}

# Malformed layers and images of them: an error or not, but no crash, and
# nothing outside the tree. COCOON_FUZZ_N of each; more than make check does.
@test "malformed layers, disks and EROFS images" {
	[ "$(id -u)" = 0 ] || skip_for "root is missing"
	helper_layer
	export blob
	gzip -dc "$blob" >plain.tar
	zstd -q plain.tar
	cp "$in/d.qcow2" .
	find . ! -name 'separate-*' ! -path './root*' ! -name before | sort >before
	t 0 python3 - "$BIN" "${COCOON_FUZZ_N-60}" <<-'EOF'
		import os, random, shutil, subprocess, sys
		helper, n = sys.argv[1] + "/libexec/layer", int(sys.argv[2])
		rnd = random.Random(7)
		def bent(data, head):
		    data = bytearray(data)
		    for _ in range(rnd.randint(1, 6)):
		        at = rnd.randrange(min(len(data), head))
		        data[at] = rnd.choice((0, 0xff, data[at] ^ 1 << rnd.randrange(8),
		                               rnd.randrange(256)))
		    if rnd.random() < .1:
		        del data[rnd.randrange(len(data)):]
		    return bytes(data)
		def run(data, *words, fds=()):
		    r = subprocess.run([helper, *map(str, words)], input=data,
		                       pass_fds=fds, capture_output=True, timeout=20)
		    if r.returncode not in range(8):
		        open("crash", "wb").write(data)
		        sys.exit(f"{words}: status {r.returncode}: {r.stderr[-500:]}")
		    return r.returncode
		seen = set()
		for name, head in ((os.environ["blob"], 400), ("plain.tar", 12000),
		                   ("plain.tar.zst", 400)):
		    data = open(name, "rb").read()
		    for i in range(n):
		        for d in ("ft", "fo"):
		            shutil.rmtree(d, ignore_errors=True)
		            os.mkdir(d)
		        tree, out = os.open("ft", 0), os.open("fo", 0)
		        seen.add(run(bent(data, head), "unpack", tree, out, 100000,
		                     100, 1, fds=(tree, out)))
		        os.close(tree), os.close(out)
		        if i % 5 == 0:
		            run(bent(data, head), "sniff")
		tree, out = os.open("tree", 0), os.open("out", 0)
		data = open("e", "rb").read()
		for i in range(n):
		    seen.add(run(bent(data, len(data)), "verify", tree, out,
		                 fds=(tree, out)))
		data = open("d.qcow2", "rb").read()
		for i in range(n // 10):
		    with open("f.qcow2", "wb") as f:
		        f.write(bent(data, 120 if i % 2 else 70000 * 4))
		    r = subprocess.run([sys.argv[1] + "/cocoon-img", "import", "f",
		                        "f.qcow2"], capture_output=True, timeout=60)
		    if r.returncode not in range(8) or (
		            r.returncode and r.stderr.count(b"\n") != 1):
		        sys.exit(f"qcow2: {r.returncode}: {r.stderr}")
		assert {0, 1, 3} <= seen, seen
		for d in ("ft", "fo", "f.qcow2"):
		    shutil.rmtree(d) if os.path.isdir(d) else os.remove(d)
	EOF
	find . ! -name 'separate-*' ! -path './root*' ! -name before ! -name after |
		sort >after
	diff before after
	t 0 cocoon-img verify
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/tmp")" ]
}
