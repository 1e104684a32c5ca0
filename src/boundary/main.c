/* keyhold-boundary: the HSM process. See docs/boundary.md. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "boundary/boundary.h"
#include "boundary/quote_helper.h"
#include "boundary/sandbox.h"
#include "boundary/seal.h"
#include "boundary/test_hooks.h"
#include "boundary/tpm2.h"

struct options {
    const char *rings, *seal, *seal_provider, *init, *admission;
    int cpu[RING_LANES_MAX];
    unsigned cpu_n;
    uint32_t partition;
    bool alone, join, print_ak;
    enum evidence_provider evidence;
    char tcti[QUOTE_TCTI_MAX]; /* of evidence */
};

static int usage(void)
{
    (void)fprintf(stderr, "usage: keyhold-boundary --rings TEXT --seal PATH --init pool.json "
                          "[--seal-provider TEXT] [--partition N] [--alone] [--admission PATH] "
                          "[--join] [--evidence software|tpm2[:TCTI]] [--cpus N,N,...]\n"
                          "       keyhold-boundary --print-ak [--evidence tpm2[:TCTI]]\n");
    return EXIT_USAGE;
}

static bool parse_cpus(const char *text, struct options *o)
{
    while (*text != '\0' && o->cpu_n < RING_LANES_MAX) {
        char *end;
        long cpu = strtol(text, &end, 10);
        if (end == text || cpu < 0 || cpu > 65535 || (*end != '\0' && *end != ','))
            return false;
        o->cpu[o->cpu_n++] = (int)cpu;
        text = *end == ',' ? end + 1 : end;
    }
    return *text == '\0';
}

static bool parse_partition(const char *text, uint32_t *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    *ret = (uint32_t)n;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && n < UINT32_MAX;
}

static bool parse_options(int argc, char **argv, struct options *ret)
{
    static const struct option names[] = {
        {"rings", required_argument, NULL, 'r'},
        {"seal", required_argument, NULL, 's'},
        {"seal-provider", required_argument, NULL, 'p'},
        {"init", required_argument, NULL, 'i'},
        {"cpus", required_argument, NULL, 'c'},
        {"partition", required_argument, NULL, 'n'},
        {"alone", no_argument, NULL, 'a'},
        {"admission", required_argument, NULL, 'k'},
        {"join", no_argument, NULL, 'j'},
        {"evidence", required_argument, NULL, 'e'},
        {"print-ak", no_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    int c;
    bool ok = true;
    while (ok && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'r')
            ret->rings = optarg;
        else if (c == 's')
            ret->seal = optarg;
        else if (c == 'p')
            ret->seal_provider = optarg;
        else if (c == 'i')
            ret->init = optarg;
        else if (c == 'a')
            ret->alone = true;
        else if (c == 'k')
            ret->admission = optarg;
        else if (c == 'j')
            ret->join = true;
        else if (c == 'q')
            ret->print_ak = true;
        else
            ok = (c == 'n' && parse_partition(optarg, &ret->partition)) ||
                 (c == 'c' && parse_cpus(optarg, ret)) ||
                 (c == 'e' && quote_spec_parse(optarg, &ret->evidence, ret->tcti) == HSM_OK);
    }
    bool runs = ret->rings != NULL && ret->seal != NULL && ret->init != NULL &&
                (!ret->join || ret->admission != NULL);
    return ok && optind == argc && (ret->print_ak || runs);
}

static hsm_err read_file(const char *path, uint8_t *buf, size_t cap, size_t *ret_n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return HSM_E_IO;
    size_t n = 0;
    ssize_t k = 1;
    while (k > 0 && n < cap) {
        k = read(fd, buf + n, cap - n);
        n += k > 0 ? (size_t)k : 0;
    }
    (void)close(fd);
    if (k != 0)
        return HSM_E_IO;
    *ret_n = n;
    return HSM_OK;
}

static bool load_init(const char *path, struct pool_init *ret)
{
    static uint8_t buf[POOL_JSON_MAX + 1];
    char why[256] = "";
    size_t n;
    if (read_file(path, buf, sizeof buf, &n) != HSM_OK) {
        log_error("%s cannot be read", path);
        return false;
    }
    hsm_err err = pool_init_parse(bytes_of(buf, n), ret, why, sizeof why);
    if (err != HSM_OK) {
        log_error("%s: %s", path, why);
        return false;
    }
    struct auth_config auth = {0};
    err = auth_config_parse(bytes_of(ret->info.auth_json, ret->info.auth_json_n), &auth, why,
                            sizeof why);
    auth_config_done(&auth);
    if (err != HSM_OK)
        log_error("%s: %s", path, why);
    return err == HSM_OK;
}

/* A joiner's seal, made ready before the sandbox closes. */
static struct seal_sink sink = {.fd = -1};

static hsm_err seal_into(void *ctx, const struct roots *r)
{
    return seal_join_finish((struct seal_sink *)ctx, r);
}

/* ---- evidence ---- */

static struct quote_helper quoter = {.pipe = {-1, -1}};

/* For whoever writes pool.json of the others. */
static void tell_quote(const struct join_self *self, uint32_t pcrs)
{
    const struct evidence *e = join_self_evidence(self);
    struct quote q;
    uint8_t ak[QUOTE_DIGEST_LEN];
    char ak_hex[65], pcr_hex[65], pcrs_text[TPM2_PCRS_TEXT];
    if (quote_decode(bytes_of(e->platform, e->platform_n), &q) != HSM_OK ||
        quote_ak(&q, ak) != HSM_OK)
        return;
    hex_encode(ak_hex, ak, sizeof ak);
    hex_encode(pcr_hex, q.pcr_digest.p, q.pcr_digest.n);
    tpm2_pcrs_text(pcrs, pcrs_text);
    log_info("evidence tpm2: attestation key %s, PCRs %s, their digest %s", ak_hex, pcrs_text,
             pcr_hex);
}

/* What other boundaries are shown of this one; with an admission key only. */
static bool load_self(const struct options *o, const struct pool_init *init,
                      struct boundary_config *config)
{
    char text[512] = "";
    const struct peer_voucher by = {.vouch = quote_helper_vouch, .ctx = &quoter};
    const struct join_options options = {
        .admission_path = o->admission,
        .pool = init->info.name,
        .protection = config->protection,
        .partition = o->partition,
        .policy = &init->peers,
        .provider = o->evidence,
        .by = o->evidence == EVIDENCE_TPM2 ? &by : NULL,
    };
    if (o->admission == NULL)
        return true;
    quoter.pcrs = peer_policy_pcrs(&init->peers);
    hsm_err err = join_self_load(&options, &config->join_self, text, sizeof text);
    if (err != HSM_OK)
        log_error("%s: %s %s", text, hsm_err_name(err), quoter.text);
    else if (o->evidence == EVIDENCE_TPM2)
        tell_quote(config->join_self, quoter.pcrs);
    return err == HSM_OK;
}

/* Forked before the process of the seal, so that it does not share that one's memory. */
static bool start_quoter(const struct options *o)
{
    if (o->evidence != EVIDENCE_TPM2 || o->admission == NULL)
        return true;
    hsm_err err = quote_helper_start(o->tcti, &quoter);
    if (err != HSM_OK)
        log_error("evidence: %s %s", hsm_err_name(err), quoter.text);
    return err == HSM_OK;
}

static int print_ak(struct options *o)
{
    char text[512] = "", hex[65];
    uint8_t ak[QUOTE_DIGEST_LEN];
    hsm_err err = HSM_OK;
    (void)setenv("TSS2_LOG", "all+NONE", 0);
    if (o->tcti[0] == '\0')
        err = quote_spec_parse("tpm2", &o->evidence, o->tcti);
    if (err == HSM_OK)
        err = quote_tpm2_ak(o->tcti, ak, text, sizeof text);
    if (err != HSM_OK) {
        log_error("evidence: %s %s", hsm_err_name(err), text);
        return EXIT_SETUP;
    }
    hex_encode(hex, ak, sizeof ak);
    return printf("%s\n", hex) > 0 && fflush(stdout) == 0 ? 0 : EXIT_SETUP;
}

/* ---- root secrets ---- */

/* The first boundary of a pool makes the root secrets. Only a file that is certainly not there says
 * that it is the first: new secrets in the place of ones that just cannot be read would be the end
 * of the pool. */
static bool load_roots(struct seal *seal, bool join, const char *pool_name, struct roots *ret,
                       struct boundary_config *config)
{
    char text[512] = "";
    hsm_err err = seal_load(seal, ret, text, sizeof text);
    if (err == HSM_E_NOT_FOUND && join) {
        config->joining = true;
        config->roots = NULL;
        config->seal_roots = seal_into;
        config->seal_ctx = &sink;
        err = seal_join_begin(seal, &sink, text, sizeof text);
    } else if (err == HSM_E_NOT_FOUND) {
        config->fresh = true;
        log_info("%s: new root secrets are made", text);
        err = roots_generate(pool_name, ret);
        if (err == HSM_OK)
            err = seal_store(seal, ret, text, sizeof text);
    }
    if (err != HSM_OK)
        log_error("root secrets: %s %s", hsm_err_name(err), text);
    return err == HSM_OK;
}

/* Everything of libcrypto that would read a file or look something up happens now. */
static bool warm_up(void)
{
    uint8_t byte;
    /* libc reads /etc/localtime at the first broken-down time, even in UTC; libcrypto asks for one
     * when it checks the dates of an issuer's certificate. */
    if (setenv("TZ", "UTC0", 1) != 0)
        return false;
    tzset();
    return OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_ADD_ALL_CIPHERS |
                                   OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CONFIG,
                               NULL) == 1 &&
           RAND_bytes(&byte, 1) == 1 && RAND_priv_bytes(&byte, 1) == 1;
}

static int keep_list(const struct ring_fds *fds, const struct boundary *b, int *keep)
{
    int n = 0;
    keep[n++] = STDERR_FILENO;
    for (unsigned i = 0; i < fds->event_n; i++)
        keep[n++] = fds->event[i];
    keep[n++] = b->control_event;
    for (unsigned i = 1; i <= b->rings.lanes; i++)
        keep[n++] = b->inbox[i].event;
    if (sink.fd >= 0)
        keep[n++] = sink.fd;
    int extra = test_keylog_fd();
    if (extra >= 0)
        keep[n++] = extra;
    return n;
}

static int run(struct boundary *b, const struct ring_fds *fds)
{
    int keep[sizeof fds->event / sizeof fds->event[0] + RING_LANES_MAX + 5];
    char text[256] = "";
    char level[256];
    int n = keep_list(fds, b, keep);
    if (sandbox_prepare(keep, (size_t)n, level, sizeof level) != HSM_OK) {
        log_error("sandbox: %s", level);
        return EXIT_SANDBOX;
    }
    hsm_err err = boundary_start(b);
    if (err != HSM_OK) {
        log_error("threads cannot be started");
        return EXIT_SETUP;
    }
    if (sandbox_close(text, sizeof text) != HSM_OK) {
        log_error("sandbox: %s", text);
        return EXIT_SANDBOX;
    }
    test_forbidden_call();
    log_info("protection level %s, secret memory %s (%zu KiB), %s, %u lanes", b->protection,
             secret_level_name(), secret_size() / 1024, level, b->rings.lanes);
    boundary_open_gate(b);
    boundary_control(b);
    for (;;)
        (void)poll(NULL, 0, -1); /* another thread is ending the process, with its status */
}

/* The provider before everything else: one with a device works in a process of its own, which is
 * forked from this one as long as it has no secret memory. */
static struct seal *open_seal(const struct options *o)
{
    char text[512] = "";
    struct seal *s;
    hsm_err err = seal_begin(o->seal_provider, o->seal, &s, text, sizeof text);
    if (err == HSM_OK)
        return s;
    log_error("seal: %s %s", hsm_err_name(err), text);
    return NULL;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    log_init("boundary", LOG_INFO_L);
    if (!parse_options(argc, argv, &o))
        return usage();
    (void)umask(077);
    if (o.print_ak)
        return print_ak(&o);
    struct seal *seal = start_quoter(&o) ? open_seal(&o) : NULL;
    if (seal == NULL)
        return EXIT_SETUP;
    if (secret_init(0) != HSM_OK || secret_take_over_openssl() != HSM_OK || !warm_up()) {
        log_error("no locked memory for key bytes: raise RLIMIT_MEMLOCK (at least 2 MiB)");
        return EXIT_SETUP;
    }
    struct pool_init init;
    struct roots roots;
    struct ring_fds fds;
    struct boundary_config config = {.roots = &roots,
                                     .init = &init,
                                     .cpu = o.cpu,
                                     .cpu_n = o.cpu_n,
                                     .partition = o.partition,
                                     .alone = o.alone,
                                     .no_genesis = o.join};
    if (!load_init(o.init, &init))
        return EXIT_SETUP;
    config.protection = seal_protection(seal);
    if (!load_roots(seal, o.join, init.info.name, &roots, &config) ||
        !load_self(&o, &init, &config)) {
        seal_end(seal);
        pool_init_done(&init);
        return EXIT_SETUP;
    }
    seal_end(seal);
    quote_helper_done(&quoter);
    if (ring_fds_parse(o.rings, &fds) != HSM_OK ||
        ring_attach(&fds, RING_BOUNDARY, &config.rings) != HSM_OK) {
        log_error("the rings cannot be attached");
        return EXIT_SETUP;
    }
    memcpy(config.prepared, init.prepared, sizeof config.prepared);
    struct boundary *b;
    hsm_err err = boundary_new(&config, &b);
    if (err != HSM_OK) {
        log_error("start: %s", hsm_err_name(err));
        return EXIT_SETUP;
    }
    return run(b, &fds);
}
