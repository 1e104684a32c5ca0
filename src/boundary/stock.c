#include "boundary/stock.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include "base/clock.h"
#include "boundary/test_hooks.h"

struct prepared {
    struct secret_buf secret_private;
    struct keymat_public pub;
};

struct stock {
    stock_make_fn make;
    unsigned want[STOCK__SIZES];
    _Atomic(struct prepared *) slot[STOCK__SIZES][STOCK_MAX];
    atomic_uint n[STOCK__SIZES]; /* full slots; may lag behind the slots by a moment */
    sem_t wake;
    atomic_bool asleep;
    atomic_bool may;  /* keys may be made */
    atomic_bool stop; /* gives up the key under way as well */
    atomic_bool closed;
    uint64_t since_us;               /* may is wanted since then; 0: it is not */
    atomic_uint_least64_t paused_us; /* until then none is made */
};

static const uint32_t bits_of[STOCK__SIZES] = {2048, 3072, 4096};

hsm_err stock_new(const unsigned want[STOCK__SIZES], stock_make_fn make, struct stock **ret)
{
    struct stock *s = (struct stock *)calloc(1, sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    if (sem_init(&s->wake, 0, 0) != 0) {
        free(s);
        return HSM_E_NOMEM;
    }
    s->make = make;
    for (unsigned i = 0; i < STOCK__SIZES; i++)
        s->want[i] = want[i] < STOCK_MAX ? want[i] : STOCK_MAX;
    *ret = s;
    return HSM_OK;
}

static void prepared_free(struct prepared *p)
{
    if (p == NULL)
        return;
    secret_buf_done(&p->secret_private);
    free(p);
}

/* Whoever exchanges a slot's key for NULL has it, and nobody else. */
static struct prepared *slot_take(struct stock *s, unsigned size, unsigned i)
{
    if (atomic_load_explicit(&s->slot[size][i], memory_order_relaxed) == NULL)
        return NULL;
    struct prepared *p = atomic_exchange(&s->slot[size][i], NULL);
    if (p != NULL)
        atomic_fetch_sub(&s->n[size], 1);
    return p;
}

static unsigned wipe_all(struct stock *s)
{
    unsigned n = 0;
    for (unsigned size = 0; size < STOCK__SIZES; size++) {
        for (unsigned i = 0; i < s->want[size]; i++) {
            struct prepared *p = slot_take(s, size, i);
            n += p != NULL;
            prepared_free(p);
        }
    }
    return n;
}

void stock_free(struct stock *s)
{
    if (s == NULL)
        return;
    (void)wipe_all(s);
    (void)sem_destroy(&s->wake);
    free(s);
}

bool stock_take(struct stock *s, const struct keymat_spec *spec, struct secret_buf *ret_private,
                struct keymat_public *ret_public)
{
    if (spec->kty != KTY_RSA || spec->public_exponent != 65537)
        return false;
    unsigned size = 0;
    while (size < STOCK__SIZES && bits_of[size] != spec->bits)
        size++;
    if (size == STOCK__SIZES || atomic_load(&s->n[size]) == 0)
        return false;
    for (unsigned i = 0; i < s->want[size]; i++) {
        struct prepared *p = slot_take(s, size, i);
        if (p == NULL)
            continue;
        *ret_private = p->secret_private;
        *ret_public = p->pub;
        free(p);
        return true;
    }
    return false;
}

static void pause_making(struct stock *s)
{
    atomic_store(&s->paused_us, clock_mono_us() + STOCK_PAUSE_US);
    atomic_store(&s->may, false);
}

bool stock_shed(struct stock *s)
{
    pause_making(s);
    return wipe_all(s) > 0;
}

void stock_close(struct stock *s)
{
    atomic_store(&s->closed, true);
    atomic_store(&s->stop, true);
    (void)wipe_all(s);
    (void)sem_post(&s->wake);
}

void stock_count(const struct stock *s, uint32_t ret[STOCK__SIZES])
{
    for (unsigned i = 0; i < STOCK__SIZES; i++)
        ret[i] = atomic_load(&s->n[i]);
}

/* ---- making ---- */

/* The size of which the smallest part is there; STOCK__SIZES: all full. */
static unsigned lacks_most(const struct stock *s)
{
    unsigned best = STOCK__SIZES;
    unsigned best_part = 100;
    for (unsigned i = 0; i < STOCK__SIZES; i++) {
        unsigned part = s->want[i] == 0 ? 100 : atomic_load(&s->n[i]) * 100 / s->want[i];
        if (part < best_part) {
            best = i;
            best_part = part;
        }
    }
    return best;
}

static void put(struct stock *s, unsigned size, struct prepared *p)
{
    struct prepared *none = NULL;
    atomic_fetch_add(&s->n[size], 1);
    for (unsigned i = 0; i < s->want[size]; i++, none = NULL)
        if (atomic_compare_exchange_strong(&s->slot[size][i], &none, p))
            return;
    atomic_fetch_sub(&s->n[size], 1);
    prepared_free(p);
}

/* A quarter of secret memory stays for the keys in use. */
static bool has_room(void)
{
    return secret_level() == SECRET_NONE || secret_size() - secret_used() > secret_size() / 4;
}

bool stock_make_one(struct stock *s)
{
    unsigned size = lacks_most(s);
    if (size == STOCK__SIZES || !has_room())
        return false;
    struct prepared *p = (struct prepared *)calloc(1, sizeof *p);
    if (p == NULL)
        return false;
    const struct keymat_spec spec = {
        .kty = KTY_RSA, .bits = bits_of[size], .public_exponent = 65537};
    hsm_err err = s->make(&spec, &s->stop, &p->secret_private, &p->pub);
    if (err != HSM_OK) {
        prepared_free(p);
        pause_making(s);
        return false;
    }
    test_keylog(bytes_of(p->secret_private.p, p->secret_private.n));
    put(s, size, p);
    if (atomic_load(&s->closed))
        (void)wipe_all(s); /* the wiping may have been before this one */
    return true;
}

static void wait_for_work(struct stock *s)
{
    atomic_store(&s->asleep, true);
    while (sem_wait(&s->wake) != 0 && errno == EINTR)
        continue;
    atomic_store(&s->asleep, false);
}

void stock_run(struct stock *s)
{
    while (!atomic_load(&s->closed))
        if (!atomic_load(&s->may) || !stock_make_one(s))
            wait_for_work(s);
}

void stock_tick(struct stock *s, bool may, uint64_t mono_us)
{
    if (!may || s->since_us == 0)
        s->since_us = may ? mono_us : 0;
    bool now =
        may && mono_us - s->since_us >= STOCK_DELAY_US && mono_us >= atomic_load(&s->paused_us);
    atomic_store(&s->may, now);
    if (now && lacks_most(s) != STOCK__SIZES && atomic_exchange(&s->asleep, false))
        (void)sem_post(&s->wake);
}
