#include "fabric/key_url.h"

#include "codec/url.h"
#include "model/alg.h"

bool key_version_valid(struct bytes v)
{
    if (v.n != KEY_URL_VERSION_LEN)
        return false;
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = v.p[i] | 0x20;
        if (!(v.p[i] >= '0' && v.p[i] <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
    }
    return true;
}

/* Up to the next '/', which is taken away, too. */
static struct bytes part(struct bytes *rest)
{
    const uint8_t *end = rest->n > 0 ? memchr(rest->p, '/', rest->n) : NULL;
    size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
    struct bytes p = bytes_of(rest->p, n);
    size_t skip = n + (end != NULL);
    *rest = bytes_of(rest->n > 0 ? rest->p + skip : NULL, rest->n - skip);
    return p;
}

/* Scheme and host; *ret_rest is what follows the host's slash, *ret_slash: there was one. */
static hsm_err take_host(struct bytes text, struct key_url *u, struct bytes *ret_rest)
{
    static const char scheme[] = "https://";
    const size_t k = sizeof scheme - 1;
    char host[256];
    uint16_t port;
    if (text.n <= k || text.n > KEY_URL_MAX || !bytes_ieq(bytes_of(text.p, k), bytes_str(scheme)))
        return HSM_E_INVALID_KEY_ID;
    *ret_rest = bytes_of(text.p + k, text.n - k);
    u->authority = part(ret_rest);
    if (host_parse(u->authority, host, &port) != HSM_OK || host[0] == '[')
        return HSM_E_INVALID_KEY_ID;
    const uint8_t *dot = memchr(u->authority.p, '.', u->authority.n);
    if (dot == NULL || dot == u->authority.p)
        return HSM_E_INVALID_KEY_ID;
    u->pool = bytes_of(u->authority.p, (size_t)(dot - u->authority.p));
    return HSM_OK;
}

hsm_err pool_url_parse(struct bytes text, struct key_url *ret)
{
    struct key_url u = {.version = {NULL, 0}};
    struct bytes rest;
    TRY(take_host(text, &u, &rest));
    if (rest.n > 0)
        return HSM_E_INVALID_KEY_ID;
    *ret = u;
    return HSM_OK;
}

hsm_err key_url_parse(struct bytes text, struct key_url *ret)
{
    struct key_url u = {.version = {NULL, 0}};
    struct bytes rest;
    TRY(take_host(text, &u, &rest));
    if (!bytes_eq_str(part(&rest), "keys"))
        return HSM_E_INVALID_KEY_ID;
    u.name = part(&rest);
    if (!key_name_valid(u.name) || text.p[text.n - 1] == '/')
        return HSM_E_INVALID_KEY_ID;
    u.version = part(&rest);
    if (rest.n > 0 || (u.version.n > 0 && !key_version_valid(u.version)))
        return HSM_E_INVALID_KEY_ID;
    *ret = u;
    return HSM_OK;
}
