/* Joining a pool, between join.c and the rest of the boundary: as a member, what a joiner gets and
 * what is recorded of it; as a joiner, when to ask, and what to do with the answer. Control thread.
 */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/log.h"
#include "boundary/control.h"
#include "boundary/quote.h"

#define AGAIN_US     500000u
#define CONN_INBOUND 0x80000000u /* set: opened by the gateway; clear: asked for by us */
#define PEER_HOST    "peer"

static uint64_t mono_ms(void)
{
    return clock_mono_us() / 1000;
}

/* One line in the log for each reason: a joiner asks twice a second, and a gateway may open as many
 * connections as it likes. */
static void tell_once(struct boundary *b, const char *what, const char *why)
{
    struct own_join *o = &b->join;
    for (unsigned i = 0; i < o->told_n; i++)
        if (strcmp(o->told[i], why) == 0)
            return;
    if (o->told_n == sizeof o->told / sizeof o->told[0])
        return;
    o->told[o->told_n++] = why;
    log_warn("%s: %s", what, why);
}

/* ---- member ---- */

/* What a quote says, genuine or not. */
static void note_quote(const struct evidence *e, char *dst, size_t cap)
{
    struct quote q;
    uint8_t ak[QUOTE_DIGEST_LEN];
    char ak_hex[65], pcr_hex[65];
    dst[0] = '\0';
    if (e->provider != EVIDENCE_TPM2 ||
        quote_decode(bytes_of(e->platform, e->platform_n), &q) != HSM_OK ||
        quote_ak(&q, ak) != HSM_OK)
        return;
    hex_encode(ak_hex, ak, sizeof ak);
    hex_encode(pcr_hex, q.pcr_digest.p, q.pcr_digest.n);
    (void)snprintf(dst, cap, ", attestation key %s, PCR digest %s", ak_hex, pcr_hex);
}

/* peer NULL: it has shown no evidence. */
static void record(struct boundary *b, const struct evidence *peer, hsm_err err, const char *why,
                   uint64_t started_us)
{
    struct request rq = {.b = b};
    char uri[48] = "/partitions/unknown/join";
    char hex[2 * EVIDENCE_MEASUREMENT_LEN + 1];
    char quoted[192];
    (void)snprintf(rq.detail, sizeof rq.detail, "%s", why);
    if (peer != NULL) {
        hex_encode(hex, peer->measurement, sizeof peer->measurement);
        (void)snprintf(uri, sizeof uri, "/partitions/%u/join", peer->partition);
        note_quote(peer, quoted, sizeof quoted);
        (void)snprintf(rq.audit_note, sizeof rq.audit_note,
                       "evidence %s of pool %s, protection level %s, measurement %s%s",
                       evidence_provider_name(peer->provider), peer->pool, peer->protection, hex,
                       quoted);
    }
    own_record(b, &rq, "PartitionJoin", uri, err, started_us);
}

/* Recorded before it is on its way. */
static hsm_err grant(void *ctx, const struct evidence *peer, struct uuid *ret_pool,
                     struct secret_buf *ret_roots, enum join_reason *reason)
{
    struct boundary *b = (struct boundary *)ctx;
    struct secret_buf secret_roots;
    *reason = JOIN_NO_POOL;
    if (!b->state->has_pool || b->quiesce_us != 0)
        return HSM_E_UNAVAILABLE;
    *reason = JOIN_NO_PARTITION;
    if (peer->partition == join_self_evidence(b->join.self)->partition)
        return HSM_E_DENIED;
    *reason = JOIN_NO_MEMORY;
    TRY(roots_encode(&b->roots, &secret_roots));
    record(b, peer, HSM_OK, "", b->join.started_us);
    if (boundary_has_ended(b)) {
        secret_buf_done(&secret_roots);
        return HSM_E_UNAVAILABLE;
    }
    log_info("partition %u joins the pool", peer->partition);
    b->join.is_granted = true;
    *ret_pool = b->roots.pool;
    *ret_roots = secret_roots;
    return HSM_OK;
}

static void member_ended(void *ctx, hsm_err err, const char *why)
{
    struct boundary *b = (struct boundary *)ctx;
    if (!b->join.is_granted) {
        record(b, join_peer(b->join.join), err, why, b->join.started_us);
        tell_once(b, "a boundary may not join", why);
    } else if (err != HSM_OK) {
        log_warn("the joining boundary did not say that it has sealed the root secrets: %s", why);
    }
}

static void close_at_once(struct boundary *b, uint32_t conn, hsm_err err, const char *why)
{
    uint8_t buf[64];
    struct wr w = wr_of(buf, sizeof buf);
    const struct wire_net_close m = {.conn = conn, .err = (uint16_t)err};
    record(b, NULL, err, why, clock_mono_us());
    tell_once(b, "a boundary may not join", why);
    wire_net_close_put(&w, &m);
    (void)control_send(b, CTL_NET_CLOSE, 0, wr_view(&w));
}

bool control_peer_open(struct boundary *b, const struct ring_frame *f)
{
    struct own_join *o = &b->join;
    struct wire_peer_open m;
    if (wire_peer_open_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    bool is_busy = o->join != NULL && join_is_busy(o->join);
    if ((m.conn & CONN_INBOUND) == 0 || (is_busy && join_conn(o->join) == m.conn)) {
        boundary_end(b, EXIT_PROTOCOL,
                     "connection %u of a joining boundary cannot have that number", m.conn);
        return false;
    }
    if (o->join == NULL) {
        close_at_once(b, m.conn, HSM_E_UNAVAILABLE, "this boundary has no admission key");
    } else if (is_busy) {
        close_at_once(b, m.conn, HSM_E_THROTTLED, "another boundary is joining");
    } else {
        o->is_granted = false;
        o->started_us = clock_mono_us();
        join_start(o->join, m.conn, mono_ms(), clock_now_ms() / 1000);
    }
    return !boundary_has_ended(b);
}

/* ---- joiner ---- */

static bool is_named(const struct roots *r, const char *pool_name)
{
    const uint8_t *p = r->owner_cert;
    X509 *cert = d2i_X509(NULL, &p, (long)r->owner_cert_n);
    X509_NAME *name = cert == NULL ? NULL : X509_get_subject_name(cert);
    int at = name == NULL ? -1 : X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    bool ok = false;
    if (at >= 0) {
        const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
        ok = bytes_eq_str(bytes_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)),
                          pool_name);
    }
    X509_free(cert);
    ERR_clear_error();
    return ok;
}

static hsm_err take(void *ctx, const struct uuid *pool, struct bytes text, const char **why)
{
    struct boundary *b = (struct boundary *)ctx;
    struct roots roots;
    hsm_err err = roots_decode(text, &roots);
    if (err != HSM_OK) {
        *why = err == HSM_E_NOMEM ? "out of memory" : "the root secrets that came are damaged";
        return err;
    }
    if (memcmp(pool->b, roots.pool.b, sizeof pool->b) != 0 ||
        !is_named(&roots, b->init.info.name)) {
        *why = "the root secrets that came are of another pool";
        err = HSM_E_CORRUPT;
    } else {
        *why = "the root secrets cannot be sealed";
        err = b->join.seal(b->join.seal_ctx, &roots);
        b->join.is_over = true;
    }
    roots_done(&roots);
    return err;
}

static void joiner_ended(void *ctx, hsm_err err, const char *why)
{
    struct boundary *b = (struct boundary *)ctx;
    b->join.next_us = clock_mono_us() + AGAIN_US;
    if (err == HSM_OK) {
        if (control_send(b, CTL_JOINED, 0, bytes_of(NULL, 0)))
            boundary_end(b, EXIT_JOINED, "joined pool %s", b->init.info.name);
    } else if (b->join.is_over) {
        boundary_end(b, EXIT_SETUP, "joining the pool: %s: %s", why, hsm_err_name(err));
    } else {
        tell_once(b, "joining the pool", why);
    }
}

static void ask(struct boundary *b)
{
    struct own_join *o = &b->join;
    o->conn = (o->conn + 1) & ~CONN_INBOUND;
    own_relay_open(b, o->conn, PEER_HOST, 0);
    join_start(o->join, o->conn, mono_ms(), clock_now_ms() / 1000);
}

/* ---- both ---- */

hsm_err own_join_init(struct boundary *b, const struct boundary_config *c)
{
    struct own_join *o = &b->join;
    o->self = c->join_self;
    o->is_joiner = c->joining;
    o->no_genesis = c->joining || c->no_genesis;
    o->seal = c->seal_roots;
    o->seal_ctx = c->seal_ctx;
    if (o->self == NULL)
        return o->is_joiner ? HSM_E_BAD_PARAMETER : HSM_OK;
    const struct join_hooks hooks = {
        .ctx = b,
        .data = own_relay_data,
        .close = own_relay_close,
        .grant = grant,
        .take = take,
        .ended = o->is_joiner ? joiner_ended : member_ended,
    };
    return join_new(o->self, o->is_joiner ? JOIN_JOINER : JOIN_MEMBER, &hooks, &o->join);
}

void own_join_done(struct boundary *b)
{
    join_free(b->join.join);
    join_self_free(b->join.self);
    b->join = (struct own_join){0};
}

void own_join_tick(struct boundary *b, uint64_t mono_us)
{
    struct own_join *o = &b->join;
    if (o->join == NULL)
        return;
    join_tick(o->join, mono_us / 1000);
    if (boundary_phase(b) == PHASE_JOIN && !boundary_has_ended(b) && !join_is_busy(o->join) &&
        mono_us >= o->next_us && b->quiesce_us == 0)
        ask(b);
}

bool own_join_owns(const struct boundary *b, uint32_t conn)
{
    return b->join.is_joiner || (conn & CONN_INBOUND) != 0;
}

/* What comes late, for a connection that is over, is dropped. */
static bool is_current(const struct own_join *o, uint32_t conn)
{
    return o->join != NULL && join_is_busy(o->join) && join_conn(o->join) == conn;
}

void own_join_data(struct boundary *b, uint32_t conn, struct bytes data)
{
    if (is_current(&b->join, conn))
        join_data(b->join.join, data);
}

void own_join_closed(struct boundary *b, uint32_t conn)
{
    if (is_current(&b->join, conn))
        join_closed(b->join.join);
}
