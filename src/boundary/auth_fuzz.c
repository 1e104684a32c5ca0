/* Token claims as a signed token would carry them: parse, judge, make the identity. The signature
 * is not checked here: its code is libcrypto's, and random bytes would never get past it. */
#include <stdio.h>
#include <stdlib.h>

#include "boundary/auth_internal.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_identity(const struct auth_claims *c, const struct auth_issuer *by)
{
    struct identity *who;
    static struct json_tok toks[64];
    struct json_doc d;
    if (auth_identity_new(c, by, &who) != HSM_OK)
        return; /* texts that are too long together */
    /* What goes into the audit file must be one line of JSON, whatever the token said. */
    static char text[8192];
    size_t n = 0;
    HSM_ASSERT(strchr(who->audit_string, '\n') == NULL);
    HSM_ASSERT(json_parse(bytes_str(who->audit_string), toks, 64, &d) == HSM_OK);
    HSM_ASSERT(json_string(&d, 0, text, sizeof text, &n) == HSM_OK);
    HSM_ASSERT(memchr(text, '\n', n) == NULL);
    HSM_ASSERT(json_parse(bytes_of(text, n), toks, 64, &d) == HSM_OK);
    HSM_ASSERT(!by->is_external || who->group_n == 0);
    HSM_ASSERT(strlen(who->oid) == 36 && who->group_n <= AUTH_GROUPS_MAX);
    identity_unref(who);
}

static void judge(const struct auth_claims *c, const struct auth_config *conf,
                  const struct auth_issuer *by)
{
    char detail[512] = "";
    hsm_err err = auth_claims_check(c, conf, by, 1700000000, detail, sizeof detail);
    for (const char *p = detail; *p != 0; p++)
        HSM_ASSERT(*p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\'');
    if (err != HSM_OK)
        return;
    HSM_ASSERT(c->has_exp && c->exp + AUTH_CLOCK_SKEW_S > 1700000000);
    check_identity(c, by);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct auth_issuer own,
        external = {.is_external = true, .audience = "https://managedhsm.localhost"};
    static struct auth_claims c;
    struct auth_config conf = {
        .tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47",
        .audience_host = {"managedhsm.localhost", "managedhsm.azure.net"},
        .audience_n = 2,
    };
    if (size > JWS_TEXT_MAX || auth_claims_parse(bytes_of(data, size), &c) != HSM_OK)
        return 0;
    judge(&c, &conf, &own);
    judge(&c, &conf, &external);
    return 0;
}
