/* The audit log as a verifier sees it: members of the records, the chain, the signatures, and that
 * edited, reordered or removed lines show. */
#include "boundary/boundary_testing.h"

#include "codec/json.h"

static struct rig rig;

struct line {
    struct bytes text; /* in front of the chain member */
    struct bytes whole;
    uint64_t seq;
    uint8_t prev[32], hash[32];
    bool is_checkpoint;
};

static struct json_tok toks[512];

static bool line_parse(struct bytes whole, struct line *ret, struct json_doc *d)
{
    static const char mark[] = ",\"chain\":{\"seq\":";
    struct bytes b;
    int64_t seq;
    if (json_parse(whole, toks, 512, d) != HSM_OK)
        return false;
    uint32_t chain = json_get(d, 0, "chain");
    if (chain == JSON_NONE || json_int(d, json_get(d, chain, "seq"), &seq) != HSM_OK)
        return false;
    if (json_plain(d, json_get(d, chain, "prev"), &b) != HSM_OK ||
        hex_decode(ret->prev, 32, b) != HSM_OK ||
        json_plain(d, json_get(d, chain, "hash"), &b) != HSM_OK ||
        hex_decode(ret->hash, 32, b) != HSM_OK)
        return false;
    const uint8_t *at = NULL;
    for (const uint8_t *p = whole.p;
         (p = memmem(p, (size_t)(whole.p + whole.n - p), mark, sizeof mark - 1)) != NULL; p++)
        at = p;
    if (at == NULL)
        return false;
    ret->whole = whole;
    ret->text = bytes_of(whole.p, (size_t)(at - whole.p));
    ret->seq = (uint64_t)seq;
    ret->is_checkpoint = json_get(d, 0, "checkpoint") != JSON_NONE;
    return true;
}

static bool signature_ok(const struct line *l, const struct json_doc *d, struct bytes spki)
{
    uint8_t raw[128], der[128], message[40];
    size_t raw_n, der_n;
    struct bytes b;
    uint32_t c = json_get(d, 0, "checkpoint");
    if (json_plain(d, json_get(d, c, "signature"), &b) != HSM_OK || b.n > 120 ||
        b64u_decode(raw, b, &raw_n) != HSM_OK || raw_n != 64 ||
        ecdsa_raw_to_der(bytes_of(raw, 64), 32, der, sizeof der, &der_n) != HSM_OK)
        return false;
    const unsigned char *p = spki.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.n);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    memcpy(message, l->prev, 32);
    be64_put(message + 32, l->seq);
    bool ok = key != NULL && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(md, der, der_n, message, sizeof message) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    return ok;
}

struct verdict {
    bool ok;
    unsigned lines, checkpoints, gaps;
};

static struct verdict verify(const char *text, size_t n, struct bytes spki)
{
    struct verdict v = {.ok = true};
    uint8_t prev[32] = {0};
    uint64_t seq = 0;
    for (const char *p = text, *end = text + n; p < end && v.ok;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        struct line l;
        struct json_doc d;
        uint8_t number[8], hash[32];
        v.ok = nl != NULL && line_parse(bytes_of(p, (size_t)(nl - p)), &l, &d) &&
               l.seq == seq + 1 && memcmp(l.prev, prev, 32) == 0;
        if (!v.ok)
            break;
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        be64_put(number, l.seq);
        EVP_DigestInit(md, EVP_sha256());
        EVP_DigestUpdate(md, prev, 32);
        EVP_DigestUpdate(md, number, 8);
        EVP_DigestUpdate(md, l.text.p, l.text.n);
        EVP_DigestFinal(md, hash, NULL);
        EVP_MD_CTX_free(md);
        v.ok = memcmp(hash, l.hash, 32) == 0 && (!l.is_checkpoint || signature_ok(&l, &d, spki));
        bool gap = false;
        if (l.is_checkpoint)
            v.ok = v.ok && json_bool(&d, json_get(&d, json_get(&d, 0, "checkpoint"), "gap"),
                                     &gap) == HSM_OK;
        v.gaps += gap;
        v.lines++;
        v.checkpoints += l.is_checkpoint;
        memcpy(prev, l.hash, 32);
        seq = l.seq;
        p = nl + 1;
    }
    return v;
}

static struct bytes spki_of(const struct rig *r)
{
    return bytes_of(r->b->audit->spki, r->b->audit->spki_n);
}

static void some_lines(struct rig *r)
{
    rig_init(r);
    rig_start(r, true);
    rig_serve(r);
    assert_int_equal(rig_activate(r), HSM_OK);
    rig_make_crypto_user(r);
    assert_int_equal(RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("k"), .kty = KTY_OCT),
                     HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_WRAP, crypto, .name = bytes_str("k"), .alg = ALG_A256KW,
                              .value = bytes_str("very secret text")),
                     HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("nobody")),
                     HSM_E_KEY_NOT_FOUND);
}

/* The line of the last request, as a document. */
static struct json_doc last_record(struct rig *r)
{
    struct json_doc d;
    struct line l;
    const char *end = r->audit + r->audit_n - 1;
    do {
        const char *p = memrchr(r->audit, '\n', (size_t)(end - r->audit));
        p = p == NULL ? r->audit : p + 1;
        assert_true(line_parse(bytes_of(p, (size_t)(end - p)), &l, &d));
        end = p - 1;
    } while (l.is_checkpoint);
    return d;
}

static void expect(const struct json_doc *d, const char *name, const char *value)
{
    char text[3000];
    size_t n;
    uint32_t v = json_get(d, 0, name);
    if (v == JSON_NONE)
        fail_msg("no member %s", name);
    if (json_type_of(d, v) == JSON_STRING) {
        assert_int_equal(json_string(d, v, text, sizeof text - 1, &n), HSM_OK);
    } else {
        n = json_raw(d, v).n;
        memcpy(text, json_raw(d, v).p, n);
    }
    text[n] = 0;
    assert_string_equal(text, value);
}

static void members(void **state)
{
    (void)state;
    struct rig *r = &rig;
    some_lines(r);
    struct json_doc d = last_record(r);
    expect(&d, "operationName", "KeyGet");
    expect(&d, "operationVersion", "7.4");
    expect(&d, "category", "AuditEvent");
    expect(&d, "resultType", "Failure");
    expect(&d, "resultSignature", "KeyNotFound");
    expect(&d, "resultDescription", "Key not found: https://" RIG_HOST "/keys/nobody");
    expect(&d, "httpStatusCode", "404");
    expect(&d, "callerIpAddress", "127.0.0.1");
    expect(&d, "clientInfo", "rig");
    expect(&d, "requestUri", "https://" RIG_HOST "/x?y");
    expect(&d, "PoolName", "dev");
    expect(&d, "resource", "dev");
    expect(&d, "TenantId", TENANT);
    expect(&d, "resourceId", "/PROVIDERS/MICROSOFT.KEYVAULT/MANAGEDHSMS/DEV");
    char identity[1000];
    size_t n;
    assert_int_equal(json_string(&d, json_get(&d, 0, "identity"), identity, sizeof identity, &n),
                     HSM_OK);
    assert_non_null(memmem(identity, n, RIG_ADMIN, strlen(RIG_ADMIN)));
    assert_int_not_equal(json_get(&d, 0, "time"), JSON_NONE);
    assert_int_not_equal(json_get(&d, 0, "correlationId"), JSON_NONE);
    assert_int_not_equal(json_get(&d, 0, "durationMs"), JSON_NONE);
    assert_int_not_equal(json_get(&d, 0, "properties"), JSON_NONE);
    assert_int_equal(RIG_CALL(r, OP_SD_DOWNLOAD_STATUS, empty, 0), HSM_OK);
    d = last_record(r);
    expect(&d, "operationName", "SecurityDomainBackupStatusGet");
    expect(&d, "resultType", "Success");
    expect(&d, "resultSignature", "OK");
    /* Neither tokens nor bodies. */
    struct bytes token = rig_token_of(r, RIG_ADMIN, 3600);
    assert_null(memmem(r->audit, r->audit_n, token.p, 60));
    assert_null(strstr(r->audit, "very secret text"));
    rig_done(r);
}

static void refusals(void **state)
{
    (void)state;
    struct rig *r = &rig;
    static const struct {
        uint16_t op, err, status;
        const char *name, *signature;
    } cases[] = {
        {OP_KEY_GET, HSM_E_TOKEN_MISSING, 401, "Authentication", "Unauthorized"},
        {OP_SIGN, HSM_E_MALFORMED, 400, "KeySign", "BadParameter"},
        {0, HSM_E_NOT_FOUND, 404, "Unknown", "NotFound"},
        {OP_KEY_GET, HSM_E_FIREWALL_ADDRESS, 403, "KeyGet", "Forbidden"},
        {OP_KEY_LIST, HSM_E_FIREWALL_WAY, 403, "KeyList", "Forbidden"},
        {9999, 60000, 500, "Unknown", "InternalServerError"},
        /* Not a way to write down what never happened. */
        {OP_KEY_PURGE, HSM_OK, 500, "KeyPurge", "InternalServerError"},
    };
    rig_init(r);
    rig_start(r, true);
    rig_serve(r);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t body[16];
        char status[8];
        struct wr w = wr_of(body, sizeof body);
        const struct wire_refused m = {.op = cases[i].op,
                                       .err = cases[i].err,
                                       .status = cases[i].err == HSM_OK ? 200 : cases[i].status};
        wire_refused_put(&w, &m);
        assert_int_equal(rig_call(r, OP_REFUSED, bytes_of(NULL, 0), wr_view(&w)), HSM_OK);
        struct json_doc d = last_record(r);
        expect(&d, "operationName", cases[i].name);
        expect(&d, "resultSignature", cases[i].signature);
        expect(&d, "identity", "{}");
        snprintf(status, sizeof status, "%u", cases[i].status);
        expect(&d, "httpStatusCode", status);
    }
    rig_done(r);
}

/* Whatever a gateway puts into the envelope: one line of JSON. */
static void hostile_envelope(void **state)
{
    (void)state;
    struct rig *r = &rig;
    uint8_t junk[2048], payload[8192], body[16];
    for (unsigned i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)(i * 37);
    some_lines(r);
    const struct wire_caller c = {
        .token = bytes_of(junk, 2000),
        .host = bytes_of(junk, 255),
        .client_ip = bytes_of(junk, 64),
        .user_agent = bytes_of(junk, 512),
        .uri = bytes_of(junk, 2048),
        .api_version = bytes_of(junk, 32),
    };
    struct wr w = wr_of(payload, sizeof payload), bw = wr_of(body, sizeof body);
    const struct wire_key_name m = {.name = bytes_str("x")};
    wire_key_name_put(&bw, &m);
    wire_caller_put(&w, &c);
    wr_bytes(&w, body, bw.n);
    rig_send(r, 1, OP_DELETED_GET, 77, wr_view(&w));
    rig_settle(r);
    assert_true(r->answer.there && r->answer.id == 77);
    struct verdict v = verify(r->audit, r->audit_n, spki_of(r));
    assert_true(v.ok);
    rig_done(r);
}

static void tampering_shows(void **state)
{
    (void)state;
    struct rig *r = &rig;
    some_lines(r);
    struct verdict good = verify(r->audit, r->audit_n, spki_of(r));
    assert_true(good.ok);
    assert_true(good.lines >= 6 && good.checkpoints >= 1);
    assert_int_equal(good.gaps, 0);
    char *copy = malloc(r->audit_n);
    /* Any byte changed. */
    for (size_t i = 0; i < r->audit_n; i += 5) {
        memcpy(copy, r->audit, r->audit_n);
        copy[i] ^= 4;
        if (verify(copy, r->audit_n, spki_of(r)).ok)
            fail_msg("byte %zu was changed unseen", i);
    }
    /* A line removed; two lines swapped. */
    const char *second = strchr(r->audit, '\n') + 1;
    const char *third = strchr(second, '\n') + 1;
    size_t head = (size_t)(second - r->audit), len = (size_t)(third - second);
    memcpy(copy, r->audit, head);
    memcpy(copy + head, third, r->audit_n - head - len);
    assert_false(verify(copy, r->audit_n - len, spki_of(r)).ok);
    const char *fourth = strchr(third, '\n') + 1;
    memcpy(copy + head, third, (size_t)(fourth - third));
    memcpy(copy + head + (fourth - third), second, len);
    memcpy(copy + (fourth - r->audit), fourth, (size_t)(r->audit + r->audit_n - fourth));
    assert_false(verify(copy, r->audit_n, spki_of(r)).ok);
    free(copy);
    rig_done(r);
}

/* The tail is cut off while the boundary is stopped: the next start says so, and the chain goes on
 * behind what is left. */
static void removed_tail(void **state)
{
    (void)state;
    struct rig *r = &rig;
    some_lines(r);
    rig_send(r, 0, CTL_QUIESCE, 1, bytes_of(NULL, 0));
    rig_settle(r);
    assert_int_equal(r->quiesced, 1);
    assert_true(r->b->state->mark.present);
    size_t whole = r->audit_n;
    for (unsigned cut = 1; cut < 5; cut++) {
        rig_stop(r);
        r->audit_n = whole;
        for (unsigned i = 0; i < cut; i++) {
            char *nl = memrchr(r->audit, '\n', r->audit_n - 1);
            r->audit_n = (size_t)(nl - r->audit) + 1;
        }
        r->audit[r->audit_n] = 0;
        rig_start(r, false);
        rig_serve(r);
        struct verdict v = verify(r->audit, r->audit_n, spki_of(r));
        assert_true(v.ok);
        /* The last line of all is the stop checkpoint, written after the mark. */
        assert_int_equal(v.gaps, cut > 1);
    }
    rig_done(r);
}

/* Another file of the same length is no continuation either. */
static void other_file(void **state)
{
    (void)state;
    struct rig *r = &rig;
    some_lines(r);
    own_audit_mark(r->b);
    rig_settle(r);
    uint64_t seq;
    uint8_t hash[32];
    rig_audit_end(r, &seq, hash);
    assert_int_equal(r->b->state->mark.seq, seq);
    rig_stop(r);
    char *at = r->audit;
    for (char *p = at; (p = strstr(p, "\"hash\":\"")) != NULL; p++)
        at = p;
    at[10] = at[10] == '0' ? '1' : '0';
    rig_start(r, false);
    rig_serve(r);
    assert_non_null(strstr(r->audit, "\"gap\":true"));
    rig_done(r);
}

/* A file that goes on behind the sealed position: the boundary sees its end only, so it says what
 * must have been at that position. */
static void longer_file(void **state)
{
    (void)state;
    struct rig *r = &rig;
    char want[200], hex[65];
    some_lines(r);
    own_audit_mark(r->b);
    rig_settle(r);
    const struct audit_mark mark = r->b->state->mark;
    assert_true(mark.present);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("k")), HSM_OK);
    rig_stop(r);
    rig_start(r, false);
    rig_serve(r);
    assert_null(strstr(r->audit, "\"gap\":true"));
    hex_encode(hex, mark.hash, 32);
    snprintf(want, sizeof want, "\"gap\":false,\"mark\":{\"seq\":%llu,\"hash\":\"%s\"}",
             (unsigned long long)mark.seq, hex);
    assert_non_null(strstr(r->audit, want));
    rig_done(r);
}

static void checkpoints_come(void **state)
{
    (void)state;
    struct rig *r = &rig;
    rig_init(r);
    rig_start(r, true);
    rig_serve(r);
    struct verdict before = verify(r->audit, r->audit_n, spki_of(r));
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(RIG_CALL(r, OP_SD_DOWNLOAD_STATUS, empty, 0), HSM_E_NOT_FOUND);
    struct verdict after = verify(r->audit, r->audit_n, spki_of(r));
    assert_true(after.ok);
    assert_true(after.checkpoints - before.checkpoints >= 3);
    /* Without new lines there is nothing to sign. */
    r->b->next_checkpoint_us = 0;
    rig_settle(r);
    size_t n = r->audit_n;
    r->b->next_checkpoint_us = 0;
    rig_settle(r);
    assert_int_equal(r->audit_n, n);
    rig_done(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),          cmocka_unit_test(refusals),
        cmocka_unit_test(hostile_envelope), cmocka_unit_test(tampering_shows),
        cmocka_unit_test(removed_tail),     cmocka_unit_test(other_file),
        cmocka_unit_test(longer_file),      cmocka_unit_test(checkpoints_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
