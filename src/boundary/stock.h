/* RSA keys made in advance, so that creating one need not wait for its primes.
 *
 * They come from the same generator as any key, with every check that it makes; their private parts
 * lie in secret memory and in no record. Each is handed out once or wiped: at the orderly end, and
 * when secret memory runs short, before a key in use has to be closed.
 *
 * One thread of the lowest priority makes them. Whoever takes one never waits for that thread: no
 * lock is shared with it. */
#ifndef BOUNDARY_STOCK_H
#define BOUNDARY_STOCK_H

#include "boundary/keymat.h"

#define STOCK_MAX 64u /* keys of one size */

enum stock_size {
    STOCK_2048,
    STOCK_3072,
    STOCK_4096,
    STOCK__SIZES
};

struct stock;
/* keymat_generate_until, but in tests of what is around it. */
typedef hsm_err (*stock_make_fn)(const struct keymat_spec *spec, atomic_bool *stop,
                                 struct secret_buf *ret_private, struct keymat_public *ret_public);
/* want: keys to keep ready of each size, at most STOCK_MAX; all 0: nothing is ever made. */
HSM_MUST_USE hsm_err stock_new(const unsigned want[STOCK__SIZES], stock_make_fn make,
                               struct stock **ret);
void stock_free(struct stock *s); /* after stock_run returned */

/* A prepared key by that spec, from now on the caller's alone; false: there is none. Keys with an
 * exponent other than 65537 are not prepared. */
bool stock_take(struct stock *s, const struct keymat_spec *spec, struct secret_buf *ret_private,
                struct keymat_public *ret_public);
/* Wipe all of them and make none for a minute; false: there was none. */
#define STOCK_PAUSE_US 60000000u
bool stock_shed(struct stock *s);
/* Wipe all of them for good; stock_run returns soon. */
void stock_close(struct stock *s);
void stock_count(const struct stock *s, uint32_t ret[STOCK__SIZES]);

/* The thread's work: make keys while there is something to make and it may, else sleep. */
void stock_run(struct stock *s);
/* A few times per second: may keys be made now? The first is made STOCK_DELAY_US after that became
 * true, so that a start is not disturbed. */
#define STOCK_DELAY_US 2000000u
void stock_tick(struct stock *s, bool may, uint64_t mono_us);
/* One key of the size that lacks most; false: nothing to do, or it failed. For stock_run and tests.
 */
bool stock_make_one(struct stock *s);

#endif
