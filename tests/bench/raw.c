/* Raw libcrypto speed on one core: bench-raw OPERATION SECONDS -> operations per second of thread
 * CPU time, as one JSON line. Operations: rsa2048-sign, rsa3072-sign, rsa4096-sign, p256-sign,
 * p384-sign, p521-sign, p256k-sign. Context reused, as a fast in-process user would. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double wall_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static EVP_PKEY *make_key(const char *op, const EVP_MD **md)
{
    static const struct {
        const char *op, *group;
        unsigned bits;
    } rows[] = {
        {"rsa2048-sign", NULL, 2048},   {"rsa3072-sign", NULL, 3072}, {"rsa4096-sign", NULL, 4096},
        {"p256-sign", "P-256", 0},      {"p384-sign", "P-384", 0},    {"p521-sign", "P-521", 0},
        {"p256k-sign", "secp256k1", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(op, rows[i].op) != 0)
            continue;
        *md = strcmp(op, "p384-sign") == 0   ? EVP_sha384()
              : strcmp(op, "p521-sign") == 0 ? EVP_sha512()
                                             : EVP_sha256();
        return rows[i].group != NULL ? EVP_EC_gen(rows[i].group)
                                     : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)rows[i].bits);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const EVP_MD *md = NULL;
    EVP_PKEY *key = argc == 3 ? make_key(argv[1], &md) : NULL;
    if (key == NULL) {
        (void)fprintf(stderr, "usage: bench-raw OPERATION SECONDS\n");
        return 2;
    }
    double limit = strtod(argv[2], NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    uint8_t digest[64] = {1}, sig[1024];
    if (EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_CTX_set_signature_md(ctx, md) != 1 ||
        (EVP_PKEY_is_a(key, "RSA") == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1))
        return 1;
    uint64_t n = 0;
    double start = cpu_now(), wall = wall_now();
    while (wall_now() - wall < limit) {
        for (int i = 0; i < 20; i++, n++) {
            size_t len = sizeof sig;
            digest[1]++;
            if (EVP_PKEY_sign(ctx, sig, &len, digest, (size_t)EVP_MD_get_size(md)) != 1)
                return 1;
        }
    }
    double cpu = cpu_now() - start;
    (void)printf("{\"operations\":%llu,\"cpu\":%.4f,\"rate\":%.1f}\n", (unsigned long long)n, cpu,
                 (double)n / cpu);
    return 0;
}
