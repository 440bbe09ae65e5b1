/* SPDX-License-Identifier: MIT */
/* What fuzz_core.c makes of its bytes, for whoever wants to run it in another way. */
#ifndef RAMAL_TEST_CORE_SCRIPT_H
#define RAMAL_TEST_CORE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* inside: as in struct world; over: called when the bytes are at their end, before all are told to leave. Both may be
 * NULL. */
void core_script(const uint8_t *data, size_t size, void (*inside)(bool), void (*over)(void));

#endif
