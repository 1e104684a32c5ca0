/* The audit log: one JSON line per request, chained by SHA-256, with signed checkpoints. The lines
 * go to the gateway over the audit ring before the answer does; it only writes them down. The form
 * and how to verify it is described in docs/boundary.md. Thread-safe.
 *
 * A line is  TEXT ,"chain":{"seq":N,"prev":"HEX","hash":"HEX"}}  where TEXT is a JSON object
 * without its closing brace and hash = SHA-256(prev || seq as 8 bytes big-endian || TEXT). */
#ifndef BOUNDARY_AUDIT_H
#define BOUNDARY_AUDIT_H

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/bytes.h"
#include "base/uuid.h"
#include "boundary/handler.h"
#include "boundary/pool.h"
#include "boundary/roots.h"
#include "boundary/state.h"

#define AUDIT_LINE_MAX  40960u /* without the chain member */
#define AUDIT_CHAIN_MAX 256u
#define AUDIT_BATCH     1000u /* lines after which a checkpoint is due */

struct audit_position {
    uint64_t seq;
    uint8_t hash[32];
};

/* Where finished lines go; called with the chain's lock held, so in order. */
typedef void (*audit_sink)(void *ctx, struct bytes line);

struct audit {
    pthread_mutex_t lock;
    struct audit_position at; /* last line */
    uint64_t requests;        /* lines since the last checkpoint that were no checkpoints */
    EVP_PKEY *key;
    EVP_MD *sha256;
    EVP_MD_CTX *md;
    uint8_t spki[256]; /* public key, DER */
    size_t spki_n;
    uint32_t partition; /* named in every line, but not the first one of a pool */
    char pool_id[UUID_TEXT_LEN + 1];
    const char *protection; /* level of the seal, for the start checkpoint */
    char constant[8192];    /* members that every line has, rendered */
    size_t constant_n;
    char properties[256];
    size_t properties_n;
    audit_sink sink;
    void *sink_ctx;
    uint8_t line[AUDIT_LINE_MAX + AUDIT_CHAIN_MAX];
};
/* protection: static text. */
HSM_MUST_USE hsm_err audit_new(const struct roots *roots, const char *protection, audit_sink sink,
                               void *ctx, struct audit **ret);
void audit_free(struct audit *a);

/* Name, tenant and resource id in every line; before the first line and when they are learned. */
void audit_set_pool(struct audit *a, const struct pool_info *pool);

/* Continue behind the file's last line and write the start checkpoint. mark: the newest position
 * that was sealed into the pool's state; a file that ends before it, or differs at it, is recorded
 * as a gap. Of a longer file only its end is known here: the checkpoint names the mark, and whoever
 * verifies the file compares its line there. Returns whether there was a gap. */
bool audit_resume(struct audit *a, const struct audit_position *file,
                  const struct audit_mark *mark);
/* A mark that came out of the log after the start: same record. Returns whether it is beyond the
 * file. */
bool audit_late_mark(struct audit *a, const struct audit_mark *mark);

struct audit_event {
    const struct request *rq; /* caller, who, detail, audit_note */
    const char *operation;
    unsigned err;    /* hsm_err */
    unsigned status; /* HTTP */
    uint64_t duration_ms;
};
/* Render into buf[cap] without the chain; at most AUDIT_LINE_MAX. */
struct bytes audit_render(const struct audit *a, const struct audit_event *e, uint8_t *buf,
                          size_t cap);
/* Chain a rendered line and hand it to the sink; a checkpoint follows when one is due. */
void audit_append(struct audit *a, struct bytes text);

/* Checkpoint if any request was recorded since the last one, or if forced. */
void audit_checkpoint(struct audit *a, const char *reason, bool force);
struct audit_position audit_position(struct audit *a);

#endif
