/* SPDX-License-Identifier: MIT */
#include "iso.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Sectors. The first 16 belong to whatever boots from the medium. */
enum {
	AT_PRIMARY = 16,
	AT_JOLIET,
	AT_END,
	AT_PATHS, /* four of them: little and big endian, primary and Joliet */
	AT_DIR = AT_PATHS + 4,
	AT_JOLIET_DIR,
	AT_DATA
};

#define PATH_TABLE_LEN 10
/* The root directory's modes and a file's, as lstat(2) shows them. */
#define DIR_MODE 040555
#define FILE_MODE 0100444

/* An identifier of the primary directory: "NAME.EXT;1". */
struct ident {
	char text[ISO_MAX_NAME + 4];
};

static void le32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static void be32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static void both32(unsigned char *p, uint32_t v)
{
	le32(p, v);
	be32(p + 4, v);
}

static void both16(unsigned char *p, unsigned int v)
{
	p[0] = p[3] = (unsigned char)v;
	p[1] = p[2] = (unsigned char)(v >> 8);
}

/* 1980-01-01 00:00:00, since the same input gives the same image. */
static void put_time(unsigned char *p)
{
	static const unsigned char epoch[] = {80, 1, 1, 0, 0, 0, 0};

	memcpy(p, epoch, sizeof(epoch));
}

static uint32_t sectors(size_t bytes)
{
	return (uint32_t)((bytes + ISO_SECTOR - 1) / ISO_SECTOR);
}

/* One dot, the last, may stay; what is no letter or digit becomes '_'. */
static struct ident make_ident(const char *name)
{
	const char *dot = strrchr(name, '.');
	struct ident id = {{0}};
	size_t n = 0;

	for (; *name; name++) {
		if (name == dot)
			id.text[n++] = '.';
		else if (*name >= 'a' && *name <= 'z')
			id.text[n++] = (char)(*name - 'a' + 'A');
		else
			id.text[n++] =
			    *name >= '0' && *name <= '9' ? *name : '_';
	}
	if (!dot)
		id.text[n++] = '.';
	return id;
}

static bool good_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-");

	return !s[n] && n > 0 && n <= ISO_MAX_NAME && *s != '.' && *s != '-';
}

const char *iso_bad_name(const struct iso_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct ident a;

		if (!good_name(files[i].name))
			return "want a-z 0-9 . -, 28 at most, the first a "
			       "letter or digit";
		a = make_ident(files[i].name);
		for (size_t k = 0; k < i; k++) {
			struct ident b = make_ident(files[k].name);

			if (!strcmp(a.text, b.text))
				return "too much like another one";
		}
	}
	return NULL;
}

size_t iso_size(const struct iso_file *files, size_t n)
{
	size_t total = AT_DATA;

	for (size_t i = 0; i < n; i++)
		total += sectors(files[i].len);
	return (total + 1) / 2 * 2 * ISO_SECTOR;
}

/* A directory record without its system use; returns its length so far. */
static size_t put_record(unsigned char *p, uint32_t extent, size_t len,
    bool dir, const void *ident, size_t ident_len)
{
	size_t n = 33 + ident_len;

	both32(p + 2, extent);
	both32(p + 10, (uint32_t)len);
	put_time(p + 18);
	p[25] = dir ? 2 : 0;
	both16(p + 28, 1);
	p[32] = (unsigned char)ident_len;
	memcpy(p + 33, ident, ident_len);
	n += n & 1;
	p[0] = (unsigned char)n;
	return n;
}

/* Rock Ridge, PX: mode, links, owner; TF: the time of modification. */
static size_t put_posix(unsigned char *p, uint32_t mode, uint32_t links)
{
	static const unsigned char px[] = {'P', 'X', 36, 1};
	static const unsigned char tf[] = {'T', 'F', 12, 1, 2};

	memcpy(p, px, sizeof(px));
	both32(p + 4, mode);
	both32(p + 12, links);
	memcpy(p + 36, tf, sizeof(tf));
	put_time(p + 41);
	return 48;
}

/* NM: the name as it is. */
static size_t put_name(unsigned char *p, const char *name)
{
	size_t len = strlen(name);

	memcpy(p, "NM", 2);
	p[2] = (unsigned char)(5 + len);
	p[3] = 1;
	memcpy(p + 5, name, len);
	return 5 + len;
}

/* "." and "..", the first of which says that Rock Ridge is in use. */
static size_t put_dots(unsigned char *p, uint32_t extent, bool rock_ridge)
{
	static const unsigned char sp[] = {'S', 'P', 7, 1, 0xbe, 0xef, 0};
	static const unsigned char er[] = {'E', 'R', 18, 1, 10, 0, 0, 1, 'R',
	    'R', 'I', 'P', '_', '1', '9', '9', '1', 'A'};
	size_t at = 0;

	for (unsigned char dot = 0; dot < 2; dot++) {
		unsigned char *r = p + at;
		size_t n = put_record(r, extent, ISO_SECTOR, true, &dot, 1);

		if (rock_ridge && !dot) {
			memcpy(r + n, sp, sizeof(sp));
			n += sizeof(sp);
		}
		if (rock_ridge)
			n += put_posix(r + n, DIR_MODE, 2);
		if (rock_ridge && !dot) {
			memcpy(r + n, er, sizeof(er));
			n += sizeof(er);
		}
		n += n & 1;
		r[0] = (unsigned char)n;
		at += n;
	}
	return at;
}

static size_t put_primary(
    unsigned char *p, const struct iso_file *f, uint32_t extent)
{
	struct ident id = make_ident(f->name);
	size_t n;

	strcat(id.text, ";1");
	n = put_record(p, extent, f->len, false, id.text, strlen(id.text));
	n += put_posix(p + n, FILE_MODE, 1);
	n += put_name(p + n, f->name);
	n += n & 1;
	p[0] = (unsigned char)n;
	return n;
}

/* Big-endian UCS-2 of ASCII text. */
static size_t ucs2(unsigned char *p, const char *s)
{
	size_t n = 0;

	for (; *s; s++) {
		p[n++] = 0;
		p[n++] = (unsigned char)*s;
	}
	return n;
}

static size_t put_joliet(
    unsigned char *p, const struct iso_file *f, uint32_t extent)
{
	unsigned char name[2 * ISO_MAX_NAME];
	size_t len = ucs2(name, f->name);

	return put_record(p, extent, f->len, false, name, len);
}

/* A field of text: blanks behind; in Joliet's UCS-2 if wide. */
static void put_text(unsigned char *p, size_t len, const char *s, bool wide)
{
	for (size_t i = 0; i < len; i++)
		p[i] = wide && i % 2 == 0 ? 0 : ' ';
	if (wide)
		ucs2(p, s);
	else
		memcpy(p, s, strlen(s));
}

/* A volume descriptor (ECMA-119, 8.4 and 8.5; offsets from 0). */
static void put_descriptor(
    unsigned char *p, bool joliet, const char *label, size_t bytes)
{
	static const int text_fields[][2] = {{8, 32}, {40, 32}, {190, 128},
	    {318, 128}, {446, 128}, {574, 128}, {702, 37}, {739, 37},
	    {776, 37}};
	static const unsigned char root;
	uint32_t paths = AT_PATHS + (joliet ? 2 : 0);

	p[0] = joliet ? 2 : 1;
	memcpy(p + 1, "CD001\1", 6);
	for (size_t i = 0; i < sizeof(text_fields) / sizeof(*text_fields); i++)
		put_text(p + text_fields[i][0], (size_t)text_fields[i][1], "",
		    joliet);
	put_text(p + 40, 32, label, joliet);
	both32(p + 80, (uint32_t)(bytes / ISO_SECTOR));
	if (joliet)
		memcpy(p + 88, "%/E", 3);
	both16(p + 120, 1);
	both16(p + 124, 1);
	both16(p + 128, ISO_SECTOR);
	both32(p + 132, PATH_TABLE_LEN);
	le32(p + 140, paths);
	be32(p + 148, paths + 1);
	put_record(p + 156, joliet ? AT_JOLIET_DIR : AT_DIR, ISO_SECTOR, true,
	    &root, 1);
	memcpy(p + 813, "1980010100000000", 16);
	memcpy(p + 830, "1980010100000000", 16);
	memcpy(p + 847, "0000000000000000", 16);
	memcpy(p + 864, "0000000000000000", 16);
	p[881] = 1;
}

/* The root's entry, little endian and, a sector on, big endian. */
static void put_path_tables(unsigned char *p, uint32_t dir)
{
	p[0] = p[ISO_SECTOR] = 1; /* length of the identifier, a zero */
	le32(p + 2, dir);
	be32(p + ISO_SECTOR + 2, dir);
	p[6] = p[ISO_SECTOR + 7] = 1; /* the parent: itself */
}

static int compare(const struct iso_file *a, const struct iso_file *b)
{
	struct ident x = make_ident(a->name), y = make_ident(b->name);

	return strcmp(x.text, y.text);
}

/* Directories are sorted; the index of the k-th file. */
static size_t kth(const struct iso_file *files, size_t n, size_t k)
{
	for (size_t i = 0; i < n; i++) {
		size_t before = 0;

		for (size_t j = 0; j < n; j++)
			before += compare(&files[j], &files[i]) < 0;
		if (before == k)
			return i;
	}
	return 0;
}

void iso_write(const struct iso_file *files, size_t n, const char *label,
    unsigned char *out)
{
	unsigned char *dir = out + AT_DIR * ISO_SECTOR;
	unsigned char *joliet = out + AT_JOLIET_DIR * ISO_SECTOR;
	uint32_t at = AT_DATA;
	size_t bytes = iso_size(files, n);

	put_descriptor(out + AT_PRIMARY * ISO_SECTOR, false, label, bytes);
	put_descriptor(out + AT_JOLIET * ISO_SECTOR, true, label, bytes);
	memcpy(out + AT_END * ISO_SECTOR, "\377CD001\1", 7);
	put_path_tables(out + AT_PATHS * ISO_SECTOR, AT_DIR);
	put_path_tables(out + (AT_PATHS + 2) * ISO_SECTOR, AT_JOLIET_DIR);
	dir += put_dots(dir, AT_DIR, true);
	joliet += put_dots(joliet, AT_JOLIET_DIR, false);
	for (size_t k = 0; k < n; k++) {
		const struct iso_file *f = &files[kth(files, n, k)];

		dir += put_primary(dir, f, at);
		joliet += put_joliet(joliet, f, at);
		memcpy(out + (size_t)at * ISO_SECTOR, f->data, f->len);
		at += sectors(f->len);
	}
}
