/* Raw libcrypto speed on one core: bench-raw KEY-OPERATION, then for every line of standard input,
 * a number of seconds, operations per second of thread CPU time as one JSON line. Keys: rsa2048,
 * rsa3072, rsa4096 (RS256 and RSA-OAEP-256), p256, p384, p521, p256k (ECDSA). Operations: sign,
 * verify, and with RSA encrypt, decrypt. Context reused, as a fast in-process user would. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum op {
    OP_SIGN,
    OP_VERIFY,
    OP_ENCRYPT,
    OP_DECRYPT,
    OP_NONE
};

struct work {
    enum op op;
    bool is_rsa;
    EVP_PKEY *key;
    EVP_PKEY_CTX *ctx;
    const EVP_MD *md;
    uint8_t in[64], out[1024]; /* out: also the signature or the ciphertext to be taken */
    size_t in_n, out_n;
};

static double clock_of(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool make_key(const char *name, struct work *w)
{
    static const struct {
        const char *name, *group, *md;
        unsigned bits;
    } rows[] = {
        {"rsa2048", NULL, "SHA256", 2048},   {"rsa3072", NULL, "SHA256", 3072},
        {"rsa4096", NULL, "SHA256", 4096},   {"p256", "P-256", "SHA256", 0},
        {"p384", "P-384", "SHA384", 0},      {"p521", "P-521", "SHA512", 0},
        {"p256k", "secp256k1", "SHA256", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(name, rows[i].name) != 0)
            continue;
        w->is_rsa = rows[i].group == NULL;
        w->md = EVP_get_digestbyname(rows[i].md);
        w->key = w->is_rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)rows[i].bits)
                           : EVP_EC_gen(rows[i].group);
        return w->key != NULL && w->md != NULL;
    }
    return false;
}

static bool parse(char *text, struct work *w)
{
    static const char *const ops[] = {"sign", "verify", "encrypt", "decrypt"};
    char *dash = strchr(text, '-');
    if (dash == NULL)
        return false;
    *dash = '\0';
    while (w->op < OP_NONE && strcmp(dash + 1, ops[w->op]) != 0)
        w->op++;
    return w->op < OP_NONE && make_key(text, w) && (w->is_rsa || w->op <= OP_VERIFY);
}

static bool ready(struct work *w, enum op op)
{
    EVP_PKEY_CTX_free(w->ctx);
    w->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, w->key, NULL);
    bool cipher = op == OP_ENCRYPT || op == OP_DECRYPT;
    int done = op == OP_SIGN      ? EVP_PKEY_sign_init(w->ctx)
               : op == OP_VERIFY  ? EVP_PKEY_verify_init(w->ctx)
               : op == OP_ENCRYPT ? EVP_PKEY_encrypt_init(w->ctx)
                                  : EVP_PKEY_decrypt_init(w->ctx);
    if (done != 1)
        return false;
    if (cipher)
        return EVP_PKEY_CTX_set_rsa_padding(w->ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_oaep_md(w->ctx, w->md) == 1;
    return EVP_PKEY_CTX_set_signature_md(w->ctx, w->md) == 1 &&
           (!w->is_rsa || EVP_PKEY_CTX_set_rsa_padding(w->ctx, RSA_PKCS1_PADDING) == 1);
}

static bool once(struct work *w, enum op op)
{
    uint8_t text[1024];
    size_t n = sizeof text;
    w->out_n = op == OP_SIGN || op == OP_ENCRYPT ? sizeof w->out : w->out_n;
    switch (op) {
    case OP_SIGN:
        return EVP_PKEY_sign(w->ctx, w->out, &w->out_n, w->in, w->in_n) == 1;
    case OP_VERIFY:
        return EVP_PKEY_verify(w->ctx, w->out, w->out_n, w->in, w->in_n) == 1;
    case OP_ENCRYPT:
        return EVP_PKEY_encrypt(w->ctx, w->out, &w->out_n, w->in, w->in_n) == 1;
    case OP_DECRYPT:
        return EVP_PKEY_decrypt(w->ctx, text, &n, w->out, w->out_n) == 1 && n == w->in_n;
    case OP_NONE:
        break;
    }
    return false;
}

/* What is verified or decrypted is made first. */
static bool prepare(struct work *w)
{
    bool cipher = w->op == OP_ENCRYPT || w->op == OP_DECRYPT;
    enum op forward = cipher ? OP_ENCRYPT : OP_SIGN;
    memset(w->in, 1, sizeof w->in);
    w->in_n = cipher ? 32 : (size_t)EVP_MD_get_size(w->md);
    return ready(w, forward) && once(w, forward) && ready(w, w->op);
}

static bool measure(struct work *w, double seconds)
{
    double start = clock_of(CLOCK_THREAD_CPUTIME_ID);
    double wall = clock_of(CLOCK_MONOTONIC);
    uint64_t n = 0;
    while (clock_of(CLOCK_MONOTONIC) - wall < seconds) {
        for (int i = 0; i < 20; i++, n++) {
            if (!once(w, w->op))
                return false;
        }
    }
    double cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - start;
    (void)printf("{\"operations\":%llu,\"cpu\":%.4f,\"rate\":%.1f}\n", (unsigned long long)n, cpu,
                 (double)n / cpu);
    return fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    static struct work w;
    char line[32];
    if (argc != 2 || !parse(argv[1], &w)) {
        (void)fprintf(stderr, "usage: bench-raw KEY-OPERATION, seconds on standard input\n");
        return 2;
    }
    if (!prepare(&w))
        return 1;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (!measure(&w, strtod(line, NULL)))
            return 1;
    }
    return 0;
}
