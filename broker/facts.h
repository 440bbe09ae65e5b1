/* SPDX-License-Identifier: MIT */
/* What the process costs. */
#ifndef RAMAL_FACTS_H
#define RAMAL_FACTS_H

#include <stdint.h>

/* User and system time so far, in microseconds. */
uint64_t facts_cpu_us(void);
/* Memory that would be free without us, in bytes; 0 = unknown (no /proc). */
uint64_t facts_memory_bytes(void);

#endif
