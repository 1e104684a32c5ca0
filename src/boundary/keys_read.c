#include "boundary/keys.h"

#include "codec/base64url.h"

#define PAGE_MAX 25u

static hsm_err put_key(struct request *rq, const struct key *k, const struct key_version *v)
{
    struct version_fields f;
    key_version_fields(v, &f);
    keys_put_result(rq, k, &v->id, &f, false, rq->out);
    return HSM_OK;
}

hsm_err keys_handle_get(struct request *rq)
{
    struct wire_key_ref m;
    struct key *k;
    struct key_version *v;
    TRY(wire_key_ref_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, false, &k));
    TRY(keys_find_version(rq, k, m.name, m.version, &v));
    return put_key(rq, k, v);
}

hsm_err keys_handle_deleted_get(struct request *rq)
{
    struct wire_key_name m;
    struct key *k;
    TRY(wire_key_name_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, true, &k));
    return put_key(rq, k, key_current(k));
}

/* ---- lists ---- */

struct page {
    unsigned max;
    struct bytes after;              /* last name or version of the page before; may be empty */
    uint8_t token[KEY_NAME_MAX + 4]; /* behind after */
};

static hsm_err page_parse(struct request *rq, const struct wire_list *m, struct page *ret)
{
    size_t n = 0;
    if (m->max > PAGE_MAX)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "Query parameter maxresults must be between 1 and %u.", PAGE_MAX);
    if (m->skip.n > b64_encoded_max(KEY_NAME_MAX) ||
        b64u_decode(ret->token, m->skip, &n) != HSM_OK || n > KEY_NAME_MAX ||
        (n > 0 && !key_name_valid(bytes_of(ret->token, n))))
        return request_fail(rq, HSM_E_BAD_PARAMETER, "Query parameter $skiptoken is invalid.");
    ret->max = m->max == 0 ? PAGE_MAX : m->max;
    ret->after = bytes_of(ret->token, n);
    return HSM_OK;
}

static void put_item(struct request *rq, const struct key *k, const struct key_version *v)
{
    struct version_fields f;
    key_version_fields(v, &f);
    size_t item = wr_lv_open(rq->out);
    keys_put_result(rq, k, &v->id, &f, true, rq->out);
    wr_lv_close(rq->out, item);
}

/* last: text to continue behind, empty on the last page. */
static void put_skip(struct request *rq, struct bytes last)
{
    char text[((KEY_NAME_MAX + 2) / 3) * 4];
    size_t n = b64u_encode(text, last.p, last.n);
    wr_lv(rq->out, bytes_of(text, n));
}

static hsm_err list_keys(struct request *rq, bool deleted)
{
    struct wire_list m;
    struct page page = {0};
    TRY(wire_list_decode(rq->body, &m));
    TRY(page_parse(rq, &m, &page));
    const struct state *s = rq->b->state;
    const struct key *k = key_index_after(deleted ? &s->deleted : &s->active, page.after);
    const struct key *last = NULL;
    size_t list = wr_lv_open(rq->out);
    for (unsigned i = 0; i < page.max && k != NULL; i++, k = k->next[0]) {
        put_item(rq, k, key_current(k));
        last = k;
    }
    wr_lv_close(rq->out, list);
    char lower[KEY_NAME_MAX + 1];
    put_skip(rq, k == NULL || last == NULL ? bytes_of(NULL, 0)
                                           : key_canonical(key_display(last), lower));
    return HSM_OK;
}

hsm_err keys_handle_list(struct request *rq)
{
    return list_keys(rq, false);
}

hsm_err keys_handle_deleted_list(struct request *rq)
{
    return list_keys(rq, true);
}

/* Index of the first version of the page. */
static hsm_err version_start(struct request *rq, const struct key *k, struct bytes after,
                             unsigned *ret)
{
    struct uuid id;
    *ret = 0;
    if (after.n == 0)
        return HSM_OK;
    if (hex_decode(id.b, sizeof id.b, after) == HSM_OK) {
        for (unsigned i = 0; k != NULL && i < k->version_n; i++) {
            if (memcmp(k->version[i]->id.b, id.b, sizeof id.b) == 0) {
                *ret = i + 1;
                return HSM_OK;
            }
        }
    }
    return request_fail(rq, HSM_E_BAD_PARAMETER, "Query parameter $skiptoken is invalid.");
}

hsm_err keys_handle_versions(struct request *rq)
{
    struct wire_list m;
    struct page page = {0};
    TRY(wire_list_decode(rq->body, &m));
    TRY(page_parse(rq, &m, &page));
    const struct key *k = key_index_find(&rq->b->state->active, m.name);
    unsigned i = 0;
    TRY(version_start(rq, k, page.after, &i));
    unsigned n = k == NULL ? 0 : k->version_n;
    unsigned end = n - i > page.max ? i + page.max : n;
    size_t list = wr_lv_open(rq->out);
    for (; k != NULL && i < end; i++)
        put_item(rq, k, k->version[i]);
    wr_lv_close(rq->out, list);
    char hex[VERSION_HEX + 1];
    if (end < n)
        version_hex(&k->version[end - 1]->id, hex);
    put_skip(rq, end < n ? bytes_str(hex) : bytes_of(NULL, 0));
    return HSM_OK;
}
