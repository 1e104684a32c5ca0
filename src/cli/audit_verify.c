#include "cli/audit_verify.h"

#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/uuid.h"
#include "codec/base64url.h"
#include "codec/json.h"
#include "codec/jws.h"

#define TOKENS 512

void audit_verifier_init(struct audit_verifier *v, EVP_PKEY *key)
{
    *v = (struct audit_verifier){.key = key};
}

void audit_verifier_done(struct audit_verifier *v)
{
    EVP_PKEY_free(v->own_key);
    v->own_key = NULL;
    free(v->hashes);
    v->hashes = NULL;
    v->hashes_cap = 0;
}

__attribute__((format(printf, 2, 3))) static hsm_err wrong(struct audit_verifier *v,
                                                           const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(v->text, sizeof v->text, "line %llu: ", (unsigned long long)v->lines + 1);
    va_start(ap, fmt);
    (void)vsnprintf(v->text + n, sizeof v->text - (size_t)n, fmt, ap);
    va_end(ap);
    return HSM_E_CORRUPT;
}

static bool hex_member(const struct json_doc *d, uint32_t obj, const char *name, uint8_t out[32])
{
    struct bytes text;
    uint32_t v = json_get(d, obj, name);
    return v != JSON_NONE && json_plain(d, v, &text) == HSM_OK &&
           hex_decode(out, 32, text) == HSM_OK;
}

static bool line_hash(const uint8_t prev[32], uint64_t seq, struct bytes text, uint8_t out[32])
{
    uint8_t number[8];
    be64_put(number, seq);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, prev, 32) == 1 && EVP_DigestUpdate(ctx, number, 8) == 1 &&
              EVP_DigestUpdate(ctx, text.p, text.n) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* The key a start checkpoint names: believed only when no key was given. */
static void learn_key(struct audit_verifier *v, const struct json_doc *d, uint32_t checkpoint)
{
    uint8_t der[512];
    struct bytes text;
    size_t n;
    uint32_t at = json_get(d, checkpoint, "publicKey");
    if (v->key != NULL || at == JSON_NONE || json_plain(d, at, &text) != HSM_OK || text.n > 600 ||
        b64u_decode(der, text, &n) != HSM_OK)
        return;
    const unsigned char *p = der;
    v->own_key = d2i_PUBKEY(NULL, &p, (long)n);
    v->key = v->own_key;
}

static bool signature_ok(const struct audit_verifier *v, const uint8_t prev[32], uint64_t seq,
                         struct bytes text)
{
    uint8_t raw[100], der[160], message[40];
    size_t raw_n, der_n;
    if (v->key == NULL || text.n > 90 || b64u_decode(raw, text, &raw_n) != HSM_OK ||
        ecdsa_raw_to_der(bytes_of(raw, raw_n), 32, der, sizeof der, &der_n) != HSM_OK)
        return false;
    memcpy(message, prev, 32);
    be64_put(message + 32, seq);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL &&
              EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, v->key, NULL) == 1 &&
              EVP_DigestVerify(ctx, der, der_n, message, sizeof message) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* A position that the boundary had sealed before it started: the file must have had that line
 * there. Otherwise lines in front of it were replaced while the boundary was down. */
static void compare_mark(struct audit_verifier *v, const struct json_doc *d, uint32_t mark)
{
    uint8_t hash[32];
    int64_t seq;
    if (mark == JSON_NONE || !hex_member(d, mark, "hash", hash) ||
        json_int(d, json_get(d, mark, "seq"), &seq) != HSM_OK || seq < 1)
        return;
    bool there = (uint64_t)seq <= v->seq && memcmp(v->hashes[seq - 1], hash, 32) == 0;
    if (!there && v->missed_seq != (uint64_t)seq) {
        v->gaps++;
        v->missed_seq = (uint64_t)seq;
    }
}

/* The gap that the boundary saw itself; its position is not counted again. */
static void note_gap(struct audit_verifier *v, const struct json_doc *d, uint32_t checkpoint)
{
    int64_t seq;
    uint32_t expected = json_get(d, checkpoint, "expected");
    v->gaps++;
    if (expected != JSON_NONE && json_int(d, json_get(d, expected, "seq"), &seq) == HSM_OK)
        v->missed_seq = (uint64_t)seq;
}

static hsm_err keep_hash(struct audit_verifier *v, const uint8_t hash[32])
{
    if (v->seq == v->hashes_cap) {
        size_t cap = v->hashes_cap == 0 ? 1024 : v->hashes_cap * 2;
        void *p = realloc(v->hashes, cap * sizeof v->hashes[0]);
        if (p == NULL)
            return HSM_E_NOMEM;
        v->hashes = (uint8_t(*)[32])p;
        v->hashes_cap = cap;
    }
    memcpy(v->hashes[v->seq], hash, 32);
    return HSM_OK;
}

static hsm_err verify_checkpoint(struct audit_verifier *v, const struct json_doc *d,
                                 uint32_t checkpoint, const uint8_t prev[32], uint64_t seq)
{
    struct bytes signature;
    bool gap = false;
    uint32_t at = json_get(d, checkpoint, "signature"), gap_at = json_get(d, checkpoint, "gap");
    learn_key(v, d, checkpoint);
    if (at == JSON_NONE || json_plain(d, at, &signature) != HSM_OK ||
        !signature_ok(v, prev, seq, signature))
        return wrong(v, "the checkpoint's signature is not of this pool's audit key: lines before "
                        "it were changed, or it was forged");
    if (gap_at != JSON_NONE && json_bool(d, gap_at, &gap) == HSM_OK && gap)
        note_gap(v, d, checkpoint);
    compare_mark(v, d, json_get(d, checkpoint, "mark"));
    v->checkpoints++;
    v->signed_seq = seq - 1;
    return HSM_OK;
}

hsm_err audit_verify_line(struct audit_verifier *v, struct bytes line)
{
    static const char mark[] = ",\"chain\":{\"seq\":";
    struct json_tok toks[TOKENS];
    struct json_doc d;
    uint8_t prev[32], hash[32], computed[32];
    int64_t seq;
    if (json_parse(line, toks, TOKENS, &d) != HSM_OK)
        return wrong(v, "not a JSON record");
    uint32_t chain = json_get(&d, 0, "chain");
    if (chain == JSON_NONE || !hex_member(&d, chain, "prev", prev) ||
        !hex_member(&d, chain, "hash", hash) ||
        json_int(&d, json_get(&d, chain, "seq"), &seq) != HSM_OK || seq < 1)
        return wrong(v, "no chain member");
    /* The chain is the last member: its text starts at the last place where the mark stands. */
    size_t at = line.n;
    while (at >= sizeof mark - 1 &&
           memcmp(line.p + at - (sizeof mark - 1), mark, sizeof mark - 1) != 0)
        at--;
    if (at < sizeof mark - 1)
        return wrong(v, "no chain member");
    if ((uint64_t)seq != v->seq + 1)
        return wrong(v, "entry %lld follows entry %llu: entries are missing or out of order",
                     (long long)seq, (unsigned long long)v->seq);
    if (v->lines > 0 && memcmp(prev, v->hash, 32) != 0)
        return wrong(v, "does not follow the line before it");
    if (!line_hash(prev, (uint64_t)seq, bytes_of(line.p, at - (sizeof mark - 1)), computed) ||
        memcmp(computed, hash, 32) != 0)
        return wrong(v, "was edited: its hash is another one");
    uint32_t checkpoint = json_get(&d, 0, "checkpoint");
    if (checkpoint != JSON_NONE)
        TRY(verify_checkpoint(v, &d, checkpoint, prev, (uint64_t)seq));
    TRY(keep_hash(v, hash));
    v->lines++;
    v->seq = (uint64_t)seq;
    memcpy(v->hash, hash, 32);
    return HSM_OK;
}
