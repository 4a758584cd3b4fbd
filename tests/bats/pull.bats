#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# cocoon-img pull and the helper fetch: a real registry, and one that lies.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load lib

setup() {
	need python3 jq mkfs.erofs
	host_netns
	setup_root
	cd "$BATS_TEST_TMPDIR" || exit 1
	ip link set lo up
	# No credentials but a test's own.
	export HOME=$PWD
	unset REGISTRY_AUTH_FILE XDG_RUNTIME_DIR DOCKER_CONFIG http_proxy \
		https_proxy all_proxy no_proxy HTTPS_PROXY ALL_PROXY NO_PROXY \
		CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
	export COCOON_FETCH_STALL=2
	pids=()
}

teardown() {
	local pid

	for pid in "${pids[@]}"; do
		kill -9 "$pid" 2>/dev/null || :
	done
}

# Random bytes, that no compression makes small.
big_layout() {
	head -c 3000000 /dev/urandom >random
	rm -rf l
	"$TOP/tests/double/oci-layout" l <<-'EOF'
		layer
		d boot
		f boot/vmlinuz-6.1.0-9 k9
		f boot/initrd.img-6.1.0-9 i9
		layer
		copy a random
		layer
		d etc
		f etc/b more
		copy etc/c random
	EOF
}

# liar [KEY=VALUE...]: serves l; its address is in $at.
liar() {
	"$TOP/tests/double/registry" l log "$@" >port 2>/dev/null \
		3>&- </dev/null &
	pids+=($!)
	wait_until 10 test -s port
	at=127.0.0.1:$(cat port)
	rm port
}

real() {
	need docker-registry skopeo
	cat >reg.yml <<-END
		version: 0.1
		log: {level: error}
		storage: {filesystem: {rootdirectory: $PWD/reg}}
		http: {addr: "127.0.0.1:5057"}
	END
	docker-registry serve reg.yml >reg.log 2>&1 3>&- </dev/null &
	registry=$!
	pids+=($registry)
	at=127.0.0.1:5057
	wait_until 20 bash -c "exec 9<>/dev/tcp/127.0.0.1/5057"
}

push() { # NAME
	skopeo copy -q --dest-tls-verify=false oci:l:latest "docker://$at/$1"
}

# All that an image is, but its name and when it was made.
content() {
	cocoon-img inspect "$1" | jq -cS 'del(.name, .created_at, .digest)'
}

left_nothing() {
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/tmp" 2>/dev/null)" ] || {
		find "$COCOON_ROOT_DIR/image/tmp" >&2
		return 1
	}
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/ref" 2>/dev/null)" ]
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/blob" 2>/dev/null)" ]
}

# refused CODE WORDS
refused() {
	t "$1" cocoon-img pull "$at/a" || return 1
	[[ $stderr == *"$2"* ]] || {
		echo "expected \"$2\" in: $stderr" >&2
		return 1
	}
	[ "$(wc -l <<<"$stderr")" = 1 ]
	[ -z "$output" ]
	left_nothing
}

@test "a registry of Debian's: what skopeo pushed is what import makes" {
	real
	big_layout
	push a/b:1
	t 0 cocoon image pull "$at/a/b:1"
	[[ $output == "pulled: $at/a/b:1 sha256:"*" 3 layers "* ]]
	[ -z "$stderr" ]
	t 0 cocoon-img verify
	t 0 cocoon-img import other l
	[ "$(content "$at/a/b:1")" = "$(content other)" ]
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/tmp")" ]
	# By its digest, too, and several at once.
	digest=$(cocoon-img inspect "$at/a/b:1" | jq -r .digest)
	push c:latest
	t 0 cocoon-img pull "$at/a/b@$digest" "$at/c"
	t 0 cocoon-img resolve --pull never "$at/c:latest"
	t 4 cocoon-img pull "$at/a/b:2"
	[[ $stderr == *"not found"* ]]
	t 4 cocoon-img pull "$at/nothere"
}

@test "what is in the store is not fetched again; --force does" {
	big_layout
	liar
	t 0 cocoon-img pull "$at/a"
	[ "$(grep -c /blobs/ log)" = 4 ]
	: >log
	t 0 cocoon-img pull "$at/b:x"
	[ "$(grep -c /blobs/ log)" = 1 ] # the configuration
	: >log
	echo damage >"$COCOON_ROOT_DIR/image/blob/$(
		cocoon-img inspect "$at/a" | jq -r '.layers[0].digest[7:]'
	).erofs" 2>/dev/null || :
	t 0 cocoon-img pull --force "$at/a"
	[ "$(grep -c /blobs/ log)" = 4 ]
	t 0 cocoon-img verify
}

@test "resolve --pull missing, always, never" {
	big_layout
	liar
	t 4 cocoon-img resolve --pull never "$at/a"
	t 0 cocoon-img resolve "$at/a"
	[ "$(jq -r .name <<<"$output")" = "$at/a:latest" ]
	n=$(grep -c manifests log)
	t 0 cocoon-img resolve "$at/a"
	[ "$(grep -c manifests log)" = "$n" ]
	t 0 cocoon-img resolve --pull always "$at/a"
	[ "$(grep -c manifests log)" -gt "$n" ]
	kill -9 "${pids[@]}"
	t 1 cocoon-img resolve --pull always "$at/a"
	t 0 cocoon-img resolve --pull missing "$at/a"
	t 4 cocoon-img resolve 'no such name'
	[[ $stderr == *"not in the store"* ]]
}

@test "two pulls of one image at once do the work once" {
	big_layout
	liar
	cocoon-img pull "$at/a" >out1 2>&1 3>&- &
	one=$!
	t 0 cocoon-img pull "$at/a"
	wait "$one"
	[ "$(grep blobs log | sort | uniq -d | grep -vc "$(
		jq -r .config.digest "l/blobs/sha256/$(
			jq -r '.manifests[0].digest[7:]' l/index.json)"
	)")" = 0 ]
}

@test "a connection that drops is taken up where it ended" {
	big_layout
	liar cut=1200000
	t 0 cocoon-img pull "$at/a"
	t 0 cocoon-img verify
	grep -q 'range=bytes=1200000-' log
	grep -q 'range=bytes=2400000-' log
}

@test "no ranges: from the beginning" {
	big_layout
	liar cut_once=1000000 norange=1
	t 0 cocoon-img pull "$at/a"
	t 0 cocoon-img verify
}

@test "the registry is killed and restarted during a pull" {
	big_layout
	real
	push a:1
	cocoon-img pull "$at/a:1" >out 2>&1 3>&- &
	one=$!
	kill -9 "$registry"
	real
	# Before the manifest came there is nothing to go on with.
	wait "$one" || t 0 cocoon-img pull "$at/a:1"
	t 0 cocoon-img verify
}

@test "what came before a connection broke for good is of use later" {
	big_layout
	liar cut=100000
	t 1 cocoon-img pull "$at/a"
	[[ $stderr == *layer* ]]
	[ -n "$(find "$COCOON_ROOT_DIR/image/tmp" -name '*.part')" ]
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/ref")" ]
	cp -a "$COCOON_ROOT_DIR" copy
	liar
	: >log
	t 0 cocoon-img pull "$at/a"
	grep -q 'range=bytes=[1-9]' log
	t 0 cocoon-img verify
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/tmp")" ]
	# Bytes that were spoilt meanwhile are fetched anew.
	COCOON_ROOT_DIR=$PWD/copy
	for f in "$PWD"/copy/image/tmp/*/layout/blobs/sha256/*.part; do
		printf x | dd of="$f" conv=notrunc status=none
	done
	t 0 cocoon-img pull "$at/a"
	t 0 cocoon-img verify
	# gc knows what it is.
	t 0 cocoon-img gc
}

@test "refused, and nothing left: wrong digest, endless, short, slow" {
	big_layout
	liar wrong=1
	refused 3 "wrong digest"
	liar endless=1
	refused 3 "more than the"
	liar slow=1
	t 6 cocoon-img pull "$at/a"
	t 0 cocoon-img gc
	liar short=1
	t 1 cocoon-img pull "$at/a"
	t 0 cocoon-img gc
	left_nothing
}

@test "refused: documents that lie" {
	big_layout
	manifest=l/blobs/sha256/$(jq -r '.manifests[0].digest[7:]' l/index.json)
	echo '{"schemaVersion":2,' >tag
	liar tag=tag
	refused 3 ""
	head -c 5000000 /dev/zero >tag
	refused 3 "more than"
	jq -c '.layers[0].size = 9007199254740000' "$manifest" >tag
	refused 3 "--max-size"
	jq -c '.layers[0].size += 1' "$manifest" >tag
	t 1 cocoon-img pull "$at/a"
	t 0 cocoon-img gc
	jq -c '.layers = [range(600) as $i | .layers[0]]' "$manifest" >tag
	refused 3 "layers"
	jq -c '.config.digest = "sha256:../../../../etc/passwd"' "$manifest" >tag
	refused 7 "sha256"
	# An index in an index in an index ...
	cp "$manifest" tag
	for _ in 1 2 3 4 5 6 7; do
		sum=$(sha256sum <tag | cut -c1-64)
		cp tag "l/blobs/sha256/$sum"
		jq -nc --arg d "sha256:$sum" --argjson n "$(wc -c <tag)" \
			'{schemaVersion: 2, manifests: [{digest: $d, size: $n}]}' \
			>tag2
		mv tag2 tag
	done
	refused 3 "index in an index"
	liar headers=200000
	refused 3 ""
}

@test "an index: this machine's image; others' are refused" {
	big_layout
	manifest=$(jq -c '.manifests[0] | del(.annotations)' l/index.json)
	jq -nc --argjson m "$manifest" '{schemaVersion: 2, manifests: [
		($m | .platform = {os: "linux", architecture: "s390x"} |
			.digest = "sha256:" + "0" * 64),
		($m | .platform = {os: "linux", architecture: "amd64"})]}' >tag
	liar tag=tag
	t 0 cocoon-img pull "$at/a"
	[ "$(cocoon-img inspect "$at/a" | jq -r .digest)" = \
		"$(jq -r .digest <<<"$manifest")" ]
	jq -c '.manifests = .manifests[:1]' tag >tag2
	mv tag2 tag
	t 7 cocoon-img pull "$at/b"
	[[ $stderr == *"no image for linux/"* ]]
}

@test "429 and 503: waits as long as is asked, within reason" {
	big_layout
	liar status=429 once=1 after=1
	t 0 cocoon-img pull "$at/a"
	liar status=503 after=100000
	t 1 cocoon-img pull --force "$at/b"
	[[ $stderr == *"asks to wait 100000 s"* ]]
}

@test "redirects: to another host without credentials; not for ever" {
	big_layout
	liar
	other=$at
	mkdir .docker
	liar auth=basic redirect="http://localhost:${other#*:}"
	echo "{\"auths\":{\"$at\":{\"auth\":\"dTpw\"}}}" >.docker/config.json
	: >log
	t 0 cocoon-img pull "$at/a"
	grep -q 'auth=Basic dTpw' log
	# The other one was asked for the layers, and saw none.
	[ "$(grep blobs log | grep -c 'auth=-')" -ge 3 ]
	kill -9 "${pids[@]}"
	liar redirect=http://192.0.2.1
	t 7 cocoon-img pull --force "$at/a"
	[[ $stderr == *"plain HTTP is refused"* ]]
	liar loop=1
	t 3 cocoon-img pull --force "$at/a"
	[[ $stderr == *"redirects"* ]]
	liar redirect=file:///etc/passwd#
	t 3 cocoon-img pull --force "$at/a"
}

@test "plain HTTP only for loopback, or with --insecure" {
	big_layout
	ip addr replace 192.0.2.9/32 dev lo
	liar
	t 1 cocoon-img pull "192.0.2.9:${at#*:}/a"
	[ ! -s log ]
	left_nothing
}

@test "HTTPS: whose certificate; redirects from it stay with it; proxies" {
	need openssl
	big_layout
	ip addr replace 192.0.2.9/32 dev lo
	openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert \
		-days 3 -subj /CN=x -addext \
		subjectAltName=IP:127.0.0.1,IP:192.0.2.9 2>/dev/null
	cat key cert >pem
	chmod 600 cert
	liar tls=pem auth=bearer
	mkdir .docker
	echo "{\"auths\":{\"$at\":{\"auth\":\"dTpw\"}}}" >.docker/config.json
	t 1 cocoon-img pull "$at/a"
	[ ! -s log ]
	SSL_CERT_FILE=cert t 0 cocoon-img pull "$at/a"
	grep -q 'GET /token.* auth=Basic dTpw' log
	CURL_CA_BUNDLE=cert t 0 cocoon-img pull "$at/b"
	t 0 cocoon-img pull --insecure "$at/c"
	SSL_CERT_FILE=nothere t 4 cocoon-img pull "$at/d"
	https_proxy=http://127.0.0.1:1 t 1 cocoon-img pull "$at/d"
	no_proxy=127.0.0.1 https_proxy=http://127.0.0.1:1 SSL_CERT_FILE=cert \
		t 0 cocoon-img pull "$at/d"
	liar
	plain=$at
	liar tls=pem redirect="http://$plain"
	SSL_CERT_FILE=cert t 7 cocoon-img pull --force "$at/a"
	[[ $stderr == *"plain HTTP is refused"* ]]
}

@test "tokens: anonymous, with a password, by a refresh token" {
	big_layout
	liar auth=bearer
	t 0 cocoon-img pull "$at/a"
	grep -q 'GET /token?service=it%27s%2C%20here&scope=repository%3Aa%3Apull auth=-' log
	! grep -q push log
	mkdir -p run/containers
	export XDG_RUNTIME_DIR=$PWD/run
	echo "{\"auths\":{\"$at/b\":{\"auth\":\"dTpw\"}}}" \
		>run/containers/auth.json
	t 0 cocoon-img pull "$at/b"
	grep -q 'GET /token.* auth=Basic dTpw' log
	! grep -q '/v2/.* auth=Basic' log
	echo "{\"auths\":{\"$at\":{\"identitytoken\":\"r&t\"}}}" >auth.json
	REGISTRY_AUTH_FILE=auth.json t 0 cocoon-img pull "$at/c"
	grep -q 'POST /token .*refresh_token=r%26t' log
	echo "{\"auths\":{\"$at\":{\"auth\":\"eDp5\"}}}" >auth.json
	REGISTRY_AUTH_FILE=auth.json t 7 cocoon-img pull "$at/d"
	[[ $stderr == *denied* ]]
	# A realm that would have the password over plain HTTP gets none.
	liar auth=bearer realm=http://192.0.2.1/token
	t 7 cocoon-img pull "$at/b"
	[[ $stderr == *"plain HTTP is refused"* ]]
}

@test "credential helpers, which are the caller's programs" {
	big_layout
	liar auth=basic
	t 7 cocoon-img pull "$at/a"
	mkdir -p .docker bin
	cat >bin/docker-credential-test <<-'END'
		#!/bin/sh
		read -r host
		echo "$1 $host" >>"$HOME/asked"
		echo '{"ServerURL":"x","Username":"u","Secret":"p"}'
	END
	chmod +x bin/docker-credential-test
	echo "{\"credHelpers\":{\"$at\":\"test\"}}" >.docker/config.json
	PATH=$PWD/bin:$PATH t 0 cocoon-img pull "$at/a"
	[ "$(sort -u asked)" = "get $at" ]
	echo '{"credsStore":"test"}' >.docker/config.json
	PATH=$PWD/bin:$PATH t 0 cocoon-img pull "$at/b"
	echo '{"credsStore":"../test"}' >.docker/config.json
	t 1 cocoon-img pull "$at/b"
	echo '{"auths":' >.docker/config.json
	t 3 cocoon-img pull "$at/b"
	[[ $stderr == *config.json* ]]
}

@test "no reference of a registry" {
	at=
	for ref in '' / a/ 'a b' A/B a:b:c a@sha256:12 a@md5:x "a/../b" "-x:y" \
		"$(printf 'a%.0s' {1..300})" a:-x 'h:5000/' 'h:5000/a?b'; do
		t 2 cocoon-img pull -- "$ref"
	done
	t 2 cocoon-img pull
}

@test "Ctrl-C leaves nothing" {
	big_layout
	liar slow=1
	COCOON_FETCH_STALL=100 cocoon-img pull "$at/a" >out 2>err 3>&- &
	one=$!
	wait_until 10 eval 'ls "$COCOON_ROOT_DIR"/image/tmp/*/layout/blobs/*/*.part'
	kill -INT "$one"
	run wait "$one"
	wait "$one" || [ $? = 1 ]
	grep -q interrupted err
	left_nothing
}

@test "the helper is nobody, and sees nothing of this host" {
	big_layout
	liar slow=1
	COCOON_FETCH_STALL=100 cocoon-img pull "$at/a" >out 2>err 3>&- &
	one=$!
	wait_until 10 eval 'ls "$COCOON_ROOT_DIR"/image/tmp/*/layout/blobs/*/*.part'
	# At once: the helper of the manifest makes way for that of the layers.
	wait_until 10 eval 'status=$(cat /proc/"$(pgrep -P "$one" -n \
		-f libexec/fetch)"/status) && grep "^Seccomp:.2" <<<"$status"'
	kill -INT "$one"
	wait "$one" || :
	grep -q '^Uid:.65534.65534.65534.65534' <<<"$status"
	grep -q '^CapEff:.0*$' <<<"$status"
	grep -q '^CapBnd:.0*$' <<<"$status"
	grep -q '^Seccomp:.2' <<<"$status"
	grep -q '^NoNewPrivs:.1' <<<"$status"
}

# ---- cloud images by URL ----

disk() {
	need qemu-img
	rm -f disk.raw
	truncate -s 4M disk.raw
	head -c 1500000 /dev/urandom |
		dd of=disk.raw bs=4096 seek=16 conv=notrunc status=none
	printf '\x55\xaa' | dd of=disk.raw bs=1 seek=510 conv=notrunc status=none
	qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
	sum=$(sha256sum <disk.qcow2 | cut -c1-64)
	sha256sum disk.raw disk.qcow2 >SHA256SUMS
	mkdir -p l
	export no_proxy='*'
}

@test "a disk by URL; the second pull asks whether it changed" {
	disk
	liar
	url=http://$at/file/disk.qcow2
	t 0 cocoon image pull "$url"
	[[ $output == "pulled: $url "* ]]
	t 0 cocoon-img inspect "$url"
	[ "$(jq -r .digest <<<"$output")" = "sha256:$sum" ]
	[ "$(jq -r .type <<<"$output")" = cloudimg ]
	t 0 cocoon-img pull "$url"
	[ "$output" = "up to date: $url" ]
	grep -q 'not modified' log
	: >log
	t 0 cocoon-img pull --force "$url"
	! grep -q 'not modified' log || false
	qemu-img convert -f raw -O qcow2 -o cluster_size=4096 disk.raw disk.qcow2
	t 0 cocoon-img pull "$url"
	[[ $output == "pulled: "* ]]
	[ "$(cocoon-img inspect "$url" | jq -r .digest)" = \
		"sha256:$(sha256sum <disk.qcow2 | cut -c1-64)" ]
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/tmp")" ]
	xz -k disk.raw
	t 0 cocoon-img pull "http://$at/file/disk.raw.xz"
	t 0 cocoon-img resolve --pull missing "$url"
	t 4 cocoon-img pull "http://$at/file/nothere"
}

@test "--sha256: by digits, or by a list of them" {
	disk
	liar
	url=http://$at/file/disk.qcow2
	t 3 cocoon-img pull --sha256 "$(printf '0%.0s' {1..64})" "$url"
	[[ $stderr == *"wrong digest"* ]]
	left_nothing
	t 0 cocoon-img pull --sha256 "$sum" "$url"
	t 0 cocoon-img pull --force --sha256 "http://$at/file/SHA256SUMS" "$url"
	echo "SHA256 (disk.qcow2) = $sum" >BSD
	t 0 cocoon-img pull --force --sha256 "http://$at/file/BSD" "$url"
	sed -i 's/disk.qcow2/other/' SHA256SUMS
	t 4 cocoon-img pull --force --sha256 "http://$at/file/SHA256SUMS" "$url"
	t 2 cocoon-img pull --sha256 12 "$url"
	t 2 cocoon-img pull --sha256 "$sum" "$url" "$url"
	t 2 cocoon-img pull --sha256 "$sum" debian
}

@test "a disk over a connection that drops" {
	disk
	liar cut=700000
	t 0 cocoon-img pull "http://$at/file/disk.qcow2"
	grep -q 'range=bytes=700000-' log
	# Nothing says that it is the same file: from the beginning.
	liar cut_once=700000 noetag=1
	: >log
	t 0 cocoon-img pull --force "http://$at/file/disk.qcow2"
	! grep -q 'range=bytes' log || false
	# With a digest, a later command goes on.
	liar cut=60000
	: >log
	t 1 cocoon-img pull --force --sha256 "$sum" "http://$at/file/disk.qcow2"
	last=$at
	kill -9 "${pids[@]}"
	[ -n "$(find "$COCOON_ROOT_DIR/image/tmp" -size +100k)" ]
	t 0 cocoon-img gc
	[ -z "$(ls -A "$COCOON_ROOT_DIR/image/tmp")" ]
}

@test "by URL: what is refused leaves nothing" {
	disk
	liar
	echo '<!DOCTYPE html>' >page
	t 7 cocoon-img pull "http://$at/file/page"
	left_nothing
	t 3 cocoon-img pull --max-size 1M "http://$at/file/disk.qcow2"
	[[ $stderr == *"--max-size"* ]]
	left_nothing
	t 3 cocoon-img pull "http://u:p@$at/file/disk.qcow2"
	left_nothing
	t 7 cocoon-img pull http://192.0.2.1/disk
	[[ $stderr == *"plain HTTP is refused"* ]]
	liar endless=1
	t 3 cocoon-img pull --max-size 1M "http://$at/file/disk.qcow2"
	left_nothing
}
