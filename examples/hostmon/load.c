/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <errno.h>
#include <string.h>

/* "2/345" */
static bool parse_threads(struct text word, struct load *ret) {
        const char *slash = memchr(word.at, '/', word.len);
        uint64_t running, threads;

        if (!slash)
                return false;
        size_t len = (size_t)(slash - word.at);
        if (!text_number((struct text){word.at, len}, &running) ||
            !text_number((struct text){slash + 1, word.len - len - 1}, &threads) || running > UINT32_MAX ||
            threads > UINT32_MAX)
                return false;
        ret->running = (uint32_t)running;
        ret->threads = (uint32_t)threads;
        return true;
}

int load_parse(struct text text, struct load *ret) {
        double *averages[] = {&ret->one, &ret->five, &ret->fifteen};
        struct text line, word;

        *ret = (struct load){0};
        if (!text_line(&text, &line))
                return -EBADMSG;
        for (size_t i = 0; i < 3; i++)
                if (!text_word(&line, &word) || !text_decimal(word, averages[i]))
                        return -EBADMSG;
        if (text_word(&line, &word) && !parse_threads(word, ret))
                ret->running = ret->threads = 0; /* less to tell, but the averages stand */
        return 0;
}
