#include "gateway/face.h"

#include <stdio.h>

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static hsm_err take_suffix(struct face *f, struct bytes v)
{
    if (v.n == 0 || v.n >= sizeof f->suffix)
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < v.n; i++) {
        char c = (char)v.p[i];
        f->suffix[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        if (!is_host_char(f->suffix[i]))
            return HSM_E_BAD_PARAMETER;
    }
    return HSM_OK;
}

static hsm_err take_port(struct face *f, struct bytes v)
{
    unsigned port = 0;
    if (v.n == 0 || v.n > 5)
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return HSM_E_BAD_PARAMETER;
        port = port * 10 + (v.p[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX)
        return HSM_E_BAD_PARAMETER;
    f->port = (uint16_t)port;
    return HSM_OK;
}

/* Clients split the challenge at blanks, commas and '=', so the value may hold none of them. */
static hsm_err take_authority(struct face *f, struct bytes v)
{
    while (v.n > 0 && v.p[v.n - 1] == '/')
        v.n--;
    if (v.n == 0 || v.n >= sizeof f->authority)
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] <= ' ' || v.p[i] > '~' || v.p[i] == '"' || v.p[i] == '=')
            return HSM_E_BAD_PARAMETER;
    }
    memcpy(f->authority, v.p, v.n);
    return HSM_OK;
}

static hsm_err take_member(struct face *f, struct bytes name, struct bytes value)
{
    if (bytes_eq_str(name, "suffix"))
        return take_suffix(f, value);
    if (bytes_eq_str(name, "port"))
        return take_port(f, value);
    if (bytes_eq_str(name, "authority"))
        return take_authority(f, value);
    return HSM_E_BAD_PARAMETER;
}

hsm_err faces_add(struct faces *f, const char *text)
{
    struct face one = {.port = 443};
    if (f->n >= FACES_MAX)
        return HSM_E_BAD_PARAMETER;
    while (*text != '\0') {
        size_t n = strcspn(text, ",");
        size_t eq = strcspn(text, "=");
        if (eq >= n)
            return HSM_E_BAD_PARAMETER;
        TRY(take_member(&one, bytes_of(text, eq), bytes_of(text + eq + 1, n - eq - 1)));
        text += n + (text[n] == ',');
    }
    if (one.suffix[0] == '\0' || one.authority[0] == '\0')
        return HSM_E_BAD_PARAMETER;
    f->face[f->n++] = one;
    return HSM_OK;
}

static hsm_err bind(struct face *f, struct bytes pool_name, struct bytes tenant)
{
    char port[8] = "";
    int n = snprintf(f->host, sizeof f->host, "%.*s.%s", (int)pool_name.n,
                     (const char *)pool_name.p, f->suffix);
    if (n < 0 || (size_t)n >= sizeof f->host)
        return HSM_E_BAD_PARAMETER;
    for (char *c = f->host; *c != '\0'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
    if (f->port != 443)
        (void)snprintf(port, sizeof port, ":%u", f->port);
    n = snprintf(f->challenge, sizeof f->challenge,
                 "Bearer authorization=\"%s/%.*s\", resource=\"https://%s%s\"", f->authority,
                 (int)tenant.n, (const char *)tenant.p, f->suffix, port);
    return n > 0 && (size_t)n < sizeof f->challenge ? HSM_OK : HSM_E_BAD_PARAMETER;
}

hsm_err faces_bind(struct faces *f, struct bytes pool_name, struct bytes tenant)
{
    if (f->n == 0 || pool_name.n == 0 || tenant.n == 0)
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < f->n; i++)
        TRY(bind(&f->face[i], pool_name, tenant));
    return HSM_OK;
}

const struct face *faces_find(const struct faces *f, const char *host)
{
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->face[i].host, host) == 0)
            return &f->face[i];
    }
    return NULL;
}
