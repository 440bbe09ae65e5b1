/* SPDX-License-Identifier: MIT */
/* From a whole frame to whoever handles it. */
#ifndef RAMAL_ROUTER_H
#define RAMAL_ROUTER_H

#include "message.h"
#include "peer.h"

/* One frame of a peer that is being read. Whatever it holds: the peer's state tells what became of it. */
void router_frame(struct peer *, const struct rml_raw *);

/* It broke the protocol there: it is sent away. offset: in the frame. */
void router_malformed(struct peer *, const struct rml_raw *, size_t offset, const char *reason);

/* What a data frame that was scanned is to those that route it. message_done() it. */
static inline struct message router_message(struct peer *peer, const struct rml_raw *raw,
                                            const struct rml_data *data) {
        struct message message = {
                .sender = &peer->sender,
                .tail = data->tail,
                .subject = data->subject,
                .charge = raw->len,
                .blob = raw->blob,
                .receivers = 1,
                .from = peer,
                .account = peer->account,
                .plain = data->tail.len <= MESSAGE_COPY_MAX && !data->time_left_us,
        };

        if (data->key.len) {
                message.keyed = true;
                message.key = rml_hash(&peer->core->config.seed, data->key.data, data->key.len);
        }
        return message;
}

#endif
