/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <string.h>

#include "hint.h"
#include "log.h"
#include "texts.h"

int hint_bind(const struct json_object *doc, struct hint *h, struct err *err)
{
	if (doc_bind(doc, "vm", &doc_vm_table, &h->vm, err) < 0 ||
	    doc_bind(doc, "spec", &doc_spec_table, &h->spec, err) < 0 ||
	    doc_bind(doc, "image", &doc_image_table, &h->image, err) < 0 ||
	    doc_bind(doc, "plan", &doc_plan_table, &h->plan, err) < 0 ||
	    doc_bind_optional(doc, "net", &doc_net_table, &h->net, err) < 0 ||
	    doc_bind_optional(doc, "boot", &doc_boot_table, &h->boot, err) <
		0 ||
	    doc_bind_optional(doc, "hv", &doc_hv_table, &h->hv, err) < 0)
		return -1;
	h->oci = !strcmp(h->image.type, "oci");
	return 0;
}

/* A VM's name may have characters that a host name must not. */
void hint_hostname(struct hint *h)
{
	size_t n = strlen(h->vm.name);

	for (size_t i = 0; i < n; i++)
		h->hostname[i] = h->vm.name[i] == '_' ? '-' : h->vm.name[i];
	while (n > 1 && !isalnum((unsigned char)h->hostname[n - 1]))
		n--;
	h->hostname[n] = '\0';
}

/* At the first boot only: start would say it again and again. */
static void warn_no_login(struct boot_opts *o, const struct hint *h)
{
	if (h->boot.password_hash || h->boot.keys.n || o->login.warned)
		return;
	log_warn("boot: nobody can log in: give --ssh-key-file or "
		 "--password-file");
	o->login.warned = true;
}

static void warn_no_reader(struct boot_opts *o)
{
	const struct login *l = &o->login;

	if (l->warned ||
	    (!o->user && !l->hash[0] && !l->n_keys && !l->user_data))
		return;
	log_warn("boot: a Windows guest reads neither user nor password nor "
		 "keys from here");
	o->login.warned = true;
}

static int build(struct hint *h, struct json_object *doc, struct err *err)
{
	AUTO_BUF struct buf ours = {0}, cmdline = {0}, meta = {0}, user = {0},
			    net = {0}, conf = {0}, script = {0};

	if (h->oci && cmdline_build(h, &cmdline, err) < 0)
		return -1;
	seed_meta_data(h, &meta);
	seed_user_data(h, &ours);
	user_data_merge(h, &ours, &user);
	seed_network_config(h, &net);
	seed_cocoon_conf(h, &conf);
	if (h->oci)
		seed_script(h, &script);
	h->boot.cmdline = cmdline.data;
	h->boot.seed = (struct doc_seed){
	    meta.data, user.data, net.data, conf.data, script.data};
	doc_put(doc, "boot", &doc_boot_table, &h->boot);
	return 0;
}

int boot_filter(struct call *call, struct json_object *doc, struct err *err)
{
	struct boot_opts *o = call->opts;
	struct hint h = {0};
	bool first = !jval_get(doc, "boot");

	if (login_read(o, err) < 0 || hint_bind(doc, &h, err) < 0)
		return -1;
	if (h.spec.windows) {
		/* Nothing in it reads a Linux command line or a seed. */
		warn_no_reader(o);
		doc_put(doc, "boot", &doc_boot_table, &(struct doc_boot){0});
		return 0;
	}
	login_apply(o, &h);
	if (hint_check(&h, err) < 0 || hint_check_login(&h.boot, err) < 0)
		return -1;
	hint_hostname(&h);
	if (build(&h, doc, err) < 0)
		return -1;
	if (first)
		warn_no_login(o, &h);
	return 0;
}
