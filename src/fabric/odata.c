#include "fabric/odata.h"

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static void skip_blanks(struct rd *r)
{
    while (r->n > 0 && *r->p == ' ') {
        r->p++;
        r->n--;
    }
}

static hsm_err take_text(struct rd *r, const char *want)
{
    size_t n = strlen(want);
    if (r->n < n || !bytes_ieq(bytes_of(r->p, n), bytes_str(want)))
        return HSM_E_MALFORMED;
    r->p += n;
    r->n -= n;
    return HSM_OK;
}

static hsm_err take_word(struct rd *r, struct bytes *ret)
{
    size_t n = 0;
    while (n < r->n && is_word(r->p[n]))
        n++;
    if (n == 0)
        return HSM_E_MALFORMED;
    return rd_bytes(r, n, ret);
}

/* 'it''s' */
static hsm_err take_value(struct rd *r, char dst[ODATA_VALUE_MAX + 1])
{
    size_t n = 0;
    TRY(take_text(r, "'"));
    for (;;) {
        uint8_t c;
        TRY(rd_u8(r, &c));
        if (c == '\'' && (r->n == 0 || *r->p != '\''))
            break;
        if (c == '\'')
            TRY(rd_u8(r, &c));
        if (n == ODATA_VALUE_MAX)
            return HSM_E_MALFORMED;
        dst[n++] = (char)c;
    }
    dst[n] = 0;
    return HSM_OK;
}

static hsm_err take_eq_value(struct rd *r, char dst[ODATA_VALUE_MAX + 1])
{
    skip_blanks(r);
    TRY(take_text(r, "eq "));
    skip_blanks(r);
    return take_value(r, dst);
}

/* "/any(x:x eq 'VALUE')", the part behind the field */
static hsm_err take_any(struct rd *r, struct odata_clause *c)
{
    struct bytes name, again;
    TRY(take_text(r, "/any("));
    TRY(take_word(r, &name));
    TRY(take_text(r, ":"));
    skip_blanks(r);
    TRY(take_word(r, &again));
    if (!bytes_eq(name, again))
        return HSM_E_MALFORMED;
    TRY(take_eq_value(r, c->value));
    return take_text(r, ")");
}

static hsm_err take_clause(struct rd *r, struct odata_clause *c)
{
    TRY(take_word(r, &c->field));
    if (bytes_ieq(c->field, bytes_str("startswith"))) {
        c->prefix = true;
        TRY(take_text(r, "("));
        TRY(take_word(r, &c->field));
        TRY(take_text(r, ","));
        skip_blanks(r);
        TRY(take_value(r, c->value));
        return take_text(r, ")");
    }
    if (r->n > 0 && *r->p == '/')
        return take_any(r, c);
    return take_eq_value(r, c->value);
}

hsm_err odata_parse(struct bytes text, struct odata_filter *ret)
{
    struct odata_filter f = {0};
    struct rd r = rd_of(text);
    for (;;) {
        skip_blanks(&r);
        if (f.n == ODATA_CLAUSES_MAX)
            return HSM_E_MALFORMED;
        TRY(take_clause(&r, &f.clause[f.n++]));
        skip_blanks(&r);
        if (r.n == 0)
            break;
        TRY(take_text(&r, "and "));
    }
    *ret = f;
    return HSM_OK;
}

bool odata_value_fits(const struct odata_clause *c, const char *actual)
{
    size_t n = strlen(c->value), k = strlen(actual);
    if (c->prefix)
        return k >= n && bytes_ieq(bytes_of(actual, n), bytes_str(c->value));
    return bytes_ieq(bytes_str(actual), bytes_str(c->value));
}
