/* Import of a key that comes wrapped for a key exchange key of this pool. */
#include <stdlib.h>
#include "boundary/keys.h"
#include "codec/base64url.h"
#include "codec/jwk_private.h"
#include "codec/transfer_blob.h"

static hsm_err check_jwk(struct request *rq, const struct jwk_private *jwk, enum key_type kty)
{
    const struct key_numbers *c = &jwk->num;
    const struct bytes clear[] = {c->n,  c->e,  c->d, c->p, c->q, c->dp,
                                  c->dq, c->qi, c->x, c->y, c->k};
    if (kty == KTY_NONE)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "JSON Web Key: kty is missing or unknown.");
    for (size_t i = 0; i < sizeof clear / sizeof clear[0]; i++)
        if (clear[i].p != NULL)
            return request_fail(rq, HSM_E_BAD_PARAMETER,
                                "JSON Web Key: beside key_hsm there must be no numbers of a key.");
    return HSM_OK;
}

static hsm_err find_kek(struct request *rq, const struct transfer_blob *blob,
                        struct key_version **ret)
{
    struct key *k;
    struct key_version *v;
    const char *why = "";
    if (keys_find(rq, blob->kek_name, false, &k) != HSM_OK ||
        keys_find_version(rq, k, blob->kek_name, blob->kek_version, &v) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "Key transfer blob: header.kid is no key of this HSM.");
    if (v->kty != KTY_RSA || v->ops != KEY_OP_IMPORT)
        return request_fail(
            rq, HSM_E_BAD_PARAMETER,
            "Key transfer blob: header.kid is no key exchange key; its key_ops must be import.");
    const struct key_window window = key_version_window(v);
    hsm_err err = key_may_use(&window, KEY_OP_IMPORT, rq->now_s, &why);
    if (err != HSM_OK)
        return request_fail(rq, err, "%s", why);
    *ret = v;
    return HSM_OK;
}

static hsm_err read_blob(struct request *rq, struct bytes text, uint8_t *file_buf,
                         uint8_t *cipher_buf, struct made_key *made)
{
    struct bytes file;
    struct transfer_blob blob;
    struct key_version *kek = NULL;
    const char *why = "";
    if (transfer_file_decode(text, file_buf, &file) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "JSON Web Key: key_hsm is not base64url of a key transfer blob.");
    if (transfer_blob_parse(file, cipher_buf, &blob, &why) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "Key transfer blob: %s", why);
    TRY(find_kek(rq, &blob, &kek));
    TRY(keys_open_version(rq, kek, &made->kek));
    made->wrapped_n = blob.ciphertext.n;
    return HSM_OK;
}

hsm_err keys_take_transfer(struct request *rq, const struct jwk_private *jwk, struct made_key *made)
{
    TRY(check_jwk(rq, jwk, made->spec.kty));
    if (jwk->key_hsm.n > b64_encoded_max(TRANSFER_FILE_MAX))
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "JSON Web Key: key_hsm is longer than a file of %d bytes.",
                            TRANSFER_FILE_MAX);
    uint8_t *file = (uint8_t *)malloc(b64_decoded_max(jwk->key_hsm.n));
    made->wrapped = (uint8_t *)malloc(TRANSFER_CIPHERTEXT_MAX + 4);
    hsm_err err = file == NULL || made->wrapped == NULL
                      ? HSM_E_NOMEM
                      : read_blob(rq, jwk->key_hsm, file, made->wrapped, made);
    free(file);
    secret_buf_done(&made->secret_given); /* the numbers will come out of the wrapped key */
    return err;
}
