/* keyhold node: hosts that run partitions for the fabric of another one. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/node_join.h"
#include "codec/base64url.h"

#define FABRIC_SOCKET "run/fabric.sock"
#define LINK_DIR      "link"
#define ASK_S         10

static bool text_at(const struct json_doc *d, uint32_t obj, const char *name, char *dst, size_t cap)
{
    size_t n = 0;
    uint32_t v = json_get_nn(d, obj, name);
    dst[0] = 0;
    if (v == JSON_NONE || json_string(d, v, dst, cap - 1, &n) != HSM_OK)
        return false;
    dst[n] = 0;
    return true;
}

/* The fabric's answer; prints what it refuses. */
static int ask(const struct cli *c, const char *line, struct cli_status *ret)
{
    char path[PATH_MAX], why[512];
    bool ok = false;
    cli_path(c, FABRIC_SOCKET, path);
    if (!cli_ask(path, line, ASK_S, ret) || ret->doc.n == 0)
        return cli_fail(CLI_FAILED, "the fabric of %s does not answer; is it running?", c->home);
    uint32_t v = json_get(&ret->doc, 0, "ok");
    if (v != JSON_NONE && json_bool(&ret->doc, v, &ok) == HSM_OK && ok)
        return CLI_OK;
    (void)text_at(&ret->doc, 0, "text", why, sizeof why);
    return cli_fail(CLI_FAILED, "%s", why);
}

static int node_token(struct cli *c)
{
    static struct cli_status s;
    struct arg args[] = {{0}};
    char token[256];
    int status;
    if (!cli_args(c, args, "node token", &status))
        return status;
    status = ask(c, "{\"op\":\"node-token\"}", &s);
    if (status != CLI_OK)
        return status;
    if (c->json)
        (void)printf("%s", s.text);
    else if (text_at(&s.doc, 0, "token", token, sizeof token))
        (void)printf("%s\n", token);
    return CLI_OK;
}

static int node_list(struct cli *c)
{
    static struct cli_status s;
    struct arg args[] = {{0}};
    char name[80], region[64], zone[64], rack[64];
    int status;
    if (!cli_args(c, args, "node list", &status))
        return status;
    status = ask(c, "{\"op\":\"nodes\"}", &s);
    if (status != CLI_OK)
        return status;
    if (c->json) {
        (void)printf("%s", s.text);
        return CLI_OK;
    }
    (void)printf("%-24s %-16s %-8s %-8s %s\n", "node", "region", "zone", "rack", "state");
    uint32_t list = json_get(&s.doc, 0, "nodes");
    for (uint32_t v = list != JSON_NONE ? json_first(&s.doc, list) : JSON_NONE; v != JSON_NONE;
         v = json_next(&s.doc, list, v)) {
        bool up = false;
        uint32_t at = json_get(&s.doc, v, "up");
        if (at != JSON_NONE && json_bool(&s.doc, at, &up) != HSM_OK)
            up = false;
        (void)text_at(&s.doc, v, "name", name, sizeof name);
        (void)text_at(&s.doc, v, "region", region, sizeof region);
        (void)text_at(&s.doc, v, "zone", zone, sizeof zone);
        (void)text_at(&s.doc, v, "rack", rack, sizeof rack);
        (void)printf("%-24s %-16s %-8s %-8s %s\n", name, region, zone, rack,
                     up ? "connected" : "not connected");
    }
    return CLI_OK;
}

static void put(struct json_wr *j, const char *name, const char *value)
{
    json_name(j, name);
    json_put_str(j, value);
}

static int node_remove(struct cli *c)
{
    static struct cli_status s;
    struct arg args[] = {{.name = "--name", .kind = ARG_VALUE, .required = true, .help = "node"},
                         {0}};
    char line[512];
    struct wr w = wr_of(line, sizeof line - 1);
    struct json_wr j = json_wr_of(&w);
    int status;
    if (!cli_args(c, args, "node remove --name NODE", &status))
        return status;
    json_obj_open(&j);
    put(&j, "op", "node-remove");
    put(&j, "name", args_value(args, "--name"));
    json_obj_close(&j);
    if (wr_ok(&w) != HSM_OK)
        return cli_fail(CLI_USAGE, "--name: too long");
    line[w.n] = 0;
    return ask(c, line, &s);
}

/* ---- join ---- */

static bool write_key(const char *path, EVP_PKEY *key)
{
    BIO *b = BIO_new(BIO_s_secmem());
    char *text = NULL;
    bool ok = b != NULL && PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (ok) {
        long n = BIO_get_mem_data(b, &text);
        ok = file_replace(path, bytes_of(text, (size_t)n), 0600) == HSM_OK;
    }
    BIO_free(b);
    return ok;
}

static bool make_body(struct arg *args, EVP_PKEY *key, const char *secret, struct wr *w)
{
    uint8_t spki[256], *at = spki;
    int n = i2d_PUBKEY(key, NULL);
    if (n <= 0 || (size_t)n > sizeof spki || i2d_PUBKEY(key, &at) != n)
        return false;
    struct json_wr j = json_wr_of(w);
    json_obj_open(&j);
    put(&j, "token", secret);
    put(&j, "name", args_value(args, "--name"));
    put(&j, "region", args_value(args, "--region"));
    put(&j, "zone", args_value(args, "--zone"));
    put(&j, "rack", args_value(args, "--rack"));
    json_name(&j, "publicKey");
    json_put_b64u(&j, bytes_of(spki, (size_t)n));
    json_obj_close(&j);
    return wr_ok(w) == HSM_OK;
}

/* link.json comes last: without it nothing is begun. */
static int write_files(const char *dir, EVP_PKEY *key, const struct json_doc *d, struct bytes ca)
{
    static char cert[16384];
    char path[PATH_MAX], address[256], line[512];
    int64_t number = 0;
    uint32_t v = json_get(d, 0, "number");
    if (v == JSON_NONE || json_int(d, v, &number) != HSM_OK ||
        !text_at(d, 0, "certificate", cert, sizeof cert) ||
        !text_at(d, 0, "address", address, sizeof address))
        return cli_fail(CLI_FAILED, "the fabric's answer is not understood");
    struct wr w = wr_of(line, sizeof line);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "number");
    json_put_int(&j, number);
    put(&j, "address", address);
    json_obj_close(&j);
    bool ok = dir_ensure(dir, 0700) == HSM_OK &&
              path_join(path, sizeof path, dir, "peer.key") == HSM_OK && write_key(path, key) &&
              path_join(path, sizeof path, dir, "peer.pem") == HSM_OK &&
              file_replace(path, bytes_str(cert), 0644) == HSM_OK &&
              path_join(path, sizeof path, dir, "ca.pem") == HSM_OK &&
              file_replace(path, ca, 0644) == HSM_OK &&
              path_join(path, sizeof path, dir, "link.json") == HSM_OK && wr_ok(&w) == HSM_OK &&
              file_replace(path, wr_view(&w), 0600) == HSM_OK;
    return ok ? CLI_OK : cli_fail(CLI_FAILED, "%s cannot be written", dir);
}

static int join_with(struct cli *c, struct arg *args, EVP_PKEY *key)
{
    static char answer[32768];
    static struct json_tok tok[64];
    char ca[8192], body[2048], secret[256], why[512] = "", dir[PATH_MAX];
    struct wr wa = wr_of(answer, sizeof answer), wc = wr_of(ca, sizeof ca),
              wb = wr_of(body, sizeof body);
    struct json_doc d;
    unsigned status = 0;
    const char *token = args_value(args, "--token"), *dot = strchr(token, '.');
    if (dot == NULL || (size_t)(dot - token) >= sizeof secret)
        return cli_fail(CLI_USAGE, "--token: not one of keyhold node token");
    (void)snprintf(secret, sizeof secret, "%.*s", (int)(dot - token), token);
    if (!make_body(args, key, secret, &wb))
        return cli_fail(CLI_USAGE, "the node's name or labels are too long");
    if (node_join_post(args_value(args, "--fabric"), dot + 1, wr_view(&wb), &status, &wa, &wc, why,
                       sizeof why) != HSM_OK)
        return cli_fail(CLI_FAILED, "%s", why);
    if (json_parse(wr_view(&wa), tok, 64, &d) != HSM_OK)
        return cli_fail(CLI_FAILED, "the fabric's answer is not understood");
    if (status != 200) {
        (void)text_at(&d, json_get(&d, 0, "error"), "message", why, sizeof why);
        return cli_fail(CLI_FAILED, "%s", why);
    }
    cli_path(c, LINK_DIR, dir);
    return write_files(dir, key, &d, wr_view(&wc));
}

static int node_join(struct cli *c)
{
    struct arg args[] = {
        {.name = "--fabric", .kind = ARG_VALUE, .required = true, .help = "https://HOST:PORT"},
        {.name = "--token", .kind = ARG_VALUE, .required = true, .help = "of keyhold node token"},
        {.name = "--name", .kind = ARG_VALUE, .required = true, .help = "of this node"},
        {.name = "--region", .kind = ARG_VALUE, .required = true, .help = "where it is"},
        {.name = "--zone", .kind = ARG_VALUE, .required = true, .help = "within the region"},
        {.name = "--rack", .kind = ARG_VALUE, .required = true, .help = "within the zone"},
        {0}};
    int status;
    if (!cli_args(c, args,
                  "node join --fabric URL --token T --name NODE --region R --zone Z --rack K",
                  &status))
        return status;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    status = key != NULL ? join_with(c, args, key) : cli_fail(CLI_FAILED, "no key can be made");
    EVP_PKEY_free(key);
    if (status == CLI_OK)
        (void)printf("joined; keyhold-node-link --home %s keeps the connection\n", c->home);
    return status;
}

const struct cli_command cli_node_commands[] = {
    {"node token", node_token, "a one-time token with which a node of another host joins"},
    {"node join", node_join, "make this host a node of another one's fabric"},
    {"node list", node_list, "the nodes of this fabric"},
    {"node remove", node_remove, "forget a node; its certificate is worth nothing then"},
    {NULL, NULL, NULL},
};
