#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "partition/config_internal.h"

#define PORT_FIRST 20000
#define PORT_N     12000
#define PORT_TRIES 200

/* ---- reading ---- */

static bool rack_valid(const char *s)
{
    for (; *s != '\0'; s++)
        if (*s <= ' ' || *s >= 0x7f)
            return false;
    return true;
}

static hsm_err entry_parse(const struct json_doc *d, uint32_t v, struct partition_entry *ret)
{
    struct partition_entry e = {0};
    int64_t number, replaces = -1;
    uint32_t known = 0;
    static const char *const names[] = {"number", "peer", "rack", "joined", "replaces"};
    if (json_type_of(d, v) != JSON_OBJECT || json_get_nn(d, v, "number") == JSON_NONE)
        return HSM_E_MALFORMED;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        known += json_get(d, v, names[i]) != JSON_NONE;
    if (known != json_count(d, v))
        return HSM_E_MALFORMED;
    TRY(config_int(d, v, "number", PARTITION_MAX, &number));
    TRY(config_text(d, v, "peer", e.peer, sizeof e.peer, false));
    TRY(config_text(d, v, "rack", e.rack, sizeof e.rack, false));
    TRY(config_bool(d, v, "joined", false, &e.joined));
    if (json_get_nn(d, v, "replaces") != JSON_NONE)
        TRY(config_int(d, v, "replaces", PARTITION_MAX, &replaces));
    if ((e.peer[0] != '\0' && !config_address_valid(e.peer)) || !rack_valid(e.rack))
        return HSM_E_MALFORMED;
    e.number = (unsigned)number;
    e.replaces_id = (unsigned)(replaces + 1);
    *ret = e;
    return HSM_OK;
}

/* Numbers rise, addresses differ, and nobody is without one where there are others. */
static hsm_err entries_check(const struct partition_config *c)
{
    for (unsigned i = 0; i < c->partition_n; i++) {
        const struct partition_entry *e = &c->partition[i];
        if (i > 0 && e->number <= e[-1].number)
            return HSM_E_MALFORMED;
        if (c->partition_n > 1 && e->peer[0] == '\0')
            return HSM_E_MALFORMED;
        for (unsigned k = 0; k < i; k++)
            if (strcmp(c->partition[k].peer, e->peer) == 0)
                return HSM_E_MALFORMED;
    }
    return HSM_OK;
}

static hsm_err local_parse(const struct json_doc *d, struct partition_config *c)
{
    uint32_t list = json_get_nn(d, 0, "local");
    if (list == JSON_NONE)
        return HSM_OK;
    if (json_type_of(d, list) != JSON_ARRAY || json_count(d, list) == 0)
        return HSM_E_MALFORMED;
    for (unsigned i = 0; i < c->partition_n; i++)
        c->partition[i].remote = true;
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v)) {
        int64_t n;
        TRY(json_int(d, v, &n));
        struct partition_entry *e =
            n >= 0 && n <= PARTITION_MAX ? partition_config_find(c, (unsigned)n) : NULL;
        if (e == NULL || !e->remote)
            return HSM_E_MALFORMED;
        e->remote = false;
    }
    return HSM_OK;
}

hsm_err config_partitions_parse(const struct json_doc *d, struct partition_config *c)
{
    uint32_t list = json_get_nn(d, 0, "partitions");
    int64_t next;
    TRY(config_int(d, 0, "nextPartition", PARTITION_MAX + 1, &next));
    c->partition_n = 0;
    if (list == JSON_NONE) {
        c->partition[c->partition_n++] = (struct partition_entry){0};
    } else if (json_type_of(d, list) != JSON_ARRAY || json_count(d, list) == 0 ||
               json_count(d, list) > PARTITIONS_MAX) {
        return HSM_E_MALFORMED;
    } else {
        for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v))
            TRY(entry_parse(d, v, &c->partition[c->partition_n++]));
    }
    TRY(entries_check(c));
    unsigned last = c->partition[c->partition_n - 1].number;
    c->next_partition = next > 0 ? (unsigned)next : last + 1;
    return c->next_partition > last ? local_parse(d, c) : HSM_E_MALFORMED;
}

/* ---- writing ---- */

static void entry_write(struct json_wr *j, const struct partition_entry *e)
{
    json_obj_open(j);
    json_name(j, "number");
    json_put_int(j, e->number);
    if (e->peer[0] != '\0') {
        json_name(j, "peer");
        json_put_str(j, e->peer);
    }
    if (e->rack[0] != '\0') {
        json_name(j, "rack");
        json_put_str(j, e->rack);
    }
    if (e->joined) {
        json_name(j, "joined");
        json_put_bool(j, true);
    }
    if (e->replaces_id > 0) {
        json_name(j, "replaces");
        json_put_int(j, (int64_t)e->replaces_id - 1);
    }
    json_obj_close(j);
}

static void local_write(struct json_wr *j, const struct partition_config *c)
{
    bool all = true;
    for (unsigned i = 0; i < c->partition_n; i++)
        all = all && !c->partition[i].remote;
    if (all)
        return;
    json_name(j, "local");
    json_arr_open(j);
    for (unsigned i = 0; i < c->partition_n; i++)
        if (!c->partition[i].remote)
            json_put_int(j, c->partition[i].number);
    json_arr_close(j);
}

/* A pool that never had more than its first partition has no list. */
static bool is_plain(const struct partition_config *c)
{
    const struct partition_entry *e = &c->partition[0];
    return c->partition_n == 1 && c->next_partition == 1 && e->peer[0] == '\0' &&
           e->rack[0] == '\0' && !e->joined && !e->remote;
}

void config_partitions_write(struct json_wr *j, const struct partition_config *c)
{
    if (is_plain(c))
        return;
    json_name(j, "partitions");
    json_arr_open(j);
    for (unsigned i = 0; i < c->partition_n; i++)
        entry_write(j, &c->partition[i]);
    json_arr_close(j);
    json_name(j, "nextPartition");
    json_put_int(j, c->next_partition);
    local_write(j, c);
}

/* ---- changing ---- */

struct partition_entry *partition_config_find(struct partition_config *c, unsigned number)
{
    for (unsigned i = 0; i < c->partition_n; i++)
        if (c->partition[i].number == number)
            return &c->partition[i];
    return NULL;
}

static bool port_is_free(uint16_t port)
{
    const struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        (void)close(fd);
    return is_free;
}

uint16_t partition_free_port(void)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        uint16_t n;
        if (getrandom(&n, sizeof n, 0) != (ssize_t)sizeof n)
            return 0;
        uint16_t port = (uint16_t)(PORT_FIRST + n % PORT_N);
        if (port_is_free(port))
            return port;
    }
    return 0;
}

static hsm_err take_address(const struct partition_config *c, char *dst, size_t cap)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        char text[32];
        uint16_t port = partition_free_port();
        bool taken = port == 0;
        (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
        for (unsigned k = 0; k < c->partition_n; k++)
            taken = taken || strcmp(c->partition[k].peer, text) == 0;
        if (!taken) {
            (void)snprintf(dst, cap, "%s", text);
            return HSM_OK;
        }
    }
    return HSM_E_IO;
}

hsm_err partition_config_add(struct partition_config *c, unsigned *ret_number)
{
    struct partition_entry e = {.number = c->next_partition};
    struct partition_entry *only = &c->partition[0];
    if (c->partition_n == PARTITIONS_MAX || e.number > PARTITION_MAX)
        return HSM_E_RANGE;
    if (c->partition_n == 1 && only->peer[0] == '\0')
        TRY(take_address(c, only->peer, sizeof only->peer));
    TRY(take_address(c, e.peer, sizeof e.peer));
    c->partition[c->partition_n++] = e;
    c->next_partition++;
    *ret_number = e.number;
    return HSM_OK;
}

void partition_config_remove(struct partition_config *c, unsigned number)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->partition_n; i++)
        if (c->partition[i].number != number)
            c->partition[n++] = c->partition[i];
    c->partition_n = n;
}
