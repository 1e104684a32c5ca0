/* keyhold audit tail, keyhold audit verify. */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "base/uuid.h"
#include "cli/audit_verify.h"
#include "cli/pool.h"
#include "codec/base64url.h"
#include "partition/supervisor.h"

#define AUDIT_FILE "/audit/audit.jsonl"
#define AUDIT_KEY  "audit-key.pem"
#define LINE_CAP   65536

static int cmd_audit_tail(struct cli *c);
static int cmd_audit_verify(struct cli *c);

const struct cli_command cli_audit_commands[] = {
    {"audit tail", cmd_audit_tail, "show the end of the audit log; -f follows it"},
    {"audit verify", cmd_audit_verify, "check that no entry was removed, moved or edited"},
    {NULL, NULL, NULL},
};

/* Every partition has a log of its own. */
#define PARTITION_ARG                                                                              \
    {                                                                                              \
        .name = "--partition", .kind = ARG_VALUE, .help = "of this one (default: the first one)"   \
    }

static bool take_partition(const struct cli *c, struct arg *args, unsigned *ret, int *ret_status)
{
    struct partition_config cfg;
    char path[PATH_MAX], text[PATH_MAX + 200];
    const char *value = args_value(args, "--partition");
    long n = 0;
    cli_pool_path(c, HOME_CONFIG, path);
    if (value == NULL && partition_config_load(path, &cfg, text, sizeof text) == HSM_OK)
        n = cfg.partition[0].number;
    if (value != NULL && !text_number(value, PARTITION_MAX, &n)) {
        *ret_status = cli_fail(CLI_USAGE, "--partition: a number of `keyhold partition list`");
        return false;
    }
    *ret = (unsigned)n;
    return true;
}

/* ---- tail ---- */

static void print_record(const char *line, size_t n, bool json)
{
    static struct json_tok toks[512];
    struct json_doc d;
    char time[40], operation[64], uri[600], caller[64];
    if (json) {
        (void)printf("%.*s\n", (int)n, line);
        return;
    }
    if (json_parse(bytes_of(line, n), toks, 512, &d) != HSM_OK)
        return;
    if (json_get(&d, 0, "checkpoint") != JSON_NONE) {
        (void)printf("%s  -- checkpoint %lld --\n",
                     pool_text(&d, 0, "checkpoint.time", time, sizeof time),
                     (long long)pool_int(&d, 0, "chain.seq"));
        return;
    }
    (void)printf("%s  %-24s %3lld  %s  %s\n", pool_text(&d, 0, "time", time, sizeof time),
                 pool_text(&d, 0, "operationName", operation, sizeof operation),
                 (long long)pool_int(&d, 0, "httpStatusCode"),
                 pool_text(&d, 0, "callerIpAddress", caller, sizeof caller),
                 pool_text(&d, 0, "requestUri", uri, sizeof uri));
}

/* Position of the n-th line from the end, or 0. */
static void seek_last(FILE *f, long lines)
{
    if (fseek(f, 0, SEEK_END) != 0)
        return;
    long at = ftell(f);
    long seen = 0;
    while (at > 0) {
        at--;
        (void)fseek(f, at, SEEK_SET);
        if (fgetc(f) == '\n' && seen++ == lines)
            return;
    }
    (void)fseek(f, 0, SEEK_SET);
}

static int cmd_audit_tail(struct cli *c)
{
    struct arg args[] = {
        {.name = "--lines",
         .alias = "-n",
         .kind = ARG_VALUE,
         .help = "how many old ones (default 10)"},
        {.name = "--follow", .alias = "-f", .kind = ARG_FLAG, .help = "wait for new ones"},
        PARTITION_ARG,
        {.name = NULL},
    };
    static char line[LINE_CAP];
    char path[PATH_MAX];
    unsigned partition;
    int ret;
    if (!cli_args(c, args, "audit tail [-n N] [-f] [--partition N]", &ret) ||
        !take_partition(c, args, &partition, &ret))
        return ret;
    const char *n = args_value(args, "--lines");
    cli_partition_path(c, HOME_PARTITION, partition, AUDIT_FILE, path);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return cli_fail(CLI_FAILED, "cannot read %s: %s; is there a pool (`keyhold up`)?", path,
                        strerror(errno));
    seek_last(f, n != NULL ? strtol(n, NULL, 10) : 10);
    for (;;) {
        long at = ftell(f);
        if (fgets(line, sizeof line, f) != NULL && strchr(line, '\n') != NULL) {
            print_record(line, strcspn(line, "\n"), c->json);
            continue;
        }
        if (!args_get(args, "--follow")->given)
            break;
        (void)fflush(stdout);
        (void)poll(NULL, 0, 200);
        clearerr(f);
        (void)fseek(f, at, SEEK_SET);
    }
    (void)fclose(f);
    return CLI_OK;
}

/* ---- verify ---- */

static EVP_PKEY *load_key(const char *path)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return NULL;
    EVP_PKEY *k = PEM_read_PUBKEY(f, NULL, NULL, NULL);
    (void)fclose(f);
    return k;
}

static int report(const struct cli *c, const struct audit_verifier *v, bool pinned)
{
    uint64_t open = v->seq - v->signed_seq;
    if (c->json) {
        (void)printf("{\"entries\":%llu,\"checkpoints\":%llu,\"unsigned\":%llu,\"gaps\":%llu,"
                     "\"ok\":%s}\n",
                     (unsigned long long)v->lines, (unsigned long long)v->checkpoints,
                     (unsigned long long)open, (unsigned long long)v->gaps,
                     v->gaps == 0 ? "true" : "false");
    } else {
        (void)printf("%llu entries, %llu signed checkpoints; the last %llu entries are newer than "
                     "the last signature\n",
                     (unsigned long long)v->lines, (unsigned long long)v->checkpoints,
                     (unsigned long long)open);
        if (!pinned)
            (void)printf("warning: the key came from the log itself (no " AUDIT_KEY " in the home "
                         "directory, no --key)\n");
    }
    if (v->gaps > 0)
        return cli_fail(CLI_FAILED,
                        "%llu times the log ended before a position that the pool had "
                        "sealed: entries were removed from its end",
                        (unsigned long long)v->gaps);
    return CLI_OK;
}

/* A running pool knows how far its log goes: a file that ends earlier was cut. */
static int check_end(const struct audit_verifier *v, uint64_t live_seq)
{
    if (live_seq <= v->seq)
        return CLI_OK;
    return cli_fail(CLI_FAILED,
                    "the file ends at entry %llu, but the running pool had written entry "
                    "%llu before it was read: entries were removed from its end",
                    (unsigned long long)v->seq, (unsigned long long)live_seq);
}

static uint64_t live_position(const struct cli *c, unsigned partition)
{
    static struct cli_status s;
    if (cli_supervisor_pid(c) == 0 || !cli_partition_status(c, partition, &s))
        return 0;
    return (uint64_t)pool_int(&s.doc, 0, "auditSeq");
}

static int verify_file(FILE *f, const char *path, struct audit_verifier *v)
{
    static char line[LINE_CAP];
    while (fgets(line, sizeof line, f) != NULL) {
        size_t n = strcspn(line, "\n");
        if (line[n] != '\n' && fgetc(f) == EOF)
            break; /* being written right now, or torn: the chain shows what is missing */
        if (line[n] != '\n')
            return cli_fail(CLI_FAILED,
                            "%s: the line after entry %llu is not one of the log: too "
                            "long, or with a zero byte",
                            path, (unsigned long long)v->seq);
        if (audit_verify_line(v, bytes_of(line, n)) != HSM_OK)
            return cli_fail(CLI_FAILED, "%s: %s", path, v->text);
    }
    if (ferror(f))
        return cli_fail(CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
    return CLI_OK;
}

static int cmd_audit_verify(struct cli *c)
{
    struct arg args[] = {
        {.name = "--file", .kind = ARG_VALUE, .help = "audit file (default: of this home)"},
        {.name = "--key",
         .kind = ARG_VALUE,
         .help = "audit key of the pool, PEM (default: of this home)"},
        PARTITION_ARG,
        {.name = NULL},
    };
    char path[PATH_MAX], key_path[PATH_MAX];
    unsigned partition;
    int ret;
    if (!cli_args(c, args, "audit verify [--file F] [--key PEM] [--partition N]", &ret) ||
        !take_partition(c, args, &partition, &ret))
        return ret;
    const char *file = args_value(args, "--file"), *key_file = args_value(args, "--key");
    cli_partition_path(c, HOME_PARTITION, partition, AUDIT_FILE, path);
    cli_pool_path(c, AUDIT_KEY, key_path);
    /* Asked before reading: whatever it had written by then must be found. */
    uint64_t live = file == NULL ? live_position(c, partition) : 0;
    EVP_PKEY *key = load_key(key_file != NULL ? key_file : key_path);
    if (key == NULL && key_file != NULL)
        return cli_fail(CLI_FAILED, "%s holds no public key in PEM form", key_file);
    struct audit_verifier v;
    audit_verifier_init(&v, key);
    const char *name = file != NULL ? file : path;
    FILE *f = fopen(name, "re");
    if (f == NULL) {
        ret = cli_fail(CLI_FAILED, "cannot read %s: %s", name, strerror(errno));
    } else {
        ret = verify_file(f, name, &v);
        (void)fclose(f);
    }
    if (ret == CLI_OK)
        ret = check_end(&v, live);
    if (ret == CLI_OK)
        ret = report(c, &v, key != NULL);
    audit_verifier_done(&v);
    EVP_PKEY_free(key);
    return ret;
}

/* ---- pinning ---- */

void cli_pin_audit_key(const struct cli *c)
{
    static struct cli_status s;
    char path[PATH_MAX], spki[600];
    uint8_t der[600];
    size_t n;
    cli_pool_path(c, AUDIT_KEY, path);
    if (access(path, F_OK) == 0 || !cli_gateway_status(c, &s))
        return;
    (void)pool_text(&s.doc, 0, "auditKey", spki, sizeof spki);
    if (b64u_decode(der, bytes_str(spki), &n) != HSM_OK)
        return;
    const unsigned char *p = der;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)n);
    BIO *b = BIO_new(BIO_s_mem());
    char *pem = NULL;
    if (key != NULL && b != NULL && PEM_write_bio_PUBKEY(b, key) == 1) {
        long m = BIO_get_mem_data(b, &pem);
        if (file_replace(path, bytes_of(pem, (size_t)m), 0644) != HSM_OK)
            (void)cli_fail(CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    }
    BIO_free(b);
    EVP_PKEY_free(key);
}
