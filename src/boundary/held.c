#include "boundary/boundary.h"

#include "base/clock.h"
#include "base/log.h"
#include "boundary/commands.h"
#include "boundary/control.h"

#define PARK_US 6000000u
#define PEND_US 30000000u

uint64_t held_generation(struct boundary *b)
{
    (void)pthread_mutex_lock(&b->held.lock);
    uint64_t g = b->held.keys_generation;
    (void)pthread_mutex_unlock(&b->held.lock);
    return g;
}

static bool has_room(const struct held *h, const struct job *j)
{
    size_t bytes = j->payload.n;
    for (const struct job *p = h->parked; p != NULL; p = p->next)
        bytes += p->payload.n;
    return h->parked_n < HELD_MAX && bytes <= PARKED_BYTES_MAX;
}

hsm_err held_park(struct job *j, uint64_t generation)
{
    struct boundary *b = j->rq.b;
    struct held *h = &b->held;
    hsm_err err = HSM_OK;
    if (j->deadline_us == 0)
        j->deadline_us = clock_mono_us() + PARK_US;
    (void)pthread_mutex_lock(&h->lock);
    if (h->keys_generation != generation) {
        err = HSM_E_AGAIN;
    } else if (!has_room(h, j)) {
        err = HSM_E_THROTTLED;
    } else {
        j->next = h->parked;
        h->parked = j;
        h->parked_n++;
    }
    (void)pthread_mutex_unlock(&h->lock);
    if (err == HSM_OK)
        boundary_wake_control(b);
    return err;
}

/* Back to the worker of its lane; own jobs have none. */
void held_run_again(struct job *j)
{
    struct boundary *b = j->rq.b;
    if (j->kind != JOB_REQUEST) {
        if (!job_queue_put(&b->slow_queue, j))
            job_finish(&b->control, j, HSM_E_THROTTLED, false);
        return;
    }
    if (!job_queue_put(&b->inbox[j->lane], j)) {
        job_finish(&b->control, j, HSM_E_UNAVAILABLE, false);
        worker_flush(&b->control);
    }
}

/* Control thread. */
void held_keys_changed(struct boundary *b)
{
    struct held *h = &b->held;
    (void)pthread_mutex_lock(&h->lock);
    struct job *list = h->parked;
    h->parked = NULL;
    h->parked_n = 0;
    h->keys_generation++;
    (void)pthread_mutex_unlock(&h->lock);
    while (list != NULL) {
        struct job *j = list;
        list = j->next;
        held_run_again(j);
    }
}

static bool share_record(const struct job *a, const struct job *b)
{
    for (size_t i = 0; i < a->rid_n; i++)
        for (size_t k = 0; k < b->rid_n; k++)
            if (memcmp(a->rids + i * RID_LEN, b->rids + k * RID_LEN, RID_LEN) == 0)
                return true;
    return false;
}

static const struct job *blocker_of(const struct held *h, const struct job *j)
{
    for (const struct job *p = h->pending; p != NULL; p = p->next)
        if (share_record(p, j))
            return p;
    return NULL;
}

static void push(struct job **list, size_t *n, struct job *j)
{
    j->next = *list;
    *list = j;
    (*n)++;
}

hsm_err held_pend(struct job *j)
{
    struct held *h = &j->rq.b->held;
    hsm_err err = HSM_OK;
    if (j->deadline_us == 0 || j->attempts == 0)
        j->deadline_us = clock_mono_us() + PEND_US;
    (void)pthread_mutex_lock(&h->lock);
    const struct job *blocker = blocker_of(h, j);
    if (h->pending_n + h->blocked_n + h->unreleased_n >= HELD_MAX) {
        err = HSM_E_THROTTLED;
    } else if (blocker != NULL) {
        j->blocked_by = blocker->txn_id;
        push(&h->blocked, &h->blocked_n, j);
        err = HSM_E_AGAIN;
    } else {
        push(&h->pending, &h->pending_n, j);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return err;
}

static void cut_blocked(struct held *h, const struct uuid *txn, struct job **ret)
{
    struct job **at = &h->blocked;
    while (*at != NULL) {
        struct job *j = *at;
        if (memcmp(j->blocked_by.b, txn->b, sizeof txn->b) != 0) {
            at = &j->next;
            continue;
        }
        *at = j->next;
        h->blocked_n--;
        j->next = *ret; /* the list is newest first: this turns it round */
        *ret = j;
    }
}

struct job *held_take(struct boundary *b, const struct uuid *txn)
{
    struct held *h = &b->held;
    struct job *released = NULL;
    (void)pthread_mutex_lock(&h->lock);
    struct job **at = &h->pending;
    while (*at != NULL && memcmp((*at)->txn_id.b, txn->b, sizeof txn->b) != 0)
        at = &(*at)->next;
    struct job *j = *at;
    if (j != NULL) {
        *at = j->next;
        h->pending_n--;
        cut_blocked(h, txn, &released);
    }
    (void)pthread_mutex_unlock(&h->lock);
    while (released != NULL) {
        struct job *next = released->next;
        held_run_again(released);
        released = next;
    }
    return j;
}

size_t held_pending(struct boundary *b)
{
    (void)pthread_mutex_lock(&b->held.lock);
    size_t n = b->held.pending_n + b->held.unreleased_n;
    (void)pthread_mutex_unlock(&b->held.lock);
    return n;
}

/* Move what is overdue from list to *ret. */
static void cut_overdue(struct job **list, size_t *n, uint64_t now, struct job **ret)
{
    while (*list != NULL) {
        struct job *j = *list;
        if (j->deadline_us > now) {
            list = &j->next;
            continue;
        }
        *list = j->next;
        j->next = *ret;
        *ret = j;
        (*n)--;
    }
}

/* Control thread. */
void held_expire(struct boundary *b, uint64_t mono_us)
{
    struct held *h = &b->held;
    struct job *overdue = NULL;
    (void)pthread_mutex_lock(&h->lock);
    cut_overdue(&h->parked, &h->parked_n, mono_us, &overdue);
    cut_overdue(&h->pending, &h->pending_n, mono_us, &overdue);
    cut_overdue(&h->blocked, &h->blocked_n, mono_us, &overdue);
    struct job *released = NULL;
    for (struct job *j = overdue; j != NULL; j = j->next)
        cut_blocked(h, &j->txn_id, &released);
    (void)pthread_mutex_unlock(&h->lock);
    while (released != NULL) {
        struct job *next = released->next;
        held_run_again(released);
        released = next;
    }
    while (overdue != NULL) {
        struct job *j = overdue;
        overdue = j->next;
        if (j->kind == JOB_REQUEST) {
            j->rq.detail[0] = '\0';
            job_finish(&b->control, j, HSM_E_UNAVAILABLE, false);
        } else {
            own_end(b, j, HSM_E_UNAVAILABLE);
        }
    }
    held_lease_expire(b, mono_us);
    worker_flush(&b->control);
}

static void list_free(struct job *j)
{
    while (j != NULL) {
        struct job *next = j->next;
        job_end(j);
        j = next;
    }
}

void held_free(struct boundary *b)
{
    list_free(b->held.parked);
    list_free(b->held.pending);
    list_free(b->held.blocked);
    list_free(b->held.lease);
    list_free(b->held.unreleased);
    b->held.lease = NULL;
    b->held.unreleased = NULL;
    b->held.blocked = NULL;
    b->held.parked = NULL;
    b->held.pending = NULL;
}
