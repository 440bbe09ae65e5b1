/* SPDX-License-Identifier: MIT */
/* The bare relay that the bus is measured against: what the same machine does with the same payloads when nothing but
 * bytes is moved. One thread, level-triggered epoll, frames of a big-endian u32 length and so many bytes; of a frame it
 * looks at the length alone. No subjects, no rules, no accounts.
 *
 * A connection begins with a frame of 8 bytes: channel and side, both u32; the answer is a frame of 1 byte. From then
 * on whatever comes from one side of a channel goes to all connections of the other side. */
#ifndef RAMAL_TOOLS_BENCH_RELAY_H
#define RAMAL_TOOLS_BENCH_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_RELAY_HELLO = 12, BENCH_RELAY_WELCOME = 5, BENCH_RELAY_SIDES = 2, BENCH_RELAY_CHANNELS = 256 };

struct bench_relay {
        pid_t pid;
        unsigned address_len;
        unsigned char address[128]; /* a struct sockaddr */
};

/* Starts it as a process that ends with ours. Its socket has no name in the file system: nothing of it can stay. cpu:
 * -1: any. like: runs where this process may run; 0: nobody. Returns 0 or a negative errno. */
int bench_relay_start(struct bench_relay *relay, bool tcp, bool spin, int cpu, pid_t like);
void bench_relay_stop(struct bench_relay *relay);
/* The processor time that it has used. Returns 0 or a negative errno. */
int bench_relay_cpu(const struct bench_relay *relay, uint64_t *ns);

/* How to wait, by the rules of broker and library: yield for at most 50 us instead of sleeping, after a row of short
 * sleeps and as long as that finds something. */
struct bench_spin {
        bool on, armed;
        unsigned short_sleeps;
};
/* look: returns how much it found within so many ms (-1: for ever), or an error. Returns the same. */
int bench_spin(struct bench_spin *spin, int (*look)(void *what, int timeout_ms), void *what);

void bench_relay_put(unsigned char at[4], uint32_t value);
uint32_t bench_relay_get(const unsigned char at[4]);

/* Large buffers, and no delay for TCP. */
void bench_relay_prepare(int fd, bool tcp);

#endif
