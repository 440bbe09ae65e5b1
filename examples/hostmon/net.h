/* SPDX-License-Identifier: MIT */
/* /proc/net/dev: the counters of the network interfaces. */
#ifndef HOSTMON_NET_H
#define HOSTMON_NET_H

#include "text.h"

#define NET_NAME_BYTES 32u
#define NET_MAX 64u

struct net {
        char name[NET_NAME_BYTES];
        uint64_t received_bytes, received_packets, received_errors, received_dropped;
        uint64_t sent_bytes, sent_packets, sent_errors, sent_dropped;
};

/* Fills at most `max`; lines that it does not understand are left out. Returns how many interfaces there are, which
 * may be more than `max`. */
size_t net_parse(struct text text, struct net *ret, size_t max);

/* The one with that name, or NULL. */
const struct net *net_find(const struct net *list, size_t n, const char *name);

#endif
