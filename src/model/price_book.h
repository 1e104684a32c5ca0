/* What a pool costs, as a JSON text:
 *   {"name":TEXT, "currency":"USD",
 *    "pool":{"hour":"3.20", "minimumHours":24, "monthHours":720},
 *    "keys":[{"type":"RSA-2048","month":"1.00"}, {"type":"RSA-*","month":"5.00"}],
 *    "operations":{"price":"0.03","per":10000},
 *    "fees":"charged" or "beside",
 *    "notes":[TEXT, ...]}
 * Prices are strings (model/money.h). Other members are refused: a price that is not understood
 * must not be left out of a bill. keys, operations and notes may be absent. Pure, no allocation. */
#ifndef MODEL_PRICE_BOOK_H
#define MODEL_PRICE_BOOK_H

#include "codec/json.h"
#include "model/money.h"

#define PRICE_BOOK_MAX       16384u
#define PRICE_BOOK_TOKENS    256
#define PRICE_BOOK_KEYS_MAX  16
#define PRICE_BOOK_NOTES_MAX 8
#define PRICE_BOOK_NAME_MAX  64
#define PRICE_BOOK_NOTE_MAX  400
#define PRICE_BOOK_TYPE_MAX  24
#define PRICE_BOOK_HOURS_MAX 8784 /* of a year */
#define PRICE_BOOK_PER_MAX   1000000000

struct price_key {
    char type[PRICE_BOOK_TYPE_MAX +
              1]; /* whole, or with "*" for the rest; the first that fits counts */
    money month;
};
struct price_book {
    char name[PRICE_BOOK_NAME_MAX + 1];
    char currency[4];
    money hour;
    uint32_t minimum_hours; /* a pool is billed that long from its provisioning, whatever happens */
    uint32_t month_hours;   /* of the month in estimates; bills count the hours that there were */
    struct price_key key[PRICE_BOOK_KEYS_MAX];
    size_t key_n;
    money operations;  /* of so many: */
    uint64_t per;      /* 0: operations have no price */
    bool fees_charged; /* false: keys and operations are shown beside the total */
    char note[PRICE_BOOK_NOTES_MAX][PRICE_BOOK_NOTE_MAX + 1];
    size_t note_n;
};

/* toks is scratch. HSM_E_BAD_PARAMETER and the reason in *ret_why (static text). */
HSM_MUST_USE hsm_err price_book_parse(struct bytes json, struct json_tok toks[PRICE_BOOK_TOKENS],
                                      struct price_book *ret, const char **ret_why);
/* The built-in one: figures of the texts that docs/PARITY.md follows. */
extern const char price_book_default_json[];
void price_book_default(struct price_book *ret);
/* Price of a key of that type for a month; false: it has none. */
bool price_book_key(const struct price_book *b, struct bytes type, money *ret);

#endif
