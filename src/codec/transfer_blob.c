#include "codec/transfer_blob.h"

#include "codec/base64url.h"
#include "codec/json.h"

#define TOKENS 128

static bool has_standard_letters(struct bytes text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '+' || text.p[i] == '/')
            return true;
    return false;
}

hsm_err transfer_file_decode(struct bytes text, uint8_t *buf, struct bytes *ret_file)
{
    size_t n = 0;
    if (text.n > b64_encoded_max(TRANSFER_FILE_MAX))
        return HSM_E_RANGE;
    TRY(has_standard_letters(text) ? b64_decode(buf, text, &n) : b64u_decode(buf, text, &n));
    if (n > TRANSFER_FILE_MAX)
        return HSM_E_RANGE;
    *ret_file = bytes_of(buf, n);
    return HSM_OK;
}

static hsm_err bad(const char **why, const char *text)
{
    *why = text;
    return HSM_E_MALFORMED;
}

static bool member_is(const struct json_doc *d, uint32_t obj, const char *name, const char *want)
{
    struct bytes text;
    uint32_t v = json_get_nn(d, obj, name);
    return v != JSON_NONE && json_plain(d, v, &text) == HSM_OK && bytes_eq_str(text, want);
}

/* First part of *text up to a slash, which is dropped. */
static struct bytes cut(struct bytes *text)
{
    size_t n = 0;
    while (n < text->n && text->p[n] != '/')
        n++;
    struct bytes part = bytes_of(text->p, n);
    *text = n < text->n ? bytes_of(text->p + n + 1, text->n - n - 1) : bytes_of(NULL, 0);
    return part;
}

/* The host says nothing: a pool has several names, and nobody vouches for this one. */
static hsm_err take_kid(struct bytes kid, struct transfer_blob *b)
{
    static const char scheme[] = "https://";
    const size_t n = sizeof scheme - 1;
    if (kid.n <= n || !bytes_ieq(bytes_of(kid.p, n), bytes_of(scheme, n)))
        return HSM_E_MALFORMED;
    struct bytes rest = bytes_of(kid.p + n, kid.n - n);
    struct bytes host = cut(&rest);
    struct bytes keys = cut(&rest);
    b->kek_name = cut(&rest);
    b->kek_version = rest;
    bool fits = host.n > 0 && bytes_ieq(keys, bytes_str("keys")) && b->kek_name.n > 0 &&
                (rest.n == 0 || rest.n == 32);
    return fits ? HSM_OK : HSM_E_MALFORMED;
}

hsm_err transfer_blob_parse(struct bytes file, uint8_t *buf, struct transfer_blob *ret,
                            const char **ret_why)
{
    struct json_tok toks[TOKENS];
    struct json_doc d;
    struct transfer_blob b = {0};
    struct bytes text;
    if (json_parse(file, toks, TOKENS, &d) != HSM_OK || json_type_of(&d, 0) != JSON_OBJECT)
        return bad(ret_why, "it is not a valid JSON object.");
    if (!member_is(&d, 0, "schema_version", "1.0.0") && !member_is(&d, 0, "schema_version", "1.0"))
        return bad(ret_why, "schema_version must be 1.0.0.");
    uint32_t header = json_get_nn(&d, 0, "header");
    if (header == JSON_NONE || json_type_of(&d, header) != JSON_OBJECT)
        return bad(ret_why, "header is missing.");
    if (!member_is(&d, header, "alg", "dir"))
        return bad(ret_why, "header.alg must be dir.");
    if (!member_is(&d, header, "enc", "CKM_RSA_AES_KEY_WRAP"))
        return bad(ret_why, "header.enc must be CKM_RSA_AES_KEY_WRAP.");
    uint32_t kid = json_get_nn(&d, header, "kid");
    if (kid == JSON_NONE || json_plain(&d, kid, &text) != HSM_OK || take_kid(text, &b) != HSM_OK)
        return bad(ret_why, "header.kid must be the identifier of a key of this HSM.");
    uint32_t v = json_get_nn(&d, 0, "ciphertext");
    size_t n = 0;
    if (v == JSON_NONE || json_plain(&d, v, &text) != HSM_OK)
        return bad(ret_why, "ciphertext is missing.");
    if (text.n > b64_encoded_max(TRANSFER_CIPHERTEXT_MAX) || b64u_decode(buf, text, &n) != HSM_OK ||
        n > TRANSFER_CIPHERTEXT_MAX)
        return bad(ret_why, "ciphertext is not base64url of a wrapped key.");
    b.ciphertext = bytes_of(buf, n);
    *ret = b;
    return HSM_OK;
}
