/* SPDX-License-Identifier: MIT */
/* What peers do while the core's memory fails: together they reach every allocation of broker/core and proto. */
#ifndef RAMAL_TEST_CORE_SCENES_H
#define RAMAL_TEST_CORE_SCENES_H

void scene_begin(const void *);
void scene_enter(const void *);
void scene_publish(const void *);
void scene_overflow(const void *);
void scene_large(const void *);
void scene_groups(const void *);
void scene_keys(const void *);
void scene_redelivery(const void *);
void scene_calls(const void *);
void scene_stuck(const void *);
void scene_streams(const void *);
void scene_names(const void *);
void scene_block(const void *);
void scene_expiry(const void *);
void scene_foreign(const void *);
void scene_api(const void *);
void scene_api_large(const void *);
void scene_turns(const void *);
void scene_many(const void *);
void scene_stop(const void *);

#endif
