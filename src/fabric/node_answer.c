/* What a node says in answer to a line. */
#include <stdio.h>
#include "fabric/node_client.h"

static const struct {
    const char *code;
    hsm_err err;
} codes[] = {
    {"conflict", HSM_E_CONFLICT}, {"not-found", HSM_E_NOT_FOUND}, {"bad", HSM_E_BAD_PARAMETER},
    {"busy", HSM_E_AGAIN},        {"failed", HSM_E_INTERNAL},
};

static void malformed(struct node_answer *ret)
{
    *ret = (struct node_answer){.err = HSM_E_MALFORMED};
    snprintf(ret->text, sizeof ret->text, "the node's answer is malformed");
}

static void take_text(const struct json_doc *d, struct node_answer *ret)
{
    size_t n = 0;
    uint32_t text = json_get(d, 0, "text");
    if (text == JSON_NONE || json_string(d, text, ret->text, sizeof ret->text - 1, &n) != HSM_OK ||
        n == 0)
        n = (size_t)snprintf(ret->text, sizeof ret->text, "the node gives no reason");
    ret->text[n] = 0;
}

void node_answer_parse(struct bytes line, struct json_tok *tok, size_t cap, struct node_answer *ret)
{
    struct node_answer a = {0};
    struct bytes code;
    bool ok = false;
    if (json_parse(line, tok, cap, &a.doc) != HSM_OK || json_type_of(&a.doc, 0) != JSON_OBJECT) {
        malformed(ret);
        return;
    }
    uint32_t at = json_get(&a.doc, 0, "ok"), why = json_get(&a.doc, 0, "code");
    if (at == JSON_NONE || json_bool(&a.doc, at, &ok) != HSM_OK) {
        malformed(ret);
        return;
    }
    if (!ok) {
        a.err = HSM_E_INTERNAL;
        for (size_t i = 0; why != JSON_NONE && i < sizeof codes / sizeof *codes; i++) {
            if (json_plain(&a.doc, why, &code) == HSM_OK && bytes_eq_str(code, codes[i].code))
                a.err = codes[i].err;
        }
        take_text(&a.doc, &a);
    }
    *ret = a;
}
