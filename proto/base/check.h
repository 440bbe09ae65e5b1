/* SPDX-License-Identifier: MIT */
/* Invariants of our own, kept in release builds. Never applied to what a peer sent. */
#ifndef RML_CHECK_H
#define RML_CHECK_H

#include <stddef.h>
#include <stdlib.h>

#define rml_check(condition)                                                                                           \
        do {                                                                                                           \
                if (!(condition))                                                                                      \
                        abort();                                                                                       \
        } while (0)

#define rml_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define RML_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
