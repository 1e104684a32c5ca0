#include "boundary/keys.h"

hsm_err keys_not_found(struct request *rq, bool deleted, struct bytes name, struct bytes version)
{
    char suffix[VERSION_HEX + 2] = "";
    if (version.n == VERSION_HEX) {
        suffix[0] = '/';
        memcpy(suffix + 1, version.p, VERSION_HEX);
        suffix[VERSION_HEX + 1] = '\0';
    }
    return request_fail(rq, HSM_E_KEY_NOT_FOUND, "Key not found: https://%.*s/%s/%.*s%s",
                        (int)rq->caller.host.n, (const char *)rq->caller.host.p,
                        deleted ? "deletedkeys" : "keys", (int)name.n, (const char *)name.p,
                        suffix);
}

hsm_err keys_find(struct request *rq, struct bytes name, bool deleted, struct key **ret)
{
    if (!key_name_valid(name))
        return HSM_E_INVALID_KEY_ID;
    const struct state *s = rq->b->state;
    struct key *k = key_index_find(deleted ? &s->deleted : &s->active, name);
    if (k == NULL || key_current(k) == NULL)
        return keys_not_found(rq, deleted, name, bytes_of(NULL, 0));
    *ret = k;
    return HSM_OK;
}

hsm_err keys_find_version(struct request *rq, const struct key *k, struct bytes name,
                          struct bytes version, struct key_version **ret)
{
    if (version.n == 0) {
        *ret = key_current(k);
        return HSM_OK;
    }
    struct uuid id;
    if (hex_decode(id.b, sizeof id.b, version) != HSM_OK)
        return HSM_E_INVALID_KEY_ID;
    struct key_version *v = key_find_version(k, &id);
    if (v == NULL)
        return keys_not_found(rq, false, name, version);
    *ret = v;
    return HSM_OK;
}

void keys_put_result(struct request *rq, const struct key *k, const struct uuid *id,
                     const struct version_fields *f, bool short_form, struct wr *out)
{
    const struct pool_info *pool = &rq->b->state->pool;
    struct wire_key m = {
        .name = key_display(k),
        .version = *id,
        .kty = f->kty,
        .crv = f->crv,
        .key_size = f->bits,
        .key_ops = f->ops,
        .attr_set = f->attr_set,
        .attr_flags = f->attr_flags,
        .nbf = f->nbf,
        .exp = f->exp,
        .created = f->created,
        .updated = f->updated,
        .recoverable_days = pool->retention_days,
        .recovery_level = (uint8_t)key_recovery_level(pool->retention_days, pool->purge_protection),
        .tags = f->tags,
        .deleted_date = k->deleted_date,
        .purge_date = k->purge_date,
    };
    if (f->kty == KTY_OCT)
        m.key_size = 0; /* not shown to clients */
    if (!short_form) {
        m.n = f->n;
        m.e = f->e;
        m.x = f->x;
        m.y = f->y;
        m.release_policy = f->policy;
        m.policy_immutable = f->policy_immutable;
    }
    wire_key_put(out, &m);
}

/* Characters of UTF-8 text: bytes that are not continuations. */
static size_t characters(struct bytes text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += (text.p[i] & 0xc0) != 0x80;
    return n;
}

hsm_err keys_check_tags(struct request *rq, struct bytes tags)
{
    struct bytes item;
    unsigned n = 0;
    while (wire_list_next(&tags, &item)) {
        struct wire_tag t;
        TRY(wire_tag_decode(item, &t));
        if (characters(t.name) > KEY_TAG_TEXT_MAX || characters(t.value) > KEY_TAG_TEXT_MAX)
            return request_fail(rq, HSM_E_BAD_PARAMETER,
                                "Tag names and values can have at most %d characters.",
                                KEY_TAG_TEXT_MAX);
        if (++n > KEY_TAGS_MAX)
            return request_fail(rq, HSM_E_BAD_PARAMETER, "A key can have at most %d tags.",
                                KEY_TAGS_MAX);
    }
    return HSM_OK;
}

hsm_err keys_put_key(struct request *rq, struct bytes name, const struct key_fields *f)
{
    uint8_t buf[512];
    char lower[KEY_NAME_MAX + 1];
    struct wr w = wr_of(buf, sizeof buf);
    key_fields_encode(f, &w);
    TRY(wr_ok(&w));
    return txn_put(rq, REC_KEY, key_canonical(name, lower), wr_view(&w));
}

hsm_err keys_put_version(struct request *rq, const struct uuid *id, const struct version_fields *f,
                         struct bytes tail)
{
    struct worker *w = job_of(rq)->w;
    char lower[KEY_NAME_MAX + 1], hex[VERSION_HEX + 1];
    struct wr body = wr_of(w->record_buf, WORKER_RECORD_MAX);
    struct version_fields canonical = *f;
    canonical.key = key_canonical(f->key, lower);
    version_fields_encode(&canonical, &body);
    TRY(wr_ok(&body));
    version_hex(id, hex);
    return txn_put_tailed(rq, REC_KEY_VERSION, bytes_str(hex), wr_view(&body), tail);
}

hsm_err keys_txn_purge(struct txn *t, struct state *s, struct seal_ctx *sc, const struct key *k)
{
    char lower[KEY_NAME_MAX + 1], hex[VERSION_HEX + 1];
    for (unsigned i = 0; i < k->version_n; i++) {
        version_hex(&k->version[i]->id, hex);
        TRY(txn_take(t, s, sc, REC_KEY_VERSION, bytes_str(hex)));
    }
    return txn_take(t, s, sc, REC_KEY, key_canonical(key_display(k), lower));
}
