#include "boundary/lease.h"

#include "base/clock.h"
#include "base/ct.h"
#include "base/log.h"
#include "boundary/control.h"

void lease_init(struct lease *l, bool alone)
{
    *l = (struct lease){.clock = clock_boot_us};
    atomic_store(&l->until_us, alone ? LEASE_ALONE : 0);
    atomic_store(&l->released, alone ? LEASE_ALONE : 0);
}

/* ---- any thread ---- */

void lease_want(struct boundary *b)
{
    if (!atomic_load(&b->lease.wanted) && !atomic_exchange(&b->lease.wanted, true))
        boundary_wake_control(b);
}

bool lease_covers(struct boundary *b, uint64_t until_us)
{
    if (until_us == LEASE_ALONE)
        return true;
    uint64_t now = b->lease.clock();
    if (now >= until_us)
        return false;
    if (until_us - now < LEASE_US - LEASE_RENEW_MS * 1000u)
        lease_want(b);
    return true;
}

/* ---- asking ---- */

/* UINT64_MAX: nobody needs one. */
static uint64_t ask_at(struct boundary *b)
{
    const struct lease *l = &b->lease;
    if (lease_is_alone(l) || (!atomic_load(&l->wanted) && held_lease_waits(b) == 0))
        return UINT64_MAX;
    return l->asked_us + (l->is_unanswered ? LEASE_AGAIN_US : LEASE_GAP_US);
}

static void ask(struct boundary *b, uint64_t now)
{
    struct lease *l = &b->lease;
    struct lease_asked *a = &l->asked[l->next++ % LEASE_ASKED_MAX];
    *a = (struct lease_asked){.at_us = now, .from_index = b->state->index, .is_open = true};
    uuid_new_v4(&a->nonce);
    l->asked_us = now;
    l->is_unanswered = true;
    atomic_store(&l->wanted, false);
    uint8_t buf[64];
    struct wr w = wr_of(buf, sizeof buf);
    const struct wire_lease_want m = {.nonce = a->nonce};
    wire_lease_want_put(&w, &m);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    (void)control_send(b, CTL_LEASE_WANT, 0, wr_view(&w));
}

void lease_tick(struct boundary *b)
{
    uint64_t at = ask_at(b);
    if (at == UINT64_MAX || boundary_phase(b) != PHASE_SERVING)
        return;
    uint64_t now = b->lease.clock();
    if (now >= at)
        ask(b, now);
}

int lease_sleep_ms(struct boundary *b, int most)
{
    uint64_t at = ask_at(b);
    if (at == UINT64_MAX)
        return most;
    uint64_t now = b->lease.clock();
    uint64_t ms = at <= now ? 0 : (at - now + 999) / 1000;
    return ms < (uint64_t)most ? (int)ms : most;
}

uint32_t lease_ms_left(const struct lease *l)
{
    uint64_t until = lease_until(l), now;
    if (until == LEASE_ALONE)
        return UINT32_MAX;
    now = l->clock();
    return until > now ? (uint32_t)((until - now) / 1000) : 0;
}

/* ---- answers ---- */

static bool is_genuine(struct boundary *b, const struct lease_asked *a)
{
    uint8_t past[SEAL_MAC_LEN], mac[SEAL_MAC_LEN];
    return a->index >= a->from_index && state_past_at(b->state, a->index, past) &&
           seal_lease_mac(b->control.sc, &a->nonce, a->index, past, mac) == HSM_OK &&
           ct_eq(mac, a->mac, sizeof mac);
}

/* The lease that an answer gives, or 0. Uses it up when it can be told. */
static uint64_t lease_of(struct boundary *b, struct lease_asked *a, uint64_t now)
{
    if (!a->is_open || !a->has_answer)
        return 0;
    if (now >= a->at_us + LEASE_US) {
        a->is_open = false;
        return 0;
    }
    if (a->index > b->state->index)
        return 0;
    a->is_open = false;
    if (is_genuine(b, a))
        return a->at_us + LEASE_US;
    if (!b->lease.has_warned_grant)
        log_error("a lease is not of the leader's boundary, or for another history than ours");
    b->lease.has_warned_grant = true;
    return 0;
}

void lease_applied(struct boundary *b)
{
    struct lease *l = &b->lease;
    uint64_t best = 0, now;
    if (lease_is_alone(l))
        return;
    now = l->clock();
    for (unsigned i = 0; i < LEASE_ASKED_MAX; i++) {
        uint64_t until = lease_of(b, &l->asked[i], now);
        best = until > best ? until : best;
    }
    if (best <= lease_until(l))
        return;
    atomic_store_explicit(&l->until_us, best, memory_order_release);
    atomic_store(&l->wanted, false); /* whoever finds it old already wants again */
    held_lease_granted(b);
}

bool control_lease_grant(struct boundary *b, const struct ring_frame *f)
{
    struct wire_lease_proof m;
    struct lease *l = &b->lease;
    if (wire_lease_proof_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    for (unsigned i = 0; i < LEASE_ASKED_MAX; i++) {
        struct lease_asked *a = &l->asked[i];
        if (!a->is_open || a->has_answer || memcmp(&a->nonce, &m.nonce, sizeof m.nonce) != 0 ||
            m.mac.n != sizeof a->mac)
            continue;
        a->has_answer = true;
        a->index = m.index;
        memcpy(a->mac, m.mac.p, sizeof a->mac);
        if (a->at_us == l->asked_us)
            l->is_unanswered = false;
    }
    lease_applied(b);
    return true;
}

/* ---- the leader's side ---- */

bool control_lease_sign(struct boundary *b, const struct ring_frame *f)
{
    struct wire_lease_sign m;
    if (wire_lease_sign_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    const struct state *s = b->state;
    if (m.index > s->index) {
        if (!b->lease.has_warned_sign)
            log_warn("a lease is asked for state %llu, which is not here yet",
                     (unsigned long long)m.index);
        b->lease.has_warned_sign = true;
        return true;
    }
    uint8_t mac[SEAL_MAC_LEN], buf[128];
    struct wr w = wr_of(buf, sizeof buf);
    if (seal_lease_mac(b->control.sc, &m.nonce, s->index, s->past, mac) != HSM_OK)
        return true; /* asked again */
    const struct wire_lease_proof proof = {
        .nonce = m.nonce, .index = s->index, .mac = bytes_of(mac, sizeof mac)};
    wire_lease_proof_put(&w, &proof);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    return control_send(b, CTL_LEASE_PROOF, f->id, wr_view(&w));
}

bool control_released(struct boundary *b, const struct ring_frame *f)
{
    struct wire_released m;
    if (wire_released_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    if (m.index <= lease_released(&b->lease))
        return true;
    atomic_store_explicit(&b->lease.released, m.index, memory_order_release);
    held_released(b, m.index);
    return true;
}
