#include "boundary/boundary.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/log.h"
#include "boundary/control.h"

#define CACHE_MIN ((size_t)512 * 1024)

void boundary_end(struct boundary *b, int code, const char *fmt, ...)
{
    char text[512];
    int running = 0;
    if (!atomic_compare_exchange_strong(&b->ended, &running, code + 1))
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    stock_close(b->stock);
    b->on_end(b, code, text);
}

static void exit_process(struct boundary *b, int code, const char *text)
{
    (void)b;
    log_write(code == EXIT_QUIESCED || code == EXIT_JOINED ? LOG_INFO_L : LOG_ERROR_L,
              "%s (exit %d)", text, code);
    _exit(code);
}

static void signal_event(int fd)
{
    const uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n; /* a full counter has woken its reader already */
}

void boundary_wake_control(struct boundary *b)
{
    signal_event(b->control_event);
}

/* Lines leave in order: the chain's lock is held. */
static void audit_to_ring(void *ctx, struct bytes line)
{
    struct boundary *b = (struct boundary *)ctx;
    const struct ring_frame f = {.type = WIRE_TYPE_NONE, .payload = line};
    (void)ring_put(b, b->rings.audit, &f);
}

/* Keys that nobody asked for yet go before keys in use. */
static bool shed_stock(void *stock)
{
    return stock_shed((struct stock *)stock);
}

static hsm_err make_parts(struct boundary *b, const struct boundary_config *c)
{
    size_t limit = c->cache_bytes != 0 ? c->cache_bytes : secret_size() / 2;
    TRY(roles_new(&b->roles));
    TRY(keycache_new(limit < CACHE_MIN ? CACHE_MIN : limit, &b->cache));
    TRY(stock_new(c->prepared, keymat_generate_until, &b->stock));
    keycache_set_spare(b->cache, shed_stock, b->stock);
    TRY(state_new(b->roles, b->cache, &b->state));
    b->state->partition = c->partition;
    if (b->join.is_joiner)
        return HSM_OK; /* what follows needs the root secrets */
    TRY(sealer_new(&b->roots, &b->sealer));
    TRY(audit_new(&b->roots, b->protection, audit_to_ring, b, &b->audit));
    b->audit->partition = c->partition;
    audit_set_pool(b->audit, &b->init.info);
    return HSM_OK;
}

static hsm_err make_workers(struct boundary *b)
{
    b->import_reserve = (uint8_t *)secret_alloc(IMPORT_FRAME_MAX);
    if (b->import_reserve == NULL)
        return HSM_E_NOMEM;
    TRY(worker_init(&b->control, b, 0, NULL));
    for (unsigned i = 1; i <= b->rings.lanes; i++) {
        int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (event < 0)
            return HSM_E_IO;
        TRY(job_queue_init(&b->inbox[i], SIZE_MAX, SIZE_MAX, event));
        TRY(worker_init(&b->lane[i], b, i, NULL));
    }
    for (unsigned i = 0; i < b->slow_n; i++) {
        TRY(worker_init(&b->slow[i], b, 0, &b->slow_queue));
        TRY(worker_init(&b->maker[i], b, 0, &b->maker_queue));
    }
    TRY(job_queue_init(&b->own_done, SIZE_MAX, SIZE_MAX, b->control_event));
    TRY(job_queue_init(&b->slow_queue, SLOW_QUEUE_MAX, SIZE_MAX, -1));
    return job_queue_init(&b->maker_queue, SLOW_QUEUE_MAX, (size_t)b->slow_n * MAKER_WORK_MAX, -1);
}

static void place_lanes(struct boundary *b, const struct boundary_config *c)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = cpus > 0 ? (unsigned)cpus : 1;
    for (unsigned i = 1; i <= b->rings.lanes; i++)
        b->cpu[i] = i <= c->cpu_n ? c->cpu[i - 1] : (int)((i - 1) % n);
    b->slow_n = c->slow_threads != 0 ? c->slow_threads : n / 2;
    if (b->slow_n == 0)
        b->slow_n = 1;
    if (b->slow_n > SLOW_THREADS_MAX)
        b->slow_n = SLOW_THREADS_MAX;
}

hsm_err boundary_new(const struct boundary_config *c, struct boundary **ret)
{
    struct boundary *b = (struct boundary *)calloc(1, sizeof *b);
    if (b == NULL)
        return HSM_E_NOMEM;
    if (c->roots != NULL)
        b->roots = *c->roots;
    b->fresh = c->fresh;
    b->protection = c->protection;
    b->init = *c->init;
    b->rings = c->rings;
    b->on_end = exit_process;
    atomic_store(&b->phase, (unsigned)PHASE_HELLO);
    lease_init(&b->lease, c->alone);
    place_lanes(b, c);
    b->control_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    hsm_err err = b->control_event < 0 ? HSM_E_IO : HSM_OK;
    if (pthread_mutex_init(&b->held.lock, NULL) != 0 ||
        pthread_mutex_init(&b->import_lock, NULL) != 0 ||
        pthread_mutex_init(&b->gate_lock, NULL) != 0 ||
        pthread_cond_init(&b->gate_changed, NULL) != 0)
        err = HSM_E_NOMEM;
    if (err == HSM_OK)
        err = own_join_init(b, c);
    if (err == HSM_OK)
        err = make_parts(b, c);
    if (err == HSM_OK)
        err = make_workers(b);
    if (err == HSM_OK)
        *ret = b;
    /* What was made so far lives until the process ends: it cannot go on. */
    return err;
}

void boundary_free(struct boundary *b)
{
    if (b == NULL)
        return;
    held_free(b);
    for (unsigned i = 1; i <= b->rings.lanes; i++) {
        job_queue_done(&b->inbox[i]);
        (void)close(b->inbox[i].event);
        worker_done(&b->lane[i]);
    }
    job_queue_done(&b->slow_queue);
    job_queue_done(&b->maker_queue);
    job_queue_done(&b->own_done);
    for (unsigned i = 0; i < b->slow_n; i++) {
        worker_done(&b->slow[i]);
        worker_done(&b->maker[i]);
    }
    worker_done(&b->control);
    (void)close(b->control_event);
    secret_free(b->import_reserve);
    own_join_done(b);
    auth_free(atomic_load(&b->auth));
    audit_free(b->audit);
    state_free(b->state);
    keycache_free(b->cache);
    stock_free(b->stock);
    roles_free(b->roles);
    sealer_free(b->sealer);
    ring_detach(&b->rings);
    roots_done(&b->roots);
    pool_init_done(&b->init);
    (void)pthread_mutex_destroy(&b->held.lock);
    (void)pthread_mutex_destroy(&b->import_lock);
    (void)pthread_mutex_destroy(&b->gate_lock);
    (void)pthread_cond_destroy(&b->gate_changed);
    free(b);
}

static hsm_err start_thread(struct boundary *b, void *(*run)(void *), void *of)
{
    if (pthread_create(&b->thread[b->thread_n], NULL, run, of) != 0)
        return HSM_E_NOMEM;
    b->thread_n++;
    return HSM_OK;
}

hsm_err boundary_start(struct boundary *b)
{
    for (unsigned i = 1; i <= b->rings.lanes; i++)
        TRY(start_thread(b, lane_main, &b->lane[i]));
    for (unsigned i = 0; i < b->slow_n; i++) {
        TRY(start_thread(b, slow_main, &b->slow[i]));
        TRY(start_thread(b, maker_main, &b->maker[i]));
    }
    TRY(start_thread(b, stock_main, b));
    (void)pthread_mutex_lock(&b->gate_lock);
    while (b->gate_waiting < b->thread_n)
        (void)pthread_cond_wait(&b->gate_changed, &b->gate_lock);
    (void)pthread_mutex_unlock(&b->gate_lock);
    return HSM_OK;
}

void boundary_open_gate(struct boundary *b)
{
    (void)pthread_mutex_lock(&b->gate_lock);
    b->gate_open = true;
    (void)pthread_cond_broadcast(&b->gate_changed);
    (void)pthread_mutex_unlock(&b->gate_lock);
}

void boundary_stop(struct boundary *b)
{
    atomic_store(&b->stop, true);
    boundary_open_gate(b);
    job_queue_close(&b->slow_queue);
    job_queue_close(&b->maker_queue);
    stock_close(b->stock);
    for (unsigned i = 1; i <= b->rings.lanes; i++)
        signal_event(b->inbox[i].event);
    signal_event(b->control_event);
    for (unsigned i = 0; i < b->thread_n; i++)
        (void)pthread_join(b->thread[i], NULL);
    b->thread_n = 0;
}
