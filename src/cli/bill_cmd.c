/* keyhold bill and keyhold subscription: what the control origin says about the installation. */
#include "cli/billing.h"

#include <stdio.h>
#include <string.h>

#include "cli/pool.h"
#include "model/billing.h"

/* A session with the control origin; pool_close() ends it. */
static bool control_open(struct cli *c, struct pool *ret, char path[PATH_MAX])
{
    struct directory d;
    struct partition_config cfg;
    if (!cli_config(c, &cfg) || !cli_directory(c, &d))
        return false;
    (void)snprintf(path, PATH_MAX, "/subscriptions/%s/providers/Keyhold.Control", d.subscription);
    directory_done(&d);
    return pool_open_origin(c, ret);
}

/* ---- bill ---- */

static void print_keys(const struct json_doc *d, uint32_t pool)
{
    char type[64], months[64], cost[64];
    uint32_t list = json_get_nn(d, pool, "keys");
    for (uint32_t k = list != JSON_NONE ? json_first(d, list) : JSON_NONE; k != JSON_NONE;
         k = json_next(d, list, k))
        (void)printf("  %-37s %s key-months%s%s\n", pool_text(d, k, "type", type, sizeof type),
                     pool_text(d, k, "keyMonths", months, sizeof months),
                     json_get_nn(d, k, "cost") != JSON_NONE ? ", " : ", no price",
                     pool_text(d, k, "cost", cost, sizeof cost));
}

static void print_pool(const struct json_doc *d, uint32_t v)
{
    char name[64], region[80], state[32], cost[64];
    (void)printf("%-24s %-16s %-8s %6lld %14s\n", pool_text(d, v, "pool", name, sizeof name),
                 pool_text(d, v, "region", region, sizeof region),
                 pool_text(d, v, "state", state, sizeof state), (long long)pool_int(d, v, "hours"),
                 pool_text(d, v, "cost", cost, sizeof cost));
    print_keys(d, v);
    if (pool_int(d, v, "operations") > 0)
        (void)printf("  %lld operations, %s\n", (long long)pool_int(d, v, "operations"),
                     pool_text(d, v, "operationsCost", cost, sizeof cost));
}

static void print_total(const struct json_doc *d)
{
    char currency[16], total[64], with[64], fees[16];
    (void)pool_text(d, 0, "total.fees", fees, sizeof fees);
    (void)printf("\ntotal %s %s", pool_text(d, 0, "currency", currency, sizeof currency),
                 pool_text(d, 0, "total.total", total, sizeof total));
    if (strcmp(fees, "beside") == 0)
        (void)printf("; %s if keys and operations are charged",
                     pool_text(d, 0, "total.totalWithFees", with, sizeof with));
    (void)printf("\n");
}

static void print_bill(const struct json_doc *d, uint32_t root)
{
    char month[16], book[128], note[PRICE_BOOK_NOTE_MAX + 1];
    uint32_t pools = json_get_nn(d, root, "pools"), notes = json_get_nn(d, root, "notes");
    (void)printf("month %s\n\n%-24s %-16s %-8s %6s %14s\n",
                 pool_text(d, root, "month", month, sizeof month), "pool", "region", "state",
                 "hours", "cost");
    for (uint32_t v = pools != JSON_NONE ? json_first(d, pools) : JSON_NONE; v != JSON_NONE;
         v = json_next(d, pools, v))
        print_pool(d, v);
    if (pool_int(d, root, "omitted") > 0)
        (void)printf("and %lld more\n", (long long)pool_int(d, root, "omitted"));
    print_total(d);
    (void)printf("\nprices: %s\n", pool_text(d, root, "priceBook", book, sizeof book));
    for (uint32_t v = notes != JSON_NONE ? json_first(d, notes) : JSON_NONE; v != JSON_NONE;
         v = json_next(d, notes, v))
        (void)printf("  %s\n", pool_text(d, v, "", note, sizeof note));
}

static bool month_ready(const char *month)
{
    struct period p;
    if (month == NULL || month_parse(bytes_str(month), &p) == HSM_OK)
        return true;
    (void)cli_fail(CLI_USAGE, "--month: YYYY-MM");
    return false;
}

int cmd_bill(struct cli *c)
{
    struct arg args[] = {
        {.name = "--month", .kind = ARG_VALUE, .help = "YYYY-MM; default: this one"},
        {.name = "--price-book", .kind = ARG_VALUE, .help = "file; default: the built-in one"},
        {.name = "--show-price-book",
         .kind = ARG_FLAG,
         .help = "print the built-in one, as a start"},
        {.name = "--json", .kind = ARG_FLAG, .help = "like -o json"},
        {.name = NULL}};
    static uint8_t text[PRICE_BOOK_MAX + 1];
    static struct price_book b;
    static char control[PATH_MAX], path[PATH_MAX + 64];
    struct pool p;
    size_t n = 0;
    int ret;
    if (!cli_args(c, args, "bill [--month YYYY-MM] [--price-book FILE]", &ret))
        return ret;
    if (args_get(args, "--show-price-book")->given) {
        (void)fputs(price_book_default_json, stdout);
        return CLI_OK;
    }
    const char *month = args_value(args, "--month"), *file = args_value(args, "--price-book");
    if (!month_ready(month))
        return CLI_USAGE;
    if (file != NULL && !price_book_load(file, &b, text, sizeof text, &n))
        return CLI_FAILED;
    c->json = c->json || args_get(args, "--json")->given;
    if (!control_open(c, &p, control))
        return CLI_FAILED;
    (void)snprintf(path, sizeof path, "%s/bill%s%s", control, month != NULL ? "?month=" : "",
                   month != NULL ? month : "");
    text[n] = '\0';
    ret = CLI_OK;
    if (pool_call(&p, file != NULL ? "POST" : "GET", path, file != NULL ? (const char *)text : NULL,
                  &ret))
        pool_print(&p, print_bill);
    pool_close(&p);
    return ret;
}

/* ---- subscription ---- */

static void print_state(const struct json_doc *d, uint32_t v)
{
    char state[32];
    (void)printf("%s\n", pool_text(d, v, "state", state, sizeof state));
}

static int subscription(struct cli *c, const char *method, const char *json)
{
    static char control[PATH_MAX], path[PATH_MAX + 64];
    struct pool p;
    int ret = CLI_OK;
    if (!control_open(c, &p, control))
        return CLI_FAILED;
    (void)snprintf(path, sizeof path, "%s/subscription", control);
    if (pool_call(&p, method, path, json, &ret))
        pool_print(&p, print_state);
    pool_close(&p);
    return ret;
}

int cmd_subscription_show(struct cli *c)
{
    struct arg args[] = {{.name = NULL}};
    int ret;
    if (!cli_args(c, args, "subscription show", &ret))
        return ret;
    return subscription(c, "GET", NULL);
}

int cmd_subscription_set_state(struct cli *c)
{
    struct arg args[] = {{.name = "--state",
                          .kind = ARG_VALUE,
                          .required = true,
                          .help = "Enabled, Disabled, Warned, PastDue, Deleted"},
                         {.name = NULL}};
    char json[128];
    int ret;
    if (!cli_args(c, args, "subscription set-state --state STATE", &ret))
        return ret;
    const char *state = args_value(args, "--state");
    if (strspn(state, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != strlen(state) ||
        snprintf(json, sizeof json, "{\"state\":\"%s\"}", state) >= (int)sizeof json)
        return cli_fail(CLI_USAGE, "--state: Enabled, Disabled, Warned, PastDue or Deleted");
    return subscription(c, "PUT", json);
}
