/* Bodies of Graph that create or change an object, and the document that comes of them. Which
 * properties a client may set, and their types, is a table for each type. Pure. */
#ifndef FABRIC_GRAPH_DRAFT_H
#define FABRIC_GRAPH_DRAFT_H

#include "fabric/people.h"

#define GRAPH_BODY_TOKENS 4096
#define GRAPH_NAME_MAX    DIRECTORY_NAME_MAX /* bytes of a display name */

/* Checks what is known of the body, which must be an object: HSM_E_BAD_PARAMETER with *ret_bad, the
 * property's name, when a type or length is wrong, or, on creation, a required one is missing.
 * Unknown properties are ignored. */
HSM_MUST_USE hsm_err graph_body_check(enum people_type type, const struct json_doc *body,
                                      bool creates, const char **ret_bad);

/* What a document is written from: what the server says, then the body, then the old document. */
struct graph_draft {
    enum people_type type;
    const struct people_object *old; /* NULL: new */
    const struct json_doc *body;     /* checked; NULL: none */
    struct bytes head;               /* raw members for the beginning of a new object */
    /* Raw JSON in place of the old; p == NULL: keep. */
    struct bytes passwords, keys; /* "passwordCredentials", "keyCredentials" */
    struct bytes secret;          /* "secret" */
};
void graph_draft_write(const struct graph_draft *g, struct json_wr *j);

/* A value of a document as it stands there. */
void graph_put_copy(struct json_wr *j, const struct json_doc *d, uint32_t v);

/* At least 8 characters, of three of the four kinds: capitals, small letters, digits, others. */
bool graph_password_good(struct bytes password);

#endif
