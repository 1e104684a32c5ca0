#include "fabric/face.h"

#include <stdio.h>
#include "codec/url.h"

static const char *const azure_names[] = {
    "management.azure.com",
    "login.microsoftonline.com",
    "graph.microsoft.com",
};
static const char *const local_names[] = {"localhost", "127.0.0.1", "::1"};

static bool is_one_of(const char *host, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(host, list[i]) == 0)
            return true;
    }
    return false;
}

static bool is_origin_host(const char *origin, const char *host)
{
    static const char scheme[] = "https://";
    char name[256];
    uint16_t port;
    if (strncmp(origin, scheme, sizeof scheme - 1) != 0 ||
        host_parse(bytes_str(origin + sizeof scheme - 1), name, &port) != HSM_OK)
        return false;
    return strcmp(name, host) == 0;
}

static struct face azure_face(void)
{
    struct face f = {.azure = true};
    snprintf(f.arm, sizeof f.arm, "https://%s", azure_names[0]);
    snprintf(f.login, sizeof f.login, "https://%s", azure_names[1]);
    snprintf(f.graph, sizeof f.graph, "https://%s", azure_names[2]);
    snprintf(f.hsm_suffix, sizeof f.hsm_suffix, "managedhsm.azure.net");
    return f;
}

static struct face local_face(const char *host, uint16_t port, const char *hsm_suffix)
{
    struct face f = {0};
    bool v6 = strchr(host, ':') != NULL;
    char origin[FACE_URL_MAX], tail[8] = "";
    if (port != 0 && port != 443)
        snprintf(tail, sizeof tail, ":%u", port);
    snprintf(origin, sizeof origin, "https://%s%s%s%s", v6 ? "[" : "", host, v6 ? "]" : "", tail);
    memcpy(f.login, origin, sizeof origin);
    memcpy(f.arm, origin, sizeof origin);
    memcpy(f.graph, origin, sizeof origin);
    snprintf(f.hsm_suffix, sizeof f.hsm_suffix, "%s", hsm_suffix);
    return f;
}

hsm_err face_of(const char *origin, const char *hsm_suffix, struct bytes host, struct face *ret)
{
    char name[256];
    uint16_t port = 0;
    if (host_parse(host, name, &port) != HSM_OK)
        return HSM_E_MISDIRECTED;
    if (is_one_of(name, azure_names, sizeof azure_names / sizeof *azure_names)) {
        *ret = azure_face();
        return HSM_OK;
    }
    if (!is_one_of(name, local_names, sizeof local_names / sizeof *local_names) &&
        !is_origin_host(origin, name))
        return HSM_E_MISDIRECTED;
    *ret = local_face(name, port, hsm_suffix);
    return HSM_OK;
}
