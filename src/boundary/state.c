#include "boundary/state.h"

#include <stdio.h>
#include <stdlib.h>
#include "boundary/state_internal.h"

#define SCRATCH_LEN (640u * 1024u)

/* Writers must get in under a steady load of readers. */
static hsm_err lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;
    if (pthread_rwlockattr_init(&attr) != 0)
        return HSM_E_NOMEM;
    int rc = pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    rc = rc == 0 ? pthread_rwlock_init(lock, &attr) : rc;
    (void)pthread_rwlockattr_destroy(&attr);
    return rc == 0 ? HSM_OK : HSM_E_NOMEM;
}

hsm_err state_new(struct roles *roles, struct keycache *cache, struct state **ret)
{
    struct state *s = (struct state *)calloc(1, sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    s->roles = roles;
    s->cache = cache;
    s->scratch = (uint8_t *)malloc(SCRATCH_LEN);
    s->pasts = (uint8_t(*)[SEAL_MAC_LEN])calloc(STATE_PAST_MAX, sizeof *s->pasts);
    s->past_index = (uint64_t *)calloc(STATE_PAST_MAX, sizeof *s->past_index);
    if (s->scratch == NULL || s->pasts == NULL || s->past_index == NULL ||
        lock_init(&s->lock) != HSM_OK) {
        free(s->scratch);
        free(s->pasts);
        free(s->past_index);
        free(s);
        return HSM_E_NOMEM;
    }
    *ret = s;
    return HSM_OK;
}

static void index_free(struct key_index *x)
{
    struct key *k = x->head[0];
    while (k != NULL) {
        struct key *next = k->next[0];
        key_free(k);
        k = next;
    }
}

void state_free(struct state *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->records.cap; i++) {
        struct record *r = record_at(&s->records, i);
        if (r != NULL && r->kind != REC_KEY)
            free(r->object);
    }
    record_table_done(&s->records);
    index_free(&s->active);
    index_free(&s->deleted);
    rotation_index_done(&s->rotations);
    pool_info_done(&s->pool);
    (void)pthread_rwlock_destroy(&s->lock);
    free(s->scratch);
    free(s->pasts);
    free(s->past_index);
    free(s);
}

struct bytes audit_mark_name(uint32_t partition, char buf[AUDIT_MARK_NAME_MAX + 1])
{
    int n = partition == 0 ? 0 : snprintf(buf, AUDIT_MARK_NAME_MAX + 1, "%u", partition);
    return bytes_of(buf, (size_t)n);
}

struct key *state_key(const struct state *s, struct bytes name)
{
    struct key *k = key_index_find(&s->active, name);
    return k != NULL ? k : key_index_find(&s->deleted, name);
}

uint64_t state_revision(const struct state *s, const uint8_t rid[RID_LEN])
{
    const struct record *r = record_find(&s->records, rid);
    return r == NULL ? 0 : r->revision;
}

uint64_t state_new_revision(struct state *s)
{
    return atomic_fetch_add(&s->next_revision, 1) + 1;
}

void state_saw_revision(struct state *s, uint64_t revision)
{
    if (revision > s->max_revision)
        s->max_revision = revision;
    uint_fast64_t now = atomic_load(&s->next_revision);
    while (now < revision && !atomic_compare_exchange_weak(&s->next_revision, &now, revision))
        continue;
}

bool state_past_at(const struct state *s, uint64_t index, uint8_t past[SEAL_MAC_LEN])
{
    uint64_t back = s->applied_n - s->past_from;
    if (back >= STATE_PAST_MAX)
        back = STATE_PAST_MAX - 1;
    for (uint64_t n = s->applied_n;; n--) {
        uint64_t at = s->past_index[n % STATE_PAST_MAX];
        if (at == index)
            memcpy(past, s->pasts[n % STATE_PAST_MAX], SEAL_MAC_LEN);
        if (at <= index || s->applied_n - n == back)
            return at == index;
    }
}

/* ---- digest ---- */

void state_sum_add(uint8_t sum[32], const uint8_t element[32])
{
    unsigned carry = 0;
    for (int i = 31; i >= 0; i--) {
        carry += (unsigned)sum[i] + element[i];
        sum[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

void state_sum_sub(uint8_t sum[32], const uint8_t element[32])
{
    unsigned borrow = 0;
    for (int i = 31; i >= 0; i--) {
        unsigned d = 256u + sum[i] - element[i] - borrow;
        sum[i] = (uint8_t)d;
        borrow = d < 256u ? 1 : 0;
    }
}

#define DIGEST_FORMAT 2u

hsm_err state_digest(const struct state *s, struct seal_ctx *sc, struct wr *out)
{
    uint8_t text[STATE_DIGEST_LEN];
    struct wr w = wr_of(text, sizeof text);
    wr_u8(&w, DIGEST_FORMAT);
    wr_u64(&w, s->index);
    wr_u64(&w, s->floor);
    wr_u64(&w, s->max_revision);
    wr_u64(&w, s->records.n);
    wr_bytes(&w, s->sum, sizeof s->sum);
    wr_u64(&w, s->applied_n);
    wr_bytes(&w, s->past, sizeof s->past);
    uint8_t mac[SEAL_MAC_LEN];
    TRY(seal_digest_mac(sc, wr_view(&w), mac));
    wr_bytes(&w, mac, sizeof mac);
    wr_bytes(out, text, w.n);
    return wr_ok(out);
}

static hsm_err digest_open(struct seal_ctx *sc, struct bytes digest, struct state_claim *ret)
{
    struct rd r = rd_of(digest);
    struct state_claim c;
    uint8_t format;
    struct bytes mac;
    TRY(rd_u8(&r, &format));
    TRY(rd_u64(&r, &c.index));
    TRY(rd_u64(&r, &c.floor));
    TRY(rd_u64(&r, &c.max_revision));
    TRY(rd_u64(&r, &c.count));
    TRY(rd_copy(&r, c.sum, sizeof c.sum));
    TRY(rd_u64(&r, &c.applied_n));
    TRY(rd_copy(&r, c.past, sizeof c.past));
    struct bytes text = bytes_of(digest.p, digest.n - r.n);
    TRY(rd_bytes(&r, SEAL_MAC_LEN, &mac));
    TRY(rd_end(&r));
    uint8_t expect[SEAL_MAC_LEN];
    TRY(seal_digest_mac(sc, text, expect));
    if (format != DIGEST_FORMAT || !ct_eq(expect, mac.p, SEAL_MAC_LEN))
        return HSM_E_CORRUPT;
    *ret = c;
    return HSM_OK;
}

/* ---- loading ---- */

hsm_err state_load_begin(struct state *s, struct seal_ctx *sc, uint64_t index, struct bytes digest,
                         struct state_claim *ret, const char **why)
{
    struct state_claim c = {0};
    if (digest.n == 0 && index != 0) {
        *why = "the store has an applied index but no digest";
        return HSM_E_CORRUPT;
    }
    if (digest.n > 0 && digest_open(sc, digest, &c) != HSM_OK) {
        *why = "the digest of the store was not made by this pool";
        return HSM_E_CORRUPT;
    }
    if (c.index != index) {
        *why = "the digest of the store belongs to another index";
        return HSM_E_CORRUPT;
    }
    s->index = c.index;
    s->floor = c.floor;
    s->applied_n = s->past_from = c.applied_n;
    memcpy(s->past, c.past, sizeof s->past);
    memcpy(s->pasts[c.applied_n % STATE_PAST_MAX], c.past, sizeof c.past);
    s->past_index[c.applied_n % STATE_PAST_MAX] = index;
    state_saw_revision(s, c.max_revision);
    *ret = c;
    return HSM_OK;
}

static hsm_err load_one(struct state *s, struct seal_ctx *sc, const struct wire_record *r,
                        const char **why)
{
    if (r->rid.n != RID_LEN || r->revision == 0 || record_find(&s->records, r->rid.p) != NULL) {
        *why = "the store holds a record twice or a malformed one";
        return HSM_E_CORRUPT;
    }
    if (r->revision > s->max_revision) {
        *why = "the store holds a record that is newer than its digest";
        return HSM_E_CORRUPT;
    }
    TRY(record_reserve(&s->records, 1));
    hsm_err err = state_put(s, sc, r->rid.p, r->revision, r->sealed);
    if (err == HSM_E_CORRUPT)
        *why = "a record of the store does not authenticate";
    return err;
}

hsm_err state_load_record(struct state *s, struct seal_ctx *sc, const struct wire_record *r,
                          const char **why)
{
    *why = "out of memory";
    state_lock_exclusive(s);
    hsm_err err = load_one(s, sc, r, why);
    state_unlock(s);
    return err;
}

hsm_err state_load_end(struct state *s, const struct state_claim *claim, const char **why)
{
    if (s->records.n != claim->count) {
        *why = "records of the store are missing or were added";
        return HSM_E_CORRUPT;
    }
    if (!ct_eq(s->sum, claim->sum, sizeof s->sum)) {
        *why = "records of the store are older than its digest";
        return HSM_E_CORRUPT;
    }
    if (s->stub_n != 0 || (s->records.n > 0 && !s->has_pool)) {
        *why = "the records of the store do not fit together";
        return HSM_E_CORRUPT;
    }
    return HSM_OK;
}
