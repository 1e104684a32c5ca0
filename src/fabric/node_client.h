/* The fabric's side of its nodes: one JSON line to a node, one JSON line back. The embedded node is
 * asked over a unix socket, a remote one over the connection that it keeps open. All operations of
 * a node are idempotent: what was not answered is asked again. Loop's thread. */
#ifndef FABRIC_NODE_CLIENT_H
#define FABRIC_NODE_CLIENT_H

#include <uv.h>
#include "codec/json.h"

#define NODE_LINE_MAX   ((size_t)64 << 10) /* with its end */
#define NODE_LOCAL      "local"            /* name of the embedded node */
#define NODE_NAME_MAX   63
#define NODE_TIMEOUT_MS 10000

struct nodes;

/* Valid during the call. */
struct node_answer {
    /* HSM_OK: {"ok":true,...}. What the node refused: HSM_E_CONFLICT "conflict", HSM_E_NOT_FOUND
     * "not-found", HSM_E_BAD_PARAMETER "bad", HSM_E_AGAIN "busy", HSM_E_INTERNAL "failed". No
     * answer: HSM_E_UNAVAILABLE (not reached, or it hung up), HSM_E_TIMEOUT, HSM_E_MALFORMED. */
    hsm_err err;
    char text[512];      /* why, for people; "" after HSM_OK */
    struct json_doc doc; /* the whole line; no tokens (n == 0) when there was no answer */
};
typedef void (*node_answer_fn)(void *ctx, const struct node_answer *a);

/* The line in a node's answer, without its end. Pure; the tokens are the caller's. */
void node_answer_parse(struct bytes line, struct json_tok *tok, size_t cap,
                       struct node_answer *ret);

/* socket: of the embedded node. */
HSM_MUST_USE hsm_err nodes_open(uv_loop_t *loop, const char *socket, struct nodes **ret);
/* Tests: ask() is called instead of any node; it answers by nodes_answer_line() or the like, now or
 * later. */
typedef void (*nodes_ask_fn)(void *ctx, const char *node, struct bytes line, node_answer_fn fn,
                             void *fn_ctx);
HSM_MUST_USE hsm_err nodes_open_fake(nodes_ask_fn ask, void *ctx, struct nodes **ret);
/* Whoever reaches the other nodes; NULL: nobody. */
void nodes_set_remote(struct nodes *n, nodes_ask_fn ask, void *ctx);
/* What is under way is answered with HSM_E_UNAVAILABLE. done (may be NULL) when nothing of it is in
 * the loop any more. */
void nodes_close(struct nodes *n, void (*done)(void *ctx), void *ctx);

/* request: one JSON object without a line end (copied). fn is called exactly once, perhaps before
 * the return. An unknown name: HSM_E_UNAVAILABLE. */
void nodes_ask(struct nodes *n, const char *node, struct bytes request, node_answer_fn fn,
               void *ctx);
/* Give fn what a node said, or HSM_E_UNAVAILABLE with a text instead. */
void nodes_answer_line(struct bytes line, node_answer_fn fn, void *ctx);
void nodes_answer_error(hsm_err err, const char *text, node_answer_fn fn, void *ctx);

#endif
