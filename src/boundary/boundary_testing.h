/* For the tests of the boundary's runtime: the other side of its rings. A rig plays the gateway: it
 * has a store in memory that judges transactions, an issuer whose key set it relays, the audit
 * file, and clients. The boundary is either driven in this thread, frame by frame, or runs as a
 * process of its own. */
#ifndef BOUNDARY_BOUNDARY_TESTING_H
#define BOUNDARY_BOUNDARY_TESTING_H

#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "boundary/auth_testing.h"
#include "boundary/commands.h"
#include "boundary/control.h"
#include "boundary/rig_keys_testing.h"
#include "boundary/rig_store_testing.h"

#define RIG_LANES 2u
#define RIG_ADMIN OID
#define RIG_HOST  "dev.managedhsm.localhost:8443"

struct rig_answer {
    bool there;
    uint64_t id;
    unsigned err, challenge;
    char detail[1100];
    uint8_t *body; /* owned by the rig */
    size_t body_n;
};
enum rig_txn {
    TXN_COMMIT,
    TXN_FAIL,
    TXN_KEEP
};

struct rig {
    struct ring_fds fds;
    struct ring_set gw;
    struct boundary *b; /* driven here; NULL: a process */
    pid_t pid;
    struct net net;
    EVP_PKEY *token_key, *tls_key;
    X509 *cert;
    char pool_json[8192];
    unsigned prepared[STOCK__SIZES]; /* the program has more */
    struct roots roots;              /* copied into each boundary of this rig */
    struct secret_buf roots_text;
    struct rig_store *store;
    enum rig_txn on_txn;
    hsm_err fail_with;
    uint8_t *kept; /* last proposal */
    size_t kept_n;
    struct uuid kept_id;
    unsigned proposals;
    void (*on_proposal)(struct rig *r, struct bytes txn); /* may be NULL */
    struct rig_answer answer;
    char *audit; /* the file */
    size_t audit_n, audit_cap;
    unsigned loaded; /* answers to LOAD_END */
    unsigned loaded_err;
    char loaded_detail[300];
    struct wire_status status;
    unsigned statuses, quiesced, welcomes;
    uint8_t welcome_fresh;
    uint64_t next_id;
    void (*on_answer)(struct rig *r, const struct ring_frame *f); /* instead of noting it */
    int ended;                                                    /* exit code + 1 */
    uint32_t partition;
    bool needs_lease;                                              /* not alone in the pool */
    void (*on_control)(struct rig *r, const struct ring_frame *f); /* other messages; may be NULL */
    /* May be NULL: sees what comes on the control lane first, true: that was all; may change how
     * the boundary is made. */
    bool (*see_control)(struct rig *r, const struct ring_frame *f);
    void (*configure)(struct rig *r, struct boundary_config *c);
};

/* What the boundary takes for the wall clock, in place of clock_now.c. */
static int64_t rig_clock_ahead_s;
uint64_t clock_now_ms(void)
{
    return ((uint64_t)time(NULL) + (uint64_t)rig_clock_ahead_s) * 1000;
}

static uint8_t rig_buf[RING_FRAME_MAX];
static uint8_t rig_out[RING_FRAME_MAX];

/* ---- sending ---- */

static inline void rig_send(struct rig *r, unsigned lane, unsigned type, uint64_t id,
                            struct bytes payload)
{
    struct ring_frame f = {.type = (uint16_t)type, .id = id, .payload = payload};
    assert_int_equal(ring_write(r->gw.out[lane], &f, 5000), HSM_OK);
}

/* The control message X with the struct of that name. */
#define RIG_CONTROL(r, type, name, ...)                                                            \
    do {                                                                                           \
        const struct wire_##name m_ = {__VA_ARGS__};                                               \
        struct wr w_ = wr_of(rig_out, sizeof rig_out);                                             \
        wire_##name##_put(&w_, &m_);                                                               \
        assert_int_equal(wr_ok(&w_), HSM_OK);                                                      \
        rig_send((r), 0, (type), 7, wr_view(&w_));                                                 \
    } while (0)

static inline void rig_commit(struct rig *r, struct bytes txn)
{
    struct wire_txn t;
    assert_int_equal(wire_txn_decode(txn, &t), HSM_OK);
    bool ok = rig_judge(r->store, t.ops);
    if (ok)
        rig_store_apply(r->store, t.ops);
    RIG_CONTROL(r, CTL_APPLY, apply, .index = ++r->store->index, .accepted = ok ? 1 : 0,
                .txn = txn);
}

/* ---- what the boundary sends ---- */

static inline void rig_on_propose(struct rig *r, struct bytes payload)
{
    struct wire_propose m;
    assert_int_equal(wire_propose_decode(payload, &m), HSM_OK);
    r->proposals++;
    if (r->on_proposal != NULL)
        r->on_proposal(r, m.bytes);
    free(r->kept);
    r->kept = malloc(m.bytes.n);
    memcpy(r->kept, m.bytes.p, m.bytes.n);
    r->kept_n = m.bytes.n;
    r->kept_id = m.txn;
    if (r->on_txn == TXN_COMMIT)
        rig_commit(r, bytes_of(r->kept, r->kept_n));
    else if (r->on_txn == TXN_FAIL)
        RIG_CONTROL(r, CTL_TXN_FAILED, txn_failed, .txn = m.txn, .err = (uint16_t)r->fail_with);
}

static inline void rig_on_loaded(struct rig *r, struct bytes payload)
{
    struct wire_loaded m;
    assert_int_equal(wire_loaded_decode(payload, &m), HSM_OK);
    r->loaded++;
    r->loaded_err = m.err;
    snprintf(r->loaded_detail, sizeof r->loaded_detail, "%.*s", (int)m.detail.n,
             (const char *)m.detail.p);
}

static inline void rig_on_control(struct rig *r, const struct ring_frame *f)
{
    struct wire_applied applied;
    struct wire_welcome welcome;
    struct wire_net_open open;
    struct wire_net_data data;
    struct wire_net_close close_msg;
    switch (f->type) {
    case CTL_WELCOME:
        assert_int_equal(wire_welcome_decode(f->payload, &welcome), HSM_OK);
        r->welcomes++;
        r->welcome_fresh = welcome.fresh;
        break;
    case CTL_LOADED:
        rig_on_loaded(r, f->payload);
        break;
    case CTL_PROPOSE:
        rig_on_propose(r, f->payload);
        break;
    case CTL_APPLIED:
        assert_int_equal(wire_applied_decode(f->payload, &applied), HSM_OK);
        assert_true(applied.index <= r->store->index);
        memcpy(r->store->digest, applied.digest.p, applied.digest.n);
        r->store->digest_n = applied.digest.n;
        break;
    case CTL_NET_OPEN:
        assert_int_equal(wire_net_open_decode(f->payload, &open), HSM_OK);
        net_open(&r->net, open.conn, "", open.port);
        break;
    case CTL_NET_DATA:
        assert_int_equal(wire_net_data_decode(f->payload, &data), HSM_OK);
        if (r->net.is_open)
            net_data(&r->net, data.conn, data.data);
        break;
    case CTL_NET_CLOSE:
        assert_int_equal(wire_net_close_decode(f->payload, &close_msg), HSM_OK);
        net_close(&r->net, close_msg.conn);
        break;
    case CTL_STATUS_RESULT:
        assert_int_equal(wire_status_decode(f->payload, &r->status), HSM_OK);
        r->statuses++;
        break;
    case CTL_QUIESCED:
        r->quiesced++;
        break;
    default:
        if (r->on_control != NULL) {
            r->on_control(r, f);
            break;
        }
        fail_msg("unexpected message %u of the boundary", f->type);
    }
}

static inline void rig_on_answer(struct rig *r, const struct ring_frame *f)
{
    struct wire_result m;
    assert_int_equal(f->type, WIRE_ANSWER);
    assert_int_equal(wire_result_decode(f->payload, &m), HSM_OK);
    free(r->answer.body);
    r->answer = (struct rig_answer){
        .there = true, .id = f->id, .err = m.err, .challenge = m.challenge, .body_n = m.body.n};
    snprintf(r->answer.detail, sizeof r->answer.detail, "%.*s", (int)m.detail.n,
             (const char *)m.detail.p);
    r->answer.body = malloc(m.body.n + 1);
    if (m.body.n > 0)
        memcpy(r->answer.body, m.body.p, m.body.n);
}

static inline void rig_on_audit(struct rig *r, struct bytes line)
{
    if (r->audit_n + line.n + 2 > r->audit_cap) {
        r->audit_cap = (r->audit_cap + line.n + 2) * 2;
        r->audit = realloc(r->audit, r->audit_cap);
        assert_non_null(r->audit);
    }
    memcpy(r->audit + r->audit_n, line.p, line.n);
    r->audit_n += line.n;
    r->audit[r->audit_n++] = '\n';
    r->audit[r->audit_n] = 0;
}

/* ---- moving bytes ---- */

static inline bool rig_issuer(struct rig *r)
{
    static uint8_t piece[16384];
    if (!r->net.is_open)
        return false;
    if (r->net.mode == SERVER_REFUSES) {
        r->net.is_open = false;
        RIG_CONTROL(r, CTL_NET_CLOSE, net_close, .conn = r->net.conn, .err = HSM_E_UNAVAILABLE);
        return true;
    }
    server_run(&r->net);
    int k = BIO_read(r->net.out, piece, sizeof piece);
    if (k <= 0)
        return false;
    RIG_CONTROL(r, CTL_NET_DATA, net_data, .conn = r->net.conn, .data = bytes_of(piece, (size_t)k));
    return true;
}

static inline bool rig_gateway(struct rig *r)
{
    struct ring_frame f;
    bool moved = false;
    while (ring_read(r->gw.audit, rig_buf, sizeof rig_buf, &f) == HSM_OK) {
        rig_on_audit(r, f.payload);
        moved = true;
    }
    for (unsigned l = 1; l <= RIG_LANES; l++) {
        while (ring_read(r->gw.in[l], rig_buf, sizeof rig_buf, &f) == HSM_OK) {
            if (r->on_answer != NULL)
                r->on_answer(r, &f);
            else
                rig_on_answer(r, &f);
            moved = true;
        }
    }
    while (ring_read(r->gw.in[0], rig_buf, sizeof rig_buf, &f) == HSM_OK) {
        if (r->see_control == NULL || !r->see_control(r, &f))
            rig_on_control(r, &f);
        moved = true;
    }
    return rig_issuer(r) || moved;
}

static inline bool rig_lane(struct rig *r, unsigned l)
{
    struct boundary *b = r->b;
    struct worker *w = l == 0 ? &b->control : &b->lane[l];
    struct ring_frame f;
    bool moved = false;
    for (hsm_err err; !boundary_has_ended(b); moved = true) {
        err = l == 0 ? ring_read(b->rings.in[l], w->frame, RING_FRAME_MAX, &f) : lane_read(w, &f);
        if (err != HSM_OK)
            break;
        (void)(l == 0 ? control_frame(b, &f) : lane_frame(w, &f));
        if (l > 0)
            lane_release(w, &f);
    }
    for (struct job *j; l > 0 && (j = job_queue_get(&b->inbox[l])) != NULL;) {
        job_run(w, j);
        moved = true;
    }
    worker_flush(w);
    return moved;
}

static inline bool rig_pool(struct worker *w)
{
    bool moved = false;
    for (struct job *j; (j = job_queue_get(w->serves)) != NULL; moved = true) {
        job_run(w, j);
        worker_flush(w);
    }
    return moved;
}

/* Everything that is ready on the boundary's side. */
static inline bool rig_boundary(struct rig *r)
{
    bool moved = false;
    if (r->b == NULL || boundary_has_ended(r->b))
        return false;
    for (unsigned l = 0; l <= RIG_LANES; l++)
        moved = rig_lane(r, l) || moved;
    moved = rig_pool(&r->b->slow[0]) || moved;
    moved = rig_pool(&r->b->maker[0]) || moved;
    control_tick(r->b, clock_mono_us());
    lease_tick(r->b);
    worker_flush(&r->b->control);
    return moved || r->b->slow_queue.n > 0;
}

static inline void rig_note_end(struct rig *r)
{
    int status;
    if (r->b != NULL)
        r->ended = atomic_load(&r->b->ended);
    else if (r->pid > 0 && waitpid(r->pid, &status, WNOHANG) == r->pid) {
        r->ended = WIFEXITED(status) ? WEXITSTATUS(status) + 1 : 1000 + WTERMSIG(status);
        r->pid = 0;
    }
}

static inline void rig_settle(struct rig *r)
{
    bool moved = true;
    while (moved) {
        moved = rig_boundary(r);
        moved = rig_gateway(r) || moved;
    }
    rig_note_end(r);
}

/* Until *what is above was, or the boundary ends. */
static inline void rig_until(struct rig *r, const unsigned *what, unsigned was)
{
    uint64_t deadline = clock_mono_us() + 20000000u;
    while (*what <= was && r->ended == 0 && clock_mono_us() < deadline) {
        rig_settle(r);
        if (r->b != NULL)
            return;
        usleep(200);
    }
}

/* ---- requests ---- */

static inline struct bytes rig_token_of(struct rig *r, const char *oid, long lifetime_s)
{
    static char token[TOKEN_CAP];
    char claims[1024];
    long now = (long)(clock_now_ms() / 1000);
    snprintf(claims, sizeof claims,
             "{\"iss\":\"%s\",\"aud\":\"%s\",\"tid\":\"" TENANT
             "\",\"oid\":\"%s\",\"nbf\":%ld,\"exp\":%ld}",
             ISSUER, AUDIENCE, oid, now - 7200, now + lifetime_s);
    return token_of(token, "{\"alg\":\"RS256\",\"kid\":\"k1\"}", claims, r->token_key, false);
}

static inline uint64_t rig_post(struct rig *r, unsigned lane, unsigned type, struct bytes token,
                                struct bytes body)
{
    struct wire_caller c = {.token = token,
                            .host = bytes_str(RIG_HOST),
                            .client_ip = bytes_str("127.0.0.1"),
                            .user_agent = bytes_str("rig"),
                            .uri = bytes_str("/x?y"),
                            .api_version = bytes_str("7.4")};
    uuid_new_v1(&c.activity);
    struct wr w = wr_of(rig_out, sizeof rig_out);
    wire_caller_put(&w, &c);
    wr_bytes(&w, body.p, body.n);
    assert_int_equal(wr_ok(&w), HSM_OK);
    r->answer.there = false;
    rig_send(r, lane, type, ++r->next_id, wr_view(&w));
    return r->next_id;
}

static inline void rig_wait(struct rig *r, uint64_t id)
{
    uint64_t deadline = clock_mono_us() + 20000000u;
    while (!(r->answer.there && r->answer.id == id) && r->ended == 0 &&
           clock_mono_us() < deadline) {
        rig_settle(r);
        if (r->b == NULL)
            usleep(100);
    }
}

static inline hsm_err rig_call(struct rig *r, unsigned type, struct bytes token, struct bytes body)
{
    rig_wait(r, rig_post(r, 1 + (unsigned)(r->next_id % RIG_LANES), type, token, body));
    assert_true(r->answer.there);
    return (hsm_err)r->answer.err;
}

/* Call as the administrator with a request struct. */
#define RIG_CALL(r, type, name, ...)                                                               \
    ({                                                                                             \
        const struct wire_##name m_ = {__VA_ARGS__};                                               \
        static uint8_t body_[400000];                                                              \
        struct wr w_ = wr_of(body_, sizeof body_);                                                 \
        wire_##name##_put(&w_, &m_);                                                               \
        assert_int_equal(wr_ok(&w_), HSM_OK);                                                      \
        rig_call((r), (type), rig_token_of((r), RIG_ADMIN, 3600), wr_view(&w_));                   \
    })

/* ---- starting ---- */

static inline void rig_noted_end(struct boundary *b, int code, const char *text)
{
    (void)text;
    (void)b;
    (void)code;
}

static inline void rig_init(struct rig *r)
{
    char jwk[1024], jwks[1200];
    memset(r, 0, sizeof *r);
    r->store = calloc(1, sizeof *r->store);
    r->token_key = rig_token_key();
    r->tls_key = make_ec();
    cert_now_s = time(NULL);
    /* For as long as any test's clock is ahead. */
    r->cert = make_cert(r->tls_key, "localhost", "DNS:localhost", NULL, NULL, 50 * 31556952L);
    net_use_cert(&r->net, r->cert, r->tls_key);
    jwk_text(jwk, sizeof jwk, r->token_key, "k1", "");
    snprintf(jwks, sizeof jwks, "{\"keys\":[%s]}", jwk);
    serve(&r->net, jwks);
    rig_pool_json(r->pool_json, sizeof r->pool_json, r->cert);
    assert_int_equal(roots_generate("dev", &r->roots), HSM_OK);
    assert_int_equal(roots_encode(&r->roots, &r->roots_text), HSM_OK);
}

static inline void rig_start(struct rig *r, bool fresh)
{
    struct pool_init init;
    struct roots roots;
    char why[256] = "";
    struct boundary_config c = {.roots = &roots,
                                .init = &init,
                                .fresh = fresh,
                                .slow_threads = 1,
                                .protection = "software",
                                .partition = r->partition,
                                .alone = !r->needs_lease};
    memcpy(c.prepared, r->prepared, sizeof c.prepared);
    assert_int_equal(pool_init_parse(bytes_str(r->pool_json), &init, why, sizeof why), HSM_OK);
    assert_int_equal(roots_decode(bytes_of(r->roots_text.p, r->roots_text.n), &roots), HSM_OK);
    assert_int_equal(ring_fds_create(RIG_LANES, &r->fds), HSM_OK);
    assert_int_equal(ring_attach(&r->fds, RING_GATEWAY, &r->gw), HSM_OK);
    assert_int_equal(ring_attach(&r->fds, RING_BOUNDARY, &c.rings), HSM_OK);
    if (r->configure != NULL)
        r->configure(r, &c);
    if (c.roots == NULL)
        roots_done(&roots);
    assert_int_equal(boundary_new(&c, &r->b), HSM_OK);
    r->b->on_end = rig_noted_end;
    r->ended = 0;
}

static inline void rig_stop(struct rig *r)
{
    boundary_free(r->b);
    r->b = NULL;
    ring_detach(&r->gw);
    ring_fds_close(&r->fds);
    net_drop(&r->net);
}

static inline void rig_done(struct rig *r)
{
    if (r->b != NULL)
        rig_stop(r);
    net_done(&r->net);
    X509_free(r->cert);
    EVP_PKEY_free(r->token_key);
    EVP_PKEY_free(r->tls_key);
    roots_done(&r->roots);
    secret_buf_done(&r->roots_text);
    rig_store_clear(r->store);
    free(r->store);
    free(r->kept);
    free(r->answer.body);
    free(r->audit);
}

static inline void rig_load_store(struct rig *r)
{
    struct rig_store *s = r->store;
    RIG_CONTROL(r, CTL_LOAD_BEGIN, load_begin, .index = s->index,
                .digest = bytes_of(s->digest, s->digest_n));
    for (size_t i = 0; i < s->n; i++) {
        static uint8_t list[RING_FRAME_MAX];
        struct wr w = wr_of(list, sizeof list);
        const struct wire_record rec = {.rid = bytes_of(s->rec[i].rid, 32),
                                        .revision = s->rec[i].revision,
                                        .sealed = bytes_of(s->rec[i].sealed, s->rec[i].n)};
        size_t at = wr_lv_open(&w);
        wire_record_put(&w, &rec);
        wr_lv_close(&w, at);
        RIG_CONTROL(r, CTL_LOAD_RECORDS, load_records, .records = wr_view(&w));
        rig_settle(r);
        if (r->loaded_err != HSM_OK)
            return;
    }
    rig_send(r, 0, CTL_LOAD_END, 1, bytes_of(NULL, 0));
}

/* Position of the audit file's last line. */
static inline void rig_audit_end(const struct rig *r, uint64_t *ret_seq, uint8_t hash[32])
{
    *ret_seq = 0;
    if (r->audit_n == 0)
        return;
    const char *chain = NULL;
    for (const char *p = r->audit; (p = strstr(p, ",\"chain\":{\"seq\":")) != NULL; p++)
        chain = p;
    assert_non_null(chain);
    *ret_seq = strtoull(chain + strlen(",\"chain\":{\"seq\":"), NULL, 10);
    const char *hex = strstr(chain, "\"hash\":\"");
    assert_non_null(hex);
    assert_int_equal(hex_decode(hash, 32, bytes_of(hex + 8, 64)), HSM_OK);
}

/* Through the whole start; the pool is there afterwards. */
static inline void rig_serve(struct rig *r)
{
    uint64_t seq;
    uint8_t hash[32];
    unsigned was = r->loaded;
    r->loaded_err = 0;
    RIG_CONTROL(r, CTL_HELLO, hello, .version = WIRE_VERSION, .lanes = RIG_LANES);
    rig_load_store(r);
    rig_until(r, &r->loaded, was);
    if (r->loaded_err != HSM_OK || r->ended != 0)
        return;
    rig_audit_end(r, &seq, hash);
    RIG_CONTROL(r, CTL_AUDIT_RESUME, audit_resume, .seq = seq,
                .hash = bytes_of(hash, seq == 0 ? 0 : 32));
    do {
        rig_settle(r);
        usleep(r->b == NULL ? 1000 : 0);
    } while (r->b == NULL && r->ended == 0 && r->store->digest_n == 0);
    if (r->b != NULL || r->ended != 0)
        return;
    /* As the gateway does: no request before the other process said that it serves; the lanes are
     * read by threads of their own. */
    unsigned asked = r->statuses;
    rig_send(r, 0, CTL_STATUS, 0, bytes_of(NULL, 0));
    rig_until(r, &r->statuses, asked);
}

#include "boundary/rig_ready_testing.h"

#endif
