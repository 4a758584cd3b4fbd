#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2086
# The dispatcher: every verb and flag of the Go program, which of them are for
# later, configuration, errors as JSON.

load lib
load hv

setup_file() {
	host_netns
	have $STORE_NEEDS || return 0
	mini_build
	mini_store
}

setup() {
	host_netns
	need $STORE_NEEDS
	setup_root
	mini_setup
	mini_store_setup
	# What is installed here besides is not what is tested.
	export COCOON_FC_BINARY=/nonexistent COCOON_CH_BINARY=/nonexistent
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	net_teardown
}

# ---- help ----

@test "help, version, nothing at all" {
	t 0 cocoon help
	[[ $output == "usage: cocoon "* ]]
	[ "$(awk 'length > 80' <<<"$output")" = "" ]
	for args in --help -h "vm --help" "vm help" "image -h" \
		"vm create --help" "vm run mini --help" "gc --help" \
		"doctor -h"; do
		t 0 cocoon $args
		[[ $output == "usage: "* ]]
		[ -z "$stderr" ]
	done
	for args in "vm list --help" "image list --help" "vm logs -h" \
		"vm inspect --help" "net list --help"; do
		t 0 cocoon $args
		[[ $output == "usage: cocoon-"* ]]
	done
	for args in "vm start --help" "vm stop --help" "vm rm --help"; do
		t 0 cocoon $args
		[[ $output == "usage: "* ]]
	done
	t 2 cocoon
	[ -z "$output" ]
	t 2 cocoon vm
	t 2 cocoon vms
	says "unknown command vms"
	t 2 cocoon vm explode
	says "vm explode: unknown verb"
	t 0 cocoon version
	[[ $output =~ [0-9]+\.[0-9]+ ]]
	t 0 cocoon --version
}

@test "the manual is installed with the paths of the prefix" {
	make -s -C "$TOP" install-man prefix=/opt/x DESTDIR="$PWD/d"
	[ "$(find d -type f | wc -l)" = "$(ls "$TOP"/man/*.[1-8] | wc -l)" ]
	grep -q '/opt/x/libexec/cocoon/layer' d/opt/x/share/man/man8/cocoon-img.8
	grep -q '/opt/x/share/cocoon/os-image' d/opt/x/share/man/man8/cocoon.8
	! grep -r /usr/local d
}

@test "every verb in the help is one, and the other way round" {
	local verb listed

	t 0 cocoon help
	listed=$output
	for verb in image:{pull,import,list,inspect,rm,resolve,verify} \
		vm:{run,create,start,stop,rm,wait,list,inspect,status,console} \
		vm:{logs,debug,pause,resume,clone,restore,hibernate} \
		snapshot:{save,list,inspect,verify,rm} net:{list,check}; do
		grep "^  ${verb%:*} " <<<"$listed" | grep -qw "${verb#*:}"
		# Whatever it says of a missing operand: it is no unknown verb.
		run --separate-stderr timeout 5 cocoon ${verb/:/ } \
			nosuch --nosuch </dev/null
		[ "$status" = 2 ]
		[[ $stderr != *"unknown verb"* ]]
	done
}

# ---- the Go program's command line ----

@test "global flags, with every verb in front of it and behind it" {
	local flag value

	mkdir -p one two
	while read -r flag value; do
		t 0 cocoon $flag "$value" vm list
		t 0 cocoon "$flag=$value" vm list
		t 0 cocoon vm list $flag "$value"
		t 0 cocoon vm list "$flag=$value"
		t 0 cocoon $flag "$value" image list
		t 0 cocoon $flag "$value" version
		t 0 cocoon $flag "$value" gc
		t 0 cocoon gc $flag "$value"
	done <<-END
		--root-dir $PWD/one
		--run-dir $PWD/two
		--log-dir $PWD/two
		--cni-conf-dir /etc/cni/net.d
		--cni-bin-dir /opt/cni/bin
		--dns 8.8.8.8,1.1.1.1
		--log-level info
	END
	t 0 cocoon vm create $SMALL --root-dir "$COCOON_ROOT_DIR" \
		--run-dir "$PWD/two" --log-dir "$PWD/one" --dns 9.9.9.9 \
		--cni-conf-dir /etc/cni/net.d --cni-bin-dir /opt/cni/bin \
		--log-level warn --name web mini
	[ -e two/vm-name/web ]
	[ "$(COCOON_RUN_DIR=$PWD/two hv web \
		'[.spec.dns[0], .hv.log_dir[:-27]] | join(" ")')" = \
		"9.9.9.9 $PWD/one" ]
	t 4 cocoon vm inspect web
	t 0 cocoon --run-dir "$PWD/two" vm start web
	t 0 cocoon --run-dir "$PWD/two" vm rm --force web
	t 2 cocoon --log-level loud vm list
	t 2 cocoon --nosuch vm list
	t 2 cocoon --root-dir
	says "--root-dir wants a value"
	t 2 cocoon vm list --root-dir
	says "--root-dir wants a value"
	t 2 cocoon gc --run-dir
	says "--run-dir wants a value"
	nothing_left
}

# Of 1.5 of the Go program, line by line: verb, what becomes of it, words.
@test "vm: every verb and flag of the Go program, or when it will come" {
	local verb code words

	for verb in create run debug; do
		while read -r code words; do
			case $verb in
			debug) set -- vm debug ;;
			*) set -- vm $verb --dry-run ;;
			esac
			t $code cocoon "$@" --password-file "$PW" $words mini
			[ "$code" = 0 ] || messages 1
		done <<-END
			0 --name web
			0 --cpu 1
			0 --memory 512M
			0 --storage 10G
			0 --nics 1
			0 --nics 0
			0 --queue-size 256
			0 --disk-queue-size 256
			0 --network cocoon
			0 --user root
			0 --no-direct-io
			0 --data-disk size=16M
			0 --data-disk size=16M --data-disk size=1G,name=db
			0 --output json
			0 -o json
			7 --fc
			7 --fc=true
			0 --fc=false
			2 --fc=maybe
			0 -ojson
			2 -n 0
			2 --windows
			7 --hugepages --backend qemu
			0 --allow-vulnerable
			0 --network a --bridge b
			0 --bridge b --ip 192.0.2.5/24,192.0.2.1 --nics 2
			2 --bridge b --ip 192.0.2.5
			2 --cpu 0
			2 --memory 1K
			2 --colour red
		END
	done
	# Of debug alone.
	t 0 cocoon vm debug --password-file "$PW" --cpu 1 --max-cpu 4 \
		--balloon 64M --cow /srv/other.raw --ch cloud-hypervisor mini
	[[ $output == *"-smp 1,maxcpus=4"* ]]
	[[ $output == *"-device virtio-balloon-pci,"* ]]
	[[ $output == *"truncate -s 10737418240 /srv/other.raw"* ]]
	[[ $output == *"-drive file=/srv/other.raw,"* ]]
	t 2 cocoon vm debug --password-file "$PW" --cow 'a;b' mini
	says "--cow"
	for words in "--max-cpu 4" "--balloon 1G" "--cow /x" "--ch ch"; do
		t 2 cocoon vm create $words mini
		says "is of vm debug"
	done
	# The network and the login are not looked at by a dry run.
	t 4 cocoon vm create $SMALL --bridge br0 mini
	t 2 cocoon vm create $SMALL --user 'a b' mini
	t 0 cocoon vm create --cpu 1 --memory 64M --storage 64M --nics 0 \
		--name web --password x mini
	says "--password"
	while read -r code words; do
		t $code timeout 20 cocoon vm $words
	done <<-END
		0 list
		0 ls
		0 list -o json
		0 list -ojson
		0 list --format json
		0 ls --format table
		2 list --format xml
		0 inspect web
		0 start -o json web
		0 start --output json web
		0 start web
		0 stop --timeout 5 -o json web
		0 stop --force web
		0 stop --force --timeout 9 --output json web
		5 console --escape-char ^a web
		2 console --escape-char xx web
		0 logs web
		0 resize --storage 128M -o json web
		2 resize --storage 128M web web
		2 resize
		4 resize --storage 128M nobody
		0 rm --force -o json web
		4 rm web
		4 start web
		4 stop web
		4 inspect web
		4 clone --name b snap
		4 restore web snap
		4 restore web -- snap
		2 restore web --
		2 restore web
		2 restore -n 2 web snap
		2 restore --pull web snap
		2 restore --user root web snap
		2 create --wait mini
		2 create --rm mini
		2 run --wait=maybe mini
		2 hibernate
		2 start
		2 stop
		2 rm
		2 inspect
		2 create
		2 run
		2 debug
		2 create one two
		2 start --nosuch web
		2 stop --timeout x web
		2 rm --nosuch web
	END
	nothing_left
}

@test "a switch with =true and =false; a value that sticks to its letter" {
	t 0 cocoon vm create --dry-run=true $SMALL --name web mini
	t 0 cocoon vm create --dry-run=false -n3 $SMALL --nics 0 --name web mini
	[ "$(awk '{ print $3 }' <<<"$output" | xargs)" = "web-1 web-2 web-3" ]
	t 0 cocoon vm list -ojson
	[ "$(jq -r '.[].vm.name' <<<"$output" | sort | xargs)" = \
		"web-1 web-2 web-3" ]
	t 0 cocoon vm rm -ojson web-1 web-2 web-3
	t 4 cocoon -v vm clone --on-demand snap
	[[ $stderr == *" --restore-mode=ondemand "* ]]
	t 4 cocoon -v vm clone --on-demand --on-demand=false snap
	[[ $stderr != *--restore-mode* ]]
	t 4 cocoon -v vm clone --on-demand --restore-mode copy snap
	[[ $stderr == *" --restore-mode copy |"* ]]
	t 0 cocoon --verbose=false vm list --quiet=false
	[ -z "$stderr" ]
	t 2 cocoon --verbose=perhaps vm list
	t 0 cocoon snapshot save -h web
	[[ $output == usage:* ]]
	t 2 cocoon gc this
	says "this"
	t 2 cocoon gc --nosuch
	t 2 cocoon doctor this
	nothing_left
}

@test "vm status: its flags" {
	mini_create --name web >/dev/null
	for words in "" "-n 1" "--interval 1" "--event" \
		"--event --format json" "--event --interval 2 web"; do
		run timeout 1 "$BIN/cocoon" vm status $words
		[ "$status" = 124 ]
		[[ $output == *web* ]]
	done
	t 2 cocoon vm status --interval x
}

@test "image: every verb and flag of the Go program, or when it will come" {
	local code words

	while read -r code words; do
		t $code cocoon image $words
	done <<-END
		0 import other $BATS_FILE_TMPDIR/mini/layout
		0 list
		0 ls
		0 list -o json
		0 list --format json
		0 list --format table
		0 inspect mini
		4 inspect nobody
		0 rm other
		4 rm nobody
		4 pull debian
		4 pull --force debian
		2 rm
		2 import
		3 import one $BATS_TEST_FILENAME
		4 import one two three
	END
	t 3 cocoon image import one </dev/null
	t 2 cocoon image pull
}

@test "what later issues bring is refused by name" {
	for words in \
		"snapshot export s" "snapshot import f" \
		"completion bash"; do
		t 2 cocoon $words
		says "${words%% *}"
		messages 1
	done
	t 4 cocoon vm create --pull always $SMALL mini
	says "pull"
	t 2 cocoon vm create --pull sometimes $SMALL mini
	t 0 cocoon vm create --pull never $SMALL --nics 0 mini
	t 0 cocoon vm create --pull missing $SMALL --nics 0 --name web mini
}

@test "--user-data is of create and run, and gets to the seed" {
	printf '#!/bin/sh\n' >ud
	t 0 cocoon vm create $SMALL --nics 0 --name web --user-data ud mini
	[ "$(cocoon-hv get web | jq -r .boot.user_data)" = '#!/bin/sh' ]
	t 0 cocoon vm inspect web
	[[ $output != *'#!/bin/sh'* ]]
	t 4 cocoon vm create $SMALL --nics 0 --user-data=none mini
}

# ---- secrets ----

@test "--password is told to one stage by a descriptor, and warned of" {
	local d='sec ret"$`\'"'"

	t 0 cocoon -v vm create --cpu 1 --memory 64M --storage 64M --nics 0 \
		--name web --password "$d" mini
	[[ $stderr == *"list of processes"* ]]
	[[ $stderr == *"cocoon-hint boot --password-fd 5"* ]]
	[[ $stderr != *'sec ret'* ]]
	hash=$(cocoon-hv get web | jq -r .boot.password_hash)
	[ "$(python3 -W ignore -c 'import crypt, sys
print(crypt.crypt(sys.argv[1], sys.argv[2]))' "$d" "$hash")" = "$hash" ] ||
		[ "$(perl -e 'print crypt($ARGV[0], $ARGV[1])' "$d" \
			"$hash")" = "$hash" ]
	# The hash is shown nowhere, and neither is the password.
	for words in "vm inspect web" "vm list -o json" \
		"vm start -o json web" "vm stop -o json web"; do
		t 0 cocoon $words
		[[ $output$stderr != *"$hash"* ]]
		[[ $output$stderr != *'sec ret'* ]]
	done
	t 0 cocoon -v vm create $SMALL --nics 0 -o json mini
	[[ $output$stderr != *'$6$'* ]] && [[ $output$stderr != *'$y$'* ]]
	t 0 cocoon vm debug $SMALL mini
	[[ $output != *'$6$'* ]] && [[ $output != *'$y$'* ]]
}

@test "without key or password: a warning that nobody can log in" {
	t 0 cocoon vm create --cpu 1 --memory 64M --storage 64M --nics 0 mini
	says "log in"
	messages 1
	t 0 cocoon -q vm create --cpu 1 --memory 64M --storage 64M --nics 0 mini
	[ -z "$stderr" ]
}

# ---- what it shows ----

@test "-v shows the pipelines, each stage that runs and no other" {
	t 0 cocoon -v vm create $SMALL --nics 0 --name web mini
	[ "$(grep '^+' <<<"$stderr")" = "+ cocoon-hv spec --cpu 1 --memory 64M --storage 64M --nics 0 --name web mini | cocoon-img resolve | cocoon-hv plan | cocoon-net add | cocoon-hint boot --password-file $PW | cocoon-hv create --as created" ]
	t 0 cocoon -v vm list
	[ "$(grep '^+' <<<"$stderr")" = "+ cocoon-hv list" ]
	t 0 cocoon vm rm web -v
	[ "$(grep '^+' <<<"$stderr")" = \
		"+ cocoon-hv rm web | cocoon-net del | cocoon-hv report --as deleted" ]
	t 0 cocoon vm create $SMALL --nics 0 --name web mini
	[ -z "$stderr" ]
}

@test "words with blanks and quotes go through the shell as they are" {
	local odd="it's \$(touch x) \"a\" \`touch y\` ; touch z"

	t 4 cocoon vm create $SMALL "$odd"
	says 'it'
	t 2 cocoon vm create $SMALL --name "$odd" mini
	t 4 cocoon vm start "$odd"
	t 4 cocoon vm create -f "$odd"
	t 4 cocoon vm inspect "$odd"
	[ ! -e x ] && [ ! -e y ] && [ ! -e z ]
	mkdir "$odd"
	cp "$PW" "$odd/pw"
	t 0 cocoon vm create --cpu 1 --memory 64M --storage 64M --nics 0 \
		--password-file "$odd/pw" --name web -- mini
	t 4 cocoon vm create $SMALL -- --name
	# Globs are nobody's.
	touch 'web' 'mini'
	t 4 cocoon vm inspect '*'
}

@test "-o json: documents of what was made, ids of what was done" {
	t 0 cocoon vm create $SMALL -n 2 --name web -o json mini
	[ "$(jq -r '[.vm.name, .hv.state, (.net.nics | length)] | join(" ")' \
		<<<"$output")" = "$(printf 'web-%s created 1\n' 1 2)" ]
	t 0 cocoon vm start -o json web-1
	[ "$(field "$output" '.succeeded | length')" = 1 ]
	t 0 cocoon vm rm --force --output=json web-1 web-2
	[ "$(field "$output" '.succeeded | length')" = 2 ]
	t 2 cocoon vm create -o xml mini
	t 2 cocoon vm start -o xml web
	nothing_left
}

@test "a root directory that cannot be written: why" {
	mkdir ro
	mount -t tmpfs -o ro tmpfs ro
	COCOON_ROOT_DIR=$PWD/ro t 7 cocoon vm create mini
	umount ro
	says "not writable: is its file system read-only?"
}

@test "--filter: jq behind list and inspect" {
	mini_create -n 2 --name web >/dev/null
	t 0 cocoon vm list --filter '.[].vm.name'
	[ "$(xargs <<<"$output")" = "web-1 web-2" ]
	t 0 cocoon vm inspect web-1 --filter=.hv.state
	[ "$output" = created ]
	t 4 cocoon vm inspect nosuch --filter .vm.name
	[ -z "$output" ]
	mkdir nojq
	ln -s /bin/sh nojq/sh
	t 7 env PATH="$PWD/nojq:$BIN" "$BIN/cocoon" vm list --filter .
	says "jq"
}

@test "doctor: a line for each check; as JSON; --fix is asked for" {
	run cocoon doctor
	[ "$status" -le 7 ]
	grep -qE '^(OK  |WARN|FAIL)  qemu: ' <<<"$output"
	run cocoon doctor -o json
	[ "$(jq -r 'has("check") and has("status") and has("detail")' \
		<<<"$output" | sort -u)" = true ]
	t 2 cocoon doctor --nosuch
}

@test "gc: all tools, -n only says" {
	t 0 cocoon vm create $SMALL --name web mini
	id=$(hv web .vm.id)
	rm "$COCOON_ROOT_DIR/vm-name/web"
	t 0 cocoon gc -n
	[[ $output == *"vm $id"* ]]
	[ -d "$COCOON_ROOT_DIR/vm/$id" ]
	# Once is enough.
	t 0 cocoon gc
	nothing_left
	t 0 cocoon image list
	[[ $output == *mini* ]]
	t 2 cocoon gc --nosuch
}

@test "gc --cni: a network by name, of the plugins alone" {
	t 4 cocoon gc --cni nosuch
	says '"nosuch": there is no such one'
	t 4 cocoon gc -n --all --cni=nosuch
	t 2 cocoon gc --cni
}

@test "gc --all: networks that somebody made by hand" {
	t 0 eval 'echo "{\"v\":1,\"vm\":{\"id\":\"AAAAAAAAAAAAAAAAAAAAAAAAAA\"},
		\"spec\":{\"nics\":1}}" | cocoon-net add'
	t 0 cocoon gc
	[ "$(nets)" = 1 ]
	t 0 cocoon gc --all
	nothing_left
}

# ---- configuration ----

@test "--config: what the file says, unless environment or flag do" {
	local dir=$PWD

	unset COCOON_ROOT_DIR
	cat >c.json <<-END
		{"root_dir": "$dir/a", "dns": "9.9.9.9", "pool_size": 4,
		 "stop_timeout_seconds": 7, "log": {"level": "info"}}
	END
	spec() {
		cocoon "$@" vm create --dry-run mini
	}
	mkdir a b c
	cp -al "$BATS_FILE_TMPDIR/mini/store/image" a/
	cp -al "$BATS_FILE_TMPDIR/mini/store/image" b/
	t 0 spec --config c.json
	[ "$(field "$output" '.spec.dns[0]')" = 9.9.9.9 ]
	[ "$(field "$output" .image.kernel.path | cut -d/ -f1-$(($(
		tr -dc / <<<"$dir" | wc -c) + 2)))" = "$dir/a" ]
	COCOON_ROOT_DIR=$dir/b t 0 spec --config c.json
	[[ $output == *"\"$dir/b/image/"* ]]
	COCOON_ROOT_DIR=$dir/c t 0 spec --config c.json --root-dir "$dir/b"
	[[ $output == *"\"$dir/b/image/"* ]]
	t 0 spec --root-dir "$dir/b" --config c.json
	[[ $output == *"\"$dir/b/image/"* ]]
	COCOON_DNS=1.2.3.4 t 0 spec --config=c.json
	[ "$(field "$output" '.spec.dns[0]')" = 1.2.3.4 ]
	t 0 cocoon --config c.json -v vm list
	t 4 cocoon --config c.json -v vm stop nobody
	[[ $stderr == *"--timeout 7"* ]]
}

@test "--config: what is wrong with it is said" {
	echo '{"root_dir": ""}' >a.json
	t 2 cocoon --config a.json vm list
	says "root_dir"
	echo '{"stop_timeout_seconds": 0}' >b.json
	t 2 cocoon --config b.json vm list
	says "stop_timeout_seconds"
	echo '{"colour": "red"}' >c.json
	t 0 cocoon --config c.json vm list
	says "unknown key colour"
	echo '{"root_dir"' >d.json
	t 2 cocoon --config d.json vm list
	t 4 cocoon --config missing.json vm list
	echo x >e.ini
	t 2 cocoon --config e.ini vm list
	echo '{"root_dir": "a'"'"'; touch x; $(touch y)"}' >f.json
	unset COCOON_ROOT_DIR
	run cocoon --config f.json vm list
	[ ! -e x ] && [ ! -e y ]
	echo '{"use_firecracker": true}' >g.json
	export COCOON_ROOT_DIR=$PWD/root
	t 7 cocoon --config g.json vm create --dry-run $SMALL mini
	t 0 cocoon --config g.json vm create --dry-run $SMALL \
		--backend qemu mini
}

@test "--config: YAML" {
	need yq
	printf 'dns: 9.9.9.9\nlog:\n  level: info\n' >c.yaml
	t 0 cocoon --config c.yaml vm create --dry-run mini
	[ "$(field "$output" '.spec.dns[0]')" = 9.9.9.9 ]
}

@test "--config: TOML" {
	need tomlq
	printf 'dns = "9.9.9.9"\n[log]\nlevel = "info"\n' >c.toml
	t 0 cocoon --config c.toml vm create --dry-run mini
	[ "$(field "$output" '.spec.dns[0]')" = 9.9.9.9 ]
}

# ---- errors ----

@test "COCOON_ERRORS=json: one object on stderr, with the exit status" {
	local code words

	mini_create --name web >/dev/null
	export COCOON_ERRORS=json
	while read -r code words; do
		t $code cocoon $words
		messages 1
		[ "$(field "$stderr" '.error.code')" = "$code" ]
		[ "$(field "$stderr" '.error.message | length > 5')" = true ]
	done <<-END
		2 vm explode
		2 nosuch
		2 --nosuch vm list
		2 vm create
		2 vm create --cpu 0 mini
		2 vm create --nosuch mini
		2 vm create one two
		4 vm create --password-file $PW nothere
		7 vm create --password-file $PW --cpu 1000 mini
		5 vm create $SMALL --name web mini
		4 vm create $SMALL --network nosuch mini
		4 vm create -f nothere
		4 vm inspect nobody
		4 vm start nobody
		4 vm stop nobody
		4 vm rm nobody
		4 vm logs nobody
		5 vm console web
		4 vm wait nobody
		2 vm wait
		4 image inspect nobody
		4 image rm nobody
		2 vm list --format xml
		4 --config nothere.json vm list
		2 vm create --name a"b\\c mini
	END
}

@test "exit statuses of what the host does not allow" {
	COCOON_ROOT_DIR=/proc/nosuch t 7 cocoon vm create $SMALL mini
	says "/proc/nosuch"
	messages 1
	mkdir empty
	cp "$BIN/cocoon" empty/
	PATH=/usr/bin:/bin run -127 --separate-stderr empty/cocoon vm list
	says "cocoon-hv: not found"
	# By a link from elsewhere: the tools beside the script are not there,
	# PATH's are taken.
	ln -s "$BIN/cocoon" link
	t 0 ./link vm list
}
