/* What the control plane knows: JSON documents under (kind, key), all of them in memory, and
 * durable in a store of the fabric's own. Changes are staged first and committed together; a commit
 * that is reported is on disk, and what it was computed from had not changed since: all commits
 * have one order. Everything on the loop's thread. */
#ifndef FABRIC_STATE_H
#define FABRIC_STATE_H

#include <uv.h>
#include "base/bytes.h"

#define STATE_KEY_MAX  900
#define STATE_JSON_MAX ((size_t)256 << 10)
#define STATE_TXN_MAX  ((size_t)800 << 10) /* keys and JSON of one commit */

/* K(constant, name in the store). Names never change; the order may. */
#define STATE_KINDS(K)                                                                             \
    K(STATE_SUBSCRIPTION, "subscription")       /* guid */                                         \
    K(STATE_GROUP, "group")                     /* name */                                         \
    K(STATE_RESOURCE, "resource")               /* lower-case ARM id */                            \
    K(STATE_DELETED_HSM, "deleted-hsm")         /* location/name */                                \
    K(STATE_POOL, "pool")                       /* name: reservation and placement */              \
    K(STATE_OPERATION, "operation")             /* guid */                                         \
    K(STATE_PRINCIPAL, "principal")             /* oid */                                          \
    K(STATE_DIRECTORY_GROUP, "directory-group") /* oid */                                          \
    K(STATE_APPLICATION, "application")         /* object id */                                    \
    K(STATE_DIRECTORY_NAME, "directory-name")   /* people.h: what finds a principal */             \
    K(STATE_MEMBER, "member")                   /* g/GROUP/MEMBER and m/MEMBER/GROUP */            \
    K(STATE_LOGIN, "login")           /* logins under way: login_device.c, login_code.c */         \
    K(STATE_ARM_ROLE, "arm-role")     /* lower-case id of the assignment */                        \
    K(STATE_NODE, "node")             /* name */                                                   \
    K(STATE_NODE_TOKEN, "node-token") /* SHA-256 of a join token, hex */                           \
    K(STATE_USAGE, "usage")           /* pool/region */                                            \
    K(STATE_SETTING, "setting")       /* of the installation */

enum state_kind {
#define K(kind, name) kind,
    STATE_KINDS(K)
#undef K
    STATE__KINDS
};

struct state;
/* Valid until the next commit: for a handler, until it returns. */
struct document {
    enum state_kind kind;
    uint64_t revision;
    struct bytes key;  /* lower case where it stands for a name */
    struct bytes json; /* one object */
};

/* NULL: there is none. */
const struct document *state_get(const struct state *s, enum state_kind kind, struct bytes key);
/* Documents whose key begins with prefix, in the order of their keys, until fn returns false. */
typedef bool (*state_each_fn)(void *ctx, const struct document *d);
void state_each(const struct state *s, enum state_kind kind, struct bytes prefix, state_each_fn fn,
                void *ctx);
size_t state_count(const struct state *s, enum state_kind kind, struct bytes prefix);

/* Staged changes. The last one for a document counts. Faults (a key or JSON that is too long, no
 * memory) are remembered and reported by the commit. */
struct changes;
struct changes *changes_new(const struct state *s); /* NULL: no memory */
void changes_free(struct changes *c);
/* Forget what is staged; what is staged next is computed from the state as it is now. */
void changes_reset(struct changes *c, const struct state *s);
void changes_put(struct changes *c, enum state_kind kind, struct bytes key, struct bytes json);
void changes_delete(struct changes *c, enum state_kind kind, struct bytes key);
bool changes_empty(const struct changes *c);
/* As state_get(), with what is staged here already done. */
const struct document *changes_get(const struct changes *c, enum state_kind kind, struct bytes key);

/* HSM_OK: durable. HSM_E_CONFLICT: the state changed after changes_new() or changes_reset();
 * compute again. HSM_E_DISK_FULL, HSM_E_UNAVAILABLE: not done. HSM_E_TOO_LARGE, HSM_E_RANGE,
 * HSM_E_NOMEM: a fault of the staging. HSM_E_IO: unknown whether done. c is borrowed until done is
 * called, which may happen before the return. */
typedef void (*state_done_fn)(void *ctx, hsm_err err);
void state_commit(struct state *s, const struct changes *c, state_done_fn done, void *ctx);

/* HSM_OK: whatever was committed before the call, by any instance, is in the state. With one
 * instance at once. HSM_E_UNAVAILABLE: the instances do not reach each other. */
void state_fresh(struct state *s, state_done_fn done, void *ctx);

/* Called for each document that a commit changed, after all changes of the commit are visible. now:
 * NULL when it was deleted. May stage and commit nothing itself; for that, remember and come back.
 * For the life of the state. HSM_E_RANGE: too many watchers. */
typedef void (*state_watch_fn)(void *ctx, enum state_kind kind, struct bytes key,
                               const struct document *now);
HSM_MUST_USE hsm_err state_watch(struct state *s, state_watch_fn fn, void *ctx);

/* In dir: "store" and "state.key", made when absent. */
struct store_peers;
struct state_config {
    const char *dir;
    uint64_t instance;               /* 1 to 3 */
    const char *address;             /* NULL: the only instance */
    const struct store_peers *peers; /* likewise */
};
struct state_handlers {
    void *ctx;
    void (*ready)(void *ctx); /* once: everything is there, and commits go through */
    /* One instance at a time leads; that is the only one, before ready(), or whichever the
     * instances agree on. What must not be done twice at once is done there. May be NULL. */
    void (*leads)(void *ctx, bool leads);
    /* It cannot go on; nothing that was reported is lost. The process should end. */
    void (*fatal)(void *ctx, hsm_err err, const char *text);
};
/* The documents of the last flush are there at the return, all of them at ready(). Errors as
 * store_open(), and HSM_E_CORRUPT when a document was changed or is missing; text[cap] says what to
 * do. */
HSM_MUST_USE hsm_err state_open(uv_loop_t *loop, const struct state_config *cfg,
                                const struct state_handlers *h, struct state **ret, char *text,
                                size_t cap);
/* A state that forgets everything and commits at once (tests). */
HSM_MUST_USE hsm_err state_open_memory(struct state **ret);
/* done (may be NULL) when everything is released; commits that wait end with HSM_E_UNAVAILABLE. */
void state_close(struct state *s, void (*done)(void *ctx), void *ctx);

#endif
