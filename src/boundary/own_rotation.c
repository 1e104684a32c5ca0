/* Rotation when it is due: which key is next, its way through the slow pool, and what is recorded.
 * All of it but the making of the key runs in the control thread.
 *
 * What was done is part of the key's record and committed together with it: whatever ends in
 * between is found due again, or done, at the next start. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "boundary/commands.h"
#include "boundary/control.h"
#include "boundary/keys.h"

#define AGAIN_US 1000000u  /* when others were first */
#define LATER_US 60000000u /* after something that time may mend */

/* ---- the record of what was done ---- */

static void record(struct boundary *b, struct job *j, const char *operation, hsm_err err)
{
    char uri[KEY_NAME_MAX + 16];
    const struct bytes name = j->rq.body;
    (void)snprintf(uri, sizeof uri, "/keys/%.*s/rotate", (int)name.n, (const char *)name.p);
    own_record(b, &j->rq, operation, uri, err, j->started_us);
}

/* ---- jobs; each has the name of its key as its payload ---- */

static struct job *job_new(struct boundary *b, enum job_kind kind, struct bytes name)
{
    struct job *j = (struct job *)calloc(1, sizeof *j);
    uint8_t *copy = (uint8_t *)malloc(KEY_NAME_MAX + 1);
    if (j == NULL || copy == NULL) {
        free(j);
        free(copy);
        return NULL;
    }
    memcpy(copy, name.p, name.n);
    *j = (struct job){.rq = {.b = b},
                      .kind = kind,
                      .on_heap = true,
                      .owned = copy,
                      .payload = bytes_of(copy, name.n),
                      .started_us = clock_mono_us()};
    j->rq.body = j->payload;
    return j;
}

static void wait_for(struct boundary *b, uint64_t us)
{
    b->rotation_pending = false;
    b->next_rotation_us = clock_mono_us() + us;
}

/* The key's record with one more thing noted in it. */
static hsm_err note(struct boundary *b, struct txn *t, struct job *j)
{
    uint8_t buf[512];
    char lower[KEY_NAME_MAX + 1];
    struct key_fields f;
    const struct key *k = key_index_find(&b->state->active, j->rq.body);
    if (k == NULL || k->rotation == NULL)
        return HSM_E_STALE;
    key_fields_of(k, &f);
    if (j->own_err == HSM_OK)
        f.rotation.notified = key_current(k)->seq + 1;
    else
        f.rotation.failed = clock_now_ms() / 1000;
    struct wr body = wr_of(buf, sizeof buf);
    key_fields_encode(&f, &body);
    TRY(wr_ok(&body));
    return txn_add(t, b->state, b->control.sc, REC_KEY, key_canonical(f.display, lower),
                   wr_view(&body), bytes_of(NULL, 0));
}

/* Takes j. own_err HSM_OK: the owner of the key was notified; else: why it was not rotated. */
static void send_note(struct boundary *b, struct job *j)
{
    struct txn *t = own_begin(b);
    j->kind = JOB_ROTATION_NOTE;
    state_lock_shared(b->state);
    hsm_err err = note(b, t, j);
    state_unlock(b->state);
    if (err == HSM_OK && own_send(b, j)) {
        b->rotation_pending = true;
        return;
    }
    if (err != HSM_OK)
        job_end(j);
    wait_for(b, AGAIN_US);
}

static void notify(struct boundary *b, const struct key *k)
{
    char hex[VERSION_HEX + 1];
    struct job *j = job_new(b, JOB_ROTATION_NOTE, key_display(k));
    if (j == NULL)
        return;
    version_hex(&key_current(k)->id, hex);
    (void)snprintf(j->rq.audit_note, sizeof j->rq.audit_note, "version %s is due for rotation",
                   hex);
    send_note(b, j);
}

static void start(struct boundary *b, const struct key *k)
{
    struct job *j = job_new(b, JOB_ROTATE, key_display(k));
    if (j == NULL)
        return;
    b->rotation_pending = job_queue_put(&b->slow_queue, j);
    if (b->rotation_pending)
        return;
    job_end(j);
    wait_for(b, AGAIN_US);
}

/* ---- how they end ---- */

static bool may_pass(hsm_err err)
{
    unsigned status = hsm_err_http(err);
    return status == 429 || status == 503;
}

/* A job that could not make its transaction. */
static void failed(struct boundary *b, struct job *j)
{
    if (j->own_err == HSM_E_STALE || j->own_err == HSM_E_THROTTLED) {
        job_end(j);
        wait_for(b, AGAIN_US);
    } else if (may_pass(j->own_err)) {
        record(b, j, "KeyRotateIfDue", j->own_err);
        job_end(j);
        wait_for(b, LATER_US);
    } else {
        send_note(b, j);
    }
}

void own_rotation_end(struct boundary *b, struct job *j, hsm_err err)
{
    bool is_note = j->kind == JOB_ROTATION_NOTE;
    uint64_t wait = err == HSM_OK ? 0 : err == HSM_E_STALE ? AGAIN_US : LATER_US;
    if (err == HSM_OK && is_note)
        record(b, j, j->own_err == HSM_OK ? "KeyRotationNotify" : "KeyRotateIfDue", j->own_err);
    else if (err == HSM_OK || (err != HSM_E_STALE && !is_note))
        record(b, j, "KeyRotateIfDue", err);
    job_end(j);
    wait_for(b, wait);
    b->tick_soon = b->tick_soon || err == HSM_OK; /* for the next one */
}

void own_rotate(struct boundary *b, uint64_t mono_us)
{
    for (struct job *j; (j = job_queue_get(&b->own_done)) != NULL;)
        failed(b, j);
    if (b->rotation_pending || b->quiesce_us != 0 || mono_us < b->next_rotation_us)
        return;
    /* This thread alone changes the state, so it may look at it without the lock. */
    const struct key *k = rotation_index_first(&b->state->rotations);
    if (k == NULL || k->rotation->next.at > clock_now_ms() / 1000)
        return;
    if (k->rotation->next.what == ROTATION_NOTIFY)
        notify(b, k);
    else
        start(b, k);
}
