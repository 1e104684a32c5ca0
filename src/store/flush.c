/* From the overlay into LMDB, off the path of acknowledgements: the log is what makes a transaction
 * durable. Only transactions whose digest is known go, in log order, and only what is in the log of
 * this node: a member hears that a transaction is committed by the others before it has stored it
 * itself, and a state that is ahead of its log cannot be told from a log that lost its end. */
#include "store/internal.h"

#include <stdio.h>

#define FLUSH_DELAY_MS 30
#define FLUSH_RETRY_MS 500
#define FLUSH_BYTES    (4u * 1024 * 1024) /* at once when the overlay is larger */

bool flush_busy(const struct store *s)
{
    return s->flush.running;
}

static bool collect(struct store *s)
{
    struct flush *f = &s->flush;
    if (f->err == HSM_OK) {
        s->db.meta = f->result;
        overlay_pop(&s->overlay, f->n);
        s->flush_err = HSM_OK;
        return true;
    }
    /* LMDB makes an I/O error of a write that was cut short. */
    if (f->err == HSM_E_IO && dir_free_space(&s->dir) < DIR_FULL_BYTES)
        f->err = HSM_E_DISK_FULL;
    if (f->err == HSM_E_DISK_FULL)
        s->flush_err = HSM_E_DISK_FULL; /* the log has it; try again */
    else
        store_fail(s, f->err, "%s", f->text);
    return false;
}

/* false: nothing can be written yet. */
static bool prepare(struct store *s)
{
    const struct pend *p = s->overlay.first;
    s->flush.n = 0;
    for (; s->flush.n < s->overlay.n_acked && p->index <= s->raft.last_stored; p = p->next)
        s->flush.n++;
    s->flush.err = HSM_OK;
    s->flush.text[0] = '\0';
    return s->flush.n > 0;
}

static void write_batch(struct store *s)
{
    struct flush *f = &s->flush;
    f->err =
        db_write(&s->db, &s->db.meta, s->overlay.first, f->n, &f->result, f->text, sizeof f->text);
}

static void work_cb(uv_work_t *w)
{
    struct store *s = w->data;
    write_batch(s);
    uv_sem_post(&s->flush.ready);
}

static void after_work_cb(uv_work_t *w, int status)
{
    struct store *s = w->data;
    (void)status;
    if (!s->flush.collected) {
        uv_sem_wait(&s->flush.ready);
        (void)collect(s);
    }
    s->flush.running = false;
    if (s->phase == STORE_CLOSING)
        store_advance_close(s);
    else
        flush_schedule(s);
    propose_drain(s);
}

static void begin(struct store *s)
{
    struct flush *f = &s->flush;
    if (f->running || s->failed != HSM_OK || s->overlay.n_acked == 0)
        return;
    if (!prepare(s)) {
        if (!uv_is_active((uv_handle_t *)&s->flush_timer))
            uv_timer_start(&s->flush_timer, flush_timer_cb, FLUSH_DELAY_MS, 0);
        return;
    }
    f->running = true;
    f->collected = false;
    f->work.data = s;
    if (uv_queue_work(s->loop, &f->work, work_cb, after_work_cb) != 0) {
        f->running = false;
        store_fail(s, HSM_E_IO, "Cannot start a worker to write the store's state.");
    }
}

void flush_timer_cb(uv_timer_t *t)
{
    begin(t->data);
}

void flush_schedule(struct store *s)
{
    if (s->flush.running || s->phase != STORE_STARTED || s->overlay.n_acked == 0)
        return;
    if (s->flush_err != HSM_OK) {
        if (!uv_is_active((uv_handle_t *)&s->flush_timer))
            uv_timer_start(&s->flush_timer, flush_timer_cb, FLUSH_RETRY_MS, 0);
    } else if (s->overlay.bytes > FLUSH_BYTES) {
        begin(s);
    } else if (!uv_is_active((uv_handle_t *)&s->flush_timer)) {
        uv_timer_start(&s->flush_timer, flush_timer_cb, FLUSH_DELAY_MS, 0);
    }
}

hsm_err flush_now(struct store *s)
{
    struct flush *f = &s->flush;
    if (s->failed != HSM_OK)
        return s->failed;
    if (f->running && !f->collected) {
        uv_sem_wait(&f->ready);
        f->collected = true;
        if (!collect(s))
            return f->err;
    }
    if (s->overlay.n_acked == 0 || !prepare(s))
        return HSM_OK;
    write_batch(s);
    return collect(s) ? HSM_OK : f->err;
}
