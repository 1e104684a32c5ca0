/* The state as it was flushed, checked: each document, and that none is missing or too many. */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/ct.h"
#include "fabric/identity/idfile.h"
#include "fabric/state_disk.h"

#define KEY_FILE "state.key"

hsm_err state_key_load(const char *dir, bool may_make, struct state_seal *ret, char *text,
                       size_t cap)
{
    DEFER(secret_buf_done) struct secret_buf b = {0};
    hsm_err e = idfile_read(dir, KEY_FILE, &b);
    if (e == HSM_OK && b.n == STATE_SEAL_KEY_LEN) {
        memcpy(ret->key, b.p, b.n);
        return HSM_OK;
    }
    if (e == HSM_E_NOT_FOUND && may_make) {
        HSM_ASSERT(RAND_bytes(ret->key, sizeof ret->key) == 1);
        e = idfile_write(dir, KEY_FILE, bytes_of(ret->key, sizeof ret->key), 0600);
        if (e != HSM_OK)
            snprintf(text, cap, "%s/%s cannot be written.", dir, KEY_FILE);
        return e;
    }
    snprintf(text, cap,
             "%s/%s is %s. Without it the control plane's state cannot be read: restore it from a "
             "copy.",
             dir, KEY_FILE,
             e == HSM_OK            ? "damaged"
             : e == HSM_E_NOT_FOUND ? "missing"
                                    : "not readable");
    return e == HSM_OK || e == HSM_E_NOT_FOUND ? HSM_E_CORRUPT : e;
}

hsm_err state_put_record(struct state_disk *d, const struct state_record *r, uint64_t revision)
{
    struct document *doc = document_new(r->kind, revision, r->key, r->json);
    if (doc == NULL)
        return HSM_E_NOMEM;
    const struct document *old = state_get(d->state, r->kind, r->key);
    if (old != NULL)
        state_sum_remove(&d->seal, &d->sum, old);
    state_sum_add(&d->seal, &d->sum, doc);
    return state_take(d->state, doc, false);
}

struct load {
    struct state_disk *disk;
    uint8_t head_rid[STATE_RID_LEN], head[STATE_SEAL_LEN];
    uint64_t head_revision, newest;
};

static hsm_err take_head(struct load *l, uint64_t revision, struct bytes sealed)
{
    if (sealed.n != sizeof l->head)
        return HSM_E_CORRUPT;
    memcpy(l->head, sealed.p, sealed.n);
    l->head_revision = revision;
    return HSM_OK;
}

static hsm_err load_one(void *ctx, const uint8_t rid[STORE_RID_LEN], uint64_t revision,
                        struct bytes sealed)
{
    struct load *l = ctx;
    struct state_record r;
    if (memcmp(rid, l->head_rid, sizeof l->head_rid) == 0)
        return take_head(l, revision, sealed);
    TRY(state_seal_open(&l->disk->seal, rid, revision, sealed, &r));
    if (revision > l->newest)
        l->newest = revision;
    return state_put_record(l->disk, &r, revision);
}

static hsm_err check_head(const struct load *l)
{
    uint8_t want[STATE_SEAL_LEN];
    if (l->head_revision == 0)
        return l->disk->sum.n == 0 ? HSM_OK : HSM_E_CORRUPT;
    if (l->newest > l->head_revision)
        return HSM_E_CORRUPT;
    state_seal_head(&l->disk->seal, l->head_revision, &l->disk->sum, want);
    return ct_eq(want, l->head, sizeof want) ? HSM_OK : HSM_E_CORRUPT;
}

hsm_err state_load(struct state_disk *d, char *text, size_t cap)
{
    struct load l = {.disk = d};
    state_rid_head(l.head_rid);
    hsm_err e = store_each(d->store, load_one, &l);
    if (e == HSM_OK)
        e = check_head(&l);
    d->state->version = l.head_revision;
    if (e == HSM_E_CORRUPT && store_failure(d->store)[0] == 0)
        snprintf(text, cap,
                 "The control plane's state does not fit its key: documents were changed, removed "
                 "or exchanged, or state.key is another one. Restore both from one copy.");
    else if (e == HSM_E_NOT_IMPLEMENTED)
        snprintf(text, cap, "The control plane's state was written by a newer version.");
    else if (e != HSM_OK)
        snprintf(text, cap, "%s",
                 store_failure(d->store)[0] != 0 ? store_failure(d->store) : hsm_err_text(e));
    return e;
}
