/* Strict JSON (RFC 8259): a reader that makes a flat token array over the caller's text, and a
 * writer into a fixed buffer. Rejected: duplicate members (after unescaping), invalid UTF-8,
 * unpaired surrogates, control characters, leading zeros, leftovers, depth > JSON_DEPTH_MAX.
 * No allocation; tokens point into the text, which must stay unchanged while they are used. */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/bytes.h"

#define JSON_DEPTH_MAX 16

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

/* Children of a container follow it; next is the index of the token after the whole value. In an
 * object, tokens alternate name (JSON_STRING), value. */
struct json_tok {
    uint8_t type;   /* enum json_type */
    bool escaped;   /* string contains a backslash */
    uint32_t start; /* offset of the raw text; strings: between the quotes */
    uint32_t len;   /* raw length; strings: between the quotes */
    uint32_t count; /* members or elements */
    uint32_t next;
};

struct json_doc {
    struct bytes text;
    const struct json_tok *tok;
    size_t n;
};

/* Parse the whole text. toks[cap] is the caller's. HSM_E_MALFORMED for syntax, HSM_E_RANGE when
 * cap tokens do not suffice. Root is token 0. */
HSM_MUST_USE hsm_err json_parse(struct bytes text, struct json_tok *toks, size_t cap,
                                struct json_doc *ret);

/* A value inside a document: token index. JSON_NONE = absent. */
#define JSON_NONE UINT32_MAX
/* Member of an object by exact name; JSON_NONE when absent, when obj is JSON_NONE or not an object.
 */
uint32_t json_get(const struct json_doc *d, uint32_t obj, const char *name);
/* Like json_get, but an explicit null counts as absent too. */
uint32_t json_get_nn(const struct json_doc *d, uint32_t obj, const char *name);
enum json_type json_type_of(const struct json_doc *d, uint32_t v); /* v must not be JSON_NONE */
/* Iterate: first child (JSON_NONE when empty or not a container), then next sibling (JSON_NONE at
 * the end of parent). For objects the index is that of the name; its value is json_value(). */
uint32_t json_first(const struct json_doc *d, uint32_t parent);
uint32_t json_next(const struct json_doc *d, uint32_t parent, uint32_t at);
static inline uint32_t json_value(uint32_t name_index)
{
    return name_index + 1;
}
uint32_t json_count(const struct json_doc *d, uint32_t v);
/* Raw text of the value (strings without quotes, escapes untouched). */
struct bytes json_raw(const struct json_doc *d, uint32_t v);
/* Unescaped string into dst[cap]; HSM_E_MALFORMED when not a string, HSM_E_RANGE when longer.
 * The result is not terminated. A decoded NUL character is HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err json_string(const struct json_doc *d, uint32_t v, char *dst, size_t cap,
                                 size_t *ret_len);
/* View of a string that has no escapes (base64url, enum words, GUIDs); with escapes: MALFORMED. */
HSM_MUST_USE hsm_err json_plain(const struct json_doc *d, uint32_t v, struct bytes *ret);
/* Integers written as integers, in the int64 range; anything else HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err json_int(const struct json_doc *d, uint32_t v, int64_t *ret);
/* Any JSON number, truncated towards zero (JWT times may be fractional); range int64. */
HSM_MUST_USE hsm_err json_number_trunc(const struct json_doc *d, uint32_t v, int64_t *ret);
HSM_MUST_USE hsm_err json_bool(const struct json_doc *d, uint32_t v, bool *ret);

/* Writer: appends compact JSON to a struct wr; commas are its business. Overflow shows in wr_ok. */
struct json_wr {
    struct wr *w;
    bool need_comma;
};
static inline struct json_wr json_wr_of(struct wr *w)
{
    return (struct json_wr){.w = w};
}
void json_obj_open(struct json_wr *j);
void json_obj_close(struct json_wr *j);
void json_arr_open(struct json_wr *j);
void json_arr_close(struct json_wr *j);
void json_name(struct json_wr *j, const char *name);        /* plain ASCII, not escaped */
void json_name_bytes(struct json_wr *j, struct bytes name); /* escaped */
void json_put_str(struct json_wr *j, const char *s);        /* escaped */
void json_put_bytes(struct json_wr *j, struct bytes utf8);  /* escaped */
void json_put_b64u(struct json_wr *j, struct bytes b);      /* base64url string */
void json_put_b64(struct json_wr *j, struct bytes b);       /* standard base64 string */
void json_put_int(struct json_wr *j, int64_t v);
void json_put_bool(struct json_wr *j, bool v);
void json_put_null(struct json_wr *j);
void json_put_raw(struct json_wr *j, struct bytes json); /* already JSON */
/* Concatenating string writer: open, append escaped pieces, close. */
void json_str_open(struct json_wr *j);
void json_str_add(struct json_wr *j, struct bytes utf8);
void json_str_add_s(struct json_wr *j, const char *s);
void json_str_close(struct json_wr *j);

#endif
