#include "model/price_book.h"

struct reader {
    const struct json_doc *d;
    const char *why;
};

static hsm_err refuse(struct reader *r, const char *why)
{
    r->why = why;
    return HSM_E_BAD_PARAMETER;
}

/* The object has no members but these; names ends with NULL. */
static bool only(const struct json_doc *d, uint32_t obj, const char *const *names)
{
    for (uint32_t v = json_first(d, obj); v != JSON_NONE; v = json_next(d, obj, v)) {
        const char *const *n = names;
        struct bytes name;
        if (json_plain(d, v, &name) != HSM_OK)
            return false;
        while (*n != NULL && !bytes_eq_str(name, *n))
            n++;
        if (*n == NULL)
            return false;
    }
    return true;
}

static bool is_a(const struct json_doc *d, uint32_t v, enum json_type type)
{
    return v != JSON_NONE && json_type_of(d, v) == type;
}

static bool take_text(const struct json_doc *d, uint32_t v, char *dst, size_t max)
{
    size_t n = 0;
    if (v == JSON_NONE || json_string(d, v, dst, max, &n) != HSM_OK || n == 0)
        return false;
    dst[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)dst[i] < ' ' || dst[i] == 127)
            return false;
    return true;
}

static bool take_price(const struct json_doc *d, uint32_t obj, const char *name, money *ret)
{
    struct bytes text;
    uint32_t v = json_get(d, obj, name);
    return v != JSON_NONE && json_plain(d, v, &text) == HSM_OK && money_parse(text, ret) == HSM_OK;
}

static bool take_count(const struct json_doc *d, uint32_t obj, const char *name, int64_t min,
                       int64_t max, int64_t *ret)
{
    uint32_t v = json_get(d, obj, name);
    return v != JSON_NONE && json_int(d, v, ret) == HSM_OK && *ret >= min && *ret <= max;
}

static hsm_err take_pool(struct reader *r, struct price_book *b)
{
    static const char *const names[] = {"hour", "minimumHours", "monthHours", NULL};
    uint32_t o = json_get(r->d, 0, "pool");
    int64_t minimum = 0, month = 0;
    if (!is_a(r->d, o, JSON_OBJECT) || !only(r->d, o, names) ||
        !take_price(r->d, o, "hour", &b->hour) ||
        !take_count(r->d, o, "minimumHours", 0, PRICE_BOOK_HOURS_MAX, &minimum) ||
        !take_count(r->d, o, "monthHours", 1, PRICE_BOOK_HOURS_MAX, &month))
        return refuse(r, "pool must have hour (a price as a string such as \"3.20\"), minimumHours "
                         "(0 to 8784) and monthHours (1 to 8784), nothing else.");
    b->minimum_hours = (uint32_t)minimum;
    b->month_hours = (uint32_t)month;
    return HSM_OK;
}

/* Letters, digits and hyphens; "*" may end it. */
static bool is_type(const char *t)
{
    size_t n = strlen(t);
    size_t plain = strspn(t, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
    return plain == n || (plain == n - 1 && t[plain] == '*');
}

static hsm_err take_keys(struct reader *r, struct price_book *b)
{
    static const char *const names[] = {"type", "month", NULL};
    uint32_t list = json_get(r->d, 0, "keys");
    if (list == JSON_NONE)
        return HSM_OK;
    if (!is_a(r->d, list, JSON_ARRAY) || json_count(r->d, list) > PRICE_BOOK_KEYS_MAX)
        return refuse(r, "keys must be a list of at most 16 prices.");
    for (uint32_t v = json_first(r->d, list); v != JSON_NONE; v = json_next(r->d, list, v)) {
        struct price_key *k = &b->key[b->key_n];
        if (!is_a(r->d, v, JSON_OBJECT) || !only(r->d, v, names) ||
            !take_text(r->d, json_get(r->d, v, "type"), k->type, PRICE_BOOK_TYPE_MAX) ||
            !is_type(k->type) || !take_price(r->d, v, "month", &k->month))
            return refuse(r, "Each of keys must have type (such as \"RSA-2048\" or \"RSA-*\") and "
                             "month (a price as a string), nothing else.");
        b->key_n++;
    }
    return HSM_OK;
}

static hsm_err take_operations(struct reader *r, struct price_book *b)
{
    static const char *const names[] = {"price", "per", NULL};
    uint32_t o = json_get(r->d, 0, "operations");
    int64_t per = 0;
    if (o == JSON_NONE)
        return HSM_OK;
    if (!is_a(r->d, o, JSON_OBJECT) || !only(r->d, o, names) ||
        !take_price(r->d, o, "price", &b->operations) ||
        !take_count(r->d, o, "per", 1, PRICE_BOOK_PER_MAX, &per))
        return refuse(r, "operations must have price (a string) and per (how many operations it is "
                         "for), nothing else.");
    b->per = (uint64_t)per;
    return HSM_OK;
}

static hsm_err take_notes(struct reader *r, struct price_book *b)
{
    uint32_t list = json_get(r->d, 0, "notes");
    if (list == JSON_NONE)
        return HSM_OK;
    if (!is_a(r->d, list, JSON_ARRAY) || json_count(r->d, list) > PRICE_BOOK_NOTES_MAX)
        return refuse(r, "notes must be a list of at most 8 texts.");
    for (uint32_t v = json_first(r->d, list); v != JSON_NONE; v = json_next(r->d, list, v)) {
        if (!take_text(r->d, v, b->note[b->note_n], PRICE_BOOK_NOTE_MAX))
            return refuse(r, "Each of notes must be a text of at most 400 bytes on one line.");
        b->note_n++;
    }
    return HSM_OK;
}

static hsm_err take_head(struct reader *r, struct price_book *b)
{
    static const char *const names[] = {"name",       "currency", "pool",  "keys",
                                        "operations", "fees",     "notes", NULL};
    struct bytes fees;
    if (!is_a(r->d, 0, JSON_OBJECT) || !only(r->d, 0, names))
        return refuse(r, "A price book is an object with name, currency, pool, fees, and if wanted "
                         "keys, operations and notes; nothing else.");
    if (!take_text(r->d, json_get(r->d, 0, "name"), b->name, PRICE_BOOK_NAME_MAX))
        return refuse(r, "name must be a text of at most 64 bytes.");
    if (!take_text(r->d, json_get(r->d, 0, "currency"), b->currency, 3) ||
        strspn(b->currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
        return refuse(r, "currency must be a code of three capital letters, such as \"USD\".");
    uint32_t v = json_get(r->d, 0, "fees");
    if (v == JSON_NONE || json_plain(r->d, v, &fees) != HSM_OK ||
        (!bytes_eq_str(fees, "charged") && !bytes_eq_str(fees, "beside")))
        return refuse(r, "fees must be \"charged\" (keys and operations are part of the total) or "
                         "\"beside\" (they are shown beside it).");
    b->fees_charged = bytes_eq_str(fees, "charged");
    return HSM_OK;
}

hsm_err price_book_parse(struct bytes json, struct json_tok toks[PRICE_BOOK_TOKENS],
                         struct price_book *ret, const char **ret_why)
{
    struct json_doc d;
    struct price_book b = {0};
    struct reader r = {.d = &d};
    if (json.n > PRICE_BOOK_MAX || json_parse(json, toks, PRICE_BOOK_TOKENS, &d) != HSM_OK) {
        *ret_why = "A price book must be JSON of at most 16 KiB without duplicate members.";
        return HSM_E_BAD_PARAMETER;
    }
    hsm_err err = take_head(&r, &b);
    if (err == HSM_OK)
        err = take_pool(&r, &b);
    if (err == HSM_OK)
        err = take_keys(&r, &b);
    if (err == HSM_OK)
        err = take_operations(&r, &b);
    if (err == HSM_OK)
        err = take_notes(&r, &b);
    if (err == HSM_OK)
        *ret = b;
    else
        *ret_why = r.why;
    return err;
}

bool price_book_key(const struct price_book *b, struct bytes type, money *ret)
{
    for (size_t i = 0; i < b->key_n; i++) {
        struct bytes t = bytes_str(b->key[i].type);
        bool rest = t.n > 0 && t.p[t.n - 1] == '*';
        if (rest ? type.n >= t.n - 1 && bytes_eq(bytes_of(type.p, t.n - 1), bytes_of(t.p, t.n - 1))
                 : bytes_eq(type, t)) {
            *ret = b->key[i].month;
            return true;
        }
    }
    return false;
}

const char price_book_default_json[] =
    "{\"name\":\"figures of documents 000 and 002\",\"currency\":\"USD\",\n"
    " \"pool\":{\"hour\":\"3.20\",\"minimumHours\":24,\"monthHours\":720},\n"
    " \"keys\":[{\"type\":\"RSA-2048\",\"month\":\"1.00\"},\n"
    "         {\"type\":\"RSA-*\",\"month\":\"5.00\"},\n"
    "         {\"type\":\"EC-*\",\"month\":\"5.00\"}],\n"
    " \"operations\":{\"price\":\"0.03\",\"per\":10000},\n"
    " \"fees\":\"beside\",\n"
    " \"notes\":[\n"
    "  \"Pool: $3.20 an hour, about $2,304 for 720 hours (000); 002 says $2,000 to $2,500 a month. "
    "Both bill from provisioning; 002: for a day at least, and until the purge.\",\n"
    "  \"Keys: 000 names $1.00 a month for RSA-2048, $5.00 for RSA-3072, RSA-4096 and EC; 002 says "
    "one fixed rate, nothing per key. 000 itself asks to confirm its figures.\",\n"
    "  \"Operations: 000 names $0.03 for 10,000; 002 says unlimited operations are included.\",\n"
    "  \"So the total is the fixed rate, and what keys and operations would add stands beside it; "
    "a price book with fees charged adds them.\",\n"
    "  \"Symmetric keys have no price in either document.\"]}\n";

void price_book_default(struct price_book *ret)
{
    struct json_tok toks[PRICE_BOOK_TOKENS];
    const char *why = "";
    hsm_err err = price_book_parse(bytes_str(price_book_default_json), toks, ret, &why);
    HSM_ASSERT(err == HSM_OK);
}
