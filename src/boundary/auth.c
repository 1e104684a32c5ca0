#include "boundary/auth_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <openssl/evp.h>
#include "base/log.h"
#include "base/secret.h"
#include "base/uuid.h"
#include "boundary/jwks_client.h"
#include "codec/oidc.h"

#define REFRESH_MS       600000u
#define ON_DEMAND_GAP_MS 5000u
#define FAILED_GRACE_MS  1000u
#define BACKOFF_MAX_MS   30000u
#define CLOCK_JUMP_MS    10000u
/* Older keys are not believed: an issuer that withdrew a key must be heard, even if the gateway
 * keeps us from asking. Long enough for an issuer to be away for a day. */
#define KEYS_MAX_AGE_MS 86400000u

/* A fetched set; whoever verifies with one of its keys holds a reference. */
struct key_set {
    atomic_uint refs;
    struct jwks keys;
};

/* Times are Unix milliseconds, 0: never. Fields below "set" change under auth.lock, by the control
 * thread only. */
struct issuer {
    struct jwks_client *client; /* control thread */
    bool is_discovering;        /* control thread: the metadata come first */
    char path[OIDC_PATH_MAX];   /* control thread: of the key set, when the metadata say it */
    uint64_t next_ms;           /* control thread: next attempt */
    atomic_bool is_wanted;      /* a token named a key that is not here */
    struct key_set *set;        /* NULL: none yet */
    uint8_t hash[32];           /* of the text that the set came from */
    uint64_t started_ms, fetched_ms, failed_ms;
    unsigned failures; /* in a row */
    bool in_flight;
};

struct auth {
    struct auth_config conf;
    struct auth_relay relay;
    struct auth_cache *cache;
    EVP_MD *sha256;
    atomic_uint_fast64_t generation; /* of the key sets; cached verdicts of older ones are void */
    atomic_uint_fast64_t hits, misses;
    pthread_rwlock_t lock;
    struct issuer issuer[AUTH_ISSUERS_MAX];
    /* control thread */
    uint64_t now_ms;
    uint32_t last_conn;
};

/* What one check needs besides its arguments; too much for a worker's stack. */
struct scratch {
    struct auth_claims claims;
    uint8_t decoded[JWS_TEXT_MAX];
};
static void scratch_done(struct scratch **s)
{
    if (*s != NULL)
        secret_wipe(*s, sizeof **s); /* all of a token that is good for a while */
    free(*s);
}
static void set_unref(struct key_set *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    jwks_done(&s->keys);
    free(s);
}
static void set_done(struct key_set **s)
{
    set_unref(*s);
}

/* ---- life ---- */

hsm_err auth_warm_up(void)
{
    return jwks_client_warm_up();
}

static hsm_err set_up(struct auth *a)
{
    struct uuid tenant;
    if (uuid_parse(bytes_str(a->conf.tenant), &tenant) != HSM_OK || a->conf.audience_n == 0 ||
        a->conf.issuer_n == 0)
        return HSM_E_BAD_PARAMETER;
    a->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (a->sha256 == NULL)
        return HSM_E_INTERNAL;
    for (unsigned i = 0; i < a->conf.issuer_n; i++)
        TRY(jwks_client_new(&a->conf.issuer[i], &a->relay, &a->issuer[i].client));
    return auth_cache_new(&a->cache);
}

hsm_err auth_new(struct auth_config *config, const struct auth_relay *relay, struct auth **ret)
{
    struct auth *a = calloc(1, sizeof *a);
    if (a == NULL) {
        auth_config_done(config);
        return HSM_E_NOMEM;
    }
    pthread_rwlock_init(&a->lock, NULL);
    a->conf = *config;
    *config = (struct auth_config){0};
    a->relay = *relay;
    hsm_err err = set_up(a);
    if (err != HSM_OK) {
        auth_free(a);
        return err;
    }
    *ret = a;
    return HSM_OK;
}

void auth_free(struct auth *a)
{
    if (a == NULL)
        return;
    for (unsigned i = 0; i < AUTH_ISSUERS_MAX; i++) {
        jwks_client_free(a->issuer[i].client);
        set_unref(a->issuer[i].set);
    }
    auth_cache_free(a->cache);
    EVP_MD_free(a->sha256);
    auth_config_done(&a->conf);
    pthread_rwlock_destroy(&a->lock);
    free(a);
}

/* ---- check ---- */

static struct issuer *issuer_of(struct auth *a, const char *iss)
{
    for (unsigned i = 0; i < a->conf.issuer_n; i++) {
        if (strcmp(a->conf.issuer[i].issuer, iss) == 0)
            return &a->issuer[i];
    }
    return NULL;
}

static hsm_err fail_issuer(const struct auth *a, const char *iss, char *detail, size_t cap)
{
    struct wr w = wr_of(detail, cap - 1);
    char shown[AUTH_SHOWN_MAX + 4];
    auth_shown(shown, iss);
    wr_str(&w, "AKV10032: Invalid issuer. Expected one of ");
    for (unsigned i = 0; i < a->conf.issuer_n; i++) {
        wr_str(&w, i > 0 ? " " : "");
        wr_str(&w, a->conf.issuer[i].issuer);
    }
    wr_str(&w, ", found ");
    wr_str(&w, shown);
    wr_str(&w, ".");
    detail[w.n] = 0;
    return HSM_E_TOKEN_ISSUER;
}

static hsm_err fail_signature(char *detail, size_t cap)
{
    snprintf(detail, cap, "%s", hsm_err_text(HSM_E_TOKEN_SIGNATURE));
    return HSM_E_TOKEN_SIGNATURE;
}

/* No key of that id (lock held shared): is there hope? */
static hsm_err judge_unknown_key(struct issuer *i, uint64_t now_ms)
{
    if (i->in_flight)
        return HSM_E_AGAIN;
    if (i->failed_ms != 0 && now_ms < i->failed_ms + FAILED_GRACE_MS)
        return HSM_E_UNAVAILABLE;
    if (i->fetched_ms != 0 && now_ms < i->fetched_ms + ON_DEMAND_GAP_MS)
        return HSM_E_TOKEN_SIGNATURE;
    atomic_store(&i->is_wanted, true);
    return HSM_E_AGAIN;
}

static bool is_too_old(const struct issuer *i, uint64_t now_ms)
{
    return now_ms > i->fetched_ms && now_ms - i->fetched_ms > KEYS_MAX_AGE_MS;
}

/* *ret_key lives as long as the reference *ret_set. */
static hsm_err find_key(struct auth *a, struct issuer *i, const struct jws *j, uint64_t now_ms,
                        struct key_set **ret_set, EVP_PKEY **ret_key, uint64_t *ret_generation)
{
    hsm_err err = HSM_OK;
    pthread_rwlock_rdlock(&a->lock);
    const struct jwk_public *k =
        i->set == NULL || is_too_old(i, now_ms) ? NULL : jwks_find(&i->set->keys, j->kid);
    if (k == NULL)
        err = judge_unknown_key(i, now_ms);
    else if (k->only_alg != JWS_NONE && k->only_alg != j->alg)
        err = HSM_E_TOKEN_SIGNATURE;
    if (err == HSM_OK) {
        atomic_fetch_add_explicit(&i->set->refs, 1, memory_order_relaxed);
        *ret_set = i->set;
        *ret_key = k->key;
        *ret_generation = atomic_load(&a->generation);
    }
    pthread_rwlock_unlock(&a->lock);
    return err;
}

static hsm_err verify(struct auth *a, struct bytes token, uint64_t now_ms, struct scratch *s,
                      char *detail, size_t cap, const struct auth_issuer **ret_by,
                      uint64_t *ret_generation)
{
    struct jws j;
    DEFER(set_done) struct key_set *set = NULL;
    EVP_PKEY *key = NULL;
    hsm_err err = jws_parse(token, s->decoded, sizeof s->decoded, &j);
    if (err == HSM_OK)
        err = auth_claims_parse(j.payload, &s->claims);
    if (err != HSM_OK) {
        snprintf(detail, cap, "%s", hsm_err_text(HSM_E_TOKEN_MALFORMED));
        return HSM_E_TOKEN_MALFORMED;
    }
    struct issuer *i = issuer_of(a, s->claims.iss);
    if (i == NULL)
        return fail_issuer(a, s->claims.iss, detail, cap);
    if (j.kid[0] == 0)
        return fail_signature(detail, cap);
    err = find_key(a, i, &j, now_ms, &set, &key, ret_generation);
    if (err == HSM_OK)
        err = jws_verify(&j, key);
    if (err == HSM_E_TOKEN_SIGNATURE)
        return fail_signature(detail, cap);
    TRY(err);
    *ret_by = &a->conf.issuer[i - a->issuer];
    return auth_claims_check(&s->claims, &a->conf, *ret_by, now_ms / 1000, detail, cap);
}

/* v: generation and time of this check; filled with the verdict, its identity with a reference. */
static hsm_err verify_and_keep(struct auth *a, struct bytes token, uint64_t now_ms,
                               const uint8_t digest[32], struct auth_verdict *v, char *detail,
                               size_t cap)
{
    atomic_fetch_add_explicit(&a->misses, 1, memory_order_relaxed);
    DEFER(scratch_done) struct scratch *s = malloc(sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    const struct auth_issuer *by = NULL;
    TRY(verify(a, token, now_ms, s, detail, cap, &by, &v->generation));
    TRY(auth_identity_new(&s->claims, by, &v->who));
    v->verified_s = now_ms / 1000;
    auth_cache_add(a->cache, digest, v, now_ms / 1000);
    return HSM_OK;
}

hsm_err auth_check(struct auth *a, struct auth_memo *memo, struct bytes token, uint64_t now_ms,
                   struct identity **ret, char *detail, size_t cap)
{
    uint8_t digest[32];
    unsigned digest_n;
    uint64_t generation = atomic_load(&a->generation);
    struct auth_verdict v = {0};
    HSM_ASSERT(cap > 0);
    detail[0] = 0;
    if (token.n == 0)
        return HSM_E_TOKEN_MISSING;
    if (token.n > JWS_TEXT_MAX)
        return HSM_E_TOKEN_MALFORMED;
    if (memo != NULL)
        v.who = auth_memo_find(memo, token, generation, now_ms / 1000);
    bool known = v.who != NULL;
    if (!known) {
        if (EVP_Digest(token.p, token.n, digest, &digest_n, a->sha256, NULL) != 1)
            return HSM_E_NOMEM;
        known = auth_cache_find(a->cache, digest, generation, now_ms / 1000, &v);
        if (!known)
            TRY(verify_and_keep(a, token, now_ms, digest, &v, detail, cap));
        if (memo != NULL)
            auth_memo_add(memo, token, &v);
    }
    if (known)
        atomic_fetch_add_explicit(&a->hits, 1, memory_order_relaxed);
    *ret = v.who;
    return HSM_OK;
}

void auth_expected(const struct auth *a, struct bytes host, char *detail, size_t cap)
{
    const struct auth_config *c = &a->conf;
    const char *suffix = c->audience_host[0];
    size_t name_n = 0;
    while (name_n < host.n && host.p[name_n] != ':')
        name_n++;
    struct bytes port = bytes_of(NULL, 0);
    for (unsigned i = 0; i < c->audience_n; i++) {
        size_t n = strlen(c->audience_host[i]);
        if (name_n > n && host.p[name_n - n - 1] == '.' &&
            bytes_ieq(bytes_of(host.p + name_n - n, n), bytes_str(c->audience_host[i]))) {
            suffix = c->audience_host[i];
            port = bytes_of(host.p + name_n, host.n - name_n);
            break;
        }
    }
    size_t used = strlen(detail);
    snprintf(detail + used, cap - used, ", but expected aud=https://%s%.*s", suffix, (int)port.n,
             port.n > 0 ? (const char *)port.p : "");
}

struct auth_counts auth_counts(struct auth *a, uint64_t now_ms)
{
    struct auth_counts c = {.hits = atomic_load(&a->hits),
                            .misses = atomic_load(&a->misses),
                            .issuers = a->conf.issuer_n};
    pthread_rwlock_rdlock(&a->lock);
    for (unsigned i = 0; i < a->conf.issuer_n; i++)
        c.known += a->issuer[i].set != NULL && !is_too_old(&a->issuer[i], now_ms);
    pthread_rwlock_unlock(&a->lock);
    return c;
}

/* ---- keys: control thread ---- */

static uint64_t backoff_ms(unsigned failures)
{
    uint64_t ms = failures > 5 ? BACKOFF_MAX_MS : (uint64_t)1000 << (failures - 1);
    return ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms;
}

static void note_failure(struct auth *a, unsigned at, const char *why)
{
    struct issuer *i = &a->issuer[at];
    if (i->failures == 0)
        log_warn("the signing keys of issuer %s cannot be fetched: %s; trying again",
                 a->conf.issuer[at].issuer, why);
    pthread_rwlock_wrlock(&a->lock);
    i->failures++;
    i->failed_ms = a->now_ms;
    i->in_flight = false;
    pthread_rwlock_unlock(&a->lock);
    i->next_ms = a->now_ms + backoff_ms(i->failures);
}

static void note_success(struct auth *a, unsigned at)
{
    struct issuer *i = &a->issuer[at];
    if (i->failures > 0)
        log_info("the signing keys of issuer %s were fetched", a->conf.issuer[at].issuer);
    pthread_rwlock_wrlock(&a->lock);
    i->failures = 0;
    i->failed_ms = 0;
    i->fetched_ms = a->now_ms;
    i->in_flight = false;
    pthread_rwlock_unlock(&a->lock);
    i->next_ms = a->now_ms + REFRESH_MS;
}

/* A set of at least one key with one reference, or NULL. */
static struct key_set *set_parse(struct bytes text)
{
    struct key_set *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    atomic_init(&s->refs, 1);
    if (jwks_parse(text, &s->keys) != HSM_OK) {
        free(s);
        return NULL;
    }
    if (s->keys.n == 0) {
        set_unref(s);
        return NULL;
    }
    return s;
}

/* Take a fetched document. false: it is no usable key set; the old keys stay. */
static bool take_keys(struct auth *a, struct issuer *i, struct bytes text)
{
    uint8_t hash[32];
    unsigned n;
    if (EVP_Digest(text.p, text.n, hash, &n, a->sha256, NULL) != 1)
        return false;
    if (i->set != NULL && memcmp(hash, i->hash, sizeof hash) == 0)
        return true;
    struct key_set *fresh = set_parse(text);
    if (fresh == NULL)
        return false;
    pthread_rwlock_wrlock(&a->lock);
    struct key_set *old = i->set;
    i->set = fresh;
    memcpy(i->hash, hash, sizeof hash);
    /* Under the lock: who verified with an old key has an old generation. */
    atomic_fetch_add(&a->generation, 1);
    pthread_rwlock_unlock(&a->lock);
    set_unref(old);
    return true;
}

/* The metadata are here: what they name is asked for next, on a connection of its own. NULL: it is
 * under way; else why not. */
static const char *follow(struct auth *a, unsigned at)
{
    struct issuer *i = &a->issuer[at];
    hsm_err e =
        oidc_metadata_parse(jwks_client_body(i->client), a->conf.issuer[at].issuer, i->path);
    if (e == HSM_E_MISDIRECTED)
        return "its metadata name a key set on another host";
    if (e != HSM_OK)
        return "its answer is no metadata of that issuer";
    i->is_discovering = false;
    jwks_client_start(i->client, ++a->last_conn, i->path, a->now_ms);
    return jwks_client_state(i->client) == JWKS_BUSY ? NULL : jwks_client_why(i->client);
}

/* Look at what the client made of the last event. */
static void settle(struct auth *a, unsigned at)
{
    struct issuer *i = &a->issuer[at];
    const char *why;
    switch (jwks_client_state(i->client)) {
    case JWKS_IDLE:
    case JWKS_BUSY:
        return;
    case JWKS_FAILED:
        note_failure(a, at, jwks_client_why(i->client));
        break;
    case JWKS_DONE:
        if (i->is_discovering) {
            why = follow(a, at);
            if (why == NULL)
                return;
            note_failure(a, at, why);
            break;
        }
        if (take_keys(a, i, jwks_client_body(i->client)))
            note_success(a, at);
        else
            note_failure(a, at, "its answer is no key set");
        break;
    }
    jwks_client_reset(i->client);
    a->relay.keys_changed(a->relay.ctx);
}

static struct issuer *issuer_of_conn(struct auth *a, uint32_t conn, unsigned *ret_at)
{
    for (unsigned i = 0; i < a->conf.issuer_n; i++) {
        struct jwks_client *c = a->issuer[i].client;
        if (jwks_client_state(c) == JWKS_BUSY && jwks_client_conn(c) == conn) {
            *ret_at = i;
            return &a->issuer[i];
        }
    }
    return NULL;
}

void auth_net_data(struct auth *a, uint32_t conn, struct bytes b)
{
    unsigned at;
    struct issuer *i = issuer_of_conn(a, conn, &at);
    if (i == NULL)
        return;
    jwks_client_data(i->client, b);
    settle(a, at);
}

void auth_net_closed(struct auth *a, uint32_t conn)
{
    unsigned at;
    struct issuer *i = issuer_of_conn(a, conn, &at);
    if (i == NULL)
        return;
    jwks_client_closed(i->client);
    settle(a, at);
}

static void start(struct auth *a, struct issuer *i)
{
    pthread_rwlock_wrlock(&a->lock);
    i->in_flight = true;
    i->started_ms = a->now_ms;
    atomic_store(&i->is_wanted, false);
    pthread_rwlock_unlock(&a->lock);
    const struct auth_issuer *conf = &a->conf.issuer[i - a->issuer];
    i->is_discovering = conf->is_external;
    jwks_client_start(i->client, ++a->last_conn, conf->path, a->now_ms);
}

/* The wall clock was set back: times of the old reckoning would hold everything up. */
static void forget_times(struct auth *a, uint64_t now_ms)
{
    pthread_rwlock_wrlock(&a->lock);
    for (unsigned i = 0; i < a->conf.issuer_n; i++) {
        a->issuer[i].next_ms = 0;
        a->issuer[i].started_ms = 0;
        /* Not younger than before: the age of the keys counts on. */
        if (a->issuer[i].fetched_ms > now_ms)
            a->issuer[i].fetched_ms = now_ms;
        a->issuer[i].failed_ms = 0;
    }
    pthread_rwlock_unlock(&a->lock);
}

/* The wall clock was set: nobody has waited that long, and nobody has to. */
static void clock_jumped(struct auth *a, uint64_t now_ms)
{
    if (now_ms < a->now_ms)
        forget_times(a, now_ms);
    for (unsigned i = 0; i < a->conf.issuer_n; i++)
        jwks_client_wait_anew(a->issuer[i].client, now_ms);
}

void auth_tick(struct auth *a, uint64_t now_ms)
{
    if (now_ms + CLOCK_JUMP_MS < a->now_ms || now_ms > a->now_ms + CLOCK_JUMP_MS)
        clock_jumped(a, now_ms);
    a->now_ms = now_ms;
    for (unsigned at = 0; at < a->conf.issuer_n; at++) {
        struct issuer *i = &a->issuer[at];
        jwks_client_tick(i->client, now_ms);
        settle(a, at);
        bool is_due = now_ms >= i->next_ms;
        bool is_asked = atomic_load(&i->is_wanted) && now_ms >= i->started_ms + ON_DEMAND_GAP_MS;
        if (!i->in_flight && (is_due || is_asked)) {
            start(a, i);
            settle(a, at);
        }
    }
}
