#include "boundary/key_backup.h"

#include "boundary/seal_record.h"

#define MAGIC    "KHKB"
#define FORMAT   1u
#define BODY_MAX (160u * 1024u)

void key_backup_put_head(struct wr *w, const uint8_t salt[KEY_BACKUP_SALT_LEN],
                         const struct key_fields *k, unsigned n)
{
    wr_str(w, MAGIC);
    wr_u8(w, FORMAT);
    wr_bytes(w, salt, KEY_BACKUP_SALT_LEN);
    size_t at = wr_lv_open(w);
    key_fields_encode(k, w);
    wr_lv_close(w, at);
    wr_u16(w, (uint16_t)n);
}

void key_backup_put_version(struct wr *w, const struct uuid *id, const struct version_fields *f,
                            struct bytes sealed_private)
{
    wr_bytes(w, id->b, sizeof id->b);
    size_t at = wr_lv_open(w);
    version_fields_encode(f, w);
    wr_lv_close(w, at);
    wr_lv(w, sealed_private);
}

/* ---- parsing --------------------------------------------------------------------------------- */
static hsm_err take_version(struct rd *r, struct key_backup_version *ret)
{
    struct key_backup_version v;
    struct rd at = *r;
    struct bytes body;
    TRY(rd_copy(&at, v.id.b, sizeof v.id.b));
    TRY(rd_lv(&at, BODY_MAX, &body));
    TRY(version_fields_decode(body, &v.f));
    TRY(rd_lv(&at, KEY_BACKUP_PRIVATE_MAX + SEAL_PRIVATE_OVERHEAD, &v.sealed_private));
    *r = at;
    *ret = v;
    return HSM_OK;
}

bool key_backup_next(struct key_backup *b, struct key_backup_version *ret)
{
    struct rd r = rd_of(b->versions);
    if (r.n == 0 || take_version(&r, ret) != HSM_OK)
        return false;
    b->versions = bytes_of(r.p, r.n);
    return true;
}

static bool public_fits(const struct version_fields *f)
{
    size_t width = key_curve_width((enum key_curve)f->crv);
    switch (f->kty) {
    case KTY_RSA:
        return f->crv == CRV_NONE && f->n.n == f->bits / 8 && f->e.n > 0 && f->x.n + f->y.n == 0;
    case KTY_EC:
        return width > 0 && f->x.n == width && f->y.n == width && f->n.n + f->e.n == 0;
    case KTY_OCT:
        return f->crv == CRV_NONE && f->n.n + f->e.n + f->x.n + f->y.n == 0;
    default:
        return false;
    }
}

static bool tags_fit(struct bytes tags)
{
    struct bytes item;
    struct wire_tag t;
    unsigned n = 0;
    while (wire_list_next(&tags, &item))
        if (++n > KEY_TAGS_MAX || wire_tag_decode(item, &t) != HSM_OK)
            return false;
    return true;
}

static bool version_fits(const struct key_backup_version *v, struct bytes name)
{
    const uint8_t attrs = ATTR_ENABLED | ATTR_NBF | ATTR_EXP;
    const struct version_fields *f = &v->f;
    const char *why;
    bool exportable = (f->attr_flags & ATTR_EXPORTABLE) != 0;
    if (!bytes_eq(f->key, name) || !public_fits(f) || !tags_fit(f->tags))
        return false;
    if ((f->attr_set & ~attrs) != 0 || (f->attr_flags & ~(ATTR_ENABLED | ATTR_EXPORTABLE)) != 0 ||
        key_ops_valid(f->ops, (enum key_type)f->kty, &why) != HSM_OK)
        return false;
    return exportable == (f->policy.n > 0) && f->policy_immutable <= (exportable ? 1 : 0) &&
           v->sealed_private.n > SEAL_PRIVATE_OVERHEAD;
}

/* Versions in their order, each of them once. */
static hsm_err check_versions(const struct key_backup *b)
{
    char lower[KEY_NAME_MAX + 1];
    struct uuid seen[KEY_VERSIONS_MAX];
    struct bytes name = key_canonical(b->key.display, lower);
    struct key_backup rest = *b;
    struct key_backup_version v;
    uint32_t next_seq = 0;
    unsigned n = 0;
    while (key_backup_next(&rest, &v)) {
        if (n == b->n || !version_fits(&v, name) || v.f.seq < next_seq ||
            v.f.seq >= b->key.next_seq)
            return HSM_E_MALFORMED;
        for (unsigned i = 0; i < n; i++)
            if (memcmp(seen[i].b, v.id.b, sizeof v.id.b) == 0)
                return HSM_E_MALFORMED;
        seen[n++] = v.id;
        next_seq = v.f.seq + 1;
    }
    return n == b->n && rest.versions.n == 0 ? HSM_OK : HSM_E_MALFORMED;
}

static hsm_err parse(struct rd r, struct key_backup *ret)
{
    struct key_backup b;
    struct bytes magic, body;
    uint8_t format;
    uint16_t n;
    TRY(rd_bytes(&r, strlen(MAGIC), &magic));
    TRY(rd_u8(&r, &format));
    if (!bytes_eq_str(magic, MAGIC) || format != FORMAT)
        return HSM_E_MALFORMED;
    TRY(rd_bytes(&r, KEY_BACKUP_SALT_LEN, &b.salt));
    TRY(rd_lv(&r, BODY_MAX, &body));
    TRY(key_fields_decode(body, &b.key));
    TRY(rd_u16(&r, &n));
    if (n == 0 || n > KEY_VERSIONS_MAX || b.key.deleted_date != 0 || b.key.purge_date != 0)
        return HSM_E_MALFORMED;
    b.n = n;
    b.versions = bytes_of(r.p, r.n);
    TRY(check_versions(&b));
    *ret = b;
    return HSM_OK;
}

hsm_err key_backup_parse(struct bytes text, struct key_backup *ret)
{
    return text.n > KEY_BACKUP_MAX ? HSM_E_MALFORMED : parse(rd_of(text), ret);
}
