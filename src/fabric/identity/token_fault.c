#include "fabric/identity/token_fault.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/uuid.h"
#include "codec/json.h"

struct row {
    unsigned http;
    const char *oauth;
    unsigned number;
    const char *text;
};

static const struct row *row_of(enum token_fault f)
{
    static const struct row rows[] = {
#define X(name, http, oauth, number, text) {http, oauth, number, text},
        TOKEN_FAULTS(X)
#undef X
    };
    return &rows[f < TOKEN_FAULT__COUNT ? f : TOKEN_INTERNAL];
}

unsigned token_fault_http(enum token_fault f)
{
    return row_of(f)->http;
}

const char *token_fault_oauth(enum token_fault f)
{
    return row_of(f)->oauth;
}

unsigned token_fault_number(enum token_fault f)
{
    return row_of(f)->number;
}

const char *token_fault_text(enum token_fault f)
{
    return row_of(f)->text;
}

void token_fault_write(enum token_fault f, const char *correlation_id, uint64_t now_ms,
                       struct wr *out)
{
    const struct row *r = row_of(f);
    char when[32], trace[UUID_TEXT_LEN + 1], text[512];
    struct uuid u;
    uuid_new_v4(&u);
    uuid_format(&u, trace);
    clock_format_ms(now_ms, when, sizeof when);
    /* Clients print this line as it is, so it carries what a user needs for a question. */
    snprintf(text, sizeof text, "AADSTS%u: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
             r->number, r->text, trace, correlation_id, when);
    struct json_wr j = json_wr_of(out);
    json_obj_open(&j);
    json_name(&j, "error");
    json_put_str(&j, r->oauth);
    json_name(&j, "error_description");
    json_put_str(&j, text);
    json_name(&j, "error_codes");
    json_arr_open(&j);
    json_put_int(&j, r->number);
    json_arr_close(&j);
    json_name(&j, "timestamp");
    json_put_str(&j, when);
    json_name(&j, "trace_id");
    json_put_str(&j, trace);
    json_name(&j, "correlation_id");
    json_put_str(&j, correlation_id);
    json_obj_close(&j);
}
