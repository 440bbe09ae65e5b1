/* SPDX-License-Identifier: MIT */
/* Memory that runs out, for programs linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup: it fails
 * inside the core alone (or whatever oom_inside() is put around), never in the test around it. */
#ifndef RAMAL_TEST_OOM_H
#define RAMAL_TEST_OOM_H

#include <stdbool.h>
#include <stdint.h>

#define OOM_EVER UINT64_MAX

/* From here on all of this is one with the children that are forked, but for oom_inside(): that is each one's own. */
void oom_share(void);
/* For struct world.inside. */
void oom_inside(bool inside);
/* So many more allocations in the core go well, then so many fail. */
void oom_plan(uint64_t good, uint64_t bad);
/* The next one at that place fails, and no other. */
void oom_at(const void *site);
void oom_off(void);
/* How many have failed since the start. */
uint64_t oom_failures(void);
/* And how many there were in the core. */
uint64_t oom_allocations(void);

/* Where in the program it was asked for, by return address. An array of OOM_SITES; free entries have no address. */
#define OOM_SITES 1024u
struct oom_site {
        const void *at;
        uint64_t seen, failed;
};
const struct oom_site *oom_sites(void);

#endif
