/* keyhold dns: the private DNS zones for a resolver, as the control plane keeps them below
 * HOME/dns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "model/dns_zone.h"

#define FILE_MAX ((size_t)4 << 20)

static int cmd_dns(struct cli *c);

const struct cli_command cli_network_commands[] = {
    {"dns", cmd_dns, "private DNS zones for dnsmasq, unbound or BIND"},
    {NULL, NULL, NULL},
};

static const char *const files[DNS__FORMATS] = {
    [DNS_DNSMASQ] = "dnsmasq.conf", [DNS_UNBOUND] = "unbound.conf", [DNS_RPZ] = "rpz.zone"};

static int give(const char *from, const char *to)
{
    size_t n = 0;
    uint8_t *text = malloc(FILE_MAX);
    hsm_err e = text != NULL ? file_read(from, text, FILE_MAX, &n) : HSM_E_NOMEM;
    int saved = errno;
    if (e == HSM_OK && to != NULL)
        e = file_replace(to, bytes_of(text, n), 0644);
    else if (e == HSM_OK && (fwrite(text, 1, n, stdout) != n || fflush(stdout) != 0))
        e = HSM_E_IO;
    free(text);
    if (e == HSM_OK)
        return CLI_OK;
    if (saved == ENOENT)
        return cli_fail(CLI_NOT_FOUND, "there is no such private DNS zone (%s)", from);
    return cli_fail(CLI_FAILED, "%s: %s", to != NULL ? to : from, hsm_err_text(e));
}

static int cmd_dns(struct cli *c)
{
    struct arg args[] = {
        {.name = "--format",
         .kind = ARG_VALUE,
         .required = true,
         .help = "dnsmasq, unbound, bind (a zone's master file), rpz (BIND, all names)"},
        {.name = "--zone",
         .kind = ARG_VALUE,
         .help = "of bind (default: privatelink.managedhsm.azure.net)"},
        {.name = "--file", .alias = "-f", .kind = ARG_VALUE, .help = "file (default: shown)"},
        {.name = NULL},
    };
    char dir[PATH_MAX], path[PATH_MAX], zone[DNS_NAME_MAX + 1], file[DNS_NAME_MAX + 8];
    enum dns_format format;
    int ret;
    if (!cli_args(c, args, "dns --format FORMAT [--zone ZONE] [--file FILE]", &ret))
        return ret;
    const char *name = args_value(args, "--zone");
    if (!dns_format_named(args_value(args, "--format"), &format))
        return cli_fail(CLI_USAGE, "--format: dnsmasq, unbound, bind or rpz");
    if (dns_name_parse(bytes_str(name != NULL ? name : "privatelink.managedhsm.azure.net"), zone) !=
        HSM_OK)
        return cli_fail(CLI_USAGE, "--zone: the name of a zone");
    (void)snprintf(file, sizeof file, "%s.zone", zone);
    cli_path(c, "dns", dir);
    if (path_join(path, sizeof path, dir, files[format] != NULL ? files[format] : file) != HSM_OK)
        return cli_fail(CLI_FAILED, "the path is too long");
    return give(path, args_value(args, "--file"));
}
