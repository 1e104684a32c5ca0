/* What comes from nodes: their answers, and the request to join. */
#include "fabric/node_registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_tok tok[4096];
    struct node_answer a;
    struct node_join j;
    struct bytes in = bytes_of(data, size);
    if (size > NODE_LINE_MAX)
        return 0;
    node_answer_parse(in, tok, 4096, &a);
    HSM_ASSERT((a.err == HSM_OK) == (a.text[0] == 0));
    HSM_ASSERT(a.err != HSM_E_MALFORMED || a.doc.n == 0);
    if (node_join_parse(in, &j) == HSM_OK) {
        HSM_ASSERT(j.node.name[0] != 0 && j.node.region[0] != 0 && j.node.number == 0);
        HSM_ASSERT(j.spki_n <= sizeof j.spki && strlen(j.secret) < sizeof j.secret);
    }
    return 0;
}
