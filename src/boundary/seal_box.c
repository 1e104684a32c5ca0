/* PATH: "KHSEAL", u16 version, 12 bytes nonce, ciphertext, 16 bytes tag; the first eight bytes are
 * authenticated with it. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "boundary/seal_internal.h"

#define MAGIC     "KHSEAL"
#define VERSION   1u
#define HEAD_LEN  8u
#define NONCE_LEN 12u
#define TAG_LEN   16u

hsm_err seal_say(hsm_err err, char *text, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, cap, fmt, ap);
    va_end(ap);
    return err;
}

static void fd_done(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static void cipher_ctx_done(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
}

/* ---- files ----------------------------------------------------------------------------------- */
hsm_err seal_path(const char *path, const char *suffix, char dst[SEAL_PATH_MAX], char *text,
                  size_t cap)
{
    int n = snprintf(dst, SEAL_PATH_MAX, "%s%s", path, suffix);
    if (n > 0 && (size_t)n < SEAL_PATH_MAX)
        return HSM_OK;
    return seal_say(HSM_E_RANGE, text, cap, "the path of the seal file is too long");
}

static hsm_err read_all(int fd, uint8_t *dst, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, dst, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return HSM_E_IO;
        dst += got;
        n -= (size_t)got;
    }
    return HSM_OK;
}

hsm_err seal_file_read(const char *path, bool private_only, struct secret_buf *ret, char *text,
                       size_t cap)
{
    DEFER(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return seal_say(HSM_E_NOT_FOUND, text, cap, "%s does not exist", path);
    if (fd < 0)
        return seal_say(HSM_E_IO, text, cap, "cannot open %s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        st.st_size > SEAL_FILE_MAX)
        return seal_say(HSM_E_CORRUPT, text, cap,
                        "%s is not a file of the expected size; restore it from a copy of the data "
                        "directory",
                        path);
    if (private_only && (st.st_mode & 077) != 0)
        return seal_say(HSM_E_DENIED, text, cap,
                        "%s is accessible by other users (mode %03o); if nobody has read it, run: "
                        "chmod 600 %s",
                        path, (unsigned)(st.st_mode & 0777), path);
    struct secret_buf b;
    if (secret_buf_new(&b, (size_t)st.st_size) != HSM_OK)
        return seal_say(HSM_E_NOMEM, text, cap, "no memory to read %s", path);
    if (read_all(fd, b.p, b.n) != HSM_OK) {
        secret_buf_done(&b);
        return seal_say(HSM_E_IO, text, cap, "cannot read %s: %s", path, strerror(errno));
    }
    *ret = b;
    return HSM_OK;
}

hsm_err seal_file_write(const char *path, struct bytes content, char *text, size_t cap)
{
    hsm_err err = file_replace(path, content, 0600);
    if (err == HSM_OK)
        return HSM_OK;
    return seal_say(err, text, cap,
                    "cannot write %s: %s; check the free space and the permissions of its "
                    "directory",
                    path, strerror(errno));
}

bool seal_sum(struct bytes b, uint8_t sum[SEAL_SUM_LEN])
{
    unsigned n = 0;
    return EVP_Digest(b.p, b.n, sum, &n, EVP_sha256(), NULL) == 1 && n == SEAL_SUM_LEN;
}

hsm_err seal_sum_check(struct bytes *b)
{
    uint8_t sum[SEAL_SUM_LEN];
    if (b->n < SEAL_SUM_LEN || !seal_sum(bytes_of(b->p, b->n - SEAL_SUM_LEN), sum) ||
        memcmp(b->p + b->n - SEAL_SUM_LEN, sum, SEAL_SUM_LEN) != 0)
        return HSM_E_CORRUPT;
    b->n -= SEAL_SUM_LEN;
    return HSM_OK;
}

/* ---- the root secrets under the KEK ---------------------------------------------------------- */
static void head_put(uint8_t head[HEAD_LEN])
{
    struct wr w = wr_of(head, HEAD_LEN);
    wr_str(&w, MAGIC);
    wr_u16(&w, VERSION);
}

/* out: head, nonce, ciphertext as long as plain, tag */
static hsm_err encrypt(const struct secret_buf *key, const struct secret_buf *plain, uint8_t *out)
{
    uint8_t *nonce = out + HEAD_LEN;
    uint8_t *body = nonce + NONCE_LEN;
    int n = 0;
    head_put(out);
    DEFER(cipher_ctx_done) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (c == NULL || RAND_bytes(nonce, NONCE_LEN) != 1 ||
        EVP_EncryptInit_ex2(c, EVP_aes_256_gcm(), key->p, nonce, NULL) != 1 ||
        EVP_EncryptUpdate(c, NULL, &n, out, HEAD_LEN) != 1 ||
        EVP_EncryptUpdate(c, body, &n, plain->p, (int)plain->n) != 1 ||
        EVP_EncryptFinal_ex(c, body + n, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, body + plain->n) != 1) {
        ERR_clear_error();
        return HSM_E_INTERNAL;
    }
    return HSM_OK;
}

static hsm_err decrypt(const struct secret_buf *key, const struct secret_buf *file,
                       struct secret_buf *ret)
{
    uint8_t head[HEAD_LEN];
    head_put(head);
    if (file->n <= HEAD_LEN + NONCE_LEN + TAG_LEN || memcmp(file->p, head, HEAD_LEN) != 0)
        return HSM_E_CORRUPT;
    const uint8_t *nonce = file->p + HEAD_LEN;
    const uint8_t *body = nonce + NONCE_LEN;
    size_t body_n = file->n - HEAD_LEN - NONCE_LEN - TAG_LEN;
    uint8_t tag[TAG_LEN];
    memcpy(tag, body + body_n, TAG_LEN);
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    TRY(secret_buf_new(&plain, body_n));
    int n = 0;
    DEFER(cipher_ctx_done) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (c == NULL || EVP_DecryptInit_ex2(c, EVP_aes_256_gcm(), key->p, nonce, NULL) != 1 ||
        EVP_DecryptUpdate(c, NULL, &n, head, HEAD_LEN) != 1 ||
        EVP_DecryptUpdate(c, plain.p, &n, body, (int)body_n) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) != 1 ||
        EVP_DecryptFinal_ex(c, plain.p + n, &n) != 1) {
        ERR_clear_error();
        return HSM_E_CORRUPT;
    }
    *ret = plain;
    plain = (struct secret_buf){0};
    return HSM_OK;
}

hsm_err seal_box_close(const struct secret_buf *kek, const struct roots *r, struct secret_buf *ret)
{
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    DEFER(secret_buf_done) struct secret_buf file = {0};
    TRY(roots_encode(r, &plain));
    TRY(secret_buf_new(&file, HEAD_LEN + NONCE_LEN + plain.n + TAG_LEN));
    TRY(encrypt(kek, &plain, file.p));
    *ret = file;
    file = (struct secret_buf){0};
    return HSM_OK;
}

hsm_err seal_box_open(const struct secret_buf *kek, const struct secret_buf *file,
                      struct roots *ret)
{
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    TRY(decrypt(kek, file, &plain));
    return roots_decode(bytes_of(plain.p, plain.n), ret);
}
