/* Requests that wait for a lease, and answers that wait until every partition that may answer
 * knows what they tell. */
#include "base/clock.h"
#include "boundary/commands.h"

#define NO_CONTACT "This partition has no contact to the pool's leader; retry."

/* ---- requests without a lease ---- */

hsm_err held_park_lease(struct job *j)
{
    struct boundary *b = j->rq.b;
    struct held *h = &b->held;
    hsm_err err = HSM_OK;
    if (j->lease_deadline_us == 0)
        j->lease_deadline_us = clock_mono_us() + LEASE_WAIT_US;
    (void)pthread_mutex_lock(&h->lock);
    if (lease_until(&b->lease) != j->lease_us) {
        err = HSM_E_AGAIN;
    } else if (h->lease_n >= HELD_MAX || h->lease_bytes + j->payload.n > PARKED_BYTES_MAX) {
        err = HSM_E_THROTTLED;
    } else {
        j->next = h->lease;
        h->lease = j;
        h->lease_n++;
        h->lease_bytes += j->payload.n;
    }
    (void)pthread_mutex_unlock(&h->lock);
    if (err == HSM_OK)
        lease_want(b);
    return err;
}

size_t held_lease_waits(struct boundary *b)
{
    (void)pthread_mutex_lock(&b->held.lock);
    size_t n = b->held.lease_n;
    (void)pthread_mutex_unlock(&b->held.lock);
    return n;
}

void held_lease_granted(struct boundary *b)
{
    struct held *h = &b->held;
    struct job *oldest_first = NULL;
    (void)pthread_mutex_lock(&h->lock);
    while (h->lease != NULL) {
        struct job *j = h->lease;
        h->lease = j->next;
        j->next = oldest_first;
        oldest_first = j;
    }
    h->lease_n = 0;
    h->lease_bytes = 0;
    (void)pthread_mutex_unlock(&h->lock);
    while (oldest_first != NULL) {
        struct job *j = oldest_first;
        oldest_first = j->next;
        held_run_again(j);
    }
}

/* ---- answers that are not released ---- */

static size_t bytes_held(const struct job *j)
{
    return j->payload.n + j->result_n;
}

hsm_err held_await_release(struct job *j, bool is_commit)
{
    struct boundary *b = j->rq.b;
    struct held *h = &b->held;
    hsm_err err = HSM_OK;
    if (!is_commit)
        j->deadline_us = clock_mono_us() + LEASE_WAIT_US;
    (void)pthread_mutex_lock(&h->lock);
    if (lease_released(&b->lease) >= j->index) {
        err = HSM_E_AGAIN;
    } else if (!is_commit && (h->unreleased_n >= HELD_MAX ||
                              h->unreleased_bytes + bytes_held(j) > PARKED_BYTES_MAX)) {
        err = HSM_E_THROTTLED;
    } else {
        j->next = h->unreleased;
        h->unreleased = j;
        h->unreleased_n++;
        h->unreleased_bytes += bytes_held(j);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return err;
}

/* Move to *ret what is released, or overdue. Lock held. The list is newest first: this turns it
 * round. */
static void cut_unreleased(struct held *h, uint64_t released, uint64_t now, struct job **ret)
{
    struct job **at = &h->unreleased;
    while (*at != NULL) {
        struct job *j = *at;
        if (j->index > released && j->deadline_us > now) {
            at = &j->next;
            continue;
        }
        *at = j->next;
        h->unreleased_n--;
        h->unreleased_bytes -= bytes_held(j);
        j->next = *ret;
        *ret = j;
    }
}

void held_released(struct boundary *b, uint64_t index)
{
    struct job *done = NULL;
    (void)pthread_mutex_lock(&b->held.lock);
    cut_unreleased(&b->held, index, 0, &done);
    (void)pthread_mutex_unlock(&b->held.lock);
    while (done != NULL) {
        struct job *j = done;
        done = j->next;
        job_finish(&b->control, j, (hsm_err)j->held_err, false);
    }
}

/* ---- too late ---- */

static void cut_without_lease(struct held *h, uint64_t now, struct job **ret)
{
    struct job **at = &h->lease;
    while (*at != NULL) {
        struct job *j = *at;
        if (j->lease_deadline_us > now) {
            at = &j->next;
            continue;
        }
        *at = j->next;
        h->lease_n--;
        h->lease_bytes -= j->payload.n;
        j->next = *ret;
        *ret = j;
    }
}

void held_lease_expire(struct boundary *b, uint64_t mono_us)
{
    struct job *overdue = NULL;
    (void)pthread_mutex_lock(&b->held.lock);
    cut_without_lease(&b->held, mono_us, &overdue);
    cut_unreleased(&b->held, 0, mono_us, &overdue);
    (void)pthread_mutex_unlock(&b->held.lock);
    while (overdue != NULL) {
        struct job *j = overdue;
        overdue = j->next;
        job_finish(&b->control, j, request_fail(&j->rq, HSM_E_UNAVAILABLE, NO_CONTACT), false);
    }
}
