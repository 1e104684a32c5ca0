/* HOME/dns: the private DNS zones for the resolvers of the networks. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "fabric/arm_internal.h"
#include "fabric/network.h"

#define TEXT_MAX ((size_t)4 << 20)
#define PATH_N   4096

struct zones {
    struct dns_record record[NETWORK_RECORDS_MAX];
    size_t n;
    char zone[64][DNS_NAME_MAX + 1]; /* each once */
    size_t zone_n;
    char dir[PATH_N];
    uint8_t text[TEXT_MAX];
};

static bool take_zone(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct zones *z = ctx;
    char name[ARM_NAME_MAX + 1];
    (void)f;
    if (z->zone_n == sizeof z->zone / sizeof z->zone[0] ||
        !arm_string(&r->json, 0, "name", name, sizeof name) ||
        dns_name_parse(bytes_str(name), z->zone[z->zone_n]) != HSM_OK)
        return true;
    for (size_t i = 0; i < z->zone_n; i++)
        if (strcmp(z->zone[i], z->zone[z->zone_n]) == 0)
            return true;
    z->zone_n++;
    return true;
}

/* Was checked when it was stored; what does not fit all the same stays out. */
static bool take_record(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct zones *z = ctx;
    char id[ARM_ID_MAX + 1], name[ARM_NAME_MAX + 1], address[NETWORK_CIDR_TEXT_MAX];
    int64_t ttl = 0;
    uint32_t p = arm_properties(&r->json), list = json_get_nn(&r->json, p, "aRecords");
    (void)f;
    char *end = arm_string(&r->json, 0, "id", id, sizeof id) ? strrchr(id, '/') : NULL;
    if (end == NULL || end - id < 3 || list == JSON_NONE ||
        !arm_string(&r->json, 0, "name", name, sizeof name))
        return true;
    end[-2] = 0; /* "/A/NAME" */
    (void)!json_int(&r->json, json_get(&r->json, p, "ttl"), &ttl);
    for (uint32_t v = json_first(&r->json, list); v != JSON_NONE; v = json_next(&r->json, list, v))
        if (z->n < NETWORK_RECORDS_MAX &&
            arm_string(&r->json, v, "ipv4Address", address, sizeof address) &&
            dns_record_set(&z->record[z->n], bytes_str(name), arm_last_segment(bytes_str(id)),
                           bytes_str(address),
                           (uint32_t)(ttl < 0 || ttl > 86400 ? 10 : ttl)) == HSM_OK)
            z->n++;
    return true;
}

static void write_file(struct zones *z, enum dns_format format, const char *zone, const char *name,
                       uint32_t serial)
{
    char path[PATH_N];
    struct wr w = wr_of(z->text, sizeof z->text);
    hsm_err e = path_join(path, sizeof path, z->dir, name);
    if (e == HSM_OK)
        e = dns_write(format, zone, z->record, z->n, serial, &w);
    if (e == HSM_OK)
        e = file_replace(path, wr_view(&w), 0644);
    if (e != HSM_OK)
        log_error("dns: %s cannot be written: %s", name, hsm_err_text(e));
}

static bool is_wanted(const struct zones *z, const char *file)
{
    size_t n = strlen(file);
    if (n < 6 || strcmp(file + n - 5, ".zone") != 0 || strcmp(file, "rpz.zone") == 0)
        return true; /* not a zone's */
    for (size_t i = 0; i < z->zone_n; i++)
        if (strlen(z->zone[i]) == n - 5 && strncmp(z->zone[i], file, n - 5) == 0)
            return true;
    return false;
}

static void remove_old(const struct zones *z)
{
    char path[PATH_N];
    DIR *d = opendir(z->dir);
    if (d == NULL)
        return;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (!is_wanted(z, e->d_name) && path_join(path, sizeof path, z->dir, e->d_name) == HSM_OK)
            (void)unlink(path);
    closedir(d);
}

static void write_all(struct zones *z, uint32_t serial)
{
    char name[DNS_NAME_MAX + 8];
    if (dir_ensure(z->dir, 0755) != HSM_OK) {
        log_error("dns: %s cannot be made", z->dir);
        return;
    }
    write_file(z, DNS_DNSMASQ, NULL, "dnsmasq.conf", serial);
    write_file(z, DNS_UNBOUND, NULL, "unbound.conf", serial);
    write_file(z, DNS_RPZ, NULL, "rpz.zone", serial);
    for (size_t i = 0; i < z->zone_n; i++) {
        snprintf(name, sizeof name, "%s.zone", z->zone[i]);
        write_file(z, DNS_BIND, z->zone[i], name, serial);
    }
    remove_old(z);
}

void network_dns_write(struct fabric *f, uint64_t now_ms)
{
    static const char all[] = "/subscriptions/";
    struct stat st;
    struct zones *z = malloc(sizeof *z);
    if (z == NULL)
        return;
    z->n = z->zone_n = 0;
    arm_each(f, bytes_str(all), &network_zone_type, take_zone, z);
    arm_each(f, bytes_str(all), &network_record_type, take_record, z);
    if (path_join(z->dir, sizeof z->dir, f->config.home, "../dns") == HSM_OK &&
        (z->zone_n > 0 || stat(z->dir, &st) == 0))
        write_all(z, (uint32_t)(now_ms / 1000));
    free(z);
}
