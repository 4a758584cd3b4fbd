#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# cocoon-hv by itself: documents, VMs of a guest that is up in a blink, and
# what is left of them. Linux guests are in vm.bats.

load lib
load hv

setup_file() {
	host_netns
	# shellcheck disable=SC2086
	have $MINI_NEEDS || return 0
	mini_build
}

setup() {
	host_netns
	# shellcheck disable=SC2086
	need $MINI_NEEDS
	setup_root
	mini_setup
	# What is installed here besides is not what is tested.
	export COCOON_FC_BINARY=/nonexistent COCOON_CH_BINARY=/nonexistent
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	mini_teardown
}

# ---- spec ----

@test "spec: the defaults are those of the Go program" {
	t 0 cocoon-hv spec debian
	[ "$(field "$output" '[.v, .spec.image, .spec.backend, .spec.memory,
		.spec.storage, .spec.nics, (.spec.dns | join("+"))] |
		join(" ")')" = \
		"1 debian auto 1073741824 10737418240 1 8.8.8.8+1.1.1.1" ]
	[ "$(field "$output" .spec.cpu)" = "$(($(nproc) < 2 ? 1 : 2))" ]
	[[ $(field "$output" .vm.id) =~ ^[A-Z2-7]{26}$ ]]
	[ "$(field "$output" .vm.name)" = "cocoon-$(field "$output" \
		'.vm.id[:8] | ascii_downcase')" ]
	COCOON_DNS='9.9.9.9; 2001:db8::1' t 0 cocoon-hv spec debian
	[ "$(field "$output" '.spec.dns | join(" ")')" = "9.9.9.9 2001:db8::1" ]
}

@test "spec: every flag has its place in the document" {
	t 0 cocoon-hv spec --backend=qemu --name web --cpu 3 --memory 1.5G \
		--storage 20GiB --nics 2 --queue-size 256 --disk-queue-size 128 \
		--network blue --dns 10.0.0.1 --no-direct-io --privileged \
		--data-disk size=1G debian
	[ "$(field "$output" '[.vm.name, (.spec | .backend, .cpu, .memory,
		.storage, .nics, .queue_size, .disk_queue_size, .network,
		.dns[0], .no_direct_io, .privileged, .data_disks[0].name)] |
		join(" ")')" = "web qemu 3 1610612736 21474836480 2 256 128 blue 10.0.0.1 true true data1" ]
	t 0 cocoon-hv spec --network a --network '' --network b debian
	[ "$(field "$output" '.spec | .nics, .network, .networks[]' | xargs)" = \
		"2 null a b" ]
	t 0 cocoon-hv spec --network a --network b --nics 4 debian
	[ "$(field "$output" '.spec.nics')" = 4 ]
}

# bridges DOCUMENT: its NICs on bridges, in a line
bridges() {
	field "$1" '[.spec | .nics, .network, (.networks // [] | join("+")),
		(.bridges // [] | .[] | "\(.nic)=\(.device)",
		.addresses[]?, .gateways[]?)] | join(" ")'
}

@test "spec: --network, --bridge and --ip count in their order" {
	local word

	t 0 cocoon-hv spec --bridge br0 debian
	[ "$(bridges "$output")" = "1   0=br0" ]
	t 0 cocoon-hv spec --bridge br0 --nics 3 --bridge br1 \
		--ip 192.0.2.5/24,2001:db8::5/64,192.0.2.1,2001:db8::1 debian
	[ "$(bridges "$output")" = "3   0=br0 1=br1 192.0.2.5/24 2001:db8::5/64 192.0.2.1 2001:db8::1 2=br1" ]
	t 0 cocoon-hv spec --network a --bridge br0 --network b debian
	[ "$(bridges "$output")" = "3  a+b 1=br0" ]
	t 0 cocoon-hv spec --bridge br0 --network a --nics 4 --bridge '' debian
	[ "$(bridges "$output")" = "4 a  0=br0" ]
	for word in "--ip 192.0.2.5/24" "--bridge b --ip x" \
		"--bridge b --ip 192.0.2.5" "--bridge b --ip 192.0.2.5/33" \
		"--bridge b --ip 192.0.2.1/24,::1" "--bridge b --ip 10.0.0.1/0" \
		"--bridge b --ip 192.0.2.5/24,192.0.2.1,192.0.2.2" \
		"--bridge b --network a --ip 192.0.2.5/24" \
		"--bridge b --ip 192.0.2.5/24 --ip 192.0.2.6/24" \
		"--bridge a/b" "--bridge sixteenletters16" "--bridge ." \
		"$(printf -- '--bridge b%.0s ' {1..17})"; do
		t 2 cocoon-hv spec $word debian
	done
}

@test "spec: -n gives NAME-1 to NAME-N, ids of their own" {
	t 0 cocoon-hv spec -n 3 --name web debian
	[ "$(jq -r .vm.name <<<"$output" | xargs)" = "web-1 web-2 web-3" ]
	[ "$(jq -r .vm.id <<<"$output" | sort -u | wc -l)" = 3 ]
	t 0 cocoon-hv spec -n 3 debian
	[ "$(jq -r .vm.name <<<"$output" | sort -u | wc -l)" = 3 ]
	t 0 cocoon-hv spec -n 1 --name web debian
	[ "$(field "$output" .vm.name)" = web ]
}

@test "spec: limits and names" {
	local bad long

	long=$(printf 'x%.0s' {1..64})
	while read -r bad; do
		# shellcheck disable=SC2086
		t 2 cocoon-hv spec $bad debian
		messages 1
		# What is wrong is named: the flag, or a name's rule.
		case $bad in
		--name*) says 'is invalid: must match' ;;
		-n*) says "--count" ;;
		*) says "${bad%% *}" ;;
		esac
	done <<-END
		--cpu 0
		--cpu -1
		--cpu two
		--memory 63M
		--memory 1Q
		--memory -1G
		--storage 63M
		--nics -1
		--nics 17
		--queue-size -1
		--disk-queue-size -1
		--backend xen
		--name -x
		--name .x
		--name a/b
		--name a:b
		--name $long
		--dns nowhere.example
		-n 0
		-n 10001
		--nam web
		--colour red
	END
	t 2 cocoon-hv spec debian --data-disk
	t 2 cocoon-hv spec --name '' debian
	t 2 cocoon-hv spec
	says "which image?"
	t 2 cocoon-hv spec one two
	t 2 cocoon-hv spec --fc --windows debian
	says "mutually exclusive"
	t 2 cocoon-hv spec --fc --backend qemu debian
	t 2 cocoon-hv spec -n 2 --name "${long:0:60}" debian
	says "too long to number"
	t 0 cocoon-hv spec --name "${long:0:63}" --memory 64m --storage 64mb d
}

disk() {
	t 0 cocoon-hv spec --data-disk "$@" debian
	field "$output" '[.spec.data_disks[] | .name, .size / 1048576,
		.fstype, .mount // "-", .directio // "-"] | join(" ")'
}

@test "spec: the grammar of --data-disk" {
	local bad

	[ "$(disk size=16M)" = "data1 16 ext4 /mnt/data1 -" ]
	[ "$(disk size=1G,name=db)" = "db 1024 ext4 /mnt/db -" ]
	[ "$(disk size=1G,name=db,mount=/srv/db)" = "db 1024 ext4 /srv/db -" ]
	[ "$(disk size=1G,mount=)" = "data1 1024 ext4 - -" ]
	[ "$(disk size=1G,fstype=none)" = "data1 1024 none - -" ]
	[ "$(disk size=1G,fstype=none,mount=)" = "data1 1024 none - -" ]
	[ "$(disk 'size=1G, name=db')" = "db 1024 ext4 /mnt/db -" ]
	[ "$(disk size=1G,directio=on)" = "data1 1024 ext4 /mnt/data1 on" ]
	[ "$(disk size=1G,fstype=ext4,directio=auto)" = \
		"data1 1024 ext4 /mnt/data1 auto" ]
	# Names that were given are skipped.
	[ "$(disk size=16M --data-disk size=16M,name=data1 \
		--data-disk size=16M)" = "data2 16 ext4 /mnt/data2 - data1 16 ext4 /mnt/data1 - data3 16 ext4 /mnt/data3 -" ]
	for bad in size=15M size=1G,colour=red size=1G,db size=x name=db \
		size=1G,fstype=xfs size=1G,name=Db size=1G,name=1db \
		size=1G,name=cocoon-x size=1G,name=abcdefghijklmnopqrstu \
		size=1G,fstype=none,mount=/x size=1G,mount=x \
		size=1G,directio=yes size=9999999999G '' ',' 'size=1G,name=' \
		$'size=1G,mount=/a\tb'; do
		t 2 cocoon-hv spec --data-disk "$bad" debian
		says "--data-disk"
		messages 1
	done
	t 2 cocoon-hv spec --data-disk size=1G,name=a --data-disk \
		size=1G,name=a debian
	says 'two disks named "a"'
}

@test "spec: a usage error is a document when stdout is a pipe" {
	t 2 eval 'cocoon-hv spec --cpu 0 debian | cat; exit ${PIPESTATUS[0]}'
	[ "$(field "$output" '[.v, .error.code, .error.kind, .error.tool] |
		join(" ")')" = "1 2 usage cocoon-hv spec" ]
	t 2 eval 'cocoon-hv spec --cpu 0 debian | cocoon-hv plan'
	messages 1
}

# ---- spec --from ----

@test "spec --from: a new id, the name kept if it was given" {
	mini_doc --name web >web.json
	mini_doc >default.json
	jq 'del(.net, .boot)' web.json >web && jq 'del(.net, .boot)' \
		default.json >default
	t 0 cocoon-hv spec --from web
	[ "$(field "$output" .vm.name)" = web ]
	[ "$(field "$output" .vm.id)" != "$(jq -r .vm.id web)" ]
	# What it was planned as stays, as do members that we do not know.
	[ "$(field "$output" .plan.backend)" = qemu ]
	t 0 cocoon-hv spec --from default
	[ "$(field "$output" .vm.name)" != "$(jq -r .vm.name default)" ]
	t 0 cocoon-hv spec --from web --name other
	[ "$(field "$output" .vm.name)" = other ]
	t 0 eval 'cat web default | cocoon-hv spec --from -'
	[ "${#lines[@]}" = 2 ]
	t 0 cocoon-hv spec --from web -n 2
	[ "$(jq -r .vm.name <<<"$output" | xargs)" = "web-1 web-2" ]
	jq '.x = {"deep": [1.50, "\u00e9"]} | .made = ["net"]' web >x
	t 0 cocoon-hv spec --from x
	[ "$(field "$output" '.x.deep[1], (.made | not)' | xargs)" = "é true" ]
}

@test "spec --from: what is none of ours, or was made, is refused" {
	mini_doc --name web >net
	t 3 cocoon-hv spec --from net
	says ".net: is there already"
	jq 'del(.net, .boot) | .hv = {}' net >hv
	t 3 cocoon-hv spec --from hv
	says ".hv: is there already"
	echo '{"v":2}' >v2
	t 3 cocoon-hv spec --from v2
	echo '{"v":1}' >nospec
	t 3 cocoon-hv spec --from nospec
	: >empty
	t 3 cocoon-hv spec --from empty
	says "holds no document"
	echo 'web {' >garbage
	t 3 cocoon-hv spec --from garbage
	jq 'del(.net, .boot)' net | head -c 100 >short
	t 3 cocoon-hv spec --from short
	t 4 cocoon-hv spec --from missing
	jq 'del(.net, .boot) | .vm.name = "../x"' net >name
	t 2 cocoon-hv spec --from name
	t 2 cocoon-hv spec --from name image
	jq 'del(.net, .boot) | .spec.cpus = 1' net >typo
	t 3 cocoon-hv spec --from typo
	says ".spec.cpus"
}

# ---- plan ----

@test "plan: a disk for each layer, the writable one, data, the seed" {
	t 0 eval 'mini_spec --data-disk size=16M,name=db,directio=off |
		cocoon-hv plan'
	[ "$(field "$output" '[.plan.disks[] | "\(.role):\(.file):\(.serial):\(.ro // false):\(.direct // false)"] | join(" ")')" = "layer:layers/0.erofs:cocoon-layer0:true:false layer:layers/1.erofs:cocoon-layer1:true:false cow:cow.raw:cocoon-cow:false:true data:data-db.raw:db:false:false cidata:seed.iso:null:true:false" ]
	[ "$(field "$output" '[.plan | .backend, .console, .cpu, .memory] |
		join(" ")')" = "qemu ttyS0 1 67108864" ]
	[[ $(field "$output" .plan.version) =~ ^[0-9]+\.[0-9.]+$ ]]
	[[ $(field "$output" .plan.accel) =~ ^(kvm|tcg)$ ]]
	[ "$(field "$output" .plan.binary)" = \
		"$(command -v qemu-system-x86_64)" ]
	t 0 eval 'mini_spec --no-direct-io | cocoon-hv plan'
	[ "$(field "$output" '[.plan.disks[].direct // false] | any')" = false ]
}

@test "plan: what cannot work is refused, with the reason" {
	local n

	n=$(($(nproc) + 1))
	t 7 eval "mini_spec --cpu $n | cocoon-hv plan"
	says "requested $n vCPUs exceeds host cores ($(nproc))"
	messages 1
	t 7 eval 'mini_spec --backend ch |
		COCOON_CH_BINARY=/nothing cocoon-hv plan'
	says "not installed"
	t 7 eval 'mini_spec --fc | cocoon-hv plan'
	t 2 eval 'mini_spec --windows | cocoon-hv plan'
	says "--windows requires cloudimg"
	t 3 eval 'mini_spec | jq ".image.type = \"cloudimg\"" | cocoon-hv plan'
	says ".image.disk: path, format and virtual_size must be given"
	t 7 eval 'mini_spec | jq "del(.image.kernel)" | cocoon-hv plan'
	says "has no kernel"
	t 7 eval 'mini_spec | jq ".image.layers = [range(250) |
		{path: \"/x\"}]" | cocoon-hv plan'
	says "252 layers and disks"
	t 3 eval 'cocoon-hv spec debian | cocoon-hv plan'
	says ".image: missing"
	t 3 eval 'mini_spec | jq ".spec.cpus = 2" | cocoon-hv plan'
	says ".spec.cpus"
	t 3 eval 'mini_spec | jq ".spec.memory = \"1G\"" | cocoon-hv plan'
	says ".spec.memory"
	t 3 eval 'mini_spec | jq ".image.layers[1].path = 7" | cocoon-hv plan'
	says ".image.layers[1].path"
	COCOON_QEMU_BINARY=/nonexistent t 7 eval 'mini_spec | cocoon-hv plan'
	says "no hypervisor is installed"
}

@test "plan: the hypervisor is asked for its version once" {
	mkdir bin
	cat >bin/qemu-system-x86_64 <<-END
		#!/bin/sh
		echo asked >>$PWD/asked
		echo 'QEMU emulator version 42.1.2 (Debian 1:42.1+dfsg-1)'
	END
	chmod +x bin/qemu-system-x86_64
	export COCOON_QEMU_BINARY=$PWD/bin/qemu-system-x86_64
	t 0 eval 'mini_spec -n 3 | cocoon-hv plan'
	[ "$(jq -r .plan.version <<<"$output" | xargs)" = "42.1.2 42.1.2 42.1.2" ]
	t 0 eval 'mini_spec | cocoon-hv plan'
	[ "$(wc -l <asked)" = 1 ]
	# Another binary, another question.
	sed -i 's/42.1.2/43.0.0/' bin/qemu-system-x86_64
	t 0 eval 'mini_spec | cocoon-hv plan'
	[ "$(field "$output" .plan.version)" = 43.0.0 ]
	printf '#!/bin/sh\necho what\n' >bin/qemu-system-x86_64
	t 7 eval 'mini_spec | cocoon-hv plan'
	says "not understood"
}

@test "spec and plan change nothing below the root" {
	mini_create --name web >/dev/null
	root_listing >before
	t 0 eval 'mini_spec -n 5 | cocoon-hv plan'
	root_listing | diff before -
	export COCOON_ROOT_DIR=$PWD/none
	t 0 eval 'mini_spec | cocoon-hv plan'
	t 0 cocoon-hv list
	[ "$output" = "No VMs found." ]
	t 4 cocoon-hv inspect web
	[ ! -e none ]
}

# ---- create ----

@test "create: directory, disks, pins, record, name" {
	local id dir

	t 0 eval 'mini_create --name web --data-disk size=16M,name=db \
		--data-disk size=17M,name=raw,fstype=none'
	id=$(field "$output" .vm.id)
	dir=$COCOON_ROOT_DIR/vm/$id
	[ "$(field "$output" '[.hv.state, .hv.generation, .made // "none"] |
		join(" ")')" = "created 0 none" ]
	[ "$(readlink "$COCOON_ROOT_DIR/vm-name/web")" = "../vm/$id" ]
	[ "$(stat -c '%a %u' "$dir" "$dir/0" "$dir/pin" | sort -u)" = "700 0" ]
	[ "$(stat -c '%a %u' "$dir/vm.json" "$dir"/0/*.raw "$dir/0/seed.iso" |
		sort -u)" = "600 0" ]
	[ "$(stat -c %s "$dir/0/cow.raw" "$dir/0/data-db.raw" \
		"$dir/0/data-raw.raw" | xargs)" = "67108864 16777216 17825792" ]
	[ "$(blkid -p -s TYPE -o value "$dir/0/cow.raw" \
		"$dir/0/data-db.raw" | xargs)" = "ext4 ext4" ]
	[ "$(blkid -p -s TYPE -o value "$dir/0/data-raw.raw")" = "" ]
	[ "$(blkid -p -s LABEL -o value "$dir/0/seed.iso")" = CIDATA ]
	# Sparse: ext4's own structures and no more.
	[ "$(du -k "$dir/0/cow.raw" | cut -f1)" -lt 8192 ]
	[ "$(ls "$dir/pin" | xargs)" = \
		"initrd kernel layers-0.erofs layers-1.erofs" ]
	[ "$(cat "$dir/0/layers/0.erofs" "$dir/0/layers/1.erofs" | xargs)" = \
		"bottom top" ]
	[ "$(stat -c '%i %a' "$dir/pin/kernel")" = \
		"$(stat -c '%i %a' "$dir/0/kernel")" ]
	# Derived members are not on disk, secrets are.
	[ "$(jq -c '.hv | has("state"), has("pid"), has("ended")' \
		"$dir/vm.json" | xargs)" = "false false false" ]
	[ "$(jq -r .boot.password_hash "$dir/vm.json")" = '$6$secret' ]
}

@test "create: many in one stream, templates are made once" {
	t 0 mini_create -n 5 --name web
	[ "${#lines[@]}" = 5 ]
	[ "$(ls "$COCOON_ROOT_DIR/template")" = ext4-67108864 ]
	made=$(stat -c %i "$COCOON_ROOT_DIR/template/ext4-67108864")
	t 0 mini_create --name other
	[ "$(stat -c %i "$COCOON_ROOT_DIR/template/ext4-67108864")" = "$made" ]
	t 0 cocoon-hv rm other
	[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = 5 ]
	t 0 cocoon-hv list
	[ "${#lines[@]}" = 6 ]
}

@test "create: a document that lacks a stage's part is refused" {
	local doc

	doc=$(mini_doc --name web)
	for part in boot net plan; do
		t 3 eval "jq 'del(.$part)' <<<'$doc' | cocoon-hv create"
		says ".$part: missing"
		[ "$(field "$output" '.error.code, .error.object' | xargs)" = \
			"3 $(field "$doc" .vm.id)" ]
		no_vms_left
	done
	t 3 eval "jq '.hv = {}' <<<'$doc' | cocoon-hv create"
	t 3 eval "jq '.vm.name = \"a/b\"' <<<'$doc' | cocoon-hv create"
	t 3 eval "jq 'del(.vm.name)' <<<'$doc' | cocoon-hv create"
	t 3 eval "jq '.vm.id = \"../../../../../../etc\"' <<<'$doc' |
		cocoon-hv create"
	t 3 eval "jq 'del(.vm)' <<<'$doc' | cocoon-hv create"
	t 3 eval "jq '.v = 2' <<<'$doc' | cocoon-hv create"
	t 3 eval "jq '.plan.disks[2].fstype = 7' <<<'$doc' | cocoon-hv create"
	says ".plan.disks[2].fstype"
	no_vms_left
}

@test "create: file names in a plan stay below the run directory" {
	local bad doc

	doc=$(mini_doc --name web)
	for bad in ../x /tmp/x layers/../../x . .. .x a//b a/ '' 'a b' A \
		layers/a/b; do
		t 3 eval "jq --arg f '$bad' '.plan.disks[0].file = \$f' \
			<<<'$doc' | cocoon-hv create"
		no_vms_left
		t 3 eval "jq --arg f '$bad' '.plan.disks[2].file = \$f' \
			<<<'$doc' | cocoon-hv create"
		no_vms_left
	done
	t 3 eval "jq '.plan.disks[2].file = \"dir/cow.raw\"' <<<'$doc' |
		cocoon-hv create"
	no_vms_left
}

@test "create: a blob that is missing, a file twice: nothing is left" {
	local doc

	doc=$(mini_doc --name web)
	t 4 eval "jq '.plan.disks[1].source = \"/nonexistent\"' <<<'$doc' |
		cocoon-hv create"
	says /nonexistent
	no_vms_left
	t 4 eval "jq '.image.initrd.path = \"/nonexistent\"' <<<'$doc' |
		cocoon-hv create"
	no_vms_left
	t 5 eval "jq '.plan.disks[1].file = .plan.disks[0].file' <<<'$doc' |
		cocoon-hv create"
	no_vms_left
	t 0 eval "cocoon-hv create <<<'$doc'"
}

@test "create: a name or an id that is taken; the first stays whole" {
	local first

	first=$(mini_doc --name web)
	t 0 eval "cocoon-hv create <<<'$first'"
	root_listing >before
	t 5 eval "cocoon-hv create <<<'$first'"
	messages 1
	t 5 mini_create --name web
	says "vm name \"web\" already exists (id: $(field "$first" .vm.id))"
	root_listing | diff before -
	# Without hv: nothing of it was made.
	[ "$(field "$output" '.hv // "none"')" = none ]
}

@test "create: two of one name at once, exactly one wins" {
	local i a b

	for i in 1 2 3 4 5; do
		mini_doc --name "web$i" >a.json
		mini_doc --name "web$i" >b.json
		cocoon-hv create <a.json >a.out 2>a.err 3>&- &
		a=$!
		b=0
		cocoon-hv create <b.json >b.out 2>b.err || b=$?
		wait $a && a=0 || a=$?
		[ "$a $b" = "0 5" ] || [ "$a $b" = "5 0" ]
		[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = "$i" ]
	done
}

@test "create: a name with no reader behind it is undone" {
	mini_doc -n 3 --name web >docs
	# The reader goes after the first line.
	t 1 eval 'cocoon-hv create <docs | { read -r line; echo "$line" >first
		exec <&-; sleep 0.2; }; exit ${PIPESTATUS[0]}'
	# It may have been fast enough for the second; the third had no chance
	# unless all were written before the reader went.
	for name in $(ls "$COCOON_ROOT_DIR/vm-name"); do
		t 0 cocoon-hv inspect "$name"
	done
	t 0 cocoon-hv rm $(ls "$COCOON_ROOT_DIR/vm-name")
	no_vms_left
	t 1 eval 'cocoon-hv create <docs >/dev/full'
	no_vms_left
}

@test "create: a full record is followed; later unknown members pass" {
	t 0 eval 'mini_doc --name web | jq ".mine = {a: [1, {b: null}]}" |
		cocoon-hv create'
	[ "$(field "$output" '.mine.a[1] | has("b")')" = true ]
	t 0 cocoon-hv get web
	[ "$(field "$output" '.mine.a[0]')" = 1 ]
}

@test "--log-dir: the console's log is there, and goes with the VM" {
	COCOON_LOG_DIR=$PWD/log mini_run --name web
	[ -s "log/$id/console.log" ]
	[ "$(hv web .hv.log_dir)" = "$PWD/log/$id" ]
	t 0 cocoon-hv logs web
	[ "${lines[0]%$'\r'}" = "Linux version of nothing: a test guest is up" ]
	t 0 cocoon-hv rm --force web
	[ -z "$(ls -A log)" ]
	COCOON_LOG_DIR=relative t 2 mini_create --name web
	no_vms_left
}

@test "--run-dir: VMs are there, the rest stays below the root" {
	export COCOON_RUN_DIR=$PWD/elsewhere
	mini_run --name web
	[ -e "elsewhere/vm/$id/0/cow.raw" ]
	[ ! -e "$COCOON_ROOT_DIR/vm/$id" ]
	t 0 cocoon-hv stop web
	t 0 cocoon-hv gc
	[ -z "$output" ]
	t 0 cocoon-hv rm web
	[ -z "$(ls -A elsewhere/vm elsewhere/vm-name | grep -v :)" ]
}

# ---- looking ----

@test "list, inspect, get: by name, id, prefix" {
	local id other

	t 0 cocoon-hv list
	[ "$output" = "No VMs found." ]
	t 0 cocoon-hv list -o json
	[ "$(jq length <<<"$output")" = 0 ]
	id=$(field "$(mini_create --name web)" .vm.id)
	t 0 cocoon-hv list
	[ "$(tr -s ' ' <<<"${lines[0]}")" = \
		"ID NAME STATE CPU MEMORY STORAGE IP IMAGE CREATED" ]
	[[ $(tr -s ' ' <<<"${lines[1]}") == "$id web created 1 64MiB 64MiB - mini 20"* ]]
	for ref in web "$id" "${id:0:5}"; do
		t 0 cocoon-hv inspect "$ref"
		[ "$(field "$output" .vm.id)" = "$id" ]
	done
	t 4 cocoon-hv inspect "${id:0:2}"
	t 4 cocoon-hv inspect nobody
	[ "$stderr" = "cocoon-hv: inspect: vm nobody: VM not found" ]
	t 4 cocoon-hv inspect ../web
	t 4 cocoon-hv inspect ''
	# Two ids that begin alike.
	other=${id:0:25}A
	[ "$other" != "$id" ] || other=${id:0:25}B
	t 0 eval "mini_doc --name other | jq '.vm.id = \"$other\"' |
		cocoon-hv create"
	t 5 cocoon-hv inspect "${id:0:5}"
	says ambiguous
	t 0 cocoon-hv inspect "$id"
}

@test "inspect and list redact, get does not" {
	mini_create --name web >/dev/null
	for cmd in "inspect web" "list -o json"; do
		# shellcheck disable=SC2086
		t 0 cocoon-hv $cmd
		[[ $output != *secret* ]]
		[[ $output == *'"***"'* ]]
	done
	t 0 cocoon-hv get web
	[ "$(field "$output" .boot.password_hash)" = '$6$secret' ]
	[ "${#lines[@]}" = 1 ]
	t 4 cocoon-hv get web nobody
	[ "$(jq -r '.error.code // empty' <<<"$output")" = 4 ]
}

@test "report: text, json, ids; errors pass and were told" {
	local docs

	docs=$(mini_create -n 2 --name web)
	t 0 eval "cocoon-hv report --as created <<<'$docs'"
	[[ $output != *done:* ]]
	t 0 eval "cocoon-hv report -o text <<<'$docs'"
	[[ $output == done:* ]]
	t 0 eval "cocoon-hv report --as created <<<'$docs'"
	[[ ${lines[0]} =~ ^"created: "[A-Z2-7]{26}"  web-1"$ ]]
	t 0 eval "cocoon-hv report -o json <<<'$docs'"
	[ "$(jq -r .vm.name <<<"$output" | xargs)" = "web-1 web-2" ]
	[[ $output != *secret* ]]
	t 0 eval "cocoon-hv report -o ids <<<'$docs'"
	[ "$(field "$output" '.succeeded | length')" = 2 ]
	t 6 eval "jq -c 'if .vm.name == \"web-1\" then
		.error = {code: 6, message: \"slow\"} else . end' <<<'$docs' |
		cocoon-hv report -o ids"
	[ "$(field "$output" '.succeeded | length')" = 1 ]
	[ -z "$stderr" ]
	t 5 eval "jq -c '.error = {code: 5, message: \"x\"}' <<<'$docs' |
		cocoon-hv report -o ids"
	[ "$(field "$output" .succeeded)" = '[]' ]
}

@test "status: what is added, changed, gone, as lines and as JSON" {
	local pid

	mini_create --name other >/dev/null
	cocoon-hv status --event --format json web >events 2>&1 \
		</dev/null 3>&- &
	pid=$!
	mini_create --name web >/dev/null
	wait_until 10 grep -q ADDED events
	cocoon-hv get web | cocoon-hv start - >/dev/null
	wait_until 10 grep -q '"state":"running"' events
	cocoon-hv rm --force web other >/dev/null
	wait_until 10 grep -q DELETED events
	kill $pid
	wait $pid || :
	[ "$(jq -r .event events | uniq | xargs)" = "ADDED MODIFIED DELETED" ]
	[ "$(jq -r .vm.vm.name events | sort -u)" = web ]
	[[ $(cat events) != *secret* ]]
	mini_create --name web >/dev/null
	timeout 1 "$BIN/cocoon-hv" status >table 3>&- || :
	grep -q '^Every .* press Ctrl+C to quit' table
	grep -q web table
}

# ---- a VM's life ----

@test "start: what inspect and /proc say of the VMM" {
	local pid dir p

	mini_run --name web
	pid=$(field "$doc" .hv.pid)
	dir=$COCOON_ROOT_DIR/vm/$id
	[ "$(field "$doc" '.hv.state')" = running ]
	[ "$(hv web '[.hv.state, .hv.pid, .hv.generation,
		(.hv.unattended // false), .hv.accel == .plan.accel,
		.hv.version == .plan.version, .hv.started_at > 0] |
		join(" ")')" = "running $pid 0 false true true true" ]
	p=/proc/$pid
	uid=$(hv web .hv.uid)
	[ "$uid" -ge 1900000000 ]
	[ "$(awk '/^Uid:/ { print $2, $3, $4, $5 }' $p/status)" = \
		"$uid $uid $uid $uid" ]
	[ "$(awk '/^Gid:/ { print $2, $3, $4, $5 }' $p/status)" = \
		"$uid $uid $uid $uid" ]
	[ "$(awk '/^Cap(Inh|Prm|Eff|Bnd|Amb):/ { print $2 }' $p/status |
		sort -u)" = 0000000000000000 ]
	[ "$(awk '/^(NoNewPrivs|Seccomp):/ { print $2 }' $p/status | xargs)" = \
		"1 2" ]
	[ "$(readlink $p/cwd)" = "$dir/0" ]
	[ "$(stat -Lc %i $p/ns/net)" != "$(stat -Lc %i /proc/self/ns/net)" ]
	[ "$(awk '/^Max core file size/ { print $5 }' $p/limits)" = 0 ]
	[ "$(tr '\0' '\n' <$p/environ | wc -l)" -le 1 ]
	# The slot is this VM's.
	[ "$(readlink "$COCOON_STATE_RUN/slot/$((uid - 1900000000))")" = \
		"$id $COCOON_ROOT_DIR" ]
	[ "$(stat -c %u "$dir/0" "$dir/0/cow.raw" "$dir/0/seed.iso" |
		sort -u)" = "$uid" ]
	[ "$(stat -c %u "$dir" "$dir/vm.json" "$dir/pin/kernel" |
		sort -u)" = 0 ]
}

@test "start: the VMM has its own descriptors and no others" {
	local fd target

	exec 7<"$BATS_TEST_TMPDIR" 8>"$BATS_TEST_TMPDIR/leak"
	mini_run --name web
	exec 7<&- 8>&-
	for fd in /proc/"$(vm_pid web)"/fd/* \
		/proc/"$(monitor_pid web)"/fd/*; do
		target=$(readlink "$fd")
		case $target in
		/dev/null | /dev/kvm | /dev/urandom | anon_inode:* | \
			socket:* | /memfd:* | \
			"$COCOON_ROOT_DIR/vm/$id" | \
			"$COCOON_ROOT_DIR/vm/$id"/*) ;;
		*)
			echo "$fd: $target"
			return 1
			;;
		esac
	done
}

@test "start: landlock holds the VMM in its directory" {
	local pid

	need python3
	mini_run --name web
	pid=$(vm_pid web)
	echo secret >"$BATS_TEST_TMPDIR/secret"
	chmod 755 "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
	chmod 644 "$BATS_TEST_TMPDIR/secret"
	# QMP as root: what the VMM itself may open, not what we may.
	qmp() {
		python3 - "$COCOON_ROOT_DIR/vm/$id/0" "$1" <<-'END'
			import json, os, socket, sys
			os.chdir(sys.argv[1])
			s = socket.socket(socket.AF_UNIX)
			s.connect("api.sock")
			f = s.makefile("rw")
			f.readline()
			def ask(name, **args):
			    f.write(json.dumps({"execute": name,
			        "arguments": args}))
			    f.flush()
			    while True:
			        r = json.loads(f.readline())
			        if "return" in r or "error" in r:
			            return r
			ask("qmp_capabilities")
			r = ask("blockdev-add", driver="file", **{
			    "node-name": "x", "filename": sys.argv[2],
			    "read-only": True})
			print(r["error"]["desc"] if "error" in r else "opened")
			if "error" not in r:
			    ask("blockdev-del", **{"node-name": "x"})
		END
	}
	[ "$(qmp seed.iso)" = opened ]
	[[ $(qmp "$BATS_TEST_TMPDIR/secret") == *"Permission denied" ]]
	[[ $(qmp /etc/hostname) == *"Permission denied" ]]
	[[ $(qmp ../vm.json) == *"Permission denied" ]]
	[[ $(qmp /proc/self/status) == *"Permission denied" ]]
	kill -0 "$pid"
}

@test "start: the monitor has no rights, and cannot be traced" {
	local pid

	mini_run --name web
	pid=$(monitor_pid web)
	[ "$(tr '\0' ' ' </proc/"$pid"/cmdline | sed 's/ *$//')" = \
		"cocoon-hv: monitor $id" ]
	[ "$(awk '/^Uid:/ { print $2, $3 }' /proc/"$pid"/status)" = \
		"$(hv web '"\(.hv.uid) \(.hv.uid)"')" ]
	[ "$(awk '/^Cap(Inh|Prm|Eff|Bnd|Amb):/ { print $2 }' \
		/proc/"$pid"/status | sort -u)" = 0000000000000000 ]
	[ "$(awk '/^NoNewPrivs:/ { print $2 }' /proc/"$pid"/status)" = 1 ]
	# Not dumpable: its /proc is root's.
	[ "$(stat -c %u /proc/"$pid"/maps)" = 0 ]
	[ "$(readlink /proc/"$pid"/cwd)" = / ]
	[ "$(awk '{ print $6 }' /proc/"$pid"/stat)" = "$pid" ]
}

@test "start: pipes of the caller are not kept open" {
	mini_create --name web >/dev/null
	# cat ends when nobody has the pipe any more.
	t 0 timeout 20 bash -c \
		'cocoon-hv get web | cocoon-hv start - 2>&1 | cat >/dev/null'
	hv_is web .hv.state running
}

@test "start: one that runs is a success, two at once start one VMM" {
	local a

	mini_run --name web
	t 0 eval 'cocoon-hv get web | cocoon-hv start -'
	[ "$(field "$output" .hv.pid)" = "$(field "$doc" .hv.pid)" ]
	t 0 cocoon-hv stop web
	cocoon-hv get web >web.json
	cocoon-hv start - <web.json >a 2>&1 3>&- &
	a=$!
	t 0 eval 'cocoon-hv start - <web.json'
	wait $a
	[ "$(jq .hv.pid a)" = "$(field "$output" .hv.pid)" ]
	# One VMM, one monitor.
	[ "$(vm_processes | wc -l)" = 2 ]
	t 2 cocoon-hv start "$id"
	says "reads documents"
}

@test "start: a kernel that is none: the VM is there, in error" {
	echo nonsense >bad
	t 0 eval 'mini_doc --name web | jq -c ".image.kernel.path = \"$PWD/bad\"" |
		cocoon-hv create'
	t 1 eval 'cocoon-hv get web | cocoon-hv start -'
	messages 1
	says "web"
	[ "$(field "$output" .error.code)" = 1 ]
	no_vm_processes
	t 0 cocoon-hv inspect web
	[[ $(field "$output" .hv.state) =~ ^(created|stopped|error)$ ]]
	[ -z "$(ls -A "$COCOON_STATE_RUN/slot")" ]
	[ "$(stat -c %u "$COCOON_ROOT_DIR"/vm/*/0/cow.raw)" = 0 ]
	t 0 cocoon-hv rm web
	no_vms_left
}

@test "start --rm: a VM that does not start is removed" {
	echo nonsense >bad
	t 1 eval 'mini_doc -n 2 --name web |
		jq -c "select(.vm.name == \"web-1\").image.kernel.path =
			\"$PWD/bad\"" | cocoon-hv create | cocoon-hv start --rm -'
	messages 1
	# So that `cocoon-net del --undo` takes its network.
	[ "$(jq -r 'select(.error).made | join(" ")' <<<"$output")" = net ]
	t 0 cocoon-hv list -o json
	[ "$(field "$output" '[.[].vm.name] | join(" ")')" = web-2 ]
}

@test "start: what net and boot say anew goes into record and seed" {
	mini_create --name web >/dev/null
	t 0 eval 'cocoon-hv get web |
		jq -c ".boot.cmdline = \"another line\" |
			.boot.seed.meta_data = \"another seed\"" |
		cocoon-hv start -'
	[ "$(jq -r .boot.cmdline "$COCOON_ROOT_DIR"/vm/*/vm.json)" = \
		"another line" ]
	grep -q 'another seed' "$COCOON_ROOT_DIR"/vm/*/0/seed.iso
	wait_until 20 greeted web
	(sleep 0.2 && printf '?' && sleep 0.5) |
		timeout 10 "$BIN/cocoon-hv" console web >out 2>/dev/null
	grep -q 'another line' out
}

@test "stop: the power button; why it ended; start again" {
	local first

	mini_run --name web
	first=$(field "$doc" .hv.pid)
	t 0 cocoon-hv stop web
	[ "$(field "$output" '[.hv.state, .hv.ended.reason, .hv.ended.status // 0,
		.hv.stopped_at == .hv.ended.at, .hv.pid // "none"] |
		join(" ")')" = "stopped shutdown 0 true none" ]
	[[ $output != *secret* ]]
	no_vm_processes
	[ -z "$(ls -A "$COCOON_STATE_RUN/slot")" ]
	[ ! -e "$COCOON_ROOT_DIR/vm/$id/0/api.sock" ]
	[ ! -e "$COCOON_ROOT_DIR/vm/$id/console.sock" ]
	[ "$(stat -c %u "$COCOON_ROOT_DIR/vm/$id"/0/* | sort -u)" = 0 ]
	# Once more: a success.
	t 0 cocoon-hv stop web
	[ "$(field "$output" .hv.ended.reason)" = shutdown ]
	t 0 eval 'cocoon-hv get web | cocoon-hv start -'
	[ "$(field "$output" .hv.pid)" != "$first" ]
	[ "$(field "$output" '.hv.ended // "none"')" = none ]
	t 0 cocoon-hv stop web web "$id"
	[ "${#lines[@]}" = 3 ]
	# One that was never started, too.
	mini_create --name other >/dev/null
	t 0 cocoon-hv stop other
	[ "$(field "$output" .hv.state)" = created ]
	t 4 cocoon-hv stop other nobody
	messages 1
}

# press KEY VM
press() {
	(sleep 0.1 && printf %s "$1" && sleep 0.3) |
		timeout 10 "$BIN/cocoon-hv" console "$2" >/dev/null 2>&1
}

said() {
	cocoon-hv logs "$1" | grep -q "$2"
}

@test "stop: a guest that does not listen is killed after the timeout" {
	mini_run --name web
	press d web
	wait_until 5 said web 'deaf now'
	SECONDS=0
	t 0 cocoon-hv stop --timeout 1 web
	says "did not shut down"
	[ $SECONDS -lt 5 ]
	[[ $(field "$output" '.hv.ended.reason') =~ ^(killed|stopped)$ ]]
	no_vm_processes
}

@test "stop --force does not ask" {
	mini_run --name web
	t 0 cocoon-hv stop --force web
	[[ $(field "$output" '.hv.ended.reason') =~ ^(killed|stopped)$ ]]
	! said web 'going down'
	no_vm_processes
}

@test "stop: nothing goes to a tap that nobody has; start, and it does" {
	local id

	need ip nft tc
	# Redirects to the guest's tap, and to where nobody listens.
	leads() {
		ip netns exec "cn-$id" tc -j filter show dev "$1" ingress |
			jq -r '[.[].options.actions[]?.to_dev] | join(" ")'
	}
	id=$(field "$(mini_spec --nics 2 --name web | cocoon-hv plan |
		cocoon-net add | mini_parts | cocoon-hv create |
		cocoon-hv start -)" .vm.id)
	wait_until 20 greeted web
	[ "$(leads eth0)" = cn0 ]
	t 0 cocoon-hv stop --force web
	# The first one that matches takes the frame.
	[ "$(leads eth0)" = "lo cn0" ]
	[ "$(leads eth1)" = "lo cn1" ]
	[ "$(leads cn0)" = eth0 ]
	t 0 cocoon-net check "$id"
	t 0 cocoon-hv stop web
	[ "$(leads eth0)" = "lo cn0" ]
	# A start that fails leaves it so.
	cocoon-hv get web >doc
	ip netns exec "cn-$id" ip link set cn1 name gone
	t 4 cocoon-hv start - <doc
	says 'cn1: is not in'
	[ "$(leads eth0)" = "lo cn0" ]
	ip netns exec "cn-$id" ip link set gone name cn1
	t 0 cocoon-hv start - <doc
	[ "$(leads eth0) $(leads eth1)" = "cn0 cn1" ]
	cocoon-hv rm --force web | cocoon-net del >/dev/null
	cocoon-net gc --all >/dev/null
}

@test "stop: several wait at the same time" {
	mini_create -n 3 --name web | cocoon-hv start - >/dev/null
	for i in 1 2 3; do
		wait_until 20 greeted web-$i
		press d web-$i
		wait_until 5 said web-$i 'deaf now'
	done
	SECONDS=0
	t 0 cocoon-hv stop --timeout 2 web-1 web-2 web-3
	[ $SECONDS -lt 6 ]
	[ "$(jq -r .hv.state <<<"$output" | sort -u)" = stopped ]
}

@test "the guest switches itself off" {
	mini_run --name web
	press q web
	wait_until 10 hv_is web .hv.state stopped
	hv_is web .hv.ended.reason shutdown
	t 0 cocoon-hv rm web
	no_vms_left
}

@test "kill -9 of the VMM: stopped, and why" {
	mini_run --name web
	kill -9 "$(vm_pid web)"
	wait_until 10 hv_is web .hv.state stopped
	[ "$(hv web '[.hv.ended.reason, .hv.ended.status] | join(" ")')" = \
		"killed 137" ]
	wait_until 5 no_vm_processes
	t 0 eval 'cocoon-hv get web | cocoon-hv start -'
	[ "$(field "$output" .hv.state)" = running ]
	kill -9 "$(vm_pid web)"
	t 0 cocoon-hv rm --force web
	no_vms_left
}

@test "kill -9 of the monitor: the VM runs on, unattended" {
	local pid

	mini_run --name web
	pid=$(vm_pid web)
	kill -9 "$(monitor_pid web)"
	wait_until 5 hv_is web .hv.unattended true
	hv_is web .hv.state running
	t 5 cocoon-hv console web
	says "its monitor is gone"
	t 0 cocoon-hv logs web
	t 5 cocoon-hv rm web
	kill -0 "$pid"
	t 0 cocoon-hv stop web
	[ "$(field "$output" .hv.state)" = stopped ]
	[[ $(field "$output" .hv.ended.reason) =~ ^(stopped|shutdown|unknown)$ ]]
	wait_until 5 no_process "$pid"
	t 0 eval 'cocoon-hv get web | cocoon-hv start -'
	pid=$(vm_pid web)
	kill -9 "$(monitor_pid web)"
	t 0 cocoon-hv rm --force web
	wait_until 5 no_process "$pid"
	no_vms_left
}

@test "kill -9 of both: stopped, unknown, starts again" {
	local pid monitor

	mini_run --name web
	pid=$(vm_pid web)
	monitor=$(monitor_pid web)
	kill -9 "$monitor" "$pid"
	wait_until 5 hv_is web .hv.state stopped
	hv_is web .hv.ended.reason unknown
	t 0 eval 'cocoon-hv get web | cocoon-hv start -'
	[ "$(field "$output" .hv.state)" = running ]
	wait_until 20 greeted web 2
	t 0 cocoon-hv stop web
	hv_is web .hv.ended.reason shutdown
}

@test "start --wait: this process is the monitor, its status the VM's" {
	local pid

	mini_create --name web >/dev/null
	cocoon-hv get web >web.json
	"$BIN/cocoon-hv" start --wait - <web.json >out 2>err 3>&- &
	pid=$!
	wait_until 20 greeted web
	[ "$(monitor_pid web)" = $pid ]
	press q web
	wait $pid
	jq -e '.hv.ended.reason == "shutdown"' out
	# SIGTERM is the power button.
	"$BIN/cocoon-hv" start --wait - <web.json >out 2>err 3>&- &
	pid=$!
	wait_until 20 greeted web 2
	kill $pid
	wait $pid
	hv_is web .hv.ended.reason shutdown
	# A VM that was killed is a failure.
	"$BIN/cocoon-hv" start --wait - <web.json >out 2>err 3>&- &
	pid=$!
	wait_until 20 greeted web 3
	kill -9 "$(vm_pid web)"
	status=0
	wait $pid || status=$?
	[ "$status" = 1 ]
	t 0 cocoon-hv rm web
	no_vms_left
}

@test "wait: until the end, or the time is up" {
	local pid

	mini_run --name web
	t 6 cocoon-hv wait --timeout 1 web
	says "still running"
	cocoon-hv wait web >out 3>&- &
	pid=$!
	press q web
	wait $pid
	[ "$(jq -r .hv.ended.reason out)" = shutdown ]
	[[ $(cat out) != *secret* ]]
	t 0 cocoon-hv wait web
	t 4 cocoon-hv wait web nobody
	t 2 cocoon-hv wait
}

# ---- console and logs ----

@test "console: two at once, each sees all; escapes; the status line" {
	local pid_a pid_b

	mini_run --name web
	# Held open by us: a console ends by its escape, not by end of file.
	mkfifo a b
	exec 6<>a 7<>b
	timeout 20 "$BIN/cocoon-hv" console web <a >a.out 2>a.err 3>&- &
	pid_a=$!
	timeout 20 "$BIN/cocoon-hv" console web <b >b.out 2>b.err 3>&- &
	pid_b=$!
	wait_until 10 grep -q Connected a.err
	wait_until 10 grep -q Connected b.err
	printf one >&6
	wait_until 10 grep -q one b.out
	printf 'two\035?\035s\035\035' >&7
	wait_until 10 grep -q two a.out
	wait_until 10 grep -q $'\035' b.out
	printf '\035.' >&6
	printf '\035.' >&7
	wait $pid_a
	wait $pid_b
	exec 6>&- 7>&-
	grep -q 'one.*two' a.out
	grep -q two b.out
	# The escape character itself came through, once.
	[ "$(tr -cd '\035' <b.out | wc -c)" = 1 ]
	grep -q 'Connected to web (escape sequence: ^].).' b.err
	grep -q 'Disconnected from web.' b.err
	grep -q 'leave the console' b.err
	grep -q "\[web: running, pid $(vm_pid web), ip -, qemu\]" b.err
	# stdout is the guest's alone.
	! grep -q Connected b.out
}

@test "console: --escape-char" {
	mini_run --name web
	mkfifo a
	exec 6<>a
	printf 'x~.' >&6
	t 0 timeout 10 "$BIN/cocoon-hv" console --escape-char '~' web <a
	printf '\001.' >&6
	t 0 timeout 10 "$BIN/cocoon-hv" console --escape-char ^a web <a
	exec 6>&-
	for bad in '' xx ^1 $'\n' $'\r' $'\177' é; do
		t 2 cocoon-hv console --escape-char "$bad" web
		says "--escape-char"
	done
	# A terminal is in raw mode meanwhile, and as it was afterwards.
	need script
	cat >tty.sh <<-END
		stty -a >before
		cocoon-hv console web 2>/dev/null
		stty -a >after
	END
	(sleep 0.5; printf 'raw\003\035.'; sleep 1) |
		timeout 10 script -qec 'sh tty.sh' /dev/null >typed
	diff before after
	wait_until 5 said web raw
}

@test "console: needs a VM that runs" {
	mini_create --name web >/dev/null
	t 5 cocoon-hv console web
	says "VM not running"
	t 4 cocoon-hv console nobody
	t 2 cocoon-hv console
}

@test "console: a client that does not read holds up nobody" {
	local pid

	mini_run --name web
	# Stopped before it can read what comes.
	(sleep 0.2; printf b; sleep 60) | "$BIN/cocoon-hv" console web \
		>slow.out 2>/dev/null 3>&- &
	wait_until 5 said web 'lazy dog'
	pid=$(pgrep -f "^$BIN/cocoon-hv console web")
	kill -STOP "$pid"
	grew() { [ "$(cocoon-hv logs web | wc -c)" -gt "$1" ]; }
	wait_until 20 grew 600000
	kill -CONT "$pid"
	kill "$pid"
	t 0 cocoon-hv stop --force web
}

@test "logs: all, the last lines, following until the VM is gone" {
	local pid

	mini_create --name web >/dev/null
	t 0 cocoon-hv logs web
	[ -z "$output" ]
	t 5 cocoon-hv logs -f web
	t 0 eval 'cocoon-hv get web | cocoon-hv start -'
	wait_until 20 greeted web
	cocoon-hv logs -f web >followed 3>&- &
	pid=$!
	press q web
	wait_until 10 hv_is web .hv.state stopped
	wait_until 5 grep -q 'going down' followed
	t 0 cocoon-hv logs --tail 1 web
	[ "${output%$'\r'}" = "going down" ]
	t 0 cocoon-hv logs --tail 0 web
	[ -z "$output" ]
	t 0 cocoon-hv rm web
	wait_until 5 no_process $pid
	wait $pid
	t 4 cocoon-hv logs web
}

@test "logs: what a guest babbles is capped" {
	mini_run --name web
	truncate -s 4190000 "$COCOON_ROOT_DIR/vm/$id/console.log"
	t 0 cocoon-hv stop web
	t 0 eval 'cocoon-hv get web | cocoon-hv start -'
	press b web
	small() {
		[ "$(stat -c %s "$COCOON_ROOT_DIR/vm/$id/console.log")" \
			-lt 2000000 ]
	}
	wait_until 20 small
	t 0 cocoon-hv logs --tail 2 web
	[[ $output == *"lazy dog"* ]]
}

# ---- removal ----

@test "rm: refuses what runs, unless forced; others go" {
	mini_create --name other >/dev/null
	mini_run --name web
	t 5 cocoon-hv rm web other
	says "stop before delete: running (force required)"
	messages 1
	[ "$(jq -r 'select(.error | not).vm.name' <<<"$output")" = other ]
	hv_is web .hv.state running
	t 4 cocoon-hv inspect other
	t 0 cocoon-hv rm --force web "$id"
	[ "${#lines[@]}" = 2 ]
	no_vm_processes
	no_vms_left
	t 4 cocoon-hv rm --force web
	t 4 cocoon-hv rm web nobody
}

@test "rm --undo: error lines that made their VM, and no others" {
	local docs

	docs=$(mini_create -n 4 --name web)
	t 1 eval "jq -c '
		if .vm.name == \"web-1\" then
			.error = {code: 1, message: \"x\"} | .made = [\"hv\"]
		elif .vm.name == \"web-2\" then
			.error = {code: 1, message: \"x\"} | .made = [\"net\"]
		elif .vm.name == \"web-3\" then .made = [\"hv\"]
		else . end' <<<'$docs' | cocoon-hv rm --undo >/dev/null"
	[ "$(ls "$COCOON_ROOT_DIR/vm-name" | xargs)" = "web-2 web-3 web-4" ]
	# By id, never by name.
	t 1 eval "jq -c '.error = {code: 1, message: \"x\"} | .made = [\"hv\"] |
		.vm.id = \"AAAAAAAAAAAAAAAAAAAAAAAAAA\"' <<<'$docs' |
		cocoon-hv rm --undo >/dev/null"
	[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = 3 ]
}

@test "rm: a directory of somebody else in place of the log directory" {
	mkdir precious && echo keep >precious/file
	t 0 mini_create --name web
	id=$(field "$output" .vm.id)
	jq -c --arg d "$PWD/precious" '.hv.log_dir = $d' \
		"$COCOON_ROOT_DIR/vm/$id/vm.json" >new
	cat new >"$COCOON_ROOT_DIR/vm/$id/vm.json"
	t 0 cocoon-hv rm web
	[ "$(cat precious/file)" = keep ]
}

# ---- what the VM's uid can do to its directory ----

# Somebody else's file that must stay as it is.
make_shadow() {
	echo 'root:$6$precious:19000::::::' >"$BATS_TEST_TMPDIR/shadow"
	chmod 640 "$BATS_TEST_TMPDIR/shadow"
	shadow_state >"$BATS_TEST_TMPDIR/shadow.before"
}

shadow_state() {
	stat -c '%u %g %a %h %i %s' "$BATS_TEST_TMPDIR/shadow"
	sha256sum <"$BATS_TEST_TMPDIR/shadow"
}

same_shadow() {
	shadow_state | diff "$BATS_TEST_TMPDIR/shadow.before" -
}

@test "tampering: symlinks in place of the VM's files, at every verb" {
	local dir name verb

	make_shadow
	for name in cow.raw data-db.raw seed.iso vmm.log api.sock kernel \
		layers layers/0.erofs mem vmstate s; do
		for verb in start stop rm gc; do
			mini_create --name web --data-disk size=16M,name=db \
				>/dev/null
			dir=$(echo "$COCOON_ROOT_DIR"/vm/*/0)
			rm -rf "${dir:?}/$name"
			ln -s "$BATS_TEST_TMPDIR/shadow" "$dir/$name"
			case $verb in
			start)
				cocoon-hv get web |
					cocoon-hv start - >out 2>err || :
				;;
			*) cocoon-hv $verb ${verb/gc/-n} >out 2>err || : ;;
			esac
			[ "$verb" != rm ] || cocoon-hv rm web >/dev/null 2>&1
			same_shadow
			! grep -q precious out err
			if [ "$verb" != rm ]; then
				t 0 cocoon-hv rm --force web
			fi
			same_shadow
			no_vms_left
		done
	done
}

@test "tampering: disks that are links or devices are not started" {
	local dir

	make_shadow
	for how in "ln -s" ln "mknod"; do
		mini_create --name web >/dev/null
		dir=$(echo "$COCOON_ROOT_DIR"/vm/*/0)
		rm "$dir/cow.raw"
		case $how in
		mknod) mknod "$dir/cow.raw" c 1 3 ;;
		*) $how "$BATS_TEST_TMPDIR/shadow" "$dir/cow.raw" ;;
		esac
		[ "$how" != ln ] || shadow_state >shadow.before
		run --separate-stderr eval 'cocoon-hv get web |
			cocoon-hv start -'
		[ "$status" != 0 ]
		messages 1
		says cow.raw
		same_shadow
		no_vm_processes
		t 0 cocoon-hv rm web
		[ -s "$BATS_TEST_TMPDIR/shadow" ]
		shadow_state >shadow.before
	done
}

@test "tampering: by the VM's uid while it runs" {
	local dir uid verb

	need setpriv
	make_shadow
	for verb in stop "stop --force" "rm --force" "kill" ; do
		mini_run --name web
		dir=$COCOON_ROOT_DIR/vm/$id/0
		uid=$(hv web .hv.uid)
		# Its directory is reached as /proc/PID/cwd is: by descriptor.
		exec 5<"$dir"
		setpriv --reuid="$uid" --regid="$uid" --clear-groups \
			--inh-caps=-all bash -c '
			cd /proc/self/fd/5 || exit 9
			for f in cow.raw seed.iso api.sock vmm.log mem vmstate \
				s kernel initrd; do
				rm -rf "$f"
				ln -s "$1" "$f" || exit 8
			done
			mv layers gone && ln -s "$2" layers
			' - "$BATS_TEST_TMPDIR/shadow" "$BATS_TEST_TMPDIR"
		exec 5<&-
		case $verb in
		kill)
			kill -9 "$(vm_pid web)"
			wait_until 5 hv_is web .hv.state stopped
			;;
		*)
			# shellcheck disable=SC2086
			cocoon-hv $verb web >out 2>err || :
			! grep -q precious out err
			;;
		esac
		same_shadow
		if [ "${verb%% *}" != rm ]; then
			t 0 cocoon-hv gc
			same_shadow
			cocoon-hv get web | cocoon-hv start - >out 2>err || :
			! grep -q precious out err
			same_shadow
			t 0 cocoon-hv rm --force web
			same_shadow
		fi
		no_vms_left
	done
}

# ---- gc ----

@test "gc: directories without name, names without record, old files" {
	local id a b

	t 0 cocoon-hv gc
	[ -z "$output" ]
	id=$(field "$(mini_create --name web)" .vm.id)
	a=AAAAAAAAAAAAAAAAAAAAAAAAAA
	b=BBBBBBBBBBBBBBBBBBBBBBBBBB
	mkdir -p "$COCOON_ROOT_DIR/vm/$a/0/layers" "$COCOON_ROOT_DIR/vm/$id/7"
	cp "$COCOON_ROOT_DIR/vm/$id/vm.json" "$COCOON_ROOT_DIR/vm/$a/"
	: >"$COCOON_ROOT_DIR/vm/$id/live.7"
	: >"$COCOON_ROOT_DIR/vm/$id/.vm.json.tmp-abc"
	ln -s ../vm/$b "$COCOON_ROOT_DIR/vm-name/gone"
	: >"$COCOON_ROOT_DIR/template/.ext4-1.1234"
	mkdir -p "$COCOON_STATE_RUN/slot"
	ln -s "$b $COCOON_ROOT_DIR" "$COCOON_STATE_RUN/slot/5"
	ln -s "$b /another/root" "$COCOON_STATE_RUN/slot/6"
	root_listing >before
	t 0 cocoon-hv gc -n
	[ "$(sort <<<"$output")" = "$(sort <<-END
		would remove vm-name gone (no such VM)
		would remove vm $a (no name points to it)
		would remove generation $id/7 (not the VM's own)
		would remove generation $id/live.7 (not the VM's own)
		would remove temporary $id/.vm.json.tmp-abc (left by a command that was killed)
		would remove template .ext4-1.1234 (left by a command that was killed)
		would remove uids 1 (their VMs do not live)
	END
	)" ]
	root_listing | diff before -
	t 0 cocoon-hv gc -o json
	[ "$(jq -r .action <<<"$output" | sort -u)" = removed ]
	[ "${#lines[@]}" = 7 ]
	t 0 cocoon-hv gc
	[ -z "$output" ]
	[ "$(ls "$COCOON_STATE_RUN/slot")" = 6 ]
	[ "$(ls "$COCOON_ROOT_DIR/vm" "$COCOON_ROOT_DIR/vm-name" | xargs)" = \
		"$COCOON_ROOT_DIR/vm: $id $COCOON_ROOT_DIR/vm-name: web" ]
	t 0 cocoon-hv inspect web
	rm "$COCOON_STATE_RUN/slot/6"
}

@test "gc: a VMM that no name stands for is killed; others run on" {
	local pid

	mini_run --name other
	mini_run --name web
	pid=$(vm_pid web)
	rm "$COCOON_ROOT_DIR/vm-name/web"
	t 4 cocoon-hv inspect web
	t 0 cocoon-hv gc
	[[ $output == *"removed vm $id "* ]]
	wait_until 5 no_process "$pid"
	hv_is other .hv.state running
	[ "$(ls "$COCOON_STATE_RUN/slot" | wc -l)" = 1 ]
	[ "$(ls "$COCOON_ROOT_DIR/vm" | wc -l)" = 1 ]
}

@test "gc: waits for who creates, and gives up" {
	local holder

	mini_create --name web >/dev/null
	mkdir "$COCOON_ROOT_DIR/vm/AAAAAAAAAAAAAAAAAAAAAAAAAA"
	exec 5>>"$COCOON_ROOT_DIR/lock"
	flock -s 5
	SECONDS=0
	t 6 cocoon-hv gc
	[ $SECONDS -lt 20 ]
	says "something is being made"
	[ -d "$COCOON_ROOT_DIR/vm/AAAAAAAAAAAAAAAAAAAAAAAAAA" ]
	# A VM that runs holds nothing.
	exec 5>&-
	t 0 eval 'cocoon-hv get web | cocoon-hv start -'
	t 0 cocoon-hv gc
	[ ! -d "$COCOON_ROOT_DIR/vm/AAAAAAAAAAAAAAAAAAAAAAAAAA" ]
}

@test "uids: each VM has its own, and they come back" {
	t 0 eval 'mini_create -n 3 --name web | cocoon-hv start -'
	[ "$(jq .hv.uid <<<"$output" | sort -u | wc -l)" = 3 ]
	[ "$(ls "$COCOON_STATE_RUN/slot" | wc -l)" = 3 ]
	# What a kill leaves is taken over, or collected.
	for i in 1 2 3; do
		kill -9 "$(monitor_pid web-$i)" "$(vm_pid web-$i)"
	done
	[ "$(ls "$COCOON_STATE_RUN/slot" | wc -l)" = 3 ]
	t 0 eval 'cocoon-hv get web-1 | cocoon-hv start -'
	t 0 cocoon-hv gc
	[ "$(ls "$COCOON_STATE_RUN/slot" | wc -l)" = 1 ]
	t 0 cocoon-hv rm --force web-1 web-2 web-3
	no_vms_left
}

@test "--privileged: recorded, shown, uid 0" {
	mini_run --name web --privileged
	[ "$(hv web '[.hv.privileged, .plan.privileged] | join(" ")')" = \
		"true true" ]
	[ "$(awk '/^Uid:/ { print $2 }' /proc/"$(vm_pid web)"/status)" = 0 ]
	t 0 cocoon-hv stop web
	t 0 cocoon-hv rm web
}

# ---- cloud images ----

# cloud_doc FORMAT [OPTION]...: a document of a cloud image of 32 MiB, up to
# plan; its firmware is the miniature's own files.
cloud_doc() {
	local format=$1

	shift
	mkdir -p fw
	echo code >fw/OVMF_CODE_4M.fd
	echo vars >fw/OVMF_VARS_4M.fd
	export COCOON_FIRMWARE_DIR=$PWD/fw
	[ -e base ] || qemu-img create -q -f "$format" base 32M
	cocoon-hv spec --nics 0 --cpu 1 --memory 64M --storage 64M "$@" c |
		jq -c --arg p "$PWD/base" --arg f "$format" '.image = {
			name: "c", type: "cloudimg",
			digest: ("sha256:" + "0" * 64),
			disk: {path: $p, format: $f, virtual_size: 33554432}}' |
		cocoon-hv plan
}

@test "cloud image: plan has UEFI firmware and an overlay" {
	t 0 cloud_doc qcow2 --data-disk size=16M
	[ "$(field "$output" '.plan.firmware | .code + " " + .vars')" = \
		"$PWD/fw/OVMF_CODE_4M.fd $PWD/fw/OVMF_VARS_4M.fd" ]
	[ "$(field "$output" '[.plan.disks[] | "\(.role) \(.file) \(.format) \(.size)"] |
		join(", ")')" = "cow overlay.qcow2 qcow2 67108864, data data-data1.raw raw 16777216, cidata seed.iso raw null" ]
	# No smaller than the image's disk, and said.
	t 0 cloud_doc qcow2 --storage 64M
	doc=$(jq -c '.image.disk.virtual_size = 134217729' <<<"$output")
	t 0 cocoon-hv plan -v <<<"$doc"
	[ "$(field "$output" '.plan.disks[0].size')" = 134218240 ]
	says "its disk is larger than --storage"
	COCOON_FIRMWARE_DIR=$PWD/none t 7 cocoon-hv plan <<<"$doc"
	says "apt-get install ovmf"
}

@test "cloud image: the overlay names its base by a relative path, only ours" {
	local run

	for format in qcow2 raw; do
		rm -f base
		cloud_doc $format --name $format | mini_parts |
			cocoon-hv create >doc
		run=$COCOON_ROOT_DIR/vm/$(jq -r .vm.id doc)/0
		[ "$(qemu-img info --output json "$run/overlay.qcow2" | jq -r '
			"\(.["backing-filename"]) \(.["backing-filename-format"]) \(.["virtual-size"])"')" = \
			"layers/base.$format $format 67108864" ]
		[ "$run/layers/base.$format" -ef base ]
		[ "$run/firmware" -ef fw/OVMF_CODE_4M.fd ]
		cmp "$run/vars.fd" fw/OVMF_VARS_4M.fd
		[ ! "$run/vars.fd" -ef fw/OVMF_VARS_4M.fd ]
	done
	# The header is made once.
	[ "$(ls "$COCOON_ROOT_DIR/template")" = \
		$'overlay-qcow2-67108864\noverlay-raw-67108864' ]
	t 0 cocoon-hv rm qcow2 raw
	[ -e base ]
}

@test "cloud image: a qcow2 disk without one is refused" {
	cloud_doc qcow2 | mini_parts | jq -c 'del(.image.disk)' >doc
	t 3 cocoon-hv create <doc
	says "qcow2 is for what is above a cloud image"
	no_vms_left
}

@test "cloud image: QEMU opens it, confined, and the base stays as it is" {
	local sum

	need /usr/share/OVMF/OVMF_CODE_4M.fd
	cloud_doc qcow2 >doc
	unset COCOON_FIRMWARE_DIR
	sum=$(sha256sum base)
	doc=$(cocoon-hv plan <doc | mini_parts | cocoon-hv create |
		cocoon-hv start -)
	id=$(field "$doc" .vm.id)
	hv_is "$id" .hv.state running
	tr '\0' ' ' <"/proc/$(vm_pid "$id")/cmdline" >argv
	grep -q 'if=pflash,unit=0,.*readonly=on.*file=firmware' argv
	grep -q 'if=pflash,unit=1,format=raw,file=vars.fd' argv
	! grep -q -e ' -kernel' argv
	t 0 cocoon-hv stop --force "$id"
	[ "$(sha256sum base)" = "$sum" ]
	# Its own files are root's again, the variables, too.
	[ "$(stat -c %u "$COCOON_ROOT_DIR/vm/$id/0/"{overlay.qcow2,vars.fd} |
		sort -u)" = 0 ]
}

@test "cloud image: debug's script makes the overlay" {
	t 0 eval 'cloud_doc raw | cocoon-hv debug'
	[[ $output == *"qemu-img create -q -u -f qcow2 -F raw -b layers/base.raw overlay.qcow2 67108864"* ]]
	[[ $output == *"cp $PWD/fw/OVMF_VARS_4M.fd vars.fd"* ]]
	sh -n <<<"$output"
}

# ---- debug, doctor ----

# Runs the script vm.sh until its guest is up, then switches that off.
by_hand() {
	local pid

	mkdir here
	mkfifo keys
	exec 6<>keys
	timeout 30 sh vm.sh "$PWD/here" <keys >out 2>err 3>&- &
	pid=$!
	wait_until 20 grep -q 'guest is up' out
	printf q >&6
	wait $pid
	exec 6>&-
}

@test "debug: a shell script that starts the guest by hand" {
	need shellcheck
	t 0 eval 'mini_doc --name web --data-disk size=16M | cocoon-hv debug'
	printf '%s\n' "$output" >vm.sh
	shellcheck vm.sh
	[[ $output != *secret* ]]
	by_hand
	grep -q 'going down' out
	[ -s here/cow.raw ] && [ -e here/data-data1.raw ]
	no_vms_left
	t 3 eval 'mini_spec | cocoon-hv debug'
	says ".plan"
}

@test "debug: paths with spaces and quotes are quoted" {
	need shellcheck
	mkdir "it's a dir"
	cp "$BATS_FILE_TMPDIR/mini/kernel" "it's a dir/kernel"
	t 0 eval 'mini_doc --name web | jq -c \
		".image.kernel.path = \"$PWD/it'"'"'s a dir/kernel\"" |
		cocoon-hv debug'
	printf '%s\n' "$output" >vm.sh
	shellcheck vm.sh
	by_hand
}

@test "doctor: a JSON line for each check" {
	t 0 cocoon-hv doctor
	[ "$(jq -r 'select(.status == "fail").check' <<<"$output")" = "" ]
	for check in root ch fc qemu hypervisor kvm tun mkfs.ext4 \
		landlock space reflink overcommit; do
		jq -e --arg c "$check" -s 'any(.check == $c)' \
			<<<"$output" >/dev/null
	done
	t 7 env PATH="$PWD" "$BIN/cocoon-hv" doctor
	[ "$(jq -r 'select(.check == "qemu").remedy' <<<"$output")" = \
		"apt-get install qemu-system-x86" ]
	[ "$(jq -r 'select(.check == "hypervisor").status' <<<"$output")" = \
		fail ]
	printf '#!/bin/sh\necho Firecracker v1.16.0\n' >fc
	chmod +x fc
	t 0 env COCOON_FC_BINARY="$PWD/fc" cocoon-hv doctor
	[[ $(jq -r 'select(.check == "fc") | .status + " " + .detail' \
		<<<"$output") == "warn $PWD/fc 1.16.0: vsock "*"#5969)" ]]
	printf '#!/bin/sh\necho Firecracker v1.16.1\n' >fc
	t 0 env COCOON_FC_BINARY="$PWD/fc" cocoon-hv doctor
	[ "$(jq -r 'select(.check == "fc").status' <<<"$output")" = ok ]
}

@test "resize: a disk of QEMU while it runs, all of it while it does not" {
	local dir n

	mini_run --data-disk size=16M,name=db
	dir=$COCOON_ROOT_DIR/vm/$id/0
	t 0 cocoon-hv resize --storage 128M "$id"
	[ "$(stat -c %s "$dir/cow.raw")" = 134217728 ]
	t 0 cocoon vm resize --disk db --size 32M "$id"
	[ "$(stat -c %s "$dir/data-db.raw")" = 33554432 ]
	hv_is "$id" '[.plan.disks[] | select(.ro | not).size] | tostring' \
		'[134217728,33554432]'
	hv_is "$id" '.spec.data_disks[0].size' 33554432
	t 7 cocoon-hv resize --disk db --size 16M "$id"
	says "only grows"
	t 2 cocoon-hv resize --memory 128M "$id"
	says "steps of 128MiB"
	t 7 cocoon-hv resize --storage 1T "$id"
	says "stop it first"
	t 4 cocoon-hv resize --disk other --size 64M "$id"
	t 2 cocoon-hv resize --disk db "$id"
	t 2 cocoon-hv resize --storage 1000000001 "$id"
	n=$(($(nproc) + 1))
	t 7 cocoon-hv resize --cpu $n "$id"
	says "exceeds host cores"
	hv_is "$id" .spec.storage 134217728
	cocoon-hv stop --force "$id" >/dev/null
	t 0 cocoon-hv resize --storage 1G --memory 128M "$id"
	[ "$(stat -c %s "$dir/cow.raw")" = 1073741824 ]
	[ "$(field "$output" .plan.memory)" = 134217728 ]
	cocoon-hv get "$id" | cocoon-hv start - >/dev/null
	wait_until 20 greeted "$id" 2
	[[ $(tr '\0' ' ' <"/proc/$(vm_pid "$id")/cmdline") == *" -m 128M,"* ]]
}
