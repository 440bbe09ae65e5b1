/* SPDX-License-Identifier: MIT */
/* Names as one token of a subject. */
#ifndef HOSTMON_TOKEN_H
#define HOSTMON_TOKEN_H

#include <stddef.h>

#define TOKEN_BYTES 65u

/* Letters, digits and -+@!%:=~ stay; everything else, also "." and the wildcards, becomes "_". At most 64 bytes are
 * looked at. An empty name becomes "_". Returns buf. */
char *token_make(const char *name, char buf[TOKEN_BYTES]);

#endif
