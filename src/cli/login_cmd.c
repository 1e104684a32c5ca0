/* keyhold login: who it is that signs in on another device; who a subject of an external issuer is
 * for role assignments. */
#include <stdio.h>

#include "cli/pool.h"
#include "model/foreign.h"

int cmd_login_principal(struct cli *c)
{
    struct arg args[] = {
        {.name = "--issuer", .kind = ARG_VALUE, .required = true, .help = "its URL"},
        {.name = "--subject", .kind = ARG_VALUE, .required = true, .help = "\"sub\" of its tokens"},
        {.name = NULL}};
    char text[256], id[UUID_TEXT_LEN + 1];
    if (!args_parse(args, c->argc, c->argv, text, sizeof text))
        return cli_fail(CLI_USAGE, "%s", text);
    if (foreign_principal(bytes_str(args_value(args, "--issuer")),
                          bytes_str(args_value(args, "--subject")), id) != HSM_OK)
        return cli_fail(CLI_FAILED, "no memory");
    if (c->json)
        (void)printf("{\"principalId\":\"%s\"}\n", id);
    else
        (void)printf("%s\n", id);
    return CLI_OK;
}

int cmd_login_approve(struct cli *c)
{
    struct arg args[] = {{.name = "--user",
                          .alias = "-u",
                          .kind = ARG_VALUE,
                          .required = true,
                          .help = "user principal name or object id"},
                         {.name = "--decline", .kind = ARG_FLAG, .help = "refuse the login"},
                         {.name = NULL}};
    char text[256], json[600];
    struct wr w = wr_of(json, sizeof json - 1);
    struct json_wr j = json_wr_of(&w);
    struct pool p;
    int ret;
    if (c->argc < 1 || c->argv[0][0] == '-')
        return cli_fail(CLI_USAGE, "keyhold login approve CODE --user NAME [--decline]");
    if (!args_parse(args, c->argc - 1, c->argv + 1, text, sizeof text))
        return cli_fail(CLI_USAGE, "%s", text);
    json_obj_open(&j);
    json_name(&j, "userCode"), json_put_str(&j, c->argv[0]);
    json_name(&j, "user"), json_put_str(&j, args_value(args, "--user"));
    json_name(&j, "decline"), json_put_bool(&j, args_get(args, "--decline")->given);
    json_obj_close(&j);
    if (wr_ok(&w) != HSM_OK)
        return cli_fail(CLI_USAGE, "the code or the name is too long");
    json[w.n] = 0;
    if (!pool_open_origin(c, &p))
        return CLI_FAILED;
    if (pool_call(&p, "POST", "/keyhold/login/approve", json, &ret)) {
        char user[200], state[32];
        ret = CLI_OK;
        (void)printf("%s: %s\n", pool_text(&p.doc, 0, "state", state, sizeof state),
                     pool_text(&p.doc, 0, "user", user, sizeof user));
    }
    pool_close(&p);
    return ret;
}
