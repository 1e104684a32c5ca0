/* Backup and restore of one key. Under the state lock only records are read or written; seals are
 * changed outside of it: a private part comes out of the pool's seal and goes into the backup's, or
 * the other way round, one at a time and in secret memory. */
#include <openssl/rand.h>
#include <stdlib.h>
#include "boundary/key_backup_seal.h"
#include "boundary/keys.h"
#include "codec/base64url.h"

#define TOO_LARGE_TEXT                                                                             \
    "The key is too large for a backup: its versions with their tags and release policies take "   \
    "more than %u bytes."

static bool in_slow_pool(const struct job *j)
{
    return j->w->serves == &j->rq.b->slow_queue;
}

static struct key_backup_work *work_new(struct job *j, size_t cap)
{
    free(j->backup);
    j->backup = (struct key_backup_work *)malloc(sizeof *j->backup + cap);
    if (j->backup != NULL)
        *j->backup = (struct key_backup_work){0};
    return j->backup;
}

/* The bytes behind a view into the work's buffer. */
static uint8_t *place_of(struct key_backup_work *w, struct bytes view)
{
    return w->buf + (view.p - w->buf);
}

/* ---- backup ---------------------------------------------------------------------------------- */
static hsm_err reseal_for_backup(struct job *j, const struct key_backup_sealer *s,
                                 const struct key_backup_version *v)
{
    char hex[VERSION_HEX + 1];
    uint8_t rid[RID_LEN];
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    version_hex(&v->id, hex);
    TRY(seal_rid(j->w->sc, REC_KEY_VERSION, bytes_str(hex), rid));
    TRY(open_private(j->w->sc, rid, v->sealed_private, &plain));
    HSM_ASSERT(plain.n + SEAL_PRIVATE_OVERHEAD == v->sealed_private.n);
    return key_backup_seal_private(s, &v->id, bytes_of(plain.p, plain.n),
                                   place_of(j->backup, v->sealed_private));
}

static hsm_err backup_after(struct job *j)
{
    struct key_backup_work *w = j->backup;
    const struct roots *roots = &j->rq.b->roots;
    DEFER(key_backup_sealer_done) struct key_backup_sealer s = {0};
    struct key_backup rest;
    struct key_backup_version v;
    if (key_backup_parse(bytes_of(w->buf, w->n), &w->content) != HSM_OK)
        return HSM_E_INTERNAL; /* what we write must be restorable */
    TRY(key_backup_sealer_init(roots, w->content.salt.p, &s));
    rest = w->content;
    while (key_backup_next(&rest, &v))
        TRY(reseal_for_backup(j, &s, &v));
    size_t at = wr_lv_open(j->rq.out);
    TRY(key_backup_close(roots, w->buf, w->n, j->rq.out));
    wr_lv_close(j->rq.out, at);
    return wr_ok(j->rq.out);
}

static hsm_err write_records(struct request *rq, const struct key *k, struct wr *w)
{
    uint8_t salt[KEY_BACKUP_SALT_LEN];
    char lower[KEY_NAME_MAX + 1];
    struct bytes name = key_canonical(key_display(k), lower);
    struct key_fields kf;
    struct version_fields f;
    if (RAND_bytes(salt, sizeof salt) != 1)
        return HSM_E_INTERNAL;
    key_fields_of(k, &kf);
    key_backup_put_head(w, salt, &kf, k->version_n);
    for (unsigned i = 0; i < k->version_n; i++) {
        key_version_fields(k->version[i], &f);
        f.key = name;
        key_backup_put_version(w, &k->version[i]->id, &f, key_version_private(k->version[i]));
    }
    return wr_ok(w) == HSM_OK
               ? HSM_OK
               : request_fail(rq, HSM_E_BAD_PARAMETER, TOO_LARGE_TEXT, KEY_BACKUP_MAX);
}

hsm_err keys_handle_backup(struct request *rq)
{
    struct job *j = job_of(rq);
    struct wire_key_name m;
    struct key *k;
    TRY(wire_key_name_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, false, &k));
    if (!in_slow_pool(j)) {
        j->want_slow = true;
        return HSM_OK;
    }
    struct key_backup_work *work = work_new(j, KEY_BACKUP_MAX + 16);
    if (work == NULL)
        return HSM_E_UNAVAILABLE;
    struct wr w = wr_of(work->buf, KEY_BACKUP_MAX);
    TRY(write_records(rq, k, &w));
    work->n = w.n;
    j->after = backup_after;
    return HSM_OK;
}

/* ---- restore --------------------------------------------------------------------------------- */
static bool is_public_part(const struct version_fields *f, const struct keymat_spec *spec,
                           const struct keymat_public *pub)
{
    return f->kty == spec->kty && f->crv == spec->crv && f->bits == spec->bits &&
           bytes_eq(f->n, bytes_of(pub->n, pub->n_len)) &&
           bytes_eq(f->e, bytes_of(pub->e, pub->e_len)) &&
           bytes_eq(f->x, bytes_of(pub->x, pub->x_len)) &&
           bytes_eq(f->y, bytes_of(pub->y, pub->y_len));
}

static hsm_err reseal_for_pool(struct job *j, struct key_backup_work *w,
                               const struct key_backup_sealer *s,
                               const struct key_backup_version *v)
{
    char hex[VERSION_HEX + 1];
    uint8_t rid[RID_LEN];
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    struct keymat_spec spec;
    struct keymat_public pub;
    TRY(key_backup_open_private(s, &v->id, v->sealed_private, &plain));
    if (keymat_describe(bytes_of(plain.p, plain.n), &spec, &pub) != HSM_OK ||
        !is_public_part(&v->f, &spec, &pub))
        return HSM_E_BACKUP_BLOB;
    version_hex(&v->id, hex);
    TRY(seal_rid(j->w->sc, REC_KEY_VERSION, bytes_str(hex), rid));
    return seal_private(j->w->sc, rid, bytes_of(plain.p, plain.n), place_of(w, v->sealed_private));
}

static hsm_err open_backup(struct job *j, struct bytes text, struct key_backup_work *w)
{
    const struct roots *roots = &j->rq.b->roots;
    DEFER(key_backup_sealer_done) struct key_backup_sealer s = {0};
    struct key_backup rest;
    struct key_backup_version v;
    TRY(key_backup_open(roots, text, w->buf, b64_decoded_max(text.n), &w->content));
    TRY(key_backup_sealer_init(roots, w->content.salt.p, &s));
    rest = w->content;
    while (key_backup_next(&rest, &v))
        TRY(reseal_for_pool(j, w, &s, &v));
    return HSM_OK;
}

static hsm_err restore_work(struct job *j)
{
    struct wire_key_backup m;
    TRY(wire_key_backup_decode(j->rq.body, &m));
    struct key_backup_work *w = work_new(j, b64_decoded_max(m.value.n));
    if (w == NULL)
        return HSM_E_UNAVAILABLE;
    hsm_err err = open_backup(j, m.value, w);
    if (err != HSM_OK) {
        free(w);
        j->backup = NULL;
    }
    return err;
}

static hsm_err check_version_ids(struct request *rq, struct key_backup rest)
{
    struct key_backup_version v;
    char hex[VERSION_HEX + 1];
    uint8_t rid[RID_LEN];
    while (key_backup_next(&rest, &v)) {
        version_hex(&v.id, hex);
        TRY(seal_rid(job_of(rq)->w->sc, REC_KEY_VERSION, bytes_str(hex), rid));
        if (state_revision(rq->b->state, rid) != 0)
            return request_fail(rq, HSM_E_CONFLICT,
                                "A version of the backup belongs to another key of this HSM.");
    }
    return HSM_OK;
}

static hsm_err put_records(struct request *rq, const struct key_backup *b)
{
    struct key_backup rest = *b;
    struct key_backup_version v = {0};
    char name[KEY_NAME_MAX + 1];
    struct key shown = {.name_n = (uint8_t)b->key.display.n, .display = name};
    memcpy(name, b->key.display.p, b->key.display.n);
    TRY(keys_put_key(rq, b->key.display, &b->key));
    while (key_backup_next(&rest, &v))
        TRY(keys_put_version(rq, &v.id, &v.f, v.sealed_private));
    keys_put_result(rq, &shown, &v.id, &v.f, false, rq->out); /* the last one is the current one */
    return HSM_OK;
}

hsm_err keys_handle_restore(struct request *rq)
{
    struct job *j = job_of(rq);
    if (!in_slow_pool(j) && j->backup == NULL) {
        j->want_slow = true;
        return HSM_OK;
    }
    if (j->backup == NULL) {
        j->work = restore_work;
        return HSM_OK;
    }
    const struct key_backup *b = &j->backup->content;
    TRY(keys_check_absent(rq, b->key.display));
    TRY(check_version_ids(rq, *b));
    return put_records(rq, b);
}
