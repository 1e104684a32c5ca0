/* Sizing: from regions, their relation and the services to a deployment and its monthly cost.
 * Pure. */
#ifndef MODEL_PLAN_H
#define MODEL_PLAN_H

#include "model/price_book.h"

#define PLAN_REGIONS_MAX   8
#define PLAN_REGION_MAX    32
#define PLAN_SQL_MAX       1000 /* instances in a region */
#define PLAN_NOTES_MAX     24
#define PLAN_NOTE_MAX      320
#define PLAN_ROTATION_DAYS 28 /* the shortest interval of a rotation policy */

enum plan_relation {
    PLAN_SINGLE,        /* one region */
    PLAN_PRIMARY_DR,    /* the first serves, the others stand by */
    PLAN_ACTIVE_ACTIVE, /* both serve the same keys */
    PLAN_INDEPENDENT,   /* environments of their own */
    PLAN__RELATIONS
};
/* Where domain controllers run. */
enum plan_ad {
    PLAN_AD_NONE,
    PLAN_AD_SELF_HOSTED, /* on virtual machines */
    PLAN_AD_MANAGED,     /* a managed domain service */
    PLAN__ADS
};
enum plan_network {
    PLAN_NETWORK_OPEN, /* not decided */
    PLAN_NETWORK_PEERED,
    PLAN_NETWORK_SEPARATE,
    PLAN__NETWORKS
};
/* Words of options and answers, by enum value. */
extern const char *const plan_relation_word[PLAN__RELATIONS];
extern const char *const plan_ad_word[PLAN__ADS];
extern const char *const plan_network_word[PLAN__NETWORKS];

struct plan_service {
    const char *word;   /* "storage" */
    const char *name;   /* "Azure Storage (blob, file, queue, table)" */
    const char *method; /* how it refers to a key */
};
#define PLAN_SERVICES_MAX 16
extern const struct plan_service plan_services[]; /* ends with word == NULL */

struct plan_wish {
    const char *region[PLAN_REGIONS_MAX];
    size_t region_n;
    enum plan_relation relation;
    bool redundancy_required; /* keys must outlive a region */
    enum plan_ad ad;
    unsigned sql[PLAN_REGIONS_MAX]; /* SQL managed instances, by region */
    bool service[PLAN_SERVICES_MAX];
    uint32_t rotation_days; /* 0: not decided */
    enum plan_network network;
    bool pilot;
    const char *key_type; /* "RSA-3072" */
    uint64_t operations;  /* a month, all regions */
};

struct plan_pool {
    const char *region;
    const char *role;  /* "primary", "standby", "extended region", "independent", "only" */
    bool is_extension; /* of the first pool; billed like a pool, no resource of its own */
    bool optional;
    unsigned keys, assignments;
    money month; /* the fixed rate */
};
struct plan_note {
    const char *topic;
    char text[PLAN_NOTE_MAX];
};
struct plan {
    struct plan_pool pool[PLAN_REGIONS_MAX];
    size_t pool_n;
    unsigned resources; /* pools to create */
    unsigned keys;      /* in all of them */
    money fixed;        /* a month, everything recommended */
    money minimum;      /* without what is optional */
    money key_fees, operation_fees;
    money total; /* fixed, and the fees when the book charges them */
    char summary[160];
    struct plan_note note[PLAN_NOTES_MAX];
    size_t note_n;
};

/* Texts of the wish are borrowed by *ret. HSM_E_BAD_PARAMETER and what to do about it in *ret_why
 * (static text). */
HSM_MUST_USE hsm_err plan_make(const struct plan_wish *w, const struct price_book *b,
                               struct plan *ret, const char **ret_why);
void plan_write(struct json_wr *j, const struct plan *p, const struct plan_wish *w,
                const struct price_book *b);

#endif
