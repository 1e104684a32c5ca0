/* How an app proves who it is: the secrets and certificates of its application and of its service
 * principal, within their dates. */
#include "base/civil.h"
#include "codec/base64url.h"
#include "fabric/people.h"

static bool digits(struct bytes t, size_t at, size_t n, unsigned *ret)
{
    unsigned v = 0;
    for (size_t i = at; i < at + n; i++) {
        if (i >= t.n || t.p[i] < '0' || t.p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(t.p[i] - '0');
    }
    *ret = v;
    return true;
}

hsm_err people_time_parse(struct bytes t, uint64_t *ret_s)
{
    static const char form[] = "0000-00-00T00:00:00";
    struct civil c;
    unsigned h, m, s;
    size_t n = sizeof form - 1;
    if (t.n < n + 1 || t.p[4] != '-' || t.p[7] != '-' || (t.p[10] | 0x20) != 't' ||
        t.p[13] != ':' || t.p[16] != ':')
        return HSM_E_MALFORMED;
    if (!digits(t, 0, 4, &c.year) || !digits(t, 5, 2, &c.month) || !digits(t, 8, 2, &c.day) ||
        !digits(t, 11, 2, &h) || !digits(t, 14, 2, &m) || !digits(t, 17, 2, &s))
        return HSM_E_MALFORMED;
    if (c.year < 1970 || c.month < 1 || c.month > 12 || c.day < 1 ||
        c.day > civil_month_days(c.year, c.month) || h > 23 || m > 59 || s > 60)
        return HSM_E_MALFORMED;
    if (t.p[n] == '.') {
        n++;
        while (n < t.n && t.p[n] >= '0' && t.p[n] <= '9')
            n++;
    }
    struct bytes zone = bytes_of(t.p + n, t.n - n);
    if (!bytes_ieq(zone, bytes_str("z")) && !bytes_eq_str(zone, "+00:00"))
        return HSM_E_MALFORMED;
    *ret_s = civil_to_days(c) * 86400 + h * 3600u + m * 60u + s;
    return HSM_OK;
}

enum when {
    WHEN_GOOD,
    WHEN_OVER,
    WHEN_NOT
};

static enum when when_of(const struct people_object *o, uint32_t credential, uint64_t now_s)
{
    struct bytes text;
    uint64_t t;
    uint32_t end = json_get_nn(&o->d, credential, "endDateTime");
    uint32_t start = json_get_nn(&o->d, credential, "startDateTime");
    if (start != JSON_NONE && (json_plain(&o->d, start, &text) != HSM_OK ||
                               people_time_parse(text, &t) != HSM_OK || t > now_s + 300))
        return WHEN_NOT;
    if (end == JSON_NONE || json_plain(&o->d, end, &text) != HSM_OK ||
        people_time_parse(text, &t) != HSM_OK)
        return WHEN_NOT;
    return t <= now_s ? WHEN_OVER : WHEN_GOOD;
}

/* What secret.PART says for that credential. */
static bool kept_of(const struct people_object *o, uint32_t credential, const char *part,
                    struct bytes *ret)
{
    struct bytes id;
    char name[UUID_TEXT_LEN + 1];
    struct uuid u;
    uint32_t v = json_get_nn(&o->d, credential, "keyId");
    if (v == JSON_NONE || json_plain(&o->d, v, &id) != HSM_OK || uuid_parse(id, &u) != HSM_OK)
        return false;
    uuid_format(&u, name);
    v = json_get_nn(&o->d, json_get_nn(&o->d, o->secret, part), name);
    return v != JSON_NONE && json_plain(&o->d, v, ret) == HSM_OK;
}

struct given {
    struct bytes secret;           /* n == 0: a certificate */
    const struct assertion *proof; /* of it */
    uint64_t now_s;
};

static bool certificate_fits(struct bytes b64, const struct assertion *proof)
{
    static uint8_t der[ASSERTION_TEXT_MAX];
    size_t n = 0;
    return b64_decoded_max(b64.n) <= sizeof der && b64_decode(der, b64, &n) == HSM_OK &&
           assertion_check_certificate(proof, bytes_of(der, n)) == HSM_OK;
}

/* One object's credentials; *overdue when the right one is over. */
static bool check(const struct people_object *o, const struct given *g, bool *overdue)
{
    const char *list_name = g->proof == NULL ? "passwordCredentials" : "keyCredentials";
    uint32_t list = json_get_nn(&o->d, o->object, list_name);
    bool good = false;
    for (uint32_t at = list == JSON_NONE ? JSON_NONE : json_first(&o->d, list); at != JSON_NONE;
         at = json_next(&o->d, list, at)) {
        struct bytes kept;
        if (!kept_of(o, at, g->proof == NULL ? "secrets" : "certificates", &kept))
            continue;
        bool fits =
            g->proof == NULL ? secret_hash_fits(kept, g->secret) : certificate_fits(kept, g->proof);
        enum when when = when_of(o, at, g->now_s);
        *overdue = *overdue || (fits && when == WHEN_OVER);
        good = good || (fits && when == WHEN_GOOD);
    }
    return good;
}

/* Both objects of the app, whatever the first one says. */
static bool check_both(const struct fabric *f, const struct principal *app, const struct given *g,
                       bool *overdue)
{
    static struct people_object o;
    char id[UUID_TEXT_LEN + 1];
    bool good = people_get(f, STATE_PRINCIPAL, bytes_str(app->oid), &o) && check(&o, g, overdue);
    if (people_find(f, "app", bytes_str(app->client_id), id) &&
        people_get(f, STATE_APPLICATION, bytes_str(id), &o))
        good = check(&o, g, overdue) || good;
    return good;
}

enum token_fault people_check_secret(void *ctx, const struct principal *app, struct bytes given,
                                     uint64_t now_s)
{
    bool overdue = false;
    bool plain = directory_secret_matches(app->secret, given);
    struct given g = {.secret = given, .now_s = now_s};
    if (check_both(ctx, app, &g, &overdue) || plain)
        return TOKEN_OK;
    return overdue ? TOKEN_SECRET_EXPIRED : TOKEN_SECRET;
}

enum token_fault people_check_certificate(void *ctx, const struct principal *app,
                                          const struct assertion *a, uint64_t now_s)
{
    bool overdue = false;
    struct given g = {.proof = a, .now_s = now_s};
    return check_both(ctx, app, &g, &overdue) ? TOKEN_OK : TOKEN_ASSERTION_KEY;
}
