/* SPDX-License-Identifier: MIT */
/* Times, amounts and counts, as people write and read them. */
#ifndef RAMAL_TOOLS_UNITS_H
#define RAMAL_TOOLS_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum { UNITS_TEXT = 32 };

/* "5s", "200ms", "1.5s", "2m", "1h", "10us", "never" (UINT64_MAX) to nanoseconds, more than 0. Returns 0, -EINVAL,
 * -ERANGE. */
int units_parse_time(const char *text, uint64_t *ns);
/* "4096", "64K", "8M", "1G" (powers of 1024; "KiB" and "MiB" too) to bytes, more than 0. Returns 0, -EINVAL,
 * -ERANGE. */
int units_parse_size(const char *text, uint64_t *bytes);
/* Decimal digits only. Returns 0, -EINVAL, -ERANGE. */
int units_parse_count(const char *text, uint64_t *count);

/* "83 us", "1.24 ms", "12.5 s". */
const char *units_time(char text[UNITS_TEXT], uint64_t ns);
/* The two largest units: "3d 4h", "5m 12s", "8s". */
const char *units_age(char text[UNITS_TEXT], uint64_t us);
/* "812 B", "3.4 KiB". */
const char *units_size(char text[UNITS_TEXT], uint64_t bytes);

#endif
