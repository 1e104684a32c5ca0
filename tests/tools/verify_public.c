/* verify_public: the boundary's ECDSA verification for keys of which only the public part is known,
 * as in most published vectors; the service itself holds no such keys.
 *
 * Reads lines "ALGORITHM X Y DIGEST SIGNATURE" (ES256, ...; the rest in hex, "-" when empty) and
 * answers each with a line: "true", "false", or the name of the error. */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdio.h>
#include "base/uuid.h"
#include "boundary/keymat_impl.h"

#define LINE_MAX_N  4096
#define VALUE_MAX   512
#define COORDINATES (2 * 66)

struct hex {
    uint8_t p[VALUE_MAX];
    size_t n;
};

static struct bytes view(const struct hex *h)
{
    return bytes_of(h->p, h->n);
}

static bool unhex(struct hex *h, const char *text)
{
    size_t n = strlen(text);
    h->n = 0;
    if (strcmp(text, "-") == 0)
        return true;
    h->n = n / 2;
    return n % 2 == 0 && h->n <= sizeof h->p && hex_decode(h->p, h->n, bytes_str(text)) == HSM_OK;
}

static enum key_curve curve_of(unsigned alg)
{
    switch (alg) {
    case ALG_ES256:
        return CRV_P256;
    case ALG_ES256K:
        return CRV_P256K;
    case ALG_ES384:
        return CRV_P384;
    case ALG_ES512:
        return CRV_P521;
    default:
        return CRV_NONE;
    }
}

static EVP_PKEY *public_key(enum key_curve crv, const struct hex *x, const struct hex *y)
{
    uint8_t point[1 + COORDINATES] = {4};
    char group[16] = {0};
    unsigned width = key_curve_width(crv);
    EVP_PKEY *key = NULL;
    if (x->n != width || y->n != width)
        return NULL;
    memcpy(point + 1, x->p, width);
    memcpy(point + 1 + width, y->p, width);
    memcpy(group, keymat_group_name(crv), strlen(keymat_group_name(crv)));
    OSSL_PARAM param[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * (size_t)width),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, param) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static const char *answer(char *line)
{
    static uint8_t buf[VALUE_MAX + 1024];
    struct hex field[4]; /* x y digest signature */
    char *rest = line;
    const char *name = strsep(&rest, " ");
    unsigned alg = crypto_alg_from_name(bytes_str(name));
    for (unsigned i = 0; i < 4; i++) {
        if (rest == NULL || !unhex(&field[i], strsep(&rest, " ")))
            return "malformed line";
    }
    struct keymat k = {.kty = KTY_EC, .crv = curve_of(alg)};
    if (rest != NULL || k.crv == CRV_NONE)
        return "malformed line";
    k.pkey = public_key(k.crv, &field[0], &field[1]);
    if (k.pkey == NULL)
        return "not a key";
    struct wire_crypto in = {
        .alg = (uint8_t)alg, .digest = view(&field[2]), .value = view(&field[3])};
    struct wire_crypto_result res = {0};
    const char *why = NULL;
    hsm_err err = keymat_crypto(&k, KEY_OP_VERIFY, &in, buf, sizeof buf, &res, &why);
    for (unsigned i = 0; i < KEYMAT_READY; i++)
        ready_free(atomic_load(&k.ready[i]));
    EVP_PKEY_free(k.pkey);
    if (err != HSM_OK)
        return why != NULL ? why : hsm_err_name(err);
    return res.verified ? "true" : "false";
}

int main(void)
{
    static char line[LINE_MAX_N];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (puts(answer(line)) < 0)
            return 2;
    }
    return ferror(stdin) != 0 || fflush(stdout) != 0 ? 2 : 0;
}
