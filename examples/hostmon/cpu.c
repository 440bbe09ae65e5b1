/* SPDX-License-Identifier: MIT */
#include "cpu.h"

#include <errno.h>

#define CPUS_MAX 65536u

/* Old kernels have fewer columns. Guests (columns 9 and 10) are in user and nice already. */
static bool parse_total(struct text line, struct cpu *ret) {
        uint64_t ticks[8] = {0};

        if (text_numbers(&line, ticks, 8) < 4)
                return false;
        ret->user = ticks[0];
        ret->nice = ticks[1];
        ret->system = ticks[2];
        ret->idle = ticks[3];
        ret->iowait = ticks[4];
        ret->irq = ticks[5];
        ret->softirq = ticks[6];
        ret->steal = ticks[7];
        return true;
}

int cpu_parse(struct text text, struct cpu *ret) {
        struct text line, word;
        bool found = false;

        *ret = (struct cpu){0};
        while (text_line(&text, &line)) {
                if (!text_word(&line, &word) || !text_begins(word, "cpu"))
                        continue;
                if (word.len > 3)
                        ret->cpus += ret->cpus < CPUS_MAX;
                else if (!found)
                        found = parse_total(line, ret);
        }
        return found ? 0 : -EBADMSG;
}

/* The kernel's iowait, and any counter when a processor leaves, may go backwards. */
static double grown(uint64_t before, uint64_t now) {
        return now > before ? (double)(now - before) : 0;
}

double cpu_busy_percent(const struct cpu *before, const struct cpu *now) {
        double idle = grown(before->idle, now->idle) + grown(before->iowait, now->iowait);
        double busy = grown(before->user, now->user) + grown(before->nice, now->nice) +
                      grown(before->system, now->system) + grown(before->irq, now->irq) +
                      grown(before->softirq, now->softirq) + grown(before->steal, now->steal);

        return idle + busy > 0 ? 100 * busy / (idle + busy) : 0;
}
