/* keyhold plan: sizing questions, asked on a terminal or answered by options. */
#include "cli/billing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/plan_ask.h"
#include "model/duration.h"
#include "model/plan.h"

/* ---- answers ---- */

static bool take_word(const char *option, const char *text, const char *const *words, unsigned n,
                      unsigned *ret)
{
    char all[160] = "";
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = i;
            return true;
        }
        size_t at = strlen(all);
        (void)snprintf(all + at, sizeof all - at, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    (void)cli_fail(CLI_USAGE, "%s: '%s' is none of %s", option, text, all);
    return false;
}

static bool take_service(const char *text, struct plan_wish *w)
{
    for (size_t i = 0; plan_services[i].word != NULL; i++) {
        if (strcmp(text, plan_services[i].word) == 0) {
            w->service[i] = true;
            return true;
        }
    }
    char all[200] = "";
    for (size_t i = 0; plan_services[i].word != NULL; i++) {
        size_t at = strlen(all);
        (void)snprintf(all + at, sizeof all - at, " %s", plan_services[i].word);
    }
    (void)cli_fail(CLI_USAGE, "--services: '%s' is none of%s", text, all);
    return false;
}

static bool take_rotation(const char *text, struct plan_wish *w)
{
    struct duration d;
    if (strcmp(text, "none") == 0)
        return true;
    if (duration_parse(bytes_str(text), &d) != HSM_OK || duration_nominal_days(d) > 36500) {
        (void)cli_fail(CLI_USAGE, "--rotation: a duration such as P90D or P1Y, or none");
        return false;
    }
    w->rotation_days = (uint32_t)duration_nominal_days(d);
    return true;
}

static bool take_lists(struct arg *args, struct plan_wish *w)
{
    const struct arg *regions = args_get(args, "--regions"), *sql = args_get(args, "--sql-mi"),
                     *services = args_get(args, "--services");
    long n;
    if (regions->list_n > PLAN_REGIONS_MAX || sql->list_n > regions->list_n) {
        (void)cli_fail(CLI_USAGE, "--regions: at most %d; --sql-mi: one number for each of them",
                       PLAN_REGIONS_MAX);
        return false;
    }
    for (size_t i = 0; i < regions->list_n; i++)
        w->region[w->region_n++] = regions->list[i];
    for (size_t i = 0; i < sql->list_n; i++) {
        if (!text_number(sql->list[i], PLAN_SQL_MAX, &n)) {
            (void)cli_fail(CLI_USAGE, "--sql-mi: numbers from 0 to %d", PLAN_SQL_MAX);
            return false;
        }
        w->sql[i] = (unsigned)n;
    }
    for (size_t i = 0; i < services->list_n; i++)
        if (strcmp(services->list[i], "none") != 0 && !take_service(services->list[i], w))
            return false;
    return true;
}

static bool take_words(struct arg *args, struct plan_wish *w)
{
    const char *relation = args_value(args, "--relation"),
               *dcs = args_value(args, "--domain-controllers"),
               *network = args_value(args, "--network"), *rotation = args_value(args, "--rotation"),
               *ops = args_value(args, "--operations");
    unsigned word = w->region_n > 1 ? PLAN_PRIMARY_DR : PLAN_SINGLE;
    long n = 0;
    if (relation == NULL && w->region_n > 1) {
        (void)cli_fail(CLI_USAGE, "--relation: with several regions it must be given (primary-dr, "
                                  "active-active or independent)");
        return false;
    }
    if (relation != NULL &&
        !take_word("--relation", relation, plan_relation_word, PLAN__RELATIONS, &word))
        return false;
    w->relation = (enum plan_relation)word;
    word = PLAN_AD_NONE;
    if (dcs != NULL && !take_word("--domain-controllers", dcs, plan_ad_word, PLAN__ADS, &word))
        return false;
    w->ad = (enum plan_ad)word;
    word = PLAN_NETWORK_OPEN;
    if (network != NULL &&
        !take_word("--network", network, plan_network_word, PLAN__NETWORKS, &word))
        return false;
    w->network = (enum plan_network)word;
    if (ops != NULL && !text_number(ops, 1000000000000, &n)) {
        (void)cli_fail(CLI_USAGE, "--operations: a number for a month");
        return false;
    }
    w->operations = (uint64_t)n;
    return rotation == NULL || take_rotation(rotation, w);
}

static bool is_true(struct arg *args, const char *name)
{
    const char *v = args_value(args, name);
    return v != NULL && strcmp(v, "true") == 0;
}

/* ---- output ---- */

static const char *money_text(money m, char dst[MONEY_TEXT_MAX])
{
    money_format(m, dst);
    return dst;
}

static void print_plan(const struct plan *p, const struct plan_wish *w, const struct price_book *b)
{
    char a[MONEY_TEXT_MAX], c[MONEY_TEXT_MAX];
    money fees = money_sum(p->key_fees, p->operation_fees);
    (void)printf("recommended   %s\n\n%-16s %-16s %5s %12s %14s\n", p->summary, "region", "role",
                 "keys", "assignments", "monthly");
    for (size_t i = 0; i < p->pool_n; i++) {
        const struct plan_pool *at = &p->pool[i];
        (void)printf("%-16s %-16s %5u %12u %14s%s\n", at->region, at->role, at->keys,
                     at->assignments, money_text(at->month, a), at->optional ? "  optional" : "");
    }
    (void)printf("\nmonthly       %s %s (%u hours)", b->currency, money_text(p->total, a),
                 b->month_hours);
    if (!b->fees_charged)
        (void)printf(", and %s if keys (%u of %s) and operations are charged", money_text(fees, c),
                     p->keys, w->key_type);
    (void)printf("\n");
    if (p->minimum != p->fixed)
        (void)printf("without what is optional: %s %s\n", b->currency, money_text(p->minimum, a));
    (void)printf("\n");
    for (size_t i = 0; i < p->note_n; i++)
        (void)printf("%-13s %s\n", p->note[i].topic, p->note[i].text);
    (void)printf("\nprices: %s\n", b->name);
    for (size_t i = 0; i < b->note_n; i++)
        (void)printf("  %s\n", b->note[i]);
}

static void print_json(const struct plan *p, const struct plan_wish *w, const struct price_book *b)
{
    static uint8_t buf[32768];
    struct wr out = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&out);
    plan_write(&j, p, w, b);
    HSM_ASSERT(wr_ok(&out) == HSM_OK);
    (void)printf("%.*s\n", (int)out.n, (const char *)buf);
}

/* ---- price book ---- */

bool price_book_load(const char *path, struct price_book *ret, uint8_t *text, size_t cap,
                     size_t *ret_n)
{
    struct json_tok toks[PRICE_BOOK_TOKENS];
    const char *why = "";
    struct bytes json = bytes_str(price_book_default_json);
    if (path != NULL) {
        FILE *f = fopen(path, "rbe");
        size_t n = f != NULL ? fread(text, 1, cap, f) : 0;
        bool ok = f != NULL && ferror(f) == 0 && n < cap;
        if (f != NULL)
            (void)fclose(f);
        if (!ok) {
            (void)cli_fail(CLI_FAILED, "%s: cannot be read, or is larger than 16 KiB", path);
            return false;
        }
        json = bytes_of(text, n);
    } else {
        HSM_ASSERT(json.n <= cap);
        memcpy(text, json.p, json.n);
    }
    *ret_n = json.n;
    if (price_book_parse(json, toks, ret, &why) == HSM_OK)
        return true;
    (void)cli_fail(CLI_FAILED, "%s: %s", path, why);
    return false;
}

int cmd_plan(struct cli *c)
{
    struct arg args[] = {
        {.name = "--regions", .alias = "-l", .kind = ARG_LIST, .help = "names, the primary first"},
        {.name = "--relation",
         .kind = ARG_VALUE,
         .help = "single, primary-dr, active-active, independent"},
        {.name = "--redundancy-required",
         .kind = ARG_BOOL,
         .help = "keys must outlive the loss of a region"},
        {.name = "--domain-controllers", .kind = ARG_VALUE, .help = "none, self-hosted, managed"},
        {.name = "--sql-mi", .kind = ARG_LIST, .help = "SQL managed instances in each region"},
        {.name = "--services", .kind = ARG_LIST, .help = "further services, or none"},
        {.name = "--rotation", .kind = ARG_VALUE, .help = "such as P90D or P1Y, or none"},
        {.name = "--network", .kind = ARG_VALUE, .help = "peered, separate, undecided"},
        {.name = "--pilot", .kind = ARG_BOOL, .help = "a non-production environment comes first"},
        {.name = "--key-type", .kind = ARG_VALUE, .help = "RSA-2048 (default), -3072, -4096"},
        {.name = "--operations", .kind = ARG_VALUE, .help = "a month, all regions"},
        {.name = "--price-book", .kind = ARG_VALUE, .help = "file; default: the built-in one"},
        {.name = "--json", .kind = ARG_FLAG, .help = "like -o json"},
        {.name = NULL}};
    static uint8_t text[PRICE_BOOK_MAX + 1];
    static struct price_book b;
    static struct plan p;
    struct plan_wish w = {.key_type = "RSA-2048"};
    const char *why = "";
    size_t n = 0;
    int ret;
    if (!cli_args(c, args, "plan --regions NAME... [--relation R] [options]", &ret))
        return ret;
    if (!args_get(args, "--regions")->given && !plan_ask(args))
        return cli_fail(CLI_USAGE, "--regions is needed; on a terminal the questions are asked");
    if (!take_lists(args, &w) || !take_words(args, &w))
        return CLI_USAGE;
    w.redundancy_required = is_true(args, "--redundancy-required");
    w.pilot = is_true(args, "--pilot");
    if (args_get(args, "--key-type")->given)
        w.key_type = args_value(args, "--key-type");
    if (!price_book_load(args_value(args, "--price-book"), &b, text, sizeof text, &n))
        return CLI_FAILED;
    if (plan_make(&w, &b, &p, &why) != HSM_OK)
        return cli_fail(CLI_USAGE, "%s", why);
    if (c->json || args_get(args, "--json")->given)
        print_json(&p, &w, &b);
    else
        print_plan(&p, &w, &b);
    return CLI_OK;
}
