/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "hint.h"
#include "log.h"
#include "text.h"
#include "texts.h"

#define MAX_FILE ((size_t)1 << 20)

/* Lines of the key files; not in the options, which every start zeroes. */
static char key_text[LOGIN_MAX_TEXT];

/*
 * SHA-512 crypt: every guest's libcrypt since 2007 knows it, yescrypt only
 * those since 2020. Fresh random salt; a few milliseconds.
 */
static int hash_password(struct login *l, const char *password, struct err *err)
{
	struct crypt_data *data;
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash;

	if (!*password)
		return err_set(err, ERR_USAGE, "the password is empty");
	if (strlen(password) >= CRYPT_MAX_PASSPHRASE_SIZE)
		return err_set(err, ERR_USAGE,
		    "the password has more than %d bytes",
		    CRYPT_MAX_PASSPHRASE_SIZE - 1);
	for (const char *p = password; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(err, ERR_USAGE,
			    "the password has a control character");
	if (!crypt_gensalt_rn("$6$", 0, NULL, 0, salt, sizeof(salt)))
		return err_sys(err, errno, "password: make a salt");
	data = xcalloc(1, sizeof(*data));
	hash = crypt_rn(password, salt, data, sizeof(*data));
	if (hash)
		memcpy(l->hash, hash, strlen(hash) + 1);
	explicit_bzero(data, sizeof(*data));
	free_ptr(&data);
	return hash ? 0 : err_sys(err, errno, "password: hash");
}

/* The first line of what fd has; ends with the file or a newline. */
static int hash_line_of(
    struct login *l, int fd, const char *what, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	size_t len;
	int r = read_all(fd, &text, 65536, what, err);

	if (r == 0) {
		buf_add(&text, "", 1);
		len = strcspn(text.data, "\n");
		if (len == text.len - 1 || text.data[len] == '\n') {
			text.data[len] = '\0';
			r = hash_password(l, text.data, err);
		} else {
			r = err_set(
			    err, ERR_USAGE, "the password has a NUL byte");
		}
		if (r < 0)
			err_wrap(err, "%s", what);
	}
	if (text.data)
		explicit_bzero(text.data, text.len);
	return r;
}

static int read_password(struct boot_opts *o, struct err *err)
{
	AUTO_FD int fd = -1;

	if (!!o->password + !!o->password_file + !!o->password_fd > 1)
		return err_set(err, ERR_USAGE,
		    "give one of --password, --password-file, --password-fd");
	if (o->password) {
		log_warn("boot: --password shows the password to every "
			 "process here; better: --password-file");
		return hash_password(&o->login, o->password, err);
	}
	if (o->password_fd) {
		fd = (int)o->password_fd;
		return hash_line_of(&o->login, fd, "--password-fd", err);
	}
	if (!o->password_file)
		return 0;
	fd = open(o->password_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, errno, "%s: open", o->password_file);
	return hash_line_of(&o->login, fd, o->password_file, err);
}

/* One line of a key file, without blanks at its ends. */
static int add_key(
    struct login *l, char *line, const char *file, int number, struct err *err)
{
	size_t len;

	for (char *tab = line; (tab = strchr(tab, '\t'));)
		*tab = ' ';
	line += strspn(line, " ");
	for (len = strlen(line); len && strchr(" \r", line[len - 1]);)
		line[--len] = '\0';
	if (!len || *line == '#')
		return 0;
	if (!strncmp(line, "-----BEGIN", 10))
		return err_set(err, ERR_USAGE,
		    "%s: a private key: give the public one, mostly %s.pub",
		    file, file);
	if (!valid_key_line(line))
		return err_set(err, ERR_USAGE,
		    "%s:%d: not a public key: want ssh-..., ecdsa-... or "
		    "sk-..., then its base64 text",
		    file, number);
	if (l->n_keys == LOGIN_MAX_KEYS || l->used + len >= sizeof(key_text))
		return err_set(err, ERR_USAGE,
		    "%s:%d: too many keys: at most %d in %zu bytes", file,
		    number, LOGIN_MAX_KEYS, LOGIN_MAX_TEXT);
	memcpy(key_text + l->used, line, len + 1);
	l->keys[l->n_keys++] = key_text + l->used;
	l->used += len + 1;
	return 0;
}

static int read_keys(struct login *l, const char *file, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t before = l->n_keys;
	int number = 1;

	if (fd < 0)
		return err_sys(err, errno, "%s: open", file);
	if (read_all(fd, &text, MAX_FILE, file, err) < 0)
		return -1;
	buf_add(&text, "", 1);
	if (strlen(text.data) != text.len - 1)
		return err_set(err, ERR_USAGE, "%s: not a text file", file);
	for (char *line = text.data, *next; line; line = next, number++) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (add_key(l, line, file, number, err) < 0)
			return -1;
	}
	if (l->n_keys == before)
		return err_set(err, ERR_USAGE, "%s: no key in it", file);
	return 0;
}

static int read_options(struct boot_opts *o, struct err *err)
{
	struct login *l = &o->login;

	if (o->user && !valid_user(o->user))
		return err_set(err, ERR_USAGE,
		    "invalid --user \"%.40s\": want a-z or _, then at most 31 "
		    "of a-z 0-9 _ -",
		    o->user);
	if (read_password(o, err) < 0)
		return -1;
	if (o->user_data_file &&
	    user_data_read(o->user_data_file, &l->user_data, err) < 0)
		return -1;
	for (size_t i = 0; i < o->key_files.n; i++)
		if (read_keys(l, o->key_files.v[i], err) < 0)
			return -1;
	return 0;
}

int login_read(struct boot_opts *o, struct err *err)
{
	struct login *l = &o->login;

	if (!l->ready && read_options(o, &l->failed) < 0)
		l->n_keys = 0;
	l->ready = true;
	if (!l->failed.code)
		return 0;
	*err = l->failed;
	return -1;
}

void login_apply(const struct boot_opts *o, struct hint *h)
{
	const struct login *l = &o->login;

	if (o->user)
		h->boot.user = o->user;
	if (!h->boot.user)
		h->boot.user = "root";
	if (l->hash[0])
		h->boot.password_hash = l->hash;
	if (l->user_data)
		h->boot.user_data = l->user_data;
	if (l->n_keys)
		h->boot.keys =
		    (struct jstrs){(const char **)l->keys, l->n_keys};
}
