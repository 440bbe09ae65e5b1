/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include <string.h>

const char *const listen_policies[] = {"least_pending", "round_robin", "primary", "random", "key", NULL};

bool listen_is_pattern(const char *text) {
        for (;;) {
                size_t length = strcspn(text, ".");
                if (length == 1 && (*text == '*' || (*text == '>' && text[1] == 0)))
                        return true;
                if (text[length] == 0)
                        return false;
                text += length + 1;
        }
}

int listen_confirm(const struct ctl *ctl, ramal_sub *const *subs, const bool *done, size_t count) {
        uint64_t deadline = ctl_deadline(ctl);
        for (size_t i = 0; i < count && !*done; i++) {
                ramal_error err = {.code = 0};
                char pattern[256];
                /* Callbacks run while we wait, and may free the handle. */
                snprintf(pattern, sizeof(pattern), "%s", ramal_sub_pattern(subs[i]));
                int r = ramal_sub_confirm(subs[i], deadline, &err);
                if (r < 0 && !*done)
                        return ctl_error(ctl, pattern, r, &err);
        }
        return 0;
}
