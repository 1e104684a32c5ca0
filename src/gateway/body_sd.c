/* Security domain download: of every certificate only x5c[0] is dependable; n and e are passed on
 * so that the boundary can compare them, all other members differ between clients and are ignored.
 */
#include "codec/base64url.h"
#include "gateway/body.h"

#define CERTIFICATES_BYTES_MAX 200000
#define DER_MAX                16384
#define MODULUS_MAX            1024
#define EXPONENT_MAX           8
#define WORD_MAX               32

static hsm_err check_word(struct body_ctx *c, uint32_t cert, const char *name, const char *one,
                          const char *other)
{
    struct bytes word;
    TRY(body_text(c, cert, name, WORD_MAX, &word));
    if (word.n == 0 || bytes_eq_str(word, one) || bytes_eq_str(word, other))
        return HSM_OK;
    return body_bad(c, "Property 'certificates[].%s' must be %s.", name, one);
}

static hsm_err read_der(struct body_ctx *c, uint32_t cert, struct bytes *ret)
{
    uint32_t arr;
    struct bytes text;
    size_t n;
    TRY(body_container(c, cert, "x5c", JSON_ARRAY, &arr));
    uint32_t first = arr == JSON_NONE ? JSON_NONE : json_first(&c->doc, arr);
    if (first == JSON_NONE)
        return body_bad(c, "Property 'certificates[].x5c' is missing.");
    /* "\/" is a legal spelling of a slash */
    size_t cap = json_raw(&c->doc, first).n;
    uint8_t *p = scratch_take(c->scratch, cap + 1);
    if (p == NULL)
        return HSM_E_RANGE;
    if (json_string(&c->doc, first, (char *)p, cap, &text.n) != HSM_OK)
        return body_bad(c, "Property 'certificates[].x5c' must hold strings.");
    text.p = p;
    uint8_t *der = scratch_take(c->scratch, b64_decoded_max(text.n));
    if (der == NULL)
        return HSM_E_RANGE;
    if (b64_decode(der, text, &n) != HSM_OK || n == 0 || n > DER_MAX)
        return body_bad(c, "Property 'certificates[].x5c' is not a base64 certificate.");
    *ret = bytes_of(der, n);
    return HSM_OK;
}

static hsm_err read_certificate(struct body_ctx *c, uint32_t cert, struct wr *list)
{
    struct wire_sd_cert m = {0};
    if (json_type_of(&c->doc, cert) != JSON_OBJECT)
        return body_bad(c, "Property 'certificates' must be an array of objects.");
    size_t mark = c->scratch->n;
    TRY(check_word(c, cert, "kty", "RSA", "RSA-HSM"));
    TRY(check_word(c, cert, "alg", "RSA-OAEP-256", "RSA-OAEP-256"));
    TRY(check_word(c, cert, "use", "enc", "enc"));
    TRY(read_der(c, cert, &m.der));
    TRY(body_b64u(c, cert, "n", MODULUS_MAX, &m.n));
    TRY(body_b64u(c, cert, "e", EXPONENT_MAX, &m.e));
    size_t at = wr_lv_open(list);
    wire_sd_cert_put(list, &m);
    wr_lv_close(list, at);
    c->scratch->n = mark;
    return HSM_OK;
}

hsm_err body_sd_download(const struct route *r, struct body_ctx *c, struct wr *out)
{
    (void)r;
    struct wire_sd_download m = {0};
    uint32_t arr;
    bool there;
    int64_t required;
    struct wr list;
    TRY(body_int(c, 0, "required", 1, 255, &there, &required));
    m.required = (uint8_t)required;
    TRY(body_container(c, 0, "certificates", JSON_ARRAY, &arr));
    if (arr == JSON_NONE)
        return body_bad(c, "Property 'certificates' is missing.");
    TRY(body_writer(c, CERTIFICATES_BYTES_MAX, &list));
    for (uint32_t at = json_first(&c->doc, arr); at != JSON_NONE; at = json_next(&c->doc, arr, at))
        TRY(read_certificate(c, at, &list));
    if (wr_ok(&list) != HSM_OK)
        return body_bad(c, "Property 'certificates' is too large.");
    m.certificates = wr_view(&list);
    wire_sd_download_put(out, &m);
    return HSM_OK;
}
