/* SPDX-License-Identifier: MIT */
#include "credit.h"

#include "answer.h"
#include "event.h"

#define CREDIT_FRAME_BYTES 32u /* the longest CREDIT{publish_bytes} */

void credit_refuse(struct peer *peer, struct refusal *refusal) {
        *refusal = (struct refusal){
                .code = RAMAL__V1__CODE__CODE_WOULD_BLOCK,
                .text = "no publish credit is left: readers that hold this connection back are behind",
                .limit = quota_key(peer->account, QUOTA(publish_credit_bytes)),
                .value = credit_max(peer),
        };
        peer->core->counters.would_block++;
        event_limit(peer, refusal->text, refusal->limit, QUOTA(publish_credit_bytes), refusal->value);
}

void credit_take(struct peer *peer, struct body *body) {
        body->publisher = peer;
        rml_list_push_back(&peer->held, &body->held_link);
        peer->credit_used += body->charge;
        peer->core->credit_bytes += body->charge;
}

static void body_freed(struct body *body) {
        struct peer *peer = body->publisher;

        rml_check(peer->credit_used >= body->charge && peer->core->credit_bytes >= body->charge);
        peer->credit_used -= body->charge;
        peer->core->credit_bytes -= body->charge;
        rml_list_remove(&body->held_link);
        body->publisher = NULL;
}

void credit_told_soon(struct peer *peer) {
        peer->credit_due = true;
        peer_touch(peer);
}

/* Its sender may be waiting for just these bytes. */
void credit_return(struct body *body) {
        struct peer *peer = body->publisher;

        body_freed(body);
        peer->credit_untold += body->charge;
        credit_told_soon(peer);
}

void credit_tell_all(struct peer *peer) {
        Ramal__V1__Credit credit = RAMAL__V1__CREDIT__INIT;

        peer->credit_due = false;
        if (!peer->credit_untold)
                return;
        credit.publish_bytes = peer->credit_untold;
        peer->credit_untold = 0;
        answer_now(peer, RML_CREDIT, 0, &credit.base);
}

void credit_tell(struct peer *peer) {
        if (peer->credit_due && peer_has_room(peer, CREDIT_FRAME_BYTES))
                credit_tell_all(peer);
}

void credit_forget(struct peer *peer) {
        struct rml_list *first;

        while ((first = rml_list_first(&peer->held)))
                body_freed(rml_list_entry(first, struct body, held_link));
        peer->credit_due = false;
        peer->credit_untold = 0;
}
