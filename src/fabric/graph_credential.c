/* Secrets and certificates of applications and service principals. */
#include <stdio.h>
#include <time.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include "base/civil.h"
#include "base/clock.h"
#include "base/secret.h"
#include "codec/base64url.h"
#include "fabric/graph_internal.h"

#define CREDENTIALS_MAX 20
#define SECRET_LEN      40
#define LIST_MAX        32768
#define YEARS_MS        (2 * 365 * 86400000ull)
#define NAME_MAX_BYTES  256

struct bytes graph_secret(const struct people_object *old, struct bytes secrets,
                          struct bytes certificates)
{
    static uint8_t buf[LIST_MAX * 2];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    const char *const names[] = {"secrets", "certificates"};
    const struct bytes given[] = {secrets, certificates};
    json_obj_open(&j);
    for (size_t i = 0; i < 2; i++) {
        uint32_t v = old == NULL ? JSON_NONE : json_get_nn(&old->d, old->secret, names[i]);
        json_name(&j, names[i]);
        if (given[i].p != NULL) {
            json_obj_open(&j);
            if (given[i].n > 0)
                json_put_raw(&j, given[i]);
            json_obj_close(&j);
        } else if (v != JSON_NONE) {
            graph_put_copy(&j, &old->d, v);
        } else {
            json_put_raw(&j, bytes_str("{}"));
        }
    }
    json_obj_close(&j);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    return wr_view(&w);
}

/* ---- certificates ---- */

static uint8_t der[ASSERTION_TEXT_MAX];

static void x509_done(X509 **x)
{
    X509_free(*x);
}

static bool when_of(const ASN1_TIME *t, char dst[32])
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1 || tm.tm_year < 70)
        return false;
    struct civil c = {.year = (unsigned)tm.tm_year + 1900,
                      .month = (unsigned)tm.tm_mon + 1,
                      .day = (unsigned)tm.tm_mday};
    uint64_t s = civil_to_days(c) * 86400 + (uint64_t)(tm.tm_hour * 3600 + tm.tm_min * 60) +
                 (uint64_t)tm.tm_sec;
    clock_format_ms(s * 1000, dst, 32);
    return true;
}

struct certificate {
    char thumbprint[41], start[32], end[32];
};

static bool read_certificate(struct bytes b64, struct certificate *ret)
{
    uint8_t digest[20];
    char hex[41];
    size_t n = 0;
    if (b64_decoded_max(b64.n) > sizeof der || b64_decode(der, b64, &n) != HSM_OK)
        return false;
    const uint8_t *at = der;
    DEFER(x509_done) X509 *x = d2i_X509(NULL, &at, (long)n);
    bool good = x != NULL && at == der + n && X509_get0_pubkey(x) != NULL &&
                EVP_PKEY_is_a(X509_get0_pubkey(x), "RSA") &&
                EVP_PKEY_get_bits(X509_get0_pubkey(x)) >= 2048 &&
                when_of(X509_get0_notBefore(x), ret->start) &&
                when_of(X509_get0_notAfter(x), ret->end) &&
                EVP_Digest(der, n, digest, NULL, EVP_sha1(), NULL) == 1;
    ERR_clear_error();
    if (!good)
        return false;
    hex_encode(hex, digest, sizeof digest);
    for (size_t i = 0; i <= 40; i++)
        ret->thumbprint[i] = hex[i] >= 'a' && hex[i] <= 'f' ? (char)(hex[i] - 'a' + 'A') : hex[i];
    return true;
}

/* A date of the body, or def. */
static bool put_date(struct json_wr *j, const struct json_doc *d, uint32_t parent, const char *name,
                     const char *def)
{
    struct bytes text;
    uint64_t s;
    char when[32];
    uint32_t v = json_get_nn(d, parent, name);
    if (v == JSON_NONE) {
        put_str(j, name, def);
        return true;
    }
    if (json_plain(d, v, &text) != HSM_OK || people_time_parse(text, &s) != HSM_OK)
        return false;
    clock_format_ms(s * 1000, when, sizeof when);
    put_str(j, name, when);
    return true;
}

static bool put_name(struct json_wr *j, const struct json_doc *d, uint32_t parent)
{
    uint32_t v = json_get_nn(d, parent, "displayName");
    json_name(j, "displayName");
    if (v == JSON_NONE) {
        json_put_null(j);
        return true;
    }
    graph_put_copy(j, d, v);
    return json_type_of(d, v) == JSON_STRING && json_raw(d, v).n <= NAME_MAX_BYTES;
}

/* The element of a list with that keyId. */
static uint32_t find_key(const struct people_object *o, const char *list_name, const char *id)
{
    uint32_t list = o == NULL ? JSON_NONE : json_get_nn(&o->d, o->object, list_name);
    for (uint32_t at = list == JSON_NONE ? JSON_NONE : json_first(&o->d, list); at != JSON_NONE;
         at = json_next(&o->d, list, at)) {
        struct bytes text;
        uint32_t v = json_get_nn(&o->d, at, "keyId");
        if (v != JSON_NONE && json_plain(&o->d, v, &text) == HSM_OK &&
            bytes_ieq(text, bytes_str(id)))
            return at;
    }
    return JSON_NONE;
}

static bool key_id(const struct json_doc *d, uint32_t parent, char ret[UUID_TEXT_LEN + 1])
{
    struct bytes text;
    struct uuid u;
    uint32_t v = json_get_nn(d, parent, "keyId");
    if (v == JSON_NONE) {
        graph_new_id(ret);
        return true;
    }
    if (json_plain(d, v, &text) != HSM_OK || uuid_parse(text, &u) != HSM_OK)
        return false;
    uuid_format(&u, ret);
    return true;
}

static bool take_new(const struct json_doc *d, uint32_t at, const char *id, struct bytes b64,
                     struct json_wr *list, struct json_wr *kept)
{
    struct certificate c;
    if (!read_certificate(b64, &c))
        return false;
    json_obj_open(list);
    put_str(list, "keyId", id);
    put_str(list, "type", "AsymmetricX509Cert");
    put_str(list, "usage", "Verify");
    put_str(list, "customKeyIdentifier", c.thumbprint);
    bool good = put_name(list, d, at) && put_date(list, d, at, "startDateTime", c.start) &&
                put_date(list, d, at, "endDateTime", c.end);
    json_name(list, "key");
    json_put_null(list);
    json_obj_close(list);
    json_name(kept, id);
    json_put_bytes(kept, b64);
    return good;
}

/* Without "key": one that is there already. */
static bool take_old(const struct people_object *old, const char *id, struct json_wr *list,
                     struct json_wr *kept)
{
    uint32_t was = find_key(old, "keyCredentials", id);
    uint32_t v = was == JSON_NONE
                     ? JSON_NONE
                     : json_get_nn(&old->d, json_get_nn(&old->d, old->secret, "certificates"), id);
    if (v == JSON_NONE)
        return false;
    graph_put_copy(list, &old->d, was);
    json_name(kept, id);
    graph_put_copy(kept, &old->d, v);
    return true;
}

/* Base64 as it stands in PEM files, with line ends. */
static bool take_base64(const struct json_doc *d, uint32_t v, struct bytes *ret)
{
    static char text[ASSERTION_TEXT_MAX * 2];
    size_t n = 0, k = 0;
    if (json_string(d, v, text, sizeof text, &n) != HSM_OK)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\n' && text[i] != '\r' && text[i] != ' ')
            text[k++] = text[i];
    }
    *ret = bytes_of(text, k);
    return true;
}

static bool take_one(const struct json_doc *d, uint32_t at, const struct people_object *old,
                     struct json_wr *list, struct json_wr *kept)
{
    char id[UUID_TEXT_LEN + 1];
    struct bytes b64;
    if (json_type_of(d, at) != JSON_OBJECT || !key_id(d, at, id))
        return false;
    uint32_t key = json_get_nn(d, at, "key");
    if (key == JSON_NONE)
        return take_old(old, id, list, kept);
    return take_base64(d, key, &b64) && take_new(d, at, id, b64, list, kept);
}

bool graph_take_keys(const struct json_doc *body, const struct people_object *old,
                     struct bytes *ret_list, struct bytes *ret_certificates, struct answer *a)
{
    static uint8_t list_buf[LIST_MAX], kept_buf[LIST_MAX];
    struct wr lw = wr_of(list_buf, sizeof list_buf), kw = wr_of(kept_buf, sizeof kept_buf);
    struct json_wr list = json_wr_of(&lw), kept = json_wr_of(&kw);
    uint32_t v = json_get_nn(body, 0, "keyCredentials");
    *ret_list = *ret_certificates = bytes_of(NULL, 0);
    if (v == JSON_NONE)
        return true;
    bool good = json_type_of(body, v) == JSON_ARRAY && json_count(body, v) <= CREDENTIALS_MAX;
    json_arr_open(&list);
    for (uint32_t at = good ? json_first(body, v) : JSON_NONE; good && at != JSON_NONE;
         at = json_next(body, v, at))
        good = take_one(body, at, old, &list, &kept);
    json_arr_close(&list);
    if (!good || wr_ok(&lw) != HSM_OK || wr_ok(&kw) != HSM_OK) {
        graph_bad_request(a, "Key credential is invalid: an RSA certificate of at least 2048 bits "
                             "in base64 is expected, and at most 20 of them.");
        return false;
    }
    *ret_list = wr_view(&lw);
    *ret_certificates = bytes_of(kept_buf, kw.n); /* p is set also when there are none */
    return true;
}

/* ---- secrets ---- */

static uint8_t list_text[LIST_MAX], secret_text[LIST_MAX], doc_text[PEOPLE_DOC_MAX];

/* Both lists without one key. */
static void copy_others(const struct people_object *o, const char *but, struct json_wr *list,
                        struct json_wr *kept)
{
    uint32_t old = json_get_nn(&o->d, o->object, "passwordCredentials");
    uint32_t hashes = json_get_nn(&o->d, o->secret, "secrets");
    uint32_t skip = find_key(o, "passwordCredentials", but);
    for (uint32_t at = old == JSON_NONE ? JSON_NONE : json_first(&o->d, old); at != JSON_NONE;
         at = json_next(&o->d, old, at)) {
        if (at != skip)
            graph_put_copy(list, &o->d, at);
    }
    for (uint32_t at = hashes == JSON_NONE ? JSON_NONE : json_first(&o->d, hashes); at != JSON_NONE;
         at = json_next(&o->d, hashes, at)) {
        if (bytes_ieq(json_raw(&o->d, at), bytes_str(but)))
            continue;
        json_name_bytes(kept, json_raw(&o->d, at));
        graph_put_copy(kept, &o->d, json_value(at));
    }
}

static bool stage(const struct request *rq, const struct people_object *o, const struct wr *list,
                  const struct wr *kept, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1];
    people_text(o, "id", id, sizeof id);
    if (wr_ok(list) == HSM_OK && wr_ok(kept) == HSM_OK) {
        const struct graph_draft g = {
            .type = o->type,
            .old = o,
            .passwords = wr_view(list),
            .secret = graph_secret(o, bytes_of(secret_text, kept->n), bytes_of(NULL, 0))};
        struct wr w = wr_of(doc_text, sizeof doc_text);
        struct json_wr j = json_wr_of(&w);
        graph_draft_write(&g, &j);
        if (wr_ok(&w) == HSM_OK) {
            changes_put(rq->changes, people_kind(o->type), bytes_str(id), wr_view(&w));
            return true;
        }
    }
    graph_bad_request(a, "The object would become too large.");
    return false;
}

static bool has_credentials(const struct people_object *o, struct answer *a)
{
    if (o->type == PEOPLE_SP || o->type == PEOPLE_APPLICATION)
        return true;
    graph_denied(a, "A managed identity has no credentials.");
    return false;
}

static bool put_credential(struct json_wr *j, const struct json_doc *body, uint32_t given,
                           const char *id, const char *secret, uint64_t now_ms)
{
    char start[32], end[32], hint[4] = {secret[0], secret[1], secret[2], 0};
    clock_format_ms(now_ms, start, sizeof start);
    clock_format_ms(now_ms + YEARS_MS, end, sizeof end);
    put_str(j, "keyId", id);
    put_str(j, "hint", hint);
    bool good = put_name(j, body, given) && put_date(j, body, given, "startDateTime", start) &&
                put_date(j, body, given, "endDateTime", end);
    json_name(j, "customKeyIdentifier");
    json_put_null(j);
    return good;
}

void graph_password_add(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object o;
    char id[UUID_TEXT_LEN + 1], secret[SECRET_LEN + 1], hash[SECRET_HASH_MAX];
    struct json_doc body;
    struct wr lw = wr_of(list_text, sizeof list_text), kw = wr_of(secret_text, sizeof secret_text);
    struct json_wr list = json_wr_of(&lw), kept = json_wr_of(&kw);
    if (!graph_may_write(f, rq, a) || !graph_target(f, rq, &o, a) || !has_credentials(&o, a) ||
        !graph_body(rq, &body, a))
        return;
    uint32_t given = json_get_nn(&body, 0, "passwordCredential");
    uint32_t all = json_get_nn(&o.d, o.object, "passwordCredentials");
    graph_new_id(id);
    if (all != JSON_NONE && json_count(&o.d, all) >= CREDENTIALS_MAX) {
        graph_bad_request(a, "The application has as many secrets as it can have: 20.");
        return;
    }
    if (secret_text_random(secret, SECRET_LEN) != HSM_OK ||
        secret_hash_random(bytes_str(secret), hash) != HSM_OK) {
        answer_error(a, 500, hsm_err_code(HSM_E_INTERNAL), hsm_err_text(HSM_E_INTERNAL));
        return;
    }
    json_arr_open(&list);
    copy_others(&o, "", &list, &kept);
    json_obj_open(&list);
    bool good = put_credential(&list, &body, given, id, secret, rq->now_ms);
    json_obj_close(&list);
    json_arr_close(&list);
    json_name(&kept, id);
    json_put_str(&kept, hash);
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    (void)put_credential(&j, &body, given, id, secret, rq->now_ms);
    put_str(&j, "secretText", secret);
    json_obj_close(&j);
    secret_wipe(secret, sizeof secret);
    a->secret = true;
    if (!good)
        graph_bad_request(a, "The passwordCredential is not valid.");
    else
        (void)stage(rq, &o, &lw, &kw, a);
}

void graph_password_remove(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object o;
    char id[UUID_TEXT_LEN + 1];
    struct json_doc body;
    struct wr lw = wr_of(list_text, sizeof list_text), kw = wr_of(secret_text, sizeof secret_text);
    struct json_wr list = json_wr_of(&lw), kept = json_wr_of(&kw);
    if (!graph_may_write(f, rq, a) || !graph_target(f, rq, &o, a) || !has_credentials(&o, a) ||
        !graph_body(rq, &body, a))
        return;
    if (json_get_nn(&body, 0, "keyId") == JSON_NONE || !key_id(&body, 0, id) ||
        find_key(&o, "passwordCredentials", id) == JSON_NONE) {
        graph_bad_request(a, "No password credential found with keyId.");
        return;
    }
    json_arr_open(&list);
    copy_others(&o, id, &list, &kept);
    json_arr_close(&list);
    if (stage(rq, &o, &lw, &kw, a))
        a->status = 204;
}
