#include "boundary/audit.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "codec/json.h"
#include "codec/jws.h"

static hsm_err key_load(struct audit *a, const struct roots *roots)
{
    const unsigned char *p = roots->audit_key.p;
    a->key = d2i_AutoPrivateKey(NULL, &p, (long)roots->audit_key.n);
    if (a->key == NULL)
        return HSM_E_CORRUPT;
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(a->key, &der);
    bool ok = n > 0 && (size_t)n <= sizeof a->spki;
    if (ok) {
        memcpy(a->spki, der, (size_t)n);
        a->spki_n = (size_t)n;
    }
    OPENSSL_free(der);
    return ok ? HSM_OK : HSM_E_CORRUPT;
}

hsm_err audit_new(const struct roots *roots, const char *protection, audit_sink sink, void *ctx,
                  struct audit **ret)
{
    struct audit *a = (struct audit *)calloc(1, sizeof *a);
    if (a == NULL)
        return HSM_E_NOMEM;
    a->sink = sink;
    a->sink_ctx = ctx;
    a->protection = protection;
    uuid_format(&roots->pool, a->pool_id);
    a->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    a->md = EVP_MD_CTX_new();
    hsm_err err = a->sha256 == NULL || a->md == NULL ? HSM_E_NOMEM : key_load(a, roots);
    if (err == HSM_OK && pthread_mutex_init(&a->lock, NULL) != 0)
        err = HSM_E_NOMEM;
    if (err != HSM_OK) {
        EVP_PKEY_free(a->key);
        EVP_MD_CTX_free(a->md);
        EVP_MD_free(a->sha256);
        free(a);
        return err;
    }
    *ret = a;
    return HSM_OK;
}

void audit_free(struct audit *a)
{
    if (a == NULL)
        return;
    EVP_PKEY_free(a->key);
    EVP_MD_CTX_free(a->md);
    EVP_MD_free(a->sha256);
    (void)pthread_mutex_destroy(&a->lock);
    free(a);
}

static void put_member(struct json_wr *j, const char *name, const char *value)
{
    json_name(j, name);
    json_put_str(j, value);
}

static void put_partition(const struct audit *a, struct json_wr *j)
{
    if (a->partition == 0)
        return;
    json_name(j, "partition");
    json_put_int(j, a->partition);
}

void audit_set_pool(struct audit *a, const struct pool_info *pool)
{
    char upper[POOL_RESOURCE_MAX + 1];
    for (size_t i = 0; i < sizeof upper; i++) {
        char c = pool->resource_id[i];
        upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    struct wr w = wr_of(a->constant, sizeof a->constant);
    struct json_wr j = {.w = &w, .need_comma = true};
    put_member(&j, "category", "AuditEvent");
    put_member(&j, "TenantId", pool->tenant);
    put_member(&j, "resourceId", upper);
    put_member(&j, "resource", pool->name);
    put_member(&j, "PoolName", pool->name);
    put_member(&j, "resourceProvider", "MICROSOFT.KEYVAULT");
    put_member(&j, "resourceType", "managedHSMs");
    put_member(&j, "subnetId", "(unknown)");
    struct wr p = wr_of(a->properties, sizeof a->properties);
    struct json_wr pj = json_wr_of(&p);
    put_member(&pj, "PoolType", "M-HSM");
    put_member(&pj, "sku_Family", "B");
    put_member(&pj, "sku_Name", "Standard_B1");
    put_partition(a, &pj);
    (void)pthread_mutex_lock(&a->lock);
    /* Longer than the buffer cannot be: every member is bounded (resource id 512, name 24). */
    a->constant_n = wr_ok(&w) == HSM_OK ? w.n : 0;
    a->properties_n = wr_ok(&p) == HSM_OK ? p.n : 0;
    (void)pthread_mutex_unlock(&a->lock);
}

/* ---- one request ---- */

/* Names and values of our own are written as they stand; what came from outside is escaped. */
#define PUT(w, literal) wr_bytes(w, literal, sizeof(literal) - 1)

static void put_request_uri(struct json_wr *j, const struct wire_caller *c)
{
    PUT(j->w, ",\"requestUri\":\"");
    if (c->host.n > 0)
        PUT(j->w, "https://");
    json_str_add(j, c->host);
    json_str_add(j, c->uri);
    PUT(j->w, "\"");
}

static void put_result(struct json_wr *j, const struct audit_event *e)
{
    if (e->err == HSM_OK) {
        PUT(j->w, ",\"resultType\":\"Success\",\"resultSignature\":\"OK\",\"httpStatusCode\":");
    } else {
        const char *detail = e->rq->detail;
        PUT(j->w, ",\"resultType\":\"Failure\",\"resultSignature\":\"");
        wr_str(j->w, hsm_err_code(e->err));
        PUT(j->w, "\",\"resultDescription\":");
        j->need_comma = false;
        json_put_str(j, detail[0] != '\0' ? detail : hsm_err_text(e->err));
        PUT(j->w, ",\"httpStatusCode\":");
    }
    j->need_comma = false;
    json_put_int(j, (int64_t)e->status);
    PUT(j->w, ",\"durationMs\":");
    j->need_comma = false;
    json_put_int(j, (int64_t)e->duration_ms);
}

static void put_from(struct json_wr *j, struct bytes utf8)
{
    j->need_comma = false;
    json_put_bytes(j, utf8);
}

static void put_caller(struct json_wr *j, const struct request *rq)
{
    const struct wire_caller *c = &rq->caller;
    bool known = rq->who != NULL && rq->who->audit_string != NULL;
    char activity[UUID_TEXT_LEN + 1];
    uuid_format(&c->activity, activity);
    PUT(j->w, ",\"callerIpAddress\":");
    put_from(j, c->client_ip);
    PUT(j->w, ",\"identity\":");
    wr_str(j->w, known ? rq->who->audit_string : "\"{}\"");
    PUT(j->w, ",\"clientInfo\":");
    put_from(j, c->user_agent);
    PUT(j->w, ",\"correlationId\":\"");
    wr_bytes(j->w, activity, UUID_TEXT_LEN);
    PUT(j->w, "\"");
    put_request_uri(j, c);
}

struct bytes audit_render(const struct audit *a, const struct audit_event *e, uint8_t *buf,
                          size_t cap)
{
    struct wr w = wr_of(buf, cap < AUDIT_LINE_MAX ? cap : AUDIT_LINE_MAX);
    struct json_wr j = json_wr_of(&w);
    char now[CLOCK_TEXT_LEN + 1];
    clock_format_ms(clock_now_ms(), now, sizeof now);
    PUT(&w, "{\"time\":\"");
    wr_bytes(&w, now, CLOCK_TEXT_LEN);
    PUT(&w, "\",\"operationName\":\"");
    wr_str(&w, e->operation);
    PUT(&w, "\",\"operationVersion\":");
    put_from(&j, e->rq->caller.api_version);
    wr_bytes(&w, a->constant, a->constant_n);
    put_result(&j, e);
    put_caller(&j, e->rq);
    PUT(&w, ",\"properties\":{");
    wr_bytes(&w, a->properties, a->properties_n);
    j.need_comma = true;
    if (e->rq->audit_note[0] != '\0')
        put_member(&j, "detail", e->rq->audit_note);
    PUT(&w, "}");
    /* All parts are bounded far below the line's maximum (uri 2048, agent 512, texts 1024, escaped
     * six-fold at worst for control characters): an overflow would be a programming error. */
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    return wr_view(&w);
}

/* ---- chain ---- */

static void chain_hash(struct audit *a, struct bytes text, uint64_t seq, uint8_t hash[32])
{
    uint8_t number[8];
    be64_put(number, seq);
    bool ok = EVP_DigestInit_ex2(a->md, a->sha256, NULL) == 1 &&
              EVP_DigestUpdate(a->md, a->at.hash, sizeof a->at.hash) == 1 &&
              EVP_DigestUpdate(a->md, number, sizeof number) == 1 &&
              EVP_DigestUpdate(a->md, text.p, text.n) == 1 &&
              EVP_DigestFinal_ex(a->md, hash, NULL) == 1;
    HSM_ASSERT(ok);
}

static void append_locked(struct audit *a, struct bytes text)
{
    uint64_t seq = a->at.seq + 1;
    uint8_t hash[32];
    char hex[2 * 32 + 1];
    chain_hash(a, text, seq, hash);
    struct wr w = wr_of(a->line, sizeof a->line);
    struct json_wr j = json_wr_of(&w);
    if (text.p == a->line)
        w.n = text.n; /* a checkpoint is rendered in place */
    else
        wr_bytes(&w, text.p, text.n);
    PUT(&w, ",\"chain\":{\"seq\":");
    json_put_int(&j, (int64_t)seq);
    PUT(&w, ",\"prev\":\"");
    hex_encode(hex, a->at.hash, sizeof a->at.hash);
    wr_bytes(&w, hex, 2 * sizeof a->at.hash);
    PUT(&w, "\",\"hash\":\"");
    hex_encode(hex, hash, sizeof hash);
    wr_bytes(&w, hex, 2 * sizeof hash);
    PUT(&w, "\"}}");
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    a->at.seq = seq;
    memcpy(a->at.hash, hash, sizeof hash);
    a->sink(a->sink_ctx, wr_view(&w));
}

/* ---- checkpoints ---- */

/* What is signed: hash of the line before, and the number of the checkpoint's own line. */
static void sign_position(struct audit *a, uint8_t raw[64])
{
    uint8_t message[32 + 8];
    memcpy(message, a->at.hash, 32);
    be64_put(message + 32, a->at.seq + 1);
    uint8_t der[128];
    size_t n = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL &&
              EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, a->key, NULL) == 1 &&
              EVP_DigestSign(ctx, der, &n, message, sizeof message) == 1 &&
              ecdsa_der_to_raw(bytes_of(der, n), 32, raw) == HSM_OK;
    EVP_MD_CTX_free(ctx);
    HSM_ASSERT(ok);
}

static void put_position(struct json_wr *j, const char *name, uint64_t seq, const uint8_t hash[32])
{
    char hex[2 * 32 + 1];
    hex_encode(hex, hash, 32);
    json_name(j, name);
    json_obj_open(j);
    json_name(j, "seq");
    json_put_int(j, (int64_t)seq);
    put_member(j, "hash", hex);
    json_obj_close(j);
}

static void put_start(const struct audit *a, struct json_wr *j)
{
    put_member(j, "protection", a->protection);
    put_member(j, "secretMemory", secret_level_name());
    put_member(j, "program", "keyhold-boundary " KEYHOLD_VERSION);
    json_name(j, "publicKey");
    json_put_b64u(j, bytes_of(a->spki, a->spki_n));
}

/* mark: the sealed position that the file must contain; what verifies the file looks it up there.
 * gap: it is certainly not in it. */
static void checkpoint_locked(struct audit *a, const char *reason, bool start,
                              const struct audit_mark *mark, bool gap)
{
    struct wr w = wr_of(a->line, AUDIT_LINE_MAX);
    struct json_wr j = json_wr_of(&w);
    char now[CLOCK_TEXT_LEN + 1];
    uint8_t signature[64];
    clock_format_ms(clock_now_ms(), now, sizeof now);
    json_obj_open(&j);
    json_name(&j, "checkpoint");
    json_obj_open(&j);
    put_member(&j, "time", now);
    put_member(&j, "reason", reason);
    put_member(&j, "pool", a->pool_id);
    put_partition(a, &j);
    if (start)
        put_start(a, &j);
    json_name(&j, "gap");
    json_put_bool(&j, gap);
    if (mark != NULL)
        put_position(&j, gap ? "expected" : "mark", mark->seq, mark->hash);
    if (gap)
        put_position(&j, "found", a->at.seq, a->at.hash);
    sign_position(a, signature);
    json_name(&j, "signature");
    json_put_b64u(&j, bytes_of(signature, sizeof signature));
    json_obj_close(&j);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    a->requests = 0;
    append_locked(a, wr_view(&w));
}

bool audit_resume(struct audit *a, const struct audit_position *file, const struct audit_mark *mark)
{
    bool gap =
        mark->present && (file->seq < mark->seq ||
                          (file->seq == mark->seq && memcmp(file->hash, mark->hash, 32) != 0));
    (void)pthread_mutex_lock(&a->lock);
    a->at = *file;
    checkpoint_locked(a, "start", true, mark->present ? mark : NULL, gap);
    (void)pthread_mutex_unlock(&a->lock);
    return gap;
}

bool audit_late_mark(struct audit *a, const struct audit_mark *mark)
{
    (void)pthread_mutex_lock(&a->lock);
    bool gap = mark->seq > a->at.seq;
    checkpoint_locked(a, gap ? "gap" : "mark", false, mark, gap);
    (void)pthread_mutex_unlock(&a->lock);
    return gap;
}

void audit_append(struct audit *a, struct bytes text)
{
    (void)pthread_mutex_lock(&a->lock);
    append_locked(a, text);
    if (++a->requests >= AUDIT_BATCH)
        checkpoint_locked(a, "interval", false, NULL, false);
    (void)pthread_mutex_unlock(&a->lock);
}

void audit_checkpoint(struct audit *a, const char *reason, bool force)
{
    (void)pthread_mutex_lock(&a->lock);
    if (force || a->requests > 0)
        checkpoint_locked(a, reason, false, NULL, false);
    (void)pthread_mutex_unlock(&a->lock);
}

struct audit_position audit_position(struct audit *a)
{
    (void)pthread_mutex_lock(&a->lock);
    struct audit_position at = a->at;
    (void)pthread_mutex_unlock(&a->lock);
    return at;
}
