/* What a pool has used and what that costs. Hours run from provisioning until the purge, region by
 * region, also while it is soft-deleted; keys count by the time that they exist, by type. Pure;
 * time is a parameter, in seconds since 1970, and whole numbers only. */
#ifndef MODEL_BILLING_H
#define MODEL_BILLING_H

#include "model/price_book.h"

#define BILLING_HOUR_S    3600u
#define BILLING_TYPES_MAX 24
#define BILLING_TIME_MAX  253402300799u /* 9999-12-31T23:59:59Z */

/* ---- months, in UTC ---- */

struct period {
    uint64_t begin, end; /* end is not part of it */
};
#define MONTH_TEXT_LEN 7 /* "2026-11" */
/* From 1970-01 to 9999-12; anything else HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err month_parse(struct bytes text, struct period *ret);
struct period month_of(uint64_t t_s);
void month_format(uint64_t t_s, char dst[MONTH_TEXT_LEN + 1]);

/* ---- hours ---- */

/* Hours that began within p, of those that began from provisioning on until the end: a started hour
 * counts, and `minimum` hours count also when it ended before. until: the purge, or now. Each hour
 * is in exactly one month. */
uint64_t billing_hours(uint64_t provisioned_s, uint64_t until_s, uint64_t minimum, struct period p);

/* ---- keys and operations ---- */

/* How much of each type; unused entries have n == 0. */
struct key_amount {
    char type[PRICE_BOOK_TYPE_MAX + 1];
    uint64_t amount; /* keys, or key-seconds */
};
struct key_amounts {
    struct key_amount of[BILLING_TYPES_MAX];
    size_t n;
};
/* HSM_E_RANGE: no room for another type, or a name that is no type (letters, digits, hyphens). */
HSM_MUST_USE hsm_err key_amounts_add(struct key_amounts *a, struct bytes type, uint64_t amount);
/* JSON: {"RSA-2048":3,...}; HSM_E_BAD_PARAMETER for anything else. */
HSM_MUST_USE hsm_err key_amounts_read(const struct json_doc *d, uint32_t v,
                                      struct key_amounts *ret);
void key_amounts_write(struct json_wr *j, const struct key_amounts *a);
/* The time from `since` until `until` with so many keys, as far as it is in p, is added to *sum
 * (key-seconds); types for which it has no room are left out. */
void key_time_add(struct key_amounts *sum, const struct key_amounts *keys, uint64_t since_s,
                  uint64_t until_s, struct period p);
/* What was added to a counter since `before`. Its process may have begun again at 0, or one of
 * several whose sum it is: then it is smaller, and nothing is counted that is not certain. */
uint64_t counter_growth(uint64_t before, uint64_t now);

/* ---- prices ---- */

/* Of one pool in one region within one month. */
struct usage {
    uint64_t hours;
    struct key_amounts key_seconds;
    uint64_t operations;
};
struct charge {
    money pool, keys, operations;
    money key[BILLING_TYPES_MAX]; /* in the order of usage.key_seconds */
    bool priced[BILLING_TYPES_MAX];
};
void billing_charge(const struct price_book *b, const struct usage *u, struct period p,
                    struct charge *ret);
/* Millionths of a month that the keys of a type existed together, rounded to the nearest. */
uint64_t billing_key_months(uint64_t key_seconds, struct period p);

#endif
