/* Seal provider "file". PATH: "KHSEAL", u16 version, 12 bytes nonce, ciphertext, 16 bytes tag; the
 * first eight bytes are authenticated with it. PATH.key: 32 random bytes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "boundary/roots.h"

#define MAGIC     "KHSEAL"
#define VERSION   1u
#define HEAD_LEN  8u
#define NONCE_LEN 12u
#define TAG_LEN   16u
#define FILE_MAX  (64u * 1024u)

static hsm_err say(hsm_err err, char *text, size_t cap, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static hsm_err say(hsm_err err, char *text, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, cap, fmt, ap);
    va_end(ap);
    return err;
}

static void fd_done(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static void cipher_ctx_done(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
}

static hsm_err key_path(const char *path, const char *suffix, char dst[PATH_MAX])
{
    int n = snprintf(dst, PATH_MAX, "%s%s", path, suffix);
    return n > 0 && n < PATH_MAX ? HSM_OK : HSM_E_RANGE;
}

/* ---- files ----------------------------------------------------------------------------------- */
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

static hsm_err write_all(int fd, const uint8_t *src, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, src, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return HSM_E_IO;
        src += put;
        n -= (size_t)put;
    }
    return HSM_OK;
}

/* A regular file as a whole; HSM_E_NOT_FOUND when there is none. private_only: nobody but its owner
 * may read it. */
static hsm_err file_read(const char *path, bool private_only, struct secret_buf *ret, char *text,
                         size_t cap)
{
    DEFER(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return say(HSM_E_NOT_FOUND, text, cap, "%s does not exist", path);
    if (fd < 0)
        return say(HSM_E_IO, text, cap, "cannot open %s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > FILE_MAX)
        return say(HSM_E_CORRUPT, text, cap,
                   "%s is not a file of the expected size; restore it from a copy of the data "
                   "directory",
                   path);
    if (private_only && (st.st_mode & 077) != 0)
        return say(HSM_E_DENIED, text, cap,
                   "%s is accessible by other users (mode %03o); if nobody has read it, run: "
                   "chmod 600 %s",
                   path, (unsigned)(st.st_mode & 0777), path);
    struct secret_buf b;
    TRY(secret_buf_new(&b, (size_t)st.st_size));
    if (read_all(fd, b.p, b.n) != HSM_OK) {
        secret_buf_done(&b);
        return say(HSM_E_IO, text, cap, "cannot read %s: %s", path, strerror(errno));
    }
    *ret = b;
    return HSM_OK;
}

static hsm_err sync_parent(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    if (n >= sizeof dir)
        return HSM_E_RANGE;
    if (slash == NULL)
        memcpy(dir, ".", 2);
    else if (n == 0)
        memcpy(dir, "/", 2);
    else {
        memcpy(dir, path, n);
        dir[n] = '\0';
    }
    DEFER(fd_done) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? HSM_OK : HSM_E_IO;
}

static hsm_err write_synced(const char *path, const uint8_t *p, size_t n)
{
    DEFER(fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0)
        return HSM_E_IO;
    TRY(write_all(fd, p, n));
    return fsync(fd) == 0 ? HSM_OK : HSM_E_IO;
}

/* After a crash there is the old file, or the new one, as a whole. */
static hsm_err file_write(const char *path, const uint8_t *p, size_t n, char *text, size_t cap)
{
    char temp[PATH_MAX];
    hsm_err err = key_path(path, ".new", temp);
    if (err == HSM_OK)
        err = write_synced(temp, p, n);
    if (err == HSM_OK && rename(temp, path) != 0)
        err = HSM_E_IO;
    if (err == HSM_OK)
        err = sync_parent(path);
    if (err != HSM_OK)
        return say(err, text, cap,
                   "cannot write %s: %s; check the free space and the permissions of its directory",
                   path, strerror(errno));
    return HSM_OK;
}

/* ---- sealing --------------------------------------------------------------------------------- */
static void head_put(uint8_t head[HEAD_LEN])
{
    struct wr w = wr_of(head, HEAD_LEN);
    wr_str(&w, MAGIC);
    wr_u16(&w, VERSION);
}

/* out: head, nonce, ciphertext as long as plain, tag */
static hsm_err seal(const struct secret_buf *key, const struct secret_buf *plain, uint8_t *out)
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

static hsm_err unseal(const struct secret_buf *key, const struct secret_buf *file,
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

/* ---- provider -------------------------------------------------------------------------------- */
static hsm_err key_load(const char *path, struct secret_buf *ret, char *text, size_t cap)
{
    DEFER(secret_buf_done) struct secret_buf b = {0};
    TRY(file_read(path, true, &b, text, cap));
    if (b.n != ROOT_KEY_LEN)
        return say(HSM_E_CORRUPT, text, cap,
                   "%s is damaged (%zu bytes instead of %d); restore it from a copy of the data "
                   "directory",
                   path, b.n, ROOT_KEY_LEN);
    *ret = b;
    b = (struct secret_buf){0};
    return HSM_OK;
}

hsm_err seal_file_load(const char *path, struct roots *ret, char *text, size_t cap)
{
    char kpath[PATH_MAX];
    snprintf(text, cap, "out of memory while opening %s", path);
    if (key_path(path, ".key", kpath) != HSM_OK)
        return say(HSM_E_RANGE, text, cap, "the path of the seal file is too long");
    DEFER(secret_buf_done) struct secret_buf file = {0};
    DEFER(secret_buf_done) struct secret_buf key = {0};
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    TRY(file_read(path, false, &file, text, cap));
    hsm_err err = key_load(kpath, &key, text, cap);
    if (err == HSM_E_NOT_FOUND)
        return say(HSM_E_CORRUPT, text, cap,
                   "%s is missing, so %s cannot be opened; restore both from the same copy of the "
                   "data directory, or the pool from its security domain",
                   kpath, path);
    TRY(err);
    err = unseal(&key, &file, &plain);
    if (err == HSM_OK)
        err = roots_decode(bytes_of(plain.p, plain.n), ret);
    if (err == HSM_E_CORRUPT)
        return say(err, text, cap,
                   "%s is damaged or does not belong to %s; restore both from the same copy of the "
                   "data directory, or the pool from its security domain",
                   path, kpath);
    if (err != HSM_OK)
        return say(err, text, cap, "cannot open %s: %s", path, hsm_err_text(err));
    return HSM_OK;
}

/* An existing key is used again: replaced before the sealed file it would, after a crash in
 * between, leave a pool that nothing can open. */
static hsm_err key_load_or_make(const char *path, struct secret_buf *ret, char *text, size_t cap)
{
    hsm_err err = key_load(path, ret, text, cap);
    if (err != HSM_E_NOT_FOUND)
        return err;
    DEFER(secret_buf_done) struct secret_buf key = {0};
    TRY(secret_buf_new(&key, ROOT_KEY_LEN));
    if (RAND_priv_bytes(key.p, (int)key.n) != 1)
        return say(HSM_E_INTERNAL, text, cap, "no random bytes for %s", path);
    TRY(file_write(path, key.p, key.n, text, cap));
    *ret = key;
    key = (struct secret_buf){0};
    return HSM_OK;
}

hsm_err seal_file_store(const char *path, const struct roots *r, char *text, size_t cap)
{
    char kpath[PATH_MAX];
    snprintf(text, cap, "out of memory while writing %s", path);
    if (key_path(path, ".key", kpath) != HSM_OK)
        return say(HSM_E_RANGE, text, cap, "the path of the seal file is too long");
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    DEFER(secret_buf_done) struct secret_buf key = {0};
    DEFER(secret_buf_done) struct secret_buf file = {0};
    TRY(roots_encode(r, &plain));
    TRY(key_load_or_make(kpath, &key, text, cap));
    TRY(secret_buf_new(&file, HEAD_LEN + NONCE_LEN + plain.n + TAG_LEN));
    hsm_err err = seal(&key, &plain, file.p);
    if (err != HSM_OK)
        return say(err, text, cap, "cannot seal the root secrets for %s", path);
    return file_write(path, file.p, file.n, text, cap);
}
