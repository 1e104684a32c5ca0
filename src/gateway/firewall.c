#include "gateway/firewall.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/file.h"
#include "base/log.h"
#include "codec/base64url.h"

/* Requests of a pool without rules look at is_open only: no lock, no line of memory that is
 * written. */
struct firewall {
    const char *path;
    atomic_bool is_open;
    pthread_rwlock_t lock;
    struct network_rules rules;
};

hsm_err firewall_new(const char *path, struct firewall **ret)
{
    struct firewall *fw = calloc(1, sizeof *fw);
    if (fw == NULL)
        return HSM_E_NOMEM;
    if (pthread_rwlock_init(&fw->lock, NULL) != 0) {
        free(fw);
        return HSM_E_NOMEM;
    }
    fw->path = path;
    if (path == NULL)
        network_rules_open(&fw->rules);
    else
        network_rules_closed(&fw->rules);
    atomic_store(&fw->is_open, path == NULL);
    *ret = fw;
    return HSM_OK;
}

void firewall_free(struct firewall *fw)
{
    if (fw == NULL)
        return;
    (void)pthread_rwlock_destroy(&fw->lock);
    free(fw);
}

/* ---- the file ---- */

struct reading {
    uint8_t text[NETWORK_TEXT_MAX];
    struct json_tok toks[NETWORK_TOKENS_MAX];
    struct network_rules rules;
};

static hsm_err read_rules(const char *path, struct reading *r)
{
    size_t n = 0;
    hsm_err err = file_read(path, r->text, sizeof r->text, &n);
    if (err == HSM_E_IO && errno == ENOENT) {
        network_rules_open(&r->rules);
        return HSM_OK;
    }
    if (err == HSM_OK)
        err = network_rules_parse(bytes_of(r->text, n), r->toks, &r->rules);
    if (err != HSM_OK)
        network_rules_closed(&r->rules);
    return err;
}

static void put_rules(struct firewall *fw, const struct network_rules *rules)
{
    (void)pthread_rwlock_wrlock(&fw->lock);
    if (rules != NULL)
        fw->rules = *rules;
    else
        network_rules_closed(&fw->rules);
    /* public requests only: those of a private endpoint always look at the rules */
    atomic_store(&fw->is_open, network_rules_is_open(&fw->rules));
    (void)pthread_rwlock_unlock(&fw->lock);
}

hsm_err firewall_load(struct firewall *fw)
{
    static const char *const access[] = {[NETWORK_ENABLED] = "enabled",
                                         [NETWORK_DISABLED] = "disabled",
                                         [NETWORK_PERIMETER] = "secured by a perimeter"};
    if (fw->path == NULL)
        return HSM_OK;
    struct reading *r = calloc(1, sizeof *r);
    hsm_err err = r != NULL ? read_rules(fw->path, r) : HSM_E_NOMEM;
    put_rules(fw, err == HSM_OK ? &r->rules : NULL);
    if (err != HSM_OK)
        log_error("network: %s cannot be used (%s); the pool is closed to everybody", fw->path,
                  hsm_err_name(err));
    else
        log_info("network: public access %s, by default %s, %zu address rules, %zu trusted "
                 "callers, %zu private endpoints",
                 access[r->rules.access], r->rules.denies ? "deny" : "allow", r->rules.ip_n,
                 r->rules.caller_n, r->rules.endpoint_n);
    free(r);
    return err;
}

/* ---- requests ---- */

hsm_err firewall_claimed_caller(struct bytes token, const struct firewall_room *room,
                                struct uuid *ret)
{
    struct json_doc d;
    struct bytes oid;
    size_t n;
    const uint8_t *dot = token.n > 0 ? memchr(token.p, '.', token.n) : NULL;
    if (dot == NULL)
        return HSM_E_MALFORMED;
    struct bytes rest = bytes_of(dot + 1, token.n - (size_t)(dot + 1 - token.p));
    dot = rest.n > 0 ? memchr(rest.p, '.', rest.n) : NULL;
    if (dot == NULL)
        return HSM_E_MALFORMED;
    struct bytes claims = bytes_of(rest.p, (size_t)(dot - rest.p));
    if (b64_decoded_max(claims.n) > room->buf_n)
        return HSM_E_MALFORMED;
    TRY(b64u_decode(room->buf, claims, &n));
    TRY(json_parse(bytes_of(room->buf, n), room->toks, room->tok_n, &d));
    uint32_t v = json_get(&d, 0, "oid");
    if (v == JSON_NONE)
        return HSM_E_NOT_FOUND;
    TRY(json_plain(&d, v, &oid));
    return uuid_parse(oid, ret);
}

static enum network_verdict decide_locked(const struct network_rules *rules,
                                          struct network_way *way, struct bytes token,
                                          const struct firewall_room *room)
{
    struct uuid caller;
    enum network_verdict v = network_decide(rules, way);
    if (v == NETWORK_ALLOW || !network_asks_caller(rules, way) ||
        firewall_claimed_caller(token, room, &caller) != HSM_OK)
        return v;
    way->caller = &caller;
    v = network_decide(rules, way);
    way->caller = NULL;
    return v;
}

hsm_err firewall_decide(struct firewall *fw, const struct http_request *rq, struct bytes token,
                        const struct firewall_room *room)
{
    struct network_way way = {.is_private = rq->endpoint != NULL};
    if (!way.is_private && atomic_load_explicit(&fw->is_open, memory_order_acquire))
        return HSM_OK;
    if (way.is_private)
        way.endpoint = bytes_str(rq->endpoint);
    else if (network_address_parse(bytes_str(rq->client_ip), &way.address) != HSM_OK)
        return HSM_E_FIREWALL_ADDRESS;
    (void)pthread_rwlock_rdlock(&fw->lock);
    enum network_verdict v = decide_locked(&fw->rules, &way, token, room);
    (void)pthread_rwlock_unlock(&fw->lock);
    return v == NETWORK_ALLOW              ? HSM_OK
           : v == NETWORK_NOT_THIS_ADDRESS ? HSM_E_FIREWALL_ADDRESS
                                           : HSM_E_FIREWALL_WAY;
}
