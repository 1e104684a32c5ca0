/* keyhold key encrypt, decrypt, wrap, unwrap, sign, verify. Values are standard base64 (base64url
 * is understood as well), or text with --data-type plaintext. Every operation is done by the HSM.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "cli/pool.h"
#include "codec/base64url.h"

#define VALUE_MAX 196608

struct crypto_cmd {
    const char *usage;
    const char *path;   /* last path segment */
    const char *input;  /* option with the input */
    const char *member; /* its JSON member */
};

/* Standard or URL alphabet, padded or not, into a JSON member. */
static bool put_base64(struct json_wr *j, const char *member, const char *option, const char *text)
{
    static char url[VALUE_MAX];
    static uint8_t raw[VALUE_MAX];
    size_t n = strlen(text), raw_n;
    if (n >= sizeof url) {
        (void)cli_fail(CLI_USAGE, "%s is too long", option);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        url[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    if (b64u_decode(raw, bytes_of(url, n), &raw_n) != HSM_OK) {
        (void)cli_fail(CLI_USAGE, "%s is not base64", option);
        return false;
    }
    json_name(j, member);
    json_put_b64u(j, bytes_of(raw, raw_n));
    secret_wipe(raw, sizeof raw);
    secret_wipe(url, sizeof url);
    return true;
}

static bool put_input(struct json_wr *j, struct arg *args, const struct crypto_cmd *cmd)
{
    const char *text = args_value(args, cmd->input), *type = args_value(args, "--data-type");
    if (type != NULL && strcmp(type, "plaintext") == 0) {
        json_name(j, cmd->member);
        json_put_b64u(j, bytes_str(text));
        return true;
    }
    if (type != NULL && strcmp(type, "base64") != 0) {
        (void)cli_fail(CLI_USAGE, "--data-type is base64 or plaintext");
        return false;
    }
    return put_base64(j, cmd->member, cmd->input, text);
}

static void print_base64(const struct json_doc *d, const char *member, const char *label)
{
    static char text[VALUE_MAX], out[VALUE_MAX];
    static uint8_t raw[VALUE_MAX];
    size_t n;
    (void)pool_text(d, 0, member, text, sizeof text);
    if (text[0] == '\0' || b64u_decode(raw, bytes_str(text), &n) != HSM_OK)
        return;
    size_t m = b64_encode(out, raw, n);
    (void)printf("%s%.*s\n", label, (int)m, out);
    secret_wipe(raw, sizeof raw);
    secret_wipe(out, sizeof out);
    secret_wipe(text, sizeof text);
}

static void print_result(const struct json_doc *d, uint32_t v)
{
    uint32_t value = json_get_nn(d, v, "value");
    bool verified;
    if (value != JSON_NONE && json_bool(d, value, &verified) == HSM_OK) {
        (void)printf("%s\n", verified ? "true" : "false");
        return;
    }
    print_base64(d, "value", "");
    print_base64(d, "iv", "iv: ");
    print_base64(d, "tag", "tag: ");
}

static bool body(struct json_wr *j, struct arg *args, const struct crypto_cmd *cmd)
{
    static const char *const extra[][2] = {
        {"--iv", "iv"}, {"--aad", "aad"}, {"--tag", "tag"}, {"--signature", "value"}};
    json_obj_open(j);
    json_name(j, "alg");
    json_put_str(j, args_value(args, "--algorithm"));
    if (!put_input(j, args, cmd))
        return false;
    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        const struct arg *a = args_get(args, extra[i][0]);
        if (a != NULL && a->given && !put_base64(j, extra[i][1], extra[i][0], a->value))
            return false;
    }
    json_obj_close(j);
    wr_u8(j->w, 0);
    return wr_ok(j->w) == HSM_OK;
}

static int run(struct cli *c, struct arg *args, const struct crypto_cmd *cmd)
{
    static char json[2 * VALUE_MAX], path[300];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, cmd->usage, &ret))
        return ret;
    struct wr w = wr_of(json, sizeof json);
    struct json_wr j = json_wr_of(&w);
    const char *version = args_value(args, "--version");
    (void)snprintf(path, sizeof path, "/keys/%s/%s/%s", args_value(args, "--name"),
                   version != NULL ? version : "", cmd->path);
    ret = CLI_USAGE;
    if (body(&j, args, cmd) && pool_call(&p, "POST", path, json, &ret)) {
        pool_print(&p, print_result);
        ret = CLI_OK;
    }
    secret_wipe(json, sizeof json);
    pool_close(&p);
    return ret;
}

#define CRYPTO_ARGS                                                                                \
    POOL_ARGS,                                                                                     \
        {.name = "--name",                                                                         \
         .alias = "-n",                                                                            \
         .kind = ARG_VALUE,                                                                        \
         .required = true,                                                                         \
         .help = "key name"},                                                                      \
        {.name = "--version",                                                                      \
         .alias = "-v",                                                                            \
         .kind = ARG_VALUE,                                                                        \
         .help = "version (default current)"},                                                     \
        {.name = "--algorithm",                                                                    \
         .alias = "-a",                                                                            \
         .kind = ARG_VALUE,                                                                        \
         .required = true,                                                                         \
         .help = "e.g. RSA-OAEP-256, A256GCM, A256KW, RS256, ES256"},                              \
    {                                                                                              \
        .name = "--data-type", .kind = ARG_VALUE, .help = "base64 (default) or plaintext"          \
    }

#define VALUE_ARG                                                                                  \
    {                                                                                              \
        .name = "--value", .kind = ARG_VALUE, .required = true, .help = "input"                    \
    }

static int value_command(struct cli *c, const struct crypto_cmd *cmd)
{
    struct arg args[] = {
        CRYPTO_ARGS,
        VALUE_ARG,
        {.name = "--iv", .kind = ARG_VALUE, .help = "base64"},
        {.name = "--aad", .kind = ARG_VALUE, .help = "base64"},
        {.name = "--tag", .kind = ARG_VALUE, .help = "base64, A*GCM decryption"},
        {.name = NULL},
    };
    return run(c, args, cmd);
}

int cmd_key_encrypt(struct cli *c)
{
    const struct crypto_cmd cmd = {"key encrypt --name N --algorithm A --value V", "encrypt",
                                   "--value", "value"};
    return value_command(c, &cmd);
}

int cmd_key_decrypt(struct cli *c)
{
    const struct crypto_cmd cmd = {"key decrypt --name N --algorithm A --value V [--iv --tag]",
                                   "decrypt", "--value", "value"};
    return value_command(c, &cmd);
}

int cmd_key_wrap(struct cli *c)
{
    const struct crypto_cmd cmd = {"key wrap --name N --algorithm A --value V", "wrapkey",
                                   "--value", "value"};
    return value_command(c, &cmd);
}

int cmd_key_unwrap(struct cli *c)
{
    const struct crypto_cmd cmd = {"key unwrap --name N --algorithm A --value V", "unwrapkey",
                                   "--value", "value"};
    return value_command(c, &cmd);
}

int cmd_key_sign(struct cli *c)
{
    const struct crypto_cmd cmd = {"key sign --name N --algorithm A --digest D", "sign", "--digest",
                                   "value"};
    struct arg args[] = {
        CRYPTO_ARGS,
        {.name = "--digest", .kind = ARG_VALUE, .required = true, .help = "base64"},
        {.name = NULL},
    };
    return run(c, args, &cmd);
}

int cmd_key_verify(struct cli *c)
{
    const struct crypto_cmd cmd = {"key verify --name N --algorithm A --digest D --signature S",
                                   "verify", "--digest", "digest"};
    struct arg args[] = {
        CRYPTO_ARGS,
        {.name = "--digest", .kind = ARG_VALUE, .required = true, .help = "base64"},
        {.name = "--signature", .kind = ARG_VALUE, .required = true, .help = "base64"},
        {.name = NULL},
    };
    return run(c, args, &cmd);
}
