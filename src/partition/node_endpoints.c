/* The listeners of private endpoints: the door opens them, the node keeps which ones are wanted. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "partition/config_internal.h"
#include "partition/node_internal.h"

#define FILE_NAME  "endpoints.json"
#define TOKENS_MAX 4096
#define NONE       "-"

static hsm_err take_word(const struct json_doc *d, uint32_t v, const char *name, bool required,
                         char *dst, size_t cap)
{
    TRY(config_text(d, v, name, dst, cap, required));
    for (const char *s = dst; *s != '\0'; s++)
        if (*s <= ' ' || *s >= 0x7f)
            return HSM_E_MALFORMED;
    if (dst[0] == '\0' && required)
        return HSM_E_MALFORMED;
    if (dst[0] == '\0')
        memcpy(dst, NONE, sizeof NONE);
    return HSM_OK;
}

/* What the door understands: ID POOL ADDRESS PORT DEVICE NETNS. It checks the rest. */
static hsm_err take(const struct json_doc *d, uint32_t v, struct node_endpoint *ret)
{
    struct node_endpoint e;
    char pool[25], address[64], device[32], netns[80];
    int64_t port = 0;
    if (json_type_of(d, v) != JSON_OBJECT)
        return HSM_E_MALFORMED;
    TRY(take_word(d, v, "id", true, e.id, sizeof e.id));
    TRY(take_word(d, v, "pool", true, pool, sizeof pool));
    TRY(take_word(d, v, "address", true, address, sizeof address));
    TRY(take_word(d, v, "device", false, device, sizeof device));
    TRY(take_word(d, v, "netns", false, netns, sizeof netns));
    TRY(config_int(d, v, "port", 65535, &port));
    if (port == 0 || !pool_name_valid(pool))
        return HSM_E_MALFORMED;
    (void)snprintf(e.text, sizeof e.text, "%s %s %s %u %s %s", e.id, pool, address, (unsigned)port,
                   device, netns);
    *ret = e;
    return HSM_OK;
}

static hsm_err parse(const struct json_doc *d, uint32_t list, struct node_endpoint *ret,
                     unsigned *ret_n)
{
    unsigned n = 0;
    if (list == JSON_NONE || json_type_of(d, list) != JSON_ARRAY ||
        json_count(d, list) > NODE_ENDPOINTS_MAX)
        return HSM_E_MALFORMED;
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v)) {
        TRY(take(d, v, &ret[n]));
        for (unsigned i = 0; i < n; i++)
            if (strcmp(ret[i].id, ret[n].id) == 0)
                return HSM_E_MALFORMED;
        n++;
    }
    *ret_n = n;
    return HSM_OK;
}

static const struct node_endpoint *find(const struct node_endpoint *list, unsigned n,
                                        const char *id)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(list[i].id, id) == 0)
            return &list[i];
    return NULL;
}

static void tell(struct node *n, const char *word, const char *text)
{
    char line[sizeof((struct node_endpoint *)NULL)->text + 16];
    (void)snprintf(line, sizeof line, "%s %s", word, text);
    node_send_door(n, line);
}

void node_endpoints_tell(struct node *n)
{
    for (unsigned i = 0; i < n->endpoint_n; i++)
        tell(n, "listen", n->endpoint[i].text);
}

static void change(struct node *n, const struct node_endpoint *list, unsigned m)
{
    for (unsigned i = 0; i < n->endpoint_n; i++)
        if (find(list, m, n->endpoint[i].id) == NULL)
            tell(n, "unlisten", n->endpoint[i].id);
    for (unsigned i = 0; i < m; i++) {
        const struct node_endpoint *old = find(n->endpoint, n->endpoint_n, list[i].id);
        if (old == NULL || strcmp(old->text, list[i].text) != 0)
            tell(n, "listen", list[i].text);
    }
    memcpy(n->endpoint, list, m * sizeof *list);
    n->endpoint_n = m;
}

const char *node_endpoints(struct node *n, const struct json_doc *d, char *text, size_t cap)
{
    static struct node_endpoint list[NODE_ENDPOINTS_MAX];
    char path[PATH_MAX];
    uint32_t v = json_get_nn(d, 0, "list");
    unsigned m;
    if (parse(d, v, list, &m) != HSM_OK) {
        (void)snprintf(text, cap, "\"list\" is not a list of endpoints: id, pool, address, port");
        return "bad";
    }
    hsm_err err = installation_path(&n->in, path, FILE_NAME);
    if (err == HSM_OK)
        err = file_replace(path, json_raw(d, v), 0600);
    if (err != HSM_OK) {
        (void)snprintf(text, cap, "the list cannot be kept: %s", hsm_err_text(err));
        return "failed";
    }
    change(n, list, m);
    return NULL;
}

void node_endpoints_load(struct node *n)
{
    static struct json_tok toks[TOKENS_MAX];
    static uint8_t buf[NODE_LINE_MAX];
    struct json_doc d;
    char path[PATH_MAX];
    size_t m = 0;
    hsm_err err = installation_path(&n->in, path, FILE_NAME);
    if (err == HSM_OK)
        err = file_read(path, buf, sizeof buf, &m);
    if (err == HSM_E_IO && errno == ENOENT)
        return;
    if (err == HSM_OK)
        err = json_parse(bytes_of(buf, m), toks, TOKENS_MAX, &d);
    if (err == HSM_OK)
        err = parse(&d, 0, n->endpoint, &n->endpoint_n);
    if (err != HSM_OK) /* the fabric says it again */
        log_error("%s is of no use: %s", path, hsm_err_text(err));
}
