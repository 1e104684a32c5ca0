#include "fabric/bill.h"

#include <stdio.h>
#include "base/clock.h"
#include "fabric/arm_type.h"
#include "fabric/subscription.h"

#define REGIONS_MAX 64

struct region_sum {
    char name[64];
    uint64_t hours;
    money cost;
};
struct bill {
    const struct state *state;
    const struct price_book *book;
    struct period p;
    uint64_t now_s;
    struct json_wr *j;
    size_t listed, omitted;
    struct region_sum region[REGIONS_MAX];
    size_t region_n;
    money pools, keys, operations;
};

static void put_money(struct json_wr *j, const char *name, money m)
{
    char text[MONEY_TEXT_MAX];
    money_format(m, text);
    put_str(j, name, text);
}

static void put_time(struct json_wr *j, const char *name, uint64_t t_s)
{
    char text[32];
    if (t_s == 0)
        return;
    clock_format_ms(t_s * 1000, text, sizeof text);
    put_str(j, name, text);
}

/* Millionths as a decimal: what money_format does, without a currency. */
static void put_millionths(struct json_wr *j, const char *name, uint64_t n)
{
    put_money(j, name, n < (uint64_t)MONEY_MAX ? (money)n : MONEY_MAX);
}

static void put_keys(const struct bill *b, const struct usage *used, const struct charge *c)
{
    struct json_wr *j = b->j;
    json_name(j, "keys");
    json_arr_open(j);
    for (size_t i = 0; i < used->key_seconds.n; i++) {
        const struct key_amount *k = &used->key_seconds.of[i];
        json_obj_open(j);
        put_str(j, "type", k->type);
        put_millionths(j, "keyMonths", billing_key_months(k->amount, b->p));
        if (c->priced[i]) {
            put_money(j, "cost", c->key[i]);
        } else {
            json_name(j, "cost"); /* the book has no price for it */
            json_put_null(j);
        }
        json_obj_close(j);
    }
    json_arr_close(j);
}

static void put_pool(const struct bill *b, const struct usage_pool *u, const struct usage *used,
                     const struct charge *c)
{
    struct json_wr *j = b->j;
    json_obj_open(j);
    put_str(j, "pool", u->pool);
    put_str(j, "region", u->region);
    put_str(j, "resource", u->resource);
    put_str(j, "state", u->purged_s > 0 ? "purged" : u->deleted_s > 0 ? "deleted" : "active");
    put_time(j, "provisioned", u->provisioned_s);
    put_time(j, "deleted", u->deleted_s);
    put_time(j, "purged", u->purged_s);
    put_int(j, "hours", (int64_t)used->hours);
    put_money(j, "cost", c->pool);
    put_keys(b, used, c);
    put_money(j, "keysCost", c->keys);
    put_int(j, "operations", used->operations < INT64_MAX ? (int64_t)used->operations : INT64_MAX);
    put_money(j, "operationsCost", c->operations);
    json_obj_close(j);
}

/* Regions beyond the last one that has room share it. */
static void add_region(struct bill *b, const char *name, uint64_t hours, money cost)
{
    size_t i = 0;
    while (i < b->region_n && strcmp(b->region[i].name, name) != 0)
        i++;
    if (i == REGIONS_MAX)
        i--;
    if (i == b->region_n) {
        b->region[i] = (struct region_sum){.hours = 0};
        (void)snprintf(b->region[i].name, sizeof b->region[i].name, "%s",
                       i + 1 < REGIONS_MAX ? name : "other regions");
        b->region_n++;
    }
    b->region[i].hours += hours;
    b->region[i].cost = money_sum(b->region[i].cost, cost);
}

static bool add_pool(void *ctx, const struct usage_pool *u)
{
    struct bill *b = ctx;
    struct usage used;
    struct charge c;
    uint64_t until = u->purged_s > 0 ? u->purged_s : b->now_s;
    usage_of_month(b->state, u, b->p, b->now_s, &used);
    used.hours = billing_hours(u->provisioned_s, until, b->book->minimum_hours, b->p);
    if (used.hours == 0 && used.key_seconds.n == 0 && used.operations == 0)
        return true;
    billing_charge(b->book, &used, b->p, &c);
    add_region(b, u->region, used.hours, c.pool);
    b->pools = money_sum(b->pools, c.pool);
    b->keys = money_sum(b->keys, c.keys);
    b->operations = money_sum(b->operations, c.operations);
    if (b->listed == BILL_POOLS_MAX) {
        b->omitted++;
        return true;
    }
    b->listed++;
    put_pool(b, u, &used, &c);
    return true;
}

static void put_sums(const struct bill *b)
{
    struct json_wr *j = b->j;
    money fees = money_sum(b->keys, b->operations);
    json_name(j, "regions");
    json_arr_open(j);
    for (size_t i = 0; i < b->region_n; i++) {
        json_obj_open(j);
        put_str(j, "region", b->region[i].name);
        put_int(j, "hours", (int64_t)b->region[i].hours);
        put_money(j, "cost", b->region[i].cost);
        json_obj_close(j);
    }
    json_arr_close(j);
    json_name(j, "total");
    json_obj_open(j);
    put_money(j, "pools", b->pools);
    put_money(j, "keys", b->keys);
    put_money(j, "operations", b->operations);
    put_str(j, "fees", b->book->fees_charged ? "charged" : "beside");
    put_money(j, "total", b->book->fees_charged ? money_sum(b->pools, fees) : b->pools);
    put_money(j, "totalWithFees", money_sum(b->pools, fees));
    json_obj_close(j);
}

void bill_write(const struct state *s, const struct price_book *book, struct period p,
                uint64_t now_ms, struct json_wr *j)
{
    struct bill b = {.state = s, .book = book, .p = p, .now_s = now_ms / 1000, .j = j};
    char month[MONTH_TEXT_LEN + 1];
    month_format(p.begin, month);
    json_obj_open(j);
    put_str(j, "month", month);
    put_time(j, "generated", b.now_s);
    put_str(j, "currency", book->currency);
    json_name(j, "pools");
    json_arr_open(j);
    usage_each(s, add_pool, &b);
    json_arr_close(j);
    put_int(j, "omitted", (int64_t)b.omitted);
    put_sums(&b);
    put_str(j, "priceBook", book->name);
    json_name(j, "notes");
    json_arr_open(j);
    for (size_t i = 0; i < book->note_n; i++)
        json_put_str(j, book->note[i]);
    json_arr_close(j);
    json_obj_close(j);
}

/* ---- requests ---- */

/* The right on the subscription, or 403. */
static bool may(struct fabric *f, const struct request *rq, const char *action, struct answer *a)
{
    char scope[128];
    (void)snprintf(scope, sizeof scope, "/subscriptions/%s", f->provider.dir.subscription);
    return arm_may(f, rq, action, bytes_str(scope)) || arm_forbid(rq, action, bytes_str(scope), a);
}

void bill_report(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct json_tok tok[PRICE_BOOK_TOKENS];
    static struct price_book book;
    const char *why = "";
    struct period p = month_of(rq->now_ms / 1000);
    struct bytes month = url_param_get(&rq->url, "month");
    if (!may(f, rq, "Keyhold.Control/bill/read", a))
        return;
    if (month.p != NULL && month_parse(month, &p) != HSM_OK) {
        arm_error(a, 400, "InvalidMonth", "month must be YYYY-MM.");
        return;
    }
    if (rq->http->head->method != HTTP1_POST) {
        price_book_default(&book);
    } else if (price_book_parse(rq->http->body, tok, &book, &why) != HSM_OK) {
        arm_error(a, 400, "InvalidPriceBook", "%s", why);
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    bill_write(f->state, &book, p, rq->now_ms, &j);
}

static void put_state(const char *name, struct answer *a)
{
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    put_str(&j, "state", name);
    json_obj_close(&j);
}

void subscription_show(struct fabric *f, const struct request *rq, struct answer *a)
{
    if (may(f, rq, "Keyhold.Control/subscription/read", a))
        put_state(subscription_state(f), a);
}

/* Not subject to the state that it sets. */
void subscription_change(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct json_tok tok[16];
    struct json_doc d;
    char name[32] = "";
    if (!may(f, rq, "Keyhold.Control/subscription/write", a))
        return;
    if (json_parse(rq->http->body, tok, 16, &d) != HSM_OK ||
        !arm_string(&d, 0, "state", name, sizeof name) ||
        subscription_set(f, rq->changes, bytes_str(name)) != HSM_OK) {
        arm_error(a, 400, "InvalidSubscriptionState",
                  "state must be Enabled, Disabled, Warned, PastDue or Deleted.");
        return;
    }
    put_state(name, a);
}
