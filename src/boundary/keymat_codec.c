#include "boundary/keymat_impl.h"

#define VERSION 2u

const char *keymat_group_name(enum key_curve crv)
{
    switch (crv) {
    case CRV_P256:
        return "prime256v1";
    case CRV_P256K:
        return "secp256k1";
    case CRV_P384:
        return "secp384r1";
    case CRV_P521:
        return "secp521r1";
    case CRV_NONE:
        break;
    }
    return "";
}

void keymat_head_put(struct wr *w, enum key_type kty, enum key_curve crv, uint32_t bits)
{
    wr_str(w, "KM");
    wr_u8(w, VERSION);
    wr_u8(w, (uint8_t)kty);
    wr_u8(w, (uint8_t)crv);
    wr_u32(w, bits);
}

/* A length-prefixed field of exactly n bytes. */
static hsm_err field(struct rd *in, size_t n, struct bytes *ret)
{
    struct bytes b;
    TRY(rd_lv(in, n, &b));
    if (b.n != n)
        return HSM_E_MALFORMED;
    *ret = b;
    return HSM_OK;
}

static hsm_err rsa_fields(struct rd *in, struct keymat_parts *p)
{
    if (p->crv != CRV_NONE || (p->bits != 2048 && p->bits != 3072 && p->bits != 4096))
        return HSM_E_MALFORMED;
    size_t full = p->bits / 8;
    size_t half = full / 2;
    TRY(field(in, full, &p->rsa[RSA_N]));
    TRY(rd_lv(in, 8, &p->rsa[RSA_E]));
    TRY(field(in, half, &p->rsa[RSA_P]));
    TRY(field(in, half, &p->rsa[RSA_Q]));
    struct bytes e = p->rsa[RSA_E];
    bool e_fits = e.n > 0 && e.p[0] != 0 && (e.p[e.n - 1] & 1) != 0 && (e.n > 1 || e.p[0] > 1);
    /* The modulus has its full length and is odd, as OpenSSL's arithmetic relies on. */
    if (!e_fits || p->rsa[RSA_N].p[0] < 0x80 || (p->rsa[RSA_N].p[full - 1] & 1) == 0)
        return HSM_E_MALFORMED;
    return HSM_OK;
}

static hsm_err ec_fields(struct rd *in, struct keymat_parts *p)
{
    static const uint32_t bits[] = {
        [CRV_NONE] = 0, [CRV_P256] = 256, [CRV_P256K] = 256, [CRV_P384] = 384, [CRV_P521] = 521,
    };
    unsigned width = key_curve_width(p->crv);
    if (width == 0 || p->bits != bits[p->crv])
        return HSM_E_MALFORMED;
    TRY(field(in, width, &p->scalar));
    TRY(field(in, width, &p->x));
    return field(in, width, &p->y);
}

static hsm_err oct_fields(struct rd *in, struct keymat_parts *p)
{
    if (p->crv != CRV_NONE || p->bits % 8 != 0 || p->bits == 0 || p->bits / 8 > KEYMAT_OCT_MAX)
        return HSM_E_MALFORMED;
    return field(in, p->bits / 8, &p->oct);
}

static hsm_err parse(struct rd in, struct keymat_parts *ret)
{
    struct keymat_parts p = {0};
    struct bytes magic;
    uint8_t version, kty, crv;
    TRY(rd_bytes(&in, 2, &magic));
    TRY(rd_u8(&in, &version));
    TRY(rd_u8(&in, &kty));
    TRY(rd_u8(&in, &crv));
    TRY(rd_u32(&in, &p.bits));
    if (!bytes_eq_str(magic, "KM") || version != VERSION || crv > CRV_P521)
        return HSM_E_MALFORMED;
    p.kty = (enum key_type)kty;
    p.crv = (enum key_curve)crv;
    switch (kty) {
    case KTY_RSA:
        TRY(rsa_fields(&in, &p));
        break;
    case KTY_EC:
        TRY(ec_fields(&in, &p));
        break;
    case KTY_OCT:
        TRY(oct_fields(&in, &p));
        break;
    default:
        return HSM_E_MALFORMED;
    }
    TRY(rd_end(&in));
    *ret = p;
    return HSM_OK;
}

hsm_err keymat_parts_decode(struct bytes b, struct keymat_parts *ret)
{
    /* The bytes come out of our own seal: anything wrong in them is damage, not a bad request. */
    return parse(rd_of(b), ret) == HSM_OK ? HSM_OK : HSM_E_CORRUPT;
}
