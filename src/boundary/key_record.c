#include "boundary/key_record.h"

#include <stdlib.h>
#include "boundary/key_rotation.h"

#define BODY_FORMAT         1u
#define BODY_FORMAT_ROTATES 2u /* of a key with a policy */

void key_fields_encode(const struct key_fields *f, struct wr *w)
{
    wr_u8(w, f->has_rotation ? BODY_FORMAT_ROTATES : BODY_FORMAT);
    wr_lv(w, f->display);
    wr_u64(w, f->created);
    wr_u64(w, f->deleted_date);
    wr_u64(w, f->purge_date);
    wr_u32(w, f->next_seq);
    if (f->has_rotation)
        key_rotation_put(&f->rotation, w);
}

hsm_err key_fields_decode(struct bytes body, struct key_fields *ret)
{
    struct rd r = rd_of(body);
    struct key_fields f = {0};
    uint8_t format;
    TRY(rd_u8(&r, &format));
    TRY(rd_lv(&r, KEY_NAME_MAX, &f.display));
    TRY(rd_u64(&r, &f.created));
    TRY(rd_u64(&r, &f.deleted_date));
    TRY(rd_u64(&r, &f.purge_date));
    TRY(rd_u32(&r, &f.next_seq));
    f.has_rotation = format == BODY_FORMAT_ROTATES;
    if (f.has_rotation)
        TRY(key_rotation_get(&r, &f.rotation));
    TRY(rd_end(&r));
    if ((format != BODY_FORMAT && !f.has_rotation) || !key_name_valid(f.display))
        return HSM_E_MALFORMED;
    *ret = f;
    return HSM_OK;
}

void version_fields_encode(const struct version_fields *f, struct wr *w)
{
    wr_u8(w, BODY_FORMAT);
    wr_lv(w, f->key);
    wr_u32(w, f->seq);
    wr_u8(w, f->kty);
    wr_u8(w, f->crv);
    wr_u8(w, f->attr_set);
    wr_u8(w, f->attr_flags);
    wr_u8(w, f->policy_immutable);
    wr_u32(w, f->bits);
    wr_u32(w, f->ops);
    wr_u64(w, f->nbf);
    wr_u64(w, f->exp);
    wr_u64(w, f->created);
    wr_u64(w, f->updated);
    wr_lv(w, f->n);
    wr_lv(w, f->e);
    wr_lv(w, f->x);
    wr_lv(w, f->y);
    wr_lv(w, f->tags);
    wr_lv(w, f->policy);
}

hsm_err version_fields_decode(struct bytes body, struct version_fields *ret)
{
    struct rd r = rd_of(body);
    struct version_fields f;
    uint8_t format;
    TRY(rd_u8(&r, &format));
    TRY(rd_lv(&r, KEY_NAME_MAX, &f.key));
    TRY(rd_u32(&r, &f.seq));
    TRY(rd_u8(&r, &f.kty));
    TRY(rd_u8(&r, &f.crv));
    TRY(rd_u8(&r, &f.attr_set));
    TRY(rd_u8(&r, &f.attr_flags));
    TRY(rd_u8(&r, &f.policy_immutable));
    TRY(rd_u32(&r, &f.bits));
    TRY(rd_u32(&r, &f.ops));
    TRY(rd_u64(&r, &f.nbf));
    TRY(rd_u64(&r, &f.exp));
    TRY(rd_u64(&r, &f.created));
    TRY(rd_u64(&r, &f.updated));
    TRY(rd_lv(&r, 512, &f.n));
    TRY(rd_lv(&r, 8, &f.e));
    TRY(rd_lv(&r, 66, &f.x));
    TRY(rd_lv(&r, 66, &f.y));
    TRY(rd_lv(&r, 40960, &f.tags));
    TRY(rd_lv(&r, 65536, &f.policy));
    TRY(rd_end(&r));
    TRY(wire_list_check(f.tags));
    if (format != BODY_FORMAT || !key_name_valid(f.key))
        return HSM_E_MALFORMED;
    *ret = f;
    return HSM_OK;
}

static uint8_t *append(uint8_t *p, struct bytes b)
{
    if (b.n > 0)
        memcpy(p, b.p, b.n);
    return p + b.n;
}

hsm_err key_version_new(const struct uuid *id, const struct version_fields *f,
                        struct bytes sealed_private, struct key_version **ret)
{
    size_t total = f->n.n + f->e.n + f->x.n + f->y.n + f->tags.n + f->policy.n + sealed_private.n;
    if (sealed_private.n > UINT32_MAX / 2)
        return HSM_E_RANGE;
    struct key_version *v = (struct key_version *)malloc(sizeof *v + total);
    if (v == NULL)
        return HSM_E_NOMEM;
    *v = (struct key_version){
        .id = *id,
        .nbf = f->nbf,
        .exp = f->exp,
        .created = f->created,
        .updated = f->updated,
        .seq = f->seq,
        .bits = f->bits,
        .ops = f->ops,
        .tags_n = (uint32_t)f->tags.n,
        .policy_n = (uint32_t)f->policy.n,
        .private_n = (uint32_t)sealed_private.n,
        .n_n = (uint16_t)f->n.n,
        .e_n = (uint8_t)f->e.n,
        .x_n = (uint8_t)f->x.n,
        .y_n = (uint8_t)f->y.n,
        .kty = f->kty,
        .crv = f->crv,
        .attr_set = f->attr_set,
        .attr_flags = f->attr_flags,
        .policy_immutable = f->policy_immutable,
    };
    uint8_t *p = append(v->data, f->n);
    p = append(p, f->e);
    p = append(p, f->x);
    p = append(p, f->y);
    p = append(p, f->tags);
    p = append(p, f->policy);
    (void)append(p, sealed_private);
    *ret = v;
    return HSM_OK;
}

static struct bytes cut(const uint8_t **p, size_t n)
{
    struct bytes b = bytes_of(*p, n);
    *p += n;
    return b;
}

void key_version_fields(const struct key_version *v, struct version_fields *ret)
{
    const uint8_t *p = v->data;
    *ret = (struct version_fields){
        .key = key_display(v->key),
        .seq = v->seq,
        .kty = v->kty,
        .crv = v->crv,
        .attr_set = v->attr_set,
        .attr_flags = v->attr_flags,
        .policy_immutable = v->policy_immutable,
        .bits = v->bits,
        .ops = v->ops,
        .nbf = v->nbf,
        .exp = v->exp,
        .created = v->created,
        .updated = v->updated,
    };
    ret->n = cut(&p, v->n_n);
    ret->e = cut(&p, v->e_n);
    ret->x = cut(&p, v->x_n);
    ret->y = cut(&p, v->y_n);
    ret->tags = cut(&p, v->tags_n);
    ret->policy = cut(&p, v->policy_n);
}

struct bytes key_version_private(const struct key_version *v)
{
    size_t before = (size_t)v->n_n + v->e_n + v->x_n + v->y_n + v->tags_n + v->policy_n;
    return bytes_of(v->data + before, v->private_n);
}

struct key_window key_version_window(const struct key_version *v)
{
    return (struct key_window){
        .enabled = (v->attr_flags & ATTR_ENABLED) != 0,
        .has_nbf = (v->attr_set & ATTR_NBF) != 0,
        .has_exp = (v->attr_set & ATTR_EXP) != 0,
        .nbf = v->nbf,
        .exp = v->exp,
        .ops = v->ops,
    };
}

void version_hex(const struct uuid *id, char dst[VERSION_HEX + 1])
{
    hex_encode(dst, id->b, sizeof id->b);
}

void key_fields_of(const struct key *k, struct key_fields *ret)
{
    struct key_fields f = {
        .display = key_display(k),
        .created = k->created,
        .deleted_date = k->deleted_date,
        .purge_date = k->purge_date,
        .next_seq = k->next_seq,
    };
    if (k->rotation != NULL) {
        f.has_rotation = true;
        f.rotation = k->rotation->r;
    }
    *ret = f;
}

struct key_version *key_find_version(const struct key *k, const struct uuid *id)
{
    for (unsigned i = 0; i < k->version_n; i++)
        if (memcmp(k->version[i]->id.b, id->b, sizeof id->b) == 0)
            return k->version[i];
    return NULL;
}

hsm_err key_attach(struct key *k, struct key_version *v)
{
    if (k->version_n == k->version_cap) {
        unsigned cap = k->version_cap == 0 ? 1 : k->version_cap * 2u;
        if (cap > UINT16_MAX)
            return HSM_E_RANGE;
        void *p = realloc(k->version, cap * sizeof(struct key_version *));
        if (p == NULL)
            return HSM_E_NOMEM;
        k->version = (struct key_version **)p;
        k->version_cap = (uint16_t)cap;
    }
    unsigned at = k->version_n;
    for (; at > 0 && k->version[at - 1]->seq > v->seq; at--)
        k->version[at] = k->version[at - 1];
    k->version[at] = v;
    k->version_n++;
    v->key = k;
    return HSM_OK;
}

void key_detach(struct key *k, struct key_version *v)
{
    for (unsigned i = 0; i < k->version_n; i++) {
        if (k->version[i] != v)
            continue;
        k->version_n--;
        for (; i < k->version_n; i++)
            k->version[i] = k->version[i + 1];
        return;
    }
}
