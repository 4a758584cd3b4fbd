/* SPDX-License-Identifier: MIT */
/* Children with few rights, and the one that hashes (digest.c). */
#ifndef COCOON_IMG_SANDBOX_H
#define COCOON_IMG_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct proc;
struct sandbox;
/* caps: bits of capability(7); libraries are allowed. Owned by the caller. */
struct sandbox *sandbox_new(uint64_t caps, struct err *err);
void sandbox_free(struct sandbox **b);
#define AUTO_SANDBOX CLEANUP(sandbox_free)
int sandbox_allow_fd(struct sandbox *b, int fd, unsigned int access,
    const char *what, struct err *err);
int sandbox_allow(
    struct sandbox *b, const char *path, unsigned int access, struct err *err);
/* Another uid, nobody's. */
void sandbox_drop(struct sandbox *b);
void sandbox_limit(struct sandbox *b, int resource, uint64_t value);
/* It may use the network, and is nobody. */
void sandbox_net(struct sandbox *b);
/* Runs p in it; b must live until p was spawned. */
void sandbox_use(struct sandbox *b, struct proc *p);
/* The same directory through a mount of its own, on which no device can be
 * opened; -1: not to be had here. */
int sandbox_nodev(int dir_fd);

/*
 * Runs the helper `layer`, whose first words are in p's argv, in the box (of
 * that much memory), with n descriptors as its last operands, and takes the
 * object that it says. Digest and size of what it says are checked: digest.c.
 */
struct json_object;
int helper_run(struct proc *p, struct sandbox *box, uint64_t memory,
    const int *fds, size_t n, struct json_object **said, struct err *err);
int helper_digest(const struct json_object *said, char digest[72],
    uint64_t *size, struct err *err);

/* SHA-256 of a file from its beginning, by the helper: "sha256:..." */
int digest_of_fd(int fd, char digest[72], uint64_t *size, struct err *err);
int digest_of_text(
    const char *text, size_t len, char digest[72], struct err *err);

#endif
