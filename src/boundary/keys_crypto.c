#include "boundary/keys.h"

static uint32_t op_bit(unsigned op)
{
    switch (op) {
    case OP_ENCRYPT:
        return KEY_OP_ENCRYPT;
    case OP_DECRYPT:
        return KEY_OP_DECRYPT;
    case OP_WRAP:
        return KEY_OP_WRAP;
    case OP_UNWRAP:
        return KEY_OP_UNWRAP;
    case OP_SIGN:
        return KEY_OP_SIGN;
    case OP_VERIFY:
        return KEY_OP_VERIFY;
    default:
        return 0;
    }
}

struct opening {
    struct seal_ctx *sc;
    const struct key_version *v;
};

/* The key is not among the opened ones: its private part comes out of its seal, into secret
 * memory. */
static hsm_err open_version(void *ctx, struct secret_buf *ret_private)
{
    const struct opening *o = (const struct opening *)ctx;
    char hex[VERSION_HEX + 1];
    uint8_t rid[RID_LEN];
    version_hex(&o->v->id, hex);
    TRY(seal_rid(o->sc, REC_KEY_VERSION, bytes_str(hex), rid));
    return open_private(o->sc, rid, key_version_private(o->v), ret_private);
}

hsm_err keys_open_version(struct request *rq, const struct key_version *v, struct keymat **ret)
{
    struct opening o = {.sc = job_of(rq)->w->sc, .v = v};
    return keycache_get(rq->b->cache, &v->id, open_version, &o, ret);
}

/* Without the state lock: decided is decided, and a long operation must not hold up a writer. */
static hsm_err crypto_after(struct job *j)
{
    struct worker *w = j->w;
    const struct crypto_work *c = &j->crypto;
    struct wire_crypto_result r = {0};
    const char *why = "";
    hsm_err err = keymat_crypto(c->key, c->op, &c->in, w->crypto_buf, JOB_CRYPTO_MAX, &r, &why);
    w->crypto_used = c->in.value.n + 1024 < JOB_CRYPTO_MAX ? c->in.value.n + 1024 : JOB_CRYPTO_MAX;
    if (err != HSM_OK)
        return why[0] != '\0' ? request_fail(&j->rq, err, "%s", why) : err;
    r.name = bytes_of(c->name, c->name_n);
    r.version = c->version;
    r.alg = c->in.alg;
    wire_crypto_result_put(j->rq.out, &r);
    return HSM_OK;
}

static hsm_err check_use(struct request *rq, const struct key_version *v, uint32_t op, unsigned alg)
{
    const char *why = "";
    const struct key_window window = key_version_window(v);
    hsm_err err = key_may_use(&window, op, rq->now_s, &why);
    if (err == HSM_OK)
        err =
            crypto_alg_fits(alg, op, (enum key_type)v->kty, (enum key_curve)v->crv, v->bits, &why);
    return err == HSM_OK ? HSM_OK : request_fail(rq, err, "%s", why);
}

hsm_err keys_handle_crypto(struct request *rq)
{
    struct job *j = job_of(rq);
    struct crypto_work *c = &j->crypto;
    struct key *k;
    struct key_version *v;
    TRY(wire_crypto_decode(rq->body, &c->in));
    TRY(keys_find(rq, c->in.name, false, &k));
    TRY(keys_find_version(rq, k, c->in.name, c->in.version, &v));
    c->op = op_bit(rq->op);
    TRY(check_use(rq, v, c->op, c->in.alg));
    if (j->w->serves != &rq->b->slow_queue &&
        crypto_is_slow(c->op, (enum key_type)v->kty, v->bits)) {
        j->want_slow = true;
        return HSM_OK;
    }
    TRY(keys_open_version(rq, v, &c->key));
    c->version = v->id;
    c->name_n = key_display(k).n;
    memcpy(c->name, key_display(k).p, c->name_n);
    j->after = crypto_after;
    return HSM_OK;
}
