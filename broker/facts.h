/* SPDX-License-Identifier: MIT */
/* What the process costs, and what other processes are called. */
#ifndef RAMAL_FACTS_H
#define RAMAL_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* User and system time so far, in microseconds. */
uint64_t facts_cpu_us(void);
/* Memory that would be free without us, in bytes; 0 = unknown (no /proc). */
uint64_t facts_memory_bytes(void);
/* The name that a process has given itself (/proc/PID/comm): for people, never for rights. Returns false if it cannot
 * be read. */
bool facts_process(uint32_t pid, char *ret, size_t size);

#endif
