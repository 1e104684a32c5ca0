/* What a command handler gets. The dispatcher (commands.c) has already: copied the frame out of
 * shared memory, decoded the envelope, verified the token, checked activation state and the
 * command's data action at the scope named by the request's first field. The handler decodes the
 * body, reads the state (its lock is held shared during the call), and either writes the result
 * message to rq->out, or also adds record changes to rq->txn: the answer is then held back until
 * the transaction was applied. When the transaction lost a race the handler runs again from the
 * start.
 *
 * Return HSM_OK or the error for the client; rq->detail may hold its message (else the table's
 * text). HSM_E_AGAIN is not allowed here. */
#ifndef BOUNDARY_HANDLER_H
#define BOUNDARY_HANDLER_H

#include "base/bytes.h"
#include "base/secret.h"
#include "boundary/auth.h"
#include "wire/wire.h"

struct boundary; /* the process's state, boundary.h */
struct txn;      /* transaction under construction, txn.h */

struct request {
    struct boundary *b;
    unsigned op; /* enum wire_type */
    struct wire_caller caller;
    struct identity *who;
    struct bytes body; /* encoded request message */
    uint64_t now_s;
    struct wr *out; /* result message of the operation */
    struct txn *txn;
    char detail[1024];
    char audit_note[700]; /* optional, goes into the audit record's properties */
};
typedef hsm_err (*handler_fn)(struct request *rq);

/* printf into rq->detail; returns err, so that handlers can write return fail(rq, HSM_E_..., ...).
 */
hsm_err request_fail(struct request *rq, hsm_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- records and transactions (txn.c, state.c) ---- */
enum record_kind {
    REC_POOL = 1,            /* singleton, name "" */
    REC_KEY = 2,             /* name: canonical (lower-case) key name */
    REC_KEY_VERSION = 3,     /* name: version id as 32 hex digits */
    REC_ROLE_DEFINITION = 4, /* name: guid text */
    REC_ROLE_ASSIGNMENT = 5, /* name: guid text */
    REC_AUDIT_MARK = 6,      /* name: number of the partition, "" for 0 */
    REC_SETTING = 7,         /* name: that of the setting */
};
/* Put or remove a record; the revision it was computed from is looked up now (state lock held).
 * plain is sealed at once; secret parts do not outlive the call. */
HSM_MUST_USE hsm_err txn_put(struct request *rq, enum record_kind kind, struct bytes name,
                             struct bytes plain);
HSM_MUST_USE hsm_err txn_remove(struct request *rq, enum record_kind kind, struct bytes name);
/* A record that this transaction must not change but depends on (its revision at commit must still
 * be the one seen now) is rewritten unchanged by the caller where needed; there is no separate
 * read set. */

struct roles *boundary_roles(struct boundary *b);

#endif
