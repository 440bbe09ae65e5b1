/* SPDX-License-Identifier: MIT */
/* Requests: ask for an answer, and give one. Each request ends exactly once, with a reply or with a reason.
 *
 * The broker's own API is served in the same way: ramal_request(conn, "$SYS.api.list", ...); its payloads are the
 * messages of api.proto.
 *
 * Unless it says otherwise every function here: must be called by the connection's owner; borrows its arguments for
 * the call; answers -ECHILD after fork and -ESHUTDOWN when the connection is RAMAL_CLOSED. */
#ifndef RAMAL_RPC_H
#define RAMAL_RPC_H

#include "pubsub.h"

RAMAL_BEGIN

/* ---- ask ---- */

typedef struct ramal_call ramal_call;

typedef struct ramal_request_options {
        size_t size;                 /* sizeof(ramal_request_options) */
        const char *type;            /* what the payload is */
        const ramal_header *headers; /* header_count of them */
        size_t header_count;
        const char *key;             /* RAMAL_POLICY_KEY chooses the member of a group by it; at most 255 bytes */
} ramal_request_options;

/* Asks for one answer and waits for it. Blocks; callbacks run meanwhile.
 * data: `len` bytes, copied.  deadline: travels with the request.  ret: the reply, owned, ramal_msg_unref(); may be
 * NULL.
 * Returns 0. Else there is no reply: -ENOENT (nobody serves it), -EREMOTEIO (the service says no: err->remote and
 * err->message), -EHOSTDOWN (the service died; err->may_have_run), -ETIMEDOUT, -EACCES, -EDQUOT, -ECONNRESET,
 * -EDEADLK (inside a callback, and only this connection serves it), -EMSGSIZE, -EINVAL, -EAGAIN (too much is
 * unsent), -ENOTCONN, -EINTR, -EPROTOTYPE (the service answers with a stream: use ramal_request_async()), -ENOMEM.
 * After all but a reply the service is told that nobody waits any more. */
RAMAL_API int ramal_request(ramal_conn *conn, const char *subject, const void *data, size_t len, uint64_t deadline,
                            ramal_msg **ret, ramal_error *err);
/* options may be NULL. */
RAMAL_API int ramal_request_with(ramal_conn *conn, const char *subject, const void *data, size_t len,
                                 const ramal_request_options *options, uint64_t deadline, ramal_msg **ret,
                                 ramal_error *err);

#define RAMAL_MORE 1

/* One piece of the answer.
 * result: RAMAL_MORE: a reply, and more may come; 0: the last reply; negative: the request ended so, as for
 * ramal_request().  reply: borrowed; NULL where result is negative, but with -EREMOTEIO, where it is the service's
 * payload. error: NULL unless result is negative. */
typedef void (*ramal_reply_fn)(ramal_conn *conn, int result, const ramal_msg *reply, const ramal_error *error,
                               void *user);

/* Asks and does not wait. fn is called from the loop: for each reply of a stream and exactly once with a result
 * that is not RAMAL_MORE, unless the call is cancelled or the connection closed by us.
 * fn: NULL: the replies are taken with ramal_call_next().
 * ret: the handle. With fn it is valid until fn is called for the last time (inside that call it is not any more)
 * or ramal_call_cancel(); without, until ramal_call_cancel(). NULL: not wanted (-EINVAL where fn is NULL too).
 * Returns 0; nothing was taken with -EAGAIN, -ENOTCONN, -EMSGSIZE, -EINVAL, -ENOMEM, -ETIMEDOUT (the deadline has
 * passed already). */
RAMAL_API int ramal_request_async(ramal_conn *conn, const char *subject, const void *data, size_t len,
                                  uint64_t deadline, ramal_reply_fn fn, void *user, ramal_call **ret);
/* options may be NULL. */
RAMAL_API int ramal_request_async_with(ramal_conn *conn, const char *subject, const void *data, size_t len,
                                       const ramal_request_options *options, uint64_t deadline, ramal_reply_fn fn,
                                       void *user, ramal_call **ret);

/* The next reply of a call without callback. Blocks until the deadline (0: not at all); callbacks of others run.
 * ret: owned, ramal_msg_unref(); NULL where there is none. With -EREMOTEIO it is the service's payload.
 * Returns RAMAL_MORE: a reply, and more may come; 0: the last one; negative: the call ended without another reply,
 * as for ramal_request(); -ENODATA: it had ended before; -ECANCELED: cancelled in a callback meanwhile (the handle is
 * gone). -ETIMEDOUT, -EINTR, and inside a callback -ENOTCONN and -ECONNRESET may also be this function's own, and the
 * call goes on: ramal_call_ended() tells. */
RAMAL_API int ramal_call_next(ramal_call *call, uint64_t deadline, ramal_msg **ret, ramal_error *err);
/* Has the call ended, and is all taken? */
RAMAL_API bool ramal_call_ended(const ramal_call *call);

/* Frees the handle. A call that has not ended is given up: its callback will not run, and the service is told. NULL is
 * allowed. Returns NULL. */
RAMAL_API ramal_call *ramal_call_cancel(ramal_call *call);

/* ---- answer ---- */

/* A request that somebody made to us. It is ours until one of the functions that *consume* it: ramal_reply(),
 * ramal_fail(), ramal_req_drop(); each request must be consumed exactly once, in the callback or at any time later,
 * even when it was cancelled. ramal_close() frees those that are left. */
typedef struct ramal_req ramal_req;

/* req: ours to consume. */
typedef void (*ramal_req_fn)(ramal_conn *conn, ramal_req *req, void *user);

/* Serves a subject or a pattern: fn is called for each request. A second service on the same pattern is refused
 * (-EEXIST), unless both are in one group (ramal_serve_with()). Confirmation, refusal, reconnecting and `ret`: as
 * ramal_subscribe().
 * Returns 0; -EINVAL (the pattern; or fn is NULL), -ENOMEM. */
RAMAL_API int ramal_serve(ramal_conn *conn, const char *pattern, ramal_req_fn fn, void *user, ramal_sub **ret);
RAMAL_API int ramal_serve_with(ramal_conn *conn, const ramal_interest *interest, ramal_req_fn fn, void *user,
                               ramal_sub **ret);

/* Claims a well-known name: serves `name` and everything below it (`name.>`) as its only owner. While somebody else
 * owns it we stand in line (RAMAL_SUB_QUEUED) and take over when it goes, unless flags say otherwise. It is claimed
 * again after a reconnect.
 * name: at most 28 tokens and 200 bytes, no wildcard, not beginning with "$".  flags: sum of RAMAL_NAME_*.
 * fn: NULL: requests are answered with an error of ours; the name only shows that we are here.
 * Returns 0; -EINVAL, -ENOMEM. ramal_sub_confirm() and on_state tell who owns it. */
RAMAL_API int ramal_claim(ramal_conn *conn, const char *name, unsigned flags, ramal_req_fn fn, void *user,
                          ramal_sub **ret);
/* interest->pattern is the name. */
RAMAL_API int ramal_claim_with(ramal_conn *conn, const ramal_interest *interest, ramal_req_fn fn, void *user,
                               ramal_sub **ret);

/* Receives what is sent to this very connection: publishes and requests on "$PEER.<number>.>" (ramal_conn_peer()).
 * Either function may be NULL. Calling it again replaces both. Others of the same user may send there; across users
 * only a peer that serves a call of ours, or whose call we serve.
 * Returns 0; -ENOMEM. */
RAMAL_API int ramal_on_peer(ramal_conn *conn, ramal_msg_fn on_message, ramal_req_fn on_request, void *user);

/* The request itself. Borrowed, valid until the request is consumed; but what was read from it (pointers to data,
 * subject, ...) during the callback is gone when the callback has returned: ask again. NULL only where it could not
 * be kept for want of memory. */
RAMAL_API const ramal_msg *ramal_req_msg(const ramal_req *req);
RAMAL_API ramal_conn *ramal_req_conn(const ramal_req *req);
/* When the caller gives up; RAMAL_NEVER where it waits for ever. */
RAMAL_API uint64_t ramal_req_deadline(const ramal_req *req);

/* Calls fn when the answer is not wanted any more: cancelled by the caller, its deadline, its end (RAMAL_WHY_GONE,
 * also for the loss of our own connection), or a reply that was too large. At once after the present callback where
 * that has happened already. The request must still be consumed, there or later. fn: NULL takes it back. */
typedef void (*ramal_cancelled_fn)(ramal_req *req, ramal_why why, void *user);
RAMAL_API void ramal_req_on_cancel(ramal_req *req, ramal_cancelled_fn fn, void *user);
/* Is the answer not wanted any more? */
RAMAL_API bool ramal_req_cancelled(const ramal_req *req);

/* Answers with `len` bytes and consumes the request, also where it fails: with -EMSGSIZE and -ENOMEM the caller gets an
 * error instead. Not limited by out_bytes_max: the broker limits how many calls are in flight.
 * Returns 0; -ECANCELED (nobody waits any more), -ECONNRESET (the connection was lost since), -EMSGSIZE, -ENOMEM. */
RAMAL_API int ramal_reply(ramal_req *req, const void *data, size_t len);

typedef struct ramal_reply_options {
        size_t size;                 /* sizeof(ramal_reply_options) */
        const char *type;            /* what the payload is */
        const ramal_header *headers; /* header_count of them */
        size_t header_count;
} ramal_reply_options;
/* options may be NULL. Also -EINVAL (headers, type): consumed, and the caller gets an error. */
RAMAL_API int ramal_reply_with(ramal_req *req, const void *data, size_t len, const ramal_reply_options *options);

/* Sends one piece of a streamed answer and keeps the request; the stream is ended by ramal_reply() or ramal_fail().
 * Returns 0. Nothing was sent with: -EAGAIN (256 KiB are not confirmed by the caller; ramal_req_on_writable() tells
 * when to go on), -ECANCELED, -ECONNRESET, -EMSGSIZE, -ENOMEM, -EINVAL. */
RAMAL_API int ramal_reply_more(ramal_req *req, const void *data, size_t len);
RAMAL_API int ramal_reply_more_with(ramal_req *req, const void *data, size_t len, const ramal_reply_options *options);

/* Calls fn from the loop when there is room for more after a -EAGAIN of ramal_reply_more(); also where the room came
 * before fn was set. fn: NULL takes it back. */
typedef void (*ramal_req_writable_fn)(ramal_req *req, void *user);
RAMAL_API void ramal_req_on_writable(ramal_req *req, ramal_req_writable_fn fn, void *user);

/* Answers with an error of the service's own, and consumes the request. The caller gets -EREMOTEIO with code and
 * text.
 * code: any but 0 (0 is taken as 1).  format: printf's; the text is cut at 1023 bytes and must be UTF-8 (else it is
 * left out).
 * Returns as ramal_reply(). */
RAMAL_API int ramal_fail(ramal_req *req, uint32_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Consumes the request without an answer of the service's own: the caller gets -EREMOTEIO with RAMAL_REMOTE_DROPPED
 * (or nothing where it does not wait any more). NULL is allowed. Returns NULL. */
RAMAL_API ramal_req *ramal_req_drop(ramal_req *req);

/* Codes that the library itself gives to ramal_fail(). */
#define RAMAL_REMOTE_DROPPED UINT32_C(0xffffffff)   /* ramal_req_drop() */
#define RAMAL_REMOTE_NO_HANDLER UINT32_C(0xfffffffe) /* no function for requests there, or not any more */
#define RAMAL_REMOTE_BAD_REPLY UINT32_C(0xfffffffd)  /* the service's reply could not be sent */

RAMAL_END

#endif
