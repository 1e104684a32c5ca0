#include "boundary/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "boundary/seal_helper.h"
#include "boundary/seal_internal.h"

struct seal {
    struct seal_spec spec;
    char path[SEAL_PATH_MAX];
    char new_path[SEAL_PATH_MAX];
    struct secret_buf kek;
    struct seal_helper helper;
};

static const struct provider {
    const char *suffix, *level;
    seal_kek_fn *kek;
    bool device; /* in a process of its own */
} providers[] = {
    [SEAL_FILE] = {".key", "software", seal_file_kek, false},
    [SEAL_TPM2] = {".tpm2", "tpm2", seal_tpm2_kek, true},
    [SEAL_PKCS11] = {".pkcs11", "pkcs11", seal_pkcs11_kek, true},
};

const char *seal_suffix(enum seal_provider p)
{
    return providers[p].suffix;
}

const char *seal_protection(const struct seal *s)
{
    return providers[s->spec.provider].level;
}

hsm_err seal_begin(const char *provider, const char *path, struct seal **ret, char *text,
                   size_t cap)
{
    char longest[SEAL_PATH_MAX];
    struct seal *s = (struct seal *)calloc(1, sizeof *s);
    if (s == NULL)
        return seal_say(HSM_E_NOMEM, text, cap, "out of memory");
    hsm_err err = seal_spec_parse(provider != NULL ? provider : "file", &s->spec, text, cap);
    if (err == HSM_OK)
        err = seal_path(path, "", s->path, text, cap);
    if (err == HSM_OK)
        err = seal_path(path, ".new", s->new_path, text, cap);
    if (err == HSM_OK)
        err = seal_path(path, ".pin-refused.tmp", longest, text, cap);
    if (err == HSM_OK && providers[s->spec.provider].device)
        err = seal_helper_start(providers[s->spec.provider].kek, &s->spec, s->path, &s->helper,
                                text, cap);
    if (err != HSM_OK) {
        free(s);
        return err;
    }
    *ret = s;
    return HSM_OK;
}

void seal_end(struct seal *s)
{
    if (s == NULL)
        return;
    seal_helper_done(&s->helper);
    secret_buf_done(&s->kek);
    free(s);
}

/* make: nothing is sealed under the provider's key, so there may be a new one. A helper looked
 * itself whether there is PATH. */
static hsm_err kek_get(struct seal *s, bool make, char *text, size_t cap)
{
    if (s->kek.p != NULL)
        return HSM_OK;
    DEFER(secret_buf_done) struct secret_buf kek = {0};
    if (secret_buf_new(&kek, KEK_LEN) != HSM_OK)
        return seal_say(HSM_E_NOMEM, text, cap, "out of memory while opening %s", s->path);
    const struct provider *p = &providers[s->spec.provider];
    if (p->device)
        TRY(seal_helper_wait(&s->helper, kek.p, text, cap));
    else
        TRY(p->kek(&s->spec, s->path, make, kek.p, text, cap));
    s->kek = kek;
    kek = (struct secret_buf){0};
    return HSM_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What goes with another provider's key was sealed by that provider. */
static hsm_err key_is_missing(const struct seal *s, char *text, size_t cap)
{
    char other[SEAL_PATH_MAX];
    const char *mine = providers[s->spec.provider].suffix;
    for (size_t i = 0; i < sizeof providers / sizeof providers[0]; i++)
        if (i != s->spec.provider &&
            seal_path(s->path, providers[i].suffix, other, text, cap) == HSM_OK &&
            access(other, F_OK) == 0)
            return seal_say(HSM_E_CORRUPT, text, cap,
                            "%s%s is missing, but there is %s: set the seal provider back to what "
                            "it was; to change it, remove this partition and add a new one",
                            s->path, mine, other);
    return seal_say(HSM_E_CORRUPT, text, cap,
                    "%s%s is missing, so %s cannot be opened; restore both from the same copy of "
                    "the data directory, or the pool from its security domain",
                    s->path, mine, s->path);
}

static hsm_err open_sealed(struct seal *s, const struct secret_buf *file, struct roots *ret,
                           char *text, size_t cap)
{
    hsm_err err = kek_get(s, false, text, cap);
    if (err == HSM_E_NOT_FOUND)
        return key_is_missing(s, text, cap);
    TRY(err);
    err = seal_box_open(&s->kek, file, ret);
    if (err == HSM_E_CORRUPT)
        return seal_say(err, text, cap,
                        "%s is damaged or does not belong to %s%s; restore both from the same copy "
                        "of the data directory, or the pool from its security domain",
                        s->path, s->path, providers[s->spec.provider].suffix);
    if (err != HSM_OK)
        return seal_say(err, text, cap, "cannot open %s: %s", s->path, hsm_err_text(err));
    return HSM_OK;
}

/* Something that will never open is as good as nothing: this boundary has not joined yet. */
static hsm_err discard_new(const struct seal *s, char *text, size_t cap)
{
    if (unlink(s->new_path) != 0 && errno != ENOENT)
        return seal_say(HSM_E_IO, text, cap, "cannot remove %s: %s", s->new_path, strerror(errno));
    return seal_say(HSM_E_NOT_FOUND, text, cap, "%s does not exist", s->path);
}

/* PATH.new, which the boundary that joined wrote inside its sandbox. */
static hsm_err adopt_new(struct seal *s, struct roots *ret, char *text, size_t cap)
{
    DEFER(secret_buf_done) struct secret_buf file = {0};
    hsm_err err = seal_file_read(s->new_path, false, &file, text, cap);
    if (err == HSM_E_NOT_FOUND || err == HSM_E_CORRUPT)
        return discard_new(s, text, cap);
    TRY(err);
    err = kek_get(s, false, text, cap);
    if (err == HSM_E_NOT_FOUND)
        return discard_new(s, text, cap);
    TRY(err);
    struct roots r = {0};
    err = seal_box_open(&s->kek, &file, &r);
    if (err == HSM_E_CORRUPT)
        return discard_new(s, text, cap);
    if (err != HSM_OK)
        return seal_say(err, text, cap, "cannot open %s: %s", s->new_path, hsm_err_text(err));
    if (file_adopt(s->new_path, s->path) != HSM_OK) {
        roots_done(&r);
        return seal_say(HSM_E_IO, text, cap, "cannot rename %s: %s", s->new_path, strerror(errno));
    }
    *ret = r;
    return HSM_OK;
}

hsm_err seal_load(struct seal *s, struct roots *ret, char *text, size_t cap)
{
    DEFER(secret_buf_done) struct secret_buf file = {0};
    hsm_err err = seal_file_read(s->path, false, &file, text, cap);
    if (err == HSM_E_NOT_FOUND)
        err = adopt_new(s, ret, text, cap);
    else if (err == HSM_OK)
        err = open_sealed(s, &file, ret, text, cap);
    if (err != HSM_E_NOT_FOUND)
        secret_buf_done(&s->kek);
    return err;
}

/* ---- sealing --------------------------------------------------------------------------------- */
hsm_err seal_store(struct seal *s, const struct roots *r, char *text, size_t cap)
{
    DEFER(secret_buf_done) struct secret_buf file = {0};
    TRY(kek_get(s, true, text, cap));
    hsm_err err = seal_box_close(&s->kek, r, &file);
    secret_buf_done(&s->kek);
    if (err != HSM_OK)
        return seal_say(err, text, cap, "cannot seal the root secrets for %s", s->path);
    return seal_file_write(s->path, bytes_of(file.p, file.n), text, cap);
}

hsm_err seal_join_begin(struct seal *s, struct seal_sink *ret, char *text, size_t cap)
{
    TRY(kek_get(s, true, text, cap));
    int fd = open(s->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return seal_say(HSM_E_IO, text, cap, "cannot create %s: %s", s->new_path, strerror(errno));
    if (fchmod(fd, 0600) != 0) {
        (void)close(fd);
        return seal_say(HSM_E_IO, text, cap, "cannot protect %s: %s", s->new_path, strerror(errno));
    }
    *ret = (struct seal_sink){.fd = fd, .kek = s->kek};
    s->kek = (struct secret_buf){0};
    return HSM_OK;
}

/* Not on disk yet when this returns: if the machine stops before it is, the partition joins again.
 * seal_load() takes care of the disk before anything relies on the file. */
hsm_err seal_join_finish(struct seal_sink *s, const struct roots *r)
{
    DEFER(secret_buf_done) struct secret_buf file = {0};
    if (s->kek.p == NULL)
        return HSM_E_INTERNAL;
    hsm_err err = seal_box_close(&s->kek, r, &file);
    secret_buf_done(&s->kek);
    TRY(err);
    return fd_write_all(s->fd, file.p, file.n);
}

void seal_sink_done(struct seal_sink *s)
{
    secret_buf_done(&s->kek);
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
}
