/* An accepted text, written again from its tokens, is accepted and has the same tokens. */
#include "codec/json.h"

#define TOKS   512
#define IN_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rewrite(const struct json_doc *d, uint32_t v, struct json_wr *j);

static void rewrite_string(const struct json_doc *d, uint32_t v, struct json_wr *j, bool name)
{
    char text[IN_MAX];
    size_t n;
    struct bytes plain;
    if (json_string(d, v, text, sizeof text, &n) != HSM_OK) {
        /* only for a NUL character: carried over as it is */
        wr_str(j->w, j->need_comma ? ",\"" : "\"");
        wr_bytes(j->w, json_raw(d, v).p, json_raw(d, v).n);
        wr_str(j->w, name ? "\":" : "\"");
        j->need_comma = !name;
        return;
    }
    if (json_plain(d, v, &plain) == HSM_OK)
        HSM_ASSERT(bytes_eq(plain, bytes_of(text, n)));
    if (name)
        json_name_bytes(j, bytes_of(text, n));
    else
        json_put_bytes(j, bytes_of(text, n));
}

static void rewrite_children(const struct json_doc *d, uint32_t v, struct json_wr *j, bool object)
{
    uint32_t n = 0;
    for (uint32_t at = json_first(d, v); at != JSON_NONE; at = json_next(d, v, at)) {
        n++;
        if (object)
            rewrite_string(d, at, j, true);
        rewrite(d, object ? json_value(at) : at, j);
    }
    HSM_ASSERT(n == json_count(d, v));
}

static void rewrite(const struct json_doc *d, uint32_t v, struct json_wr *j)
{
    int64_t i;
    int64_t t;
    switch (json_type_of(d, v)) {
    case JSON_OBJECT:
        json_obj_open(j);
        rewrite_children(d, v, j, true);
        json_obj_close(j);
        break;
    case JSON_ARRAY:
        json_arr_open(j);
        rewrite_children(d, v, j, false);
        json_arr_close(j);
        break;
    case JSON_STRING:
        rewrite_string(d, v, j, false);
        break;
    case JSON_NUMBER:
        if (json_int(d, v, &i) == HSM_OK)
            HSM_ASSERT(json_number_trunc(d, v, &t) == HSM_OK && t == i);
        json_put_raw(j, json_raw(d, v));
        break;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        json_put_raw(j, json_raw(d, v));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_tok a[TOKS];
    static struct json_tok b[TOKS];
    static char text[8 * IN_MAX];
    struct json_doc d;
    struct json_doc e;
    if (size > IN_MAX || json_parse(bytes_of(data, size), a, TOKS, &d) != HSM_OK)
        return 0;
    HSM_ASSERT(d.n <= TOKS && d.tok[0].next == d.n);
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    rewrite(&d, 0, &j);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    HSM_ASSERT(json_parse(wr_view(&w), b, TOKS, &e) == HSM_OK && e.n == d.n);
    for (size_t i = 0; i < d.n; i++)
        HSM_ASSERT(a[i].type == b[i].type && a[i].count == b[i].count && a[i].next == b[i].next);
    return 0;
}
