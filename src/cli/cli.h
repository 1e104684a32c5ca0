/* The keyhold command: shared state and the table of commands. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <limits.h>
#include <stdbool.h>
#include "base/bytes.h"
#include "cli/args.h"
#include "codec/json.h"
#include "fabric/identity/directory.h"
#include "partition/config.h"

struct cli {
    char home[PATH_MAX];      /* --home, else KEYHOLD_HOME, else $XDG_STATE_HOME/keyhold or
                               * ~/.local/state/keyhold */
    char pool_home[PATH_MAX]; /* of the pool that --pool names: HOME, or HOME/pools/NAME */
    bool json;                /* -o json */
    int argc;                 /* words after the command's own words */
    char **argv;
};

/* Exit statuses: 0 done, 1 failed, 2 wrong usage, 3 not found. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3
};

struct cli_command {
    const char *words; /* "key create" */
    int (*run)(struct cli *c);
    const char *help; /* one line */
};
/* Tables; each ends with words == NULL. */
extern const struct cli_command cli_local_commands[];     /* up, down, status, env */
extern const struct cli_command cli_pool_commands[];      /* activate, key, role, security-domain */
extern const struct cli_command cli_audit_commands[];     /* audit tail, audit verify */
extern const struct cli_command cli_partition_commands[]; /* partition, pool */
extern const struct cli_command cli_node_commands[];      /* node */

extern const struct cli_command cli_network_commands[]; /* dns */

/* "keyhold: TEXT" to standard error; returns status, for return cli_fail(...). */
int cli_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Parse c->argv into the table; prints help (and returns CLI_OK through *ret) or the error. */
bool cli_args(struct cli *c, struct arg *table, const char *usage, int *ret);

/* ---- home.c ---- */
/* HOME/NAME into dst: what belongs to the installation. */
void cli_path(const struct cli *c, const char *name, char dst[PATH_MAX]);
/* The same of the pool. */
void cli_pool_path(const struct cli *c, const char *name, char dst[PATH_MAX]);
/* The pool's home, and the name of partition number in fmt, a HOME_ text with one %u. */
void cli_partition_path(const struct cli *c, const char *fmt, unsigned number, const char *rest,
                        char dst[PATH_MAX]);
/* Take the pool of that name, whatever its case; NULL: the first one. false: there is none. */
bool cli_select_pool(struct cli *c, const char *name);
/* Configuration of the pool; prints the error. */
bool cli_config(const struct cli *c, struct partition_config *ret);
bool cli_directory(const struct cli *c, struct directory *ret);
/* Pid of the running supervisor, 0 when none runs. */
long cli_supervisor_pid(const struct cli *c);
/* The status line of a gateway's control socket, parsed; doc's views point into the struct. */
struct cli_status {
    char text[65536]; /* zero-terminated, with its line end */
    struct json_tok toks[4096];
    struct json_doc doc;
};
/* false: the gateway of that partition does not answer, or not with JSON. */
bool cli_partition_status(const struct cli *c, unsigned number, struct cli_status *ret);
/* Of the first partition that answers. */
bool cli_gateway_status(const struct cli *c, struct cli_status *ret);
/* The first pool was destroyed; the installation, with further ones, is still there. */
bool cli_first_is_gone(const struct cli *c);
/* What the node says of itself and all pools. */
bool cli_node_status(const struct cli *c, struct cli_status *ret);
/* A line for each pool of it; how many there are. */
unsigned cli_print_pools(const struct json_doc *d);
/* A line (NULL: none) to the socket at path, and the line that comes back into ret->text, parsed
 * when it is JSON. false: nobody answers within that time. */
bool cli_ask(const char *path, const char *line, unsigned timeout_s, struct cli_status *ret);
/* Keep the running pool's audit key in HOME/audit-key.pem, once: verification must not depend on
 * what a later log says of itself. */
void cli_pin_audit_key(const struct cli *c);

#endif
