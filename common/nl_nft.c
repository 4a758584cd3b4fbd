/* SPDX-License-Identifier: MIT */
/*
 * nf_tables, as much as needs no nft(8): is the table there, and delete it.
 * Running nft costs 10 ms, asking the kernel 20 us.
 */
#include "nl_net.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

static void nft_msg(struct nl *nl, int type, int family, uint16_t res_id,
    const char *what, const char *name)
{
	struct nlmsghdr *msg =
	    nl_msg(nl, type, 0, "nftables table %s: %s", name, what);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(msg, sizeof(*g));

	g->nfgen_family = (uint8_t)family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res_id);
}

static int nft_type(int type)
{
	return NFNL_SUBSYS_NFTABLES << 8 | type;
}

struct search {
	const char *comment;
	bool ours;
};

/* A comment is a TLV of its own: type 0, length, the text and a NUL. */
static int find_comment(const struct nlattr *attr, void *arg)
{
	struct search *s = arg;
	const unsigned char *data = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);
	size_t want = strlen(s->comment) + 1;

	if (mnl_attr_get_type(attr) == NFTA_TABLE_USERDATA && len >= want + 2 &&
	    data[0] == 0 && data[1] == want &&
	    !memcmp(data + 2, s->comment, want))
		s->ours = true;
	return MNL_CB_OK;
}

static int parse_table(const struct nlmsghdr *msg, void *arg)
{
	if (msg->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg))
		mnl_attr_parse(msg, sizeof(struct nfgenmsg), find_comment, arg);
	return 0;
}

int nl_nft_table_get(struct nl *nl, const char *name, const char *comment,
    bool *ours, struct err *err)
{
	struct search s = {comment, false};
	int r;

	nft_msg(nl, nft_type(NFT_MSG_GETTABLE), NFPROTO_INET, 0, "look it up",
	    name);
	nl_put_str(nl, NFTA_TABLE_NAME, name);
	r = nl_get(nl, parse_table, &s, err);
	if (r > 0)
		*ours = s.ours;
	return r;
}

struct count {
	const char *table, *chain;
	bool in_table, in_chain;
	int n;
};

static int match_rule(const struct nlattr *attr, void *arg)
{
	struct count *c = arg;
	int type = mnl_attr_get_type(attr);

	if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
		return MNL_CB_OK;
	if (type == NFTA_RULE_TABLE)
		c->in_table = !strcmp(mnl_attr_get_str(attr), c->table);
	if (type == NFTA_RULE_CHAIN)
		c->in_chain = !strcmp(mnl_attr_get_str(attr), c->chain);
	return MNL_CB_OK;
}

static int count_rule(const struct nlmsghdr *msg, void *arg)
{
	struct count *c = arg;

	if (!msg) {
		c->n = 0;
		return 0;
	}
	c->in_table = c->in_chain = false;
	if (msg->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg))
		mnl_attr_parse(msg, sizeof(struct nfgenmsg), match_rule, c);
	c->n += c->in_table && c->in_chain;
	return 0;
}

int nl_nft_rules(
    struct nl *nl, const char *table, const char *chain, struct err *err)
{
	struct count c = {.table = table, .chain = chain};

	nft_msg(nl, nft_type(NFT_MSG_GETRULE), NFPROTO_INET, 0, "list rules",
	    table);
	nl->last->nlmsg_flags |= NLM_F_DUMP;
	nl_put_str(nl, NFTA_RULE_TABLE, table);
	nl_put_str(nl, NFTA_RULE_CHAIN, chain);
	return nl_dump(nl, count_rule, &c, err) < 0 ? -1 : c.n;
}

void nl_nft_table_del(struct nl *nl, const char *name)
{
	nft_msg(nl, NFNL_MSG_BATCH_BEGIN, AF_UNSPEC, NFNL_SUBSYS_NFTABLES,
	    "begin", name);
	nft_msg(
	    nl, nft_type(NFT_MSG_DELTABLE), NFPROTO_INET, 0, "delete", name);
	nl_put_str(nl, NFTA_TABLE_NAME, name);
	/* Before 6.10 the end of a transaction is not acknowledged. */
	nl->last->nlmsg_flags |= NLM_F_ACK;
	nl->end_seq = nl->seq;
	nft_msg(nl, NFNL_MSG_BATCH_END, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, "end",
	    name);
}
