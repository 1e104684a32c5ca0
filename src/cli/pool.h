/* Commands that talk to the pool: a session with it, and printing of answers. */
#ifndef CLI_POOL_H
#define CLI_POOL_H

#include "cli/cli.h"
#include "client/client.h"
#include "codec/json.h"

#define POOL_TOKENS_MAX 200000

struct pool {
    struct cli *cli;
    struct client *client;
    struct partition_config config;
    struct client_answer answer;
    struct json_doc doc; /* of the answer's body, when it is JSON */
};
/* Load the installation's settings and make a client. Prints what is wrong. */
bool pool_open(struct cli *c, struct pool *ret);
/* The same for the control origin; always as the administrator of directory.json. */
bool pool_open_origin(struct cli *c, struct pool *ret);
void pool_close(struct pool *p);

/* Call and parse. true when the status is 2xx; otherwise the service's message was printed and
 * *ret_status is the exit status. */
bool pool_call(struct pool *p, const char *method, const char *path, const char *json,
               int *ret_status);
bool pool_get_url(struct pool *p, const char *url, int *ret_status);

/* Print the answer: with -o json as it came, else through fn (one object) or, when the answer has
 * a "value" array, fn for each element. */
typedef void (*pool_row_fn)(const struct json_doc *d, uint32_t v);
void pool_print(const struct pool *p, pool_row_fn fn);
/* All pages of a list: GET path, then every nextLink. -o json prints one array. */
int pool_list(struct pool *p, const char *path, pool_row_fn fn);

/* String member of an object into a static-size buffer; "" when absent. dot: "key.kid" descends. */
const char *pool_text(const struct json_doc *d, uint32_t v, const char *dotted, char *dst,
                      size_t cap);
int64_t pool_int(const struct json_doc *d, uint32_t v, const char *dotted);

/* Options every pool command takes, for the head of a table. */
#define POOL_ARGS                                                                                  \
    {                                                                                              \
        .name = "--hsm-name", .kind = ARG_VALUE, .help = "pool; must be the one of this home"      \
    }
bool pool_args(struct cli *c, struct pool *p, struct arg *table, const char *usage, int *ret);

/* ---- commands ---- */
int cmd_activate(struct cli *c);
int cmd_login_approve(struct cli *c);
int cmd_login_principal(struct cli *c);
int cmd_sd_download(struct cli *c);
int cmd_key_create(struct cli *c);
int cmd_key_show(struct cli *c);
int cmd_key_list(struct cli *c);
int cmd_key_list_versions(struct cli *c);
int cmd_key_set_attributes(struct cli *c);
int cmd_key_delete(struct cli *c);
int cmd_key_list_deleted(struct cli *c);
int cmd_key_show_deleted(struct cli *c);
int cmd_key_recover(struct cli *c);
int cmd_key_purge(struct cli *c);
int cmd_key_encrypt(struct cli *c);
int cmd_key_decrypt(struct cli *c);
int cmd_key_wrap(struct cli *c);
int cmd_key_unwrap(struct cli *c);
int cmd_key_sign(struct cli *c);
int cmd_key_verify(struct cli *c);
int cmd_role_definition_list(struct cli *c);
int cmd_role_definition_create(struct cli *c);
int cmd_role_definition_delete(struct cli *c);
int cmd_role_assignment_list(struct cli *c);
int cmd_role_assignment_create(struct cli *c);
int cmd_role_assignment_delete(struct cli *c);

#endif
