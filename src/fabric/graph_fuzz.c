/* Input: a type (0 to 4), then a body of Graph. What comes of it must be a document again, and stay
 * the same when the same body changes it once more. */
#include <stddef.h>
#include <stdint.h>
#include "fabric/graph_draft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_tok tok[GRAPH_BODY_TOKENS], again_tok[GRAPH_BODY_TOKENS];
    static uint8_t text[65536], again[65536];
    static struct people_object o;
    struct json_doc body, back;
    const char *bad = NULL;
    if (size < 2 || size > 16384 || data[0] >= PEOPLE__TYPES)
        return 0;
    enum people_type type = data[0];
    if (json_parse(bytes_of(data + 1, size - 1), tok, GRAPH_BODY_TOKENS, &body) != HSM_OK ||
        graph_body_check(type, &body, (size & 1) != 0, &bad) != HSM_OK)
        return 0;
    struct graph_draft g = {.type = type, .body = &body, .head = bytes_str("\"id\":\"x\"")};
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    graph_draft_write(&g, &j);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    HSM_ASSERT(json_parse(wr_view(&w), o.tok, PEOPLE_TOKENS_MAX, &o.d) == HSM_OK);
    o.type = type;
    o.object = json_get(&o.d, 0, "object");
    o.secret = json_get(&o.d, 0, "secret");
    HSM_ASSERT(o.object != JSON_NONE);
    g = (struct graph_draft){.type = type, .old = &o, .body = &body};
    struct wr w2 = wr_of(again, sizeof again);
    j = json_wr_of(&w2);
    graph_draft_write(&g, &j);
    HSM_ASSERT(json_parse(wr_view(&w2), again_tok, GRAPH_BODY_TOKENS, &back) == HSM_OK);
    HSM_ASSERT(w.n == w2.n && memcmp(text, again, w.n) == 0);
    return 0;
}
