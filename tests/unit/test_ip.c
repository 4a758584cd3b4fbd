/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "attr.h"
#include "ip.h"
#include "tap.h"

static void test_parse(void)
{
	static const struct {
		const char *text;
		int want, prefix;
	} t[] = {
	    {"10.0.0.1/24", 0, 24},
	    {"10.0.0.1/0", 0, 0},
	    {"fd00::1/64", 0, 64},
	    {"fd00::1/128", 0, 128},
	    {"10.0.0.1", -1, 0},
	    {"10.0.0.1/33", -1, 0},
	    {"10.0.0.1/", -1, 0},
	    {"10.0.0.1/+1", -1, 0},
	    {"10.0.0/24", -1, 0},
	    {"fd00::1/129", -1, 0},
	    {"fd00::g/64", -1, 0},
	    {"/24", -1, 0},
	    {"", -1, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct ip ip;
		int r = ip_parse_cidr(t[i].text, &ip);

		ok(r == t[i].want && (r < 0 || (int)ip.prefix == t[i].prefix),
		    "\"%s\"", t[i].text);
	}
}

static void test_within(void)
{
	static const struct {
		const char *addr, *net;
		bool want;
	} t[] = {
	    {"10.0.0.1", "10.0.0.9/24", true},
	    {"10.0.1.1", "10.0.0.9/24", false},
	    {"10.0.1.1", "10.0.0.9/23", true},
	    {"10.0.0.1", "10.0.0.2/32", false},
	    {"1.2.3.4", "0.0.0.0/0", true},
	    {"fd00::1", "fd00::2/64", true},
	    {"fd00:0:0:1::1", "fd00::2/64", false},
	    {"fd00::1", "10.0.0.1/0", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct ip a, net;

		ok(ip_parse(t[i].addr, &a) == 0 &&
			ip_parse_cidr(t[i].net, &net) == 0 &&
			ip_within(&a, &net) == t[i].want,
		    "%s in %s", t[i].addr, t[i].net);
	}
}

int main(void)
{
	char mask[16];

	test_parse();
	test_within();
	ip_netmask(17, mask);
	ok(!strcmp(mask, "255.255.128.0"), "netmask of 17");
	ip_netmask(0, mask);
	ok(!strcmp(mask, "0.0.0.0"), "netmask of 0");
	return done();
}
