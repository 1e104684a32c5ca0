#include "boundary/join_internal.h"

#include <openssl/err.h>
#include <stdlib.h>
#include "base/ct.h"

#define EXPORTER_LABEL "EXPORTER-keyhold-join"
#define HASH_LEN       32u
#define PIECE          16384

enum step {
    STEP_IDLE,
    STEP_SHAKE, /* TLS handshake */
    STEP_ASK,   /* member: waits for the joiner's proof */
    STEP_GIVE,  /* joiner: waits for the secrets */
    STEP_DONE,  /* member: waits for the joiner's word that they are sealed */
};

struct join {
    const struct join_self *self;
    enum join_role role;
    struct join_hooks hooks;
    enum step step;
    SSL *ssl; /* while not idle */
    BIO *in;  /* both owned by ssl */
    BIO *out;
    uint32_t conn;
    uint64_t deadline_ms, wall_s;
    size_t received;
    struct peer_seen peer;
    const char *why;         /* of the peer's certificate */
    struct secret_buf inbox; /* one turn, and one byte too much */
    size_t inbox_n;
    uint8_t exporter[HASH_LEN]; /* of this TLS connection */
};

hsm_err join_new(const struct join_self *self, enum join_role role, const struct join_hooks *hooks,
                 struct join **ret)
{
    struct join *j = (struct join *)calloc(1, sizeof *j);
    if (j == NULL)
        return HSM_E_NOMEM;
    j->self = self;
    j->role = role;
    j->hooks = *hooks;
    hsm_err err = secret_buf_new(&j->inbox, JOIN_FRAME_MAX + 1);
    if (err != HSM_OK) {
        free(j);
        return err;
    }
    *ret = j;
    return HSM_OK;
}

void join_free(struct join *j)
{
    if (j == NULL)
        return;
    SSL_free(j->ssl);
    secret_buf_done(&j->inbox);
    free(j);
}

bool join_is_busy(const struct join *j)
{
    return j->step != STEP_IDLE;
}

uint32_t join_conn(const struct join *j)
{
    return j->conn;
}

const struct evidence *join_peer(const struct join *j)
{
    return j->peer.is_known ? &j->peer.evidence : NULL;
}

/* ---- end of a connection ---- */

static void end(struct join *j, hsm_err err, const char *why)
{
    SSL_free(j->ssl);
    j->ssl = NULL;
    j->in = NULL;
    j->out = NULL;
    j->step = STEP_IDLE;
    secret_wipe(j->inbox.p, j->inbox.n);
    j->inbox_n = 0;
    ERR_clear_error();
    j->hooks.ended(j->hooks.ctx, err, why);
}

static void finish(struct join *j, hsm_err err, const char *why)
{
    if (j->step == STEP_IDLE)
        return;
    j->hooks.close(j->hooks.ctx, j->conn);
    end(j, err, why);
}

static void flush(struct join *j)
{
    uint8_t piece[PIECE];
    int n;
    while ((n = BIO_read(j->out, piece, sizeof piece)) > 0)
        j->hooks.data(j->hooks.ctx, j->conn, bytes_of(piece, (size_t)n));
}

/* The last thing that is sent. */
static void part(struct join *j, hsm_err err, const char *why)
{
    (void)SSL_shutdown(j->ssl);
    flush(j);
    finish(j, err, why);
}

/* ---- proofs ---- */

static bool prove(const struct join *j, enum join_role prover, uint8_t ret[JOIN_PROOF_LEN])
{
    static const char *const label[] = {[JOIN_MEMBER] = "member", [JOIN_JOINER] = "joiner"};
    const uint8_t *mine = j->self->id.spki, *theirs = j->peer.spki;
    bool by_me = prover == j->role;
    uint8_t text[6 + 3 * HASH_LEN];
    struct wr w = wr_of(text, sizeof text);
    size_t n = 0;
    wr_str(&w, label[prover]);
    wr_bytes(&w, j->exporter, sizeof j->exporter);
    wr_bytes(&w, by_me ? mine : theirs, HASH_LEN);
    wr_bytes(&w, by_me ? theirs : mine, HASH_LEN);
    bool ok = wr_ok(&w) == HSM_OK &&
              EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, j->self->secret_admission.p,
                        j->self->secret_admission.n, text, w.n, ret, JOIN_PROOF_LEN, &n) != NULL &&
              n == JOIN_PROOF_LEN;
    secret_wipe(text, sizeof text);
    return ok;
}

static bool is_proof(const struct join *j, enum join_role prover, struct bytes proof)
{
    uint8_t want[JOIN_PROOF_LEN];
    bool ok = prove(j, prover, want) && ct_eq(want, proof.p, JOIN_PROOF_LEN);
    secret_wipe(want, sizeof want);
    return ok;
}

/* ---- turns ---- */

static bool say(struct join *j, const struct join_msg *m)
{
    DEFER(secret_buf_done) struct secret_buf frame = {0};
    if (secret_buf_new(&frame, JOIN_FRAME_MAX) != HSM_OK)
        return false;
    struct wr w = wr_of(frame.p, frame.n);
    join_msg_encode(m, &w);
    return wr_ok(&w) == HSM_OK && SSL_write(j->ssl, frame.p, (int)w.n) == (int)w.n;
}

static void refuse(struct join *j, enum join_reason reason)
{
    (void)say(j, &(struct join_msg){.type = JOIN_NO, .reason = reason});
    part(j, reason == JOIN_NO_POOL || reason == JOIN_NO_MEMORY ? HSM_E_UNAVAILABLE : HSM_E_DENIED,
         join_reason_member(reason));
}

/* Joiner, as soon as TLS is up. */
static void ask(struct join *j)
{
    uint8_t proof[JOIN_PROOF_LEN];
    const struct join_msg m = {.type = JOIN_ASK,
                               .proof = bytes_of(proof, sizeof proof),
                               .partition = j->self->id.evidence.partition};
    j->step = STEP_GIVE;
    if (!prove(j, JOIN_JOINER, proof) || !say(j, &m)) {
        finish(j, HSM_E_NOMEM, "no memory for a TLS connection");
        return;
    }
    flush(j);
}

static void give(struct join *j)
{
    DEFER(secret_buf_done) struct secret_buf secret_roots = {0};
    uint8_t proof[JOIN_PROOF_LEN];
    struct join_msg m = {.type = JOIN_GIVE, .proof = bytes_of(proof, sizeof proof)};
    enum join_reason reason = JOIN_NO_MEMORY;
    if (!prove(j, JOIN_MEMBER, proof) || j->hooks.grant(j->hooks.ctx, &j->peer.evidence, &m.pool,
                                                        &secret_roots, &reason) != HSM_OK) {
        refuse(j, reason);
        return;
    }
    m.roots = bytes_of(secret_roots.p, secret_roots.n);
    j->step = STEP_DONE;
    if (!say(j, &m)) {
        finish(j, HSM_E_NOMEM, "no memory for a TLS connection");
        return;
    }
    flush(j);
}

static void member_turn(struct join *j, const struct join_msg *m)
{
    if (j->step == STEP_DONE && m->type == JOIN_DONE)
        finish(j, HSM_OK, "");
    else if (j->step != STEP_ASK || m->type != JOIN_ASK)
        finish(j, HSM_E_MALFORMED, "it broke the protocol");
    else if (!is_proof(j, JOIN_JOINER, m->proof))
        refuse(j, JOIN_NO_PROOF);
    else if (m->partition != j->peer.evidence.partition)
        refuse(j, JOIN_NO_PARTITION);
    else
        give(j);
}

static void joiner_turn(struct join *j, const struct join_msg *m)
{
    const char *why = "";
    if (m->type == JOIN_NO) {
        finish(j, HSM_E_DENIED, join_reason_joiner(m->reason));
    } else if (m->type != JOIN_GIVE) {
        finish(j, HSM_E_MALFORMED, "the other boundary broke the protocol");
    } else if (!is_proof(j, JOIN_MEMBER, m->proof)) {
        finish(j, HSM_E_DENIED, "the other boundary does not have the pool's admission key");
    } else {
        hsm_err err = j->hooks.take(j->hooks.ctx, &m->pool, m->roots, &why);
        if (err == HSM_OK)
            (void)say(j, &(struct join_msg){.type = JOIN_DONE});
        part(j, err, why);
    }
}

/* All that came is in the inbox. */
static void take_turn(struct join *j)
{
    struct join_msg m;
    if (j->inbox_n == 0)
        return;
    hsm_err err = join_msg_decode(bytes_of(j->inbox.p, j->inbox_n), &m);
    if (err == HSM_E_AGAIN)
        return;
    if (err != HSM_OK) {
        finish(j, HSM_E_MALFORMED, "the other boundary broke the protocol");
        return;
    }
    if (j->role == JOIN_MEMBER)
        member_turn(j, &m);
    else
        joiner_turn(j, &m);
    secret_wipe(j->inbox.p, j->inbox.n);
    j->inbox_n = 0;
}

static const char *refused_or_broken(void)
{
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    return reason >= SSL_AD_REASON_OFFSET
               ? "the other boundary refused the evidence of this one; its audit log says why"
               : "TLS failed";
}

static void receive(struct join *j)
{
    while (j->step != STEP_IDLE) {
        ERR_clear_error();
        if (j->inbox_n == j->inbox.n) {
            finish(j, HSM_E_MALFORMED, "the other boundary broke the protocol");
            return;
        }
        int n = SSL_read(j->ssl, j->inbox.p + j->inbox_n, (int)(j->inbox.n - j->inbox_n));
        if (n > 0) {
            j->inbox_n += (size_t)n;
            continue;
        }
        switch (SSL_get_error(j->ssl, n)) {
        case SSL_ERROR_WANT_READ:
            take_turn(j);
            return;
        case SSL_ERROR_ZERO_RETURN:
            take_turn(j);
            finish(j, HSM_E_UNAVAILABLE, "the connection was cut");
            return;
        default:
            finish(j, HSM_E_DENIED, refused_or_broken());
            return;
        }
    }
}

/* ---- TLS ---- */

bool join_verify(struct join *j, X509 *cert, int chain_n)
{
    j->why = "it shows more than one certificate";
    if (cert == NULL || chain_n != 1)
        return false;
    return peer_cert_check(cert, &j->self->id.evidence, &j->self->policy, j->wall_s, &j->peer,
                           &j->why) == HSM_OK;
}

static void shake(struct join *j)
{
    ERR_clear_error();
    int n = SSL_do_handshake(j->ssl);
    if (n != 1 && SSL_get_error(j->ssl, n) == SSL_ERROR_WANT_READ) {
        flush(j);
        return;
    }
    const char *why = j->why[0] != '\0' ? j->why : refused_or_broken();
    flush(j); /* the end of the handshake, or the alert */
    if (n != 1) {
        finish(j, HSM_E_DENIED, why);
    } else if (SSL_export_keying_material(j->ssl, j->exporter, sizeof j->exporter, EXPORTER_LABEL,
                                          sizeof EXPORTER_LABEL - 1, NULL, 0, 0) != 1 ||
               !j->peer.is_known) {
        finish(j, HSM_E_INTERNAL, "TLS failed");
    } else if (j->role == JOIN_JOINER) {
        ask(j);
    } else {
        j->step = STEP_ASK;
    }
}

static void run(struct join *j)
{
    if (j->step == STEP_SHAKE)
        shake(j);
    if (j->step != STEP_IDLE && j->step != STEP_SHAKE)
        receive(j);
}

static bool open_tls(struct join *j)
{
    SSL *ssl = SSL_new(j->self->ctx[j->role]);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (ssl == NULL || in == NULL || out == NULL || SSL_set_app_data(ssl, j) != 1) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return false;
    }
    /* Empty means: wait for more. */
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    if (j->role == JOIN_MEMBER)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    j->ssl = ssl;
    j->in = in;
    j->out = out;
    return true;
}

/* ---- events ---- */

void join_start(struct join *j, uint32_t conn, uint64_t mono_ms, uint64_t wall_s)
{
    HSM_ASSERT(j->step == STEP_IDLE);
    j->conn = conn;
    j->deadline_ms = mono_ms + JOIN_TIMEOUT_MS;
    j->wall_s = wall_s;
    j->received = 0;
    j->inbox_n = 0;
    j->peer = (struct peer_seen){0};
    j->why = "";
    j->step = STEP_SHAKE;
    if (!open_tls(j)) {
        finish(j, HSM_E_NOMEM, "no memory for a TLS connection");
        return;
    }
    run(j);
}

void join_data(struct join *j, struct bytes b)
{
    if (j->step == STEP_IDLE)
        return;
    if (b.n > JOIN_RECEIVED_MAX - j->received) {
        finish(j, HSM_E_TOO_LARGE, "too many bytes came");
        return;
    }
    j->received += b.n;
    if (b.n > 0 && BIO_write(j->in, b.p, (int)b.n) != (int)b.n) {
        finish(j, HSM_E_NOMEM, "no memory for a TLS connection");
        return;
    }
    run(j);
}

void join_closed(struct join *j)
{
    if (j->step != STEP_IDLE)
        end(j, HSM_E_UNAVAILABLE, j->received > 0 ? "the connection was cut" : "no connection");
}

void join_tick(struct join *j, uint64_t mono_ms)
{
    if (mono_ms >= j->deadline_ms)
        finish(j, HSM_E_TIMEOUT, "no end in time");
}
