#include "boundary/job.h"

#include <stdlib.h>
#include <unistd.h>
#include "boundary/boundary.h"

#define DIRTY_AUDIT (1u << 31)

/* ---- workers ---- */

hsm_err worker_init(struct worker *w, struct boundary *b, unsigned lane, struct job_queue *serves)
{
    *w = (struct worker){.b = b, .lane = lane, .serves = serves};
    w->frame = (uint8_t *)malloc(RING_FRAME_MAX);
    w->out = (uint8_t *)malloc(RING_FRAME_MAX);
    w->txn_buf = (uint8_t *)malloc(RING_FRAME_MAX);
    w->crypto_buf = (uint8_t *)malloc(JOB_CRYPTO_MAX);
    w->record_buf = (uint8_t *)malloc(WORKER_RECORD_MAX);
    w->line = (uint8_t *)malloc(AUDIT_LINE_MAX);
    if (w->frame == NULL || w->out == NULL || w->txn_buf == NULL || w->crypto_buf == NULL ||
        w->record_buf == NULL || w->line == NULL)
        return HSM_E_NOMEM;
    TRY(auth_memo_new(&w->memo));
    /* A boundary that joins has nothing to seal or open yet. */
    return b->sealer == NULL ? HSM_OK : seal_ctx_new(b->sealer, &w->sc);
}

void worker_done(struct worker *w)
{
    seal_ctx_free(w->sc);
    auth_memo_free(w->memo);
    free(w->frame);
    free(w->out);
    free(w->txn_buf);
    free(w->crypto_buf);
    free(w->record_buf);
    free(w->line);
    *w = (struct worker){0};
}

void worker_flush(struct worker *w)
{
    if ((w->dirty & DIRTY_AUDIT) != 0)
        ring_flush(w->b->rings.audit);
    for (unsigned i = 0; i <= RING_LANES_MAX; i++)
        if ((w->dirty >> i & 1) != 0)
            ring_flush(w->b->rings.out[i]);
    w->dirty = 0;
}

/* ---- queues ---- */

hsm_err job_queue_init(struct job_queue *q, size_t max, size_t weight_max, int event)
{
    *q = (struct job_queue){.max = max, .weight_max = weight_max, .event = event};
    if (pthread_mutex_init(&q->lock, NULL) != 0)
        return HSM_E_NOMEM;
    if (pthread_cond_init(&q->filled, NULL) != 0) {
        (void)pthread_mutex_destroy(&q->lock);
        return HSM_E_NOMEM;
    }
    return HSM_OK;
}

void job_queue_done(struct job_queue *q)
{
    for (struct job *j = job_queue_get(q); j != NULL; j = job_queue_get(q))
        job_end(j);
    (void)pthread_cond_destroy(&q->filled);
    (void)pthread_mutex_destroy(&q->lock);
}

bool job_queue_put(struct job_queue *q, struct job *j)
{
    (void)pthread_mutex_lock(&q->lock);
    bool ok = !q->closed && q->n < q->max && j->weight <= q->weight_max - q->weight;
    if (ok) {
        j->next = NULL;
        if (q->tail != NULL)
            q->tail->next = j;
        else
            q->head = j;
        q->tail = j;
        q->n++;
        q->weight += j->weight;
        (void)pthread_cond_signal(&q->filled);
    }
    (void)pthread_mutex_unlock(&q->lock);
    if (ok && q->event >= 0) {
        const uint64_t one = 1;
        /* A counter that is full has a wake-up under way already. */
        ssize_t n = write(q->event, &one, sizeof one);
        (void)n;
    }
    return ok;
}

static struct job *take_locked(struct job_queue *q)
{
    struct job *j = q->head;
    if (j == NULL)
        return NULL;
    q->head = j->next;
    if (q->head == NULL)
        q->tail = NULL;
    q->n--;
    q->weight -= j->weight;
    j->next = NULL;
    return j;
}

struct job *job_queue_get(struct job_queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    struct job *j = take_locked(q);
    (void)pthread_mutex_unlock(&q->lock);
    return j;
}

struct job *job_queue_wait(struct job_queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    while (q->head == NULL && !q->closed)
        (void)pthread_cond_wait(&q->filled, &q->lock);
    struct job *j = q->closed ? NULL : take_locked(q);
    (void)pthread_mutex_unlock(&q->lock);
    return j;
}

void job_queue_close(struct job_queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    q->closed = true;
    (void)pthread_cond_broadcast(&q->filled);
    (void)pthread_mutex_unlock(&q->lock);
}

/* ---- jobs ---- */

static void wiped_free(uint8_t *p, size_t n)
{
    if (p != NULL)
        secret_wipe(p, n);
    free(p);
}

void job_wipe(struct bytes part)
{
    if (part.n > 0)
        secret_wipe((void *)(uintptr_t)part.p, part.n);
}

/* Frames with clear key material wait in secret memory only, and not in all of it: whoever sends
 * them may have shown no good token yet. */
#define SECRET_HELD_MAX ((size_t)512 << 10)

static uint8_t *copy_new(struct job *j, size_t n)
{
    j->owned_is_secret = j->rq.op == OP_KEY_IMPORT && j->make == NULL;
    if (!j->owned_is_secret)
        return (uint8_t *)malloc(n);
    atomic_size_t *held = &j->rq.b->secret_held;
    uint8_t *p = NULL;
    if (atomic_fetch_add(held, n) + n <= SECRET_HELD_MAX)
        p = (uint8_t *)secret_alloc(n);
    if (p == NULL)
        (void)atomic_fetch_sub(held, n);
    return p;
}

static void copy_free(struct job *j, uint8_t *p, size_t n)
{
    if (p == NULL)
        return;
    if (!j->owned_is_secret) {
        wiped_free(p, n);
        return;
    }
    secret_free(p);
    (void)atomic_fetch_sub(&j->rq.b->secret_held, n);
}

void made_key_free(struct made_key *m)
{
    if (m == NULL)
        return;
    secret_buf_done(&m->secret_given);
    secret_buf_done(&m->secret_private);
    keymat_unref(m->kek);
    free(m->wrapped);
    free(m);
}

void job_end(struct job *j)
{
    if (j->rq.who != NULL)
        identity_unref(j->rq.who);
    keymat_unref(j->crypto.key);
    made_key_free(j->make);
    free(j->backup);
    free(j->rids);
    wiped_free(j->result, j->result_n);
    copy_free(j, j->owned, j->payload.n + 1);
    if (j->on_heap)
        free(j);
    else
        *j = (struct job){0};
}

struct job *job_hold(struct job *j)
{
    if (j->on_heap)
        return j;
    struct job *h = (struct job *)malloc(sizeof *h);
    uint8_t *copy = copy_new(j, j->payload.n + 1);
    if (h == NULL || copy == NULL) {
        free(h);
        copy_free(j, copy, j->payload.n + 1);
        return NULL;
    }
    if (j->payload.n > 0)
        memcpy(copy, j->payload.p, j->payload.n);
    *h = *j;
    h->on_heap = true;
    h->owned = copy;
    h->payload = bytes_of(copy, j->payload.n);
    /* The views move along with the frame; it decoded before. */
    struct rd r = rd_of(h->payload);
    if (j->kind == JOB_REQUEST)
        HSM_ASSERT(wire_caller_get(&r, &h->rq.caller) == HSM_OK);
    h->rq.body = bytes_of(r.p, r.n);
    *j = (struct job){0};
    return h;
}
