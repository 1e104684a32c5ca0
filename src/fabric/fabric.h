/* The control origin: cloud metadata, login, Graph, managed identity and what exists of the control
 * plane. One request in, one answer out; no sockets here. One thread. */
#ifndef FABRIC_FABRIC_H
#define FABRIC_FABRIC_H

#include "base/uuid.h"
#include "codec/url.h"
#include "fabric/answer.h"
#include "fabric/face.h"
#include "fabric/identity/provider.h"
#include "fabric/operation.h"
#include "net/http_server.h"

#define FABRIC_BODY_MAX 65536
#define FABRIC_GROUP    "keyhold" /* resource group of the first pool */

/* Texts are borrowed from the command line. */
struct fabric_config {
    const char *home;       /* directory.json, signing.key; ../pool.json and ../run beside it */
    const char *origin;     /* "https://localhost:8443" */
    const char *hsm_suffix; /* "managedhsm.localhost:8443" */
    const char *pool;       /* name of the one pool, NULL: none */
    const char *region;
    /* "HOST:PORT" where nodes of other hosts connect to (NULL: none may), and the same as they see
     * it (NULL: equal). */
    const char *nodes_listen, *nodes_address;
    /* One of several instances, 1 to 3 (0: the only one): where the others connect to, and where
     * they all are, "1=HOST:PORT,2=...". */
    unsigned instance;
    const char *peer_listen, *peers;
    /* NULL: the state is in memory, no node is asked, and operations are stepped by
     * operations_run() only (tests). */
    uv_loop_t *loop;
    /* With a loop: the state is there, requests may be answered. The state cannot go on: the
     * process should end. */
    void (*ready)(void *ctx);
    void (*fatal)(void *ctx, hsm_err err, const char *text);
    void *ctx;
};

struct fabric {
    struct fabric_config config;
    struct provider provider;
    struct state *state;
    struct nodes *nodes; /* NULL: none can be asked */
    struct operations *operations;
    struct {
        bool door, pools, dns; /* what changed, and was not told or written yet */
    } network;
    struct node_views *views; /* with a loop, as all that follows */
    struct node_link *link;   /* NULL: no nodes of other hosts */
    struct control_socket *control;
    uv_timer_t timer, ask_timer; /* of the operations; of the nodes */
    struct meter *meter;
    bool has_timer;
    struct changes *begun; /* while it begins */
    void (*nodes_ended)(void *ctx);
    void *nodes_ended_ctx;
    void (*ended)(void *ctx);
    void *ended_ctx;
    uint8_t url_buf[HTTP1_HEAD_MAX];
    uint8_t form_buf[TOKEN_REQUEST_BUF(FABRIC_BODY_MAX, HTTP1_HEAD_MAX)];
    uint8_t header_buf[ANSWER_HEADERS_MAX];
    uint8_t body_buf[ANSWER_BODY_MAX];
    struct answer answer; /* of fabric_answer() */
};

/* What a handler sees of a request. */
struct request {
    const struct http_request *http;
    struct url_target url;
    struct face face;
    uint64_t now_ms;
    char id[UUID_TEXT_LEN + 1];     /* of the client if it sent one, else new */
    const struct principal *caller; /* routes that need a token; without its secrets */
    struct principal caller_is;
    struct changes *changes; /* staged here, they are committed before the answer goes out */
};

/* text[cap]: what is wrong, for people. */
HSM_MUST_USE hsm_err fabric_open(const struct fabric_config *config, uint64_t now_ms,
                                 struct fabric **ret, char *text, size_t cap);
/* With a loop: end what is under way; then, from the loop, done, after which fabric_close(). */
void fabric_end(struct fabric *f, void (*done)(void *ctx), void *ctx);
void fabric_close(struct fabric *f);

/* Answers every request with something: calls reply once, perhaps before the return, and not before
 * everything that the answer says is durable. http must stay valid until then; the answer is valid
 * during the call. */
typedef void (*fabric_reply_fn)(void *ctx, const struct answer *a);
void fabric_ask(struct fabric *f, const struct http_request *http, uint64_t now_ms,
                fabric_reply_fn reply, void *ctx);
/* The same at once, with a state in memory (tests). The buffers behind *ret belong to f and are
 * valid until the next call. */
void fabric_answer(struct fabric *f, const struct http_request *http, uint64_t now_ms,
                   struct answer *ret);
/* One run of the handler, without a commit (held.c). */
void fabric_route(struct fabric *f, const struct http_request *http, uint64_t now_ms,
                  struct changes *c, struct answer *ret);
/* The form for bytes that were no request (http_server_handlers.refused). */
void fabric_refused(hsm_err err, struct wr *headers, struct wr *body);
void fabric_wipe(struct fabric *f);

/* Reads the state, fills the answer, stages changes; nothing else, because it is called again when
 * the state changed before the commit. An answer of 400 or more commits nothing. */
typedef void fabric_handler(struct fabric *f, const struct request *rq, struct answer *a);
/* oidc.c */
fabric_handler cloud_metadata, openid_adfs, openid_tenant, instance_discovery, user_realm, key_set;
/* login.c */
fabric_handler token_adfs, token_tenant, token_managed;
/* login_device.c, login_page.c */
fabric_handler device_start, device_approve, device_page, device_post, authorize_page,
    authorize_post;
/* graph.c */
fabric_handler graph_me, graph_list, graph_one, graph_by_ids;
/* graph_write.c */
fabric_handler graph_user_create, graph_group_create, graph_app_create, graph_sp_create,
    graph_update, graph_delete;
/* graph_member.c */
fabric_handler graph_members, graph_member_of, graph_all_groups, graph_check_groups,
    graph_member_add, graph_member_remove;
/* graph_credential.c */
fabric_handler graph_password_add, graph_password_remove;
/* arm_subscription.c */
fabric_handler arm_tenants, arm_subscriptions, arm_subscription, arm_locations, arm_nothing;
/* arm_group.c */
fabric_handler arm_groups, arm_group, arm_group_head, arm_group_put, arm_group_patch,
    arm_group_delete;
/* arm_provider.c */
fabric_handler arm_providers, arm_provider, arm_provider_operations;
/* arm_list.c */
fabric_handler arm_resources;

/* node_join.c */
fabric_handler node_join;

/* "common", "organizations", the tenant's id or its domain. */
bool fabric_is_tenant(const struct fabric *f, struct bytes segment);
/* A token endpoint's refusal. */
void answer_fault(struct answer *a, const struct request *rq, enum token_fault fault);

#endif
