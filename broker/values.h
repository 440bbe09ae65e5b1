/* SPDX-License-Identifier: MIT */
/* Values as people write them: 64K, 5s, 0660, adm. All parsers return 0, or -EINVAL / -ERANGE (the number does not
 * fit) / -ENOENT (no such user or group); nothing is written then. */
#ifndef RAMAL_VALUES_H
#define RAMAL_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Decimal digits alone. */
int value_count(const char *text, uint64_t *ret);
/* Digits and K, M or G (1024s); without one, bytes. */
int value_bytes(const char *text, uint64_t *ret);
/* Digits and us, ms, s, min or h, as nanoseconds; 0 needs no unit, and is `off`, too. */
int value_time(const char *text, uint64_t *ret_ns);
/* yes, no, true, false, on, off, 1, 0. */
int value_bool(const char *text, bool *ret);
/* Octal digits, at most 0777. */
int value_mode(const char *text, mode_t *ret);
/* A number or a name. */
int value_uid(const char *text, uint32_t *ret);
int value_gid(const char *text, uint32_t *ret);

/* The reverse, for --help and messages: "8M", "5s". Return buf. */
char *value_format_bytes(uint64_t bytes, char *buf, size_t size);
char *value_format_time(uint64_t ns, char *buf, size_t size);

/* How unlike two words are: letters to change, add or leave out; words above 64 bytes are as unlike as can be. */
unsigned value_distance(const char *a, const char *b);

#endif
