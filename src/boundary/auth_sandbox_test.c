/* A key fetch and a token check behind the real system call filter: whatever libssl, libcrypto or
 * the C library want from the kernel on first use has been asked for before. In its own process,
 * because the filter stays. */
#include "base/sanitized_testing.h"
#include "boundary/auth_testing.h"

#include <openssl/rand.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "boundary/sandbox.h"

/* What the child gets on its standard input. */
struct material {
    struct bytes jwks, token, roots, leaf, leaf_key;
};
static uint8_t blob[32768];

/* ---- child ---- */

static bool material_read(struct material *m)
{
    size_t n = 0;
    for (ssize_t k; n < sizeof blob && (k = read(0, blob + n, sizeof blob - n)) > 0;)
        n += (size_t)k;
    struct rd r = rd_of(bytes_of(blob, n));
    return rd_lv(&r, n, &m->jwks) == HSM_OK && rd_lv(&r, n, &m->token) == HSM_OK &&
           rd_lv(&r, n, &m->roots) == HSM_OK && rd_lv(&r, n, &m->leaf) == HSM_OK &&
           rd_lv(&r, n, &m->leaf_key) == HSM_OK && rd_end(&r) == HSM_OK;
}

static void use_material(struct net *n, const struct material *m)
{
    BIO *b = BIO_new_mem_buf(m->leaf.p, (int)m->leaf.n);
    X509 *leaf = PEM_read_bio_X509(b, NULL, NULL, NULL);
    BIO_free(b);
    b = BIO_new_mem_buf(m->leaf_key.p, (int)m->leaf_key.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    BIO_free(b);
    net_use_cert(n, leaf, key);
    X509_free(leaf);
    EVP_PKEY_free(key);
    serve(n, (const char *)m->jwks.p);
}

/* 0, or where it went wrong; a forbidden system call is a signal. */
static int child(void)
{
    static struct net net;
    struct material m;
    char text[256];
    uint8_t byte;
    struct identity *who = NULL;
    if (!material_read(&m))
        return 2;
    /* as the boundary's main() */
    if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1 || RAND_bytes(&byte, 1) != 1 ||
        RAND_priv_bytes(&byte, 1) != 1 || auth_warm_up() != HSM_OK)
        return 3;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || sandbox_close(text, sizeof text) != HSM_OK)
        return 4;
    use_material(&net, &m);
    struct auth_config c = make_config("localhost", (const char *)m.roots.p);
    struct auth *a = make_auth(&net, &c);
    auth_tick(a, NOW_MS);
    net_pump(&net);
    hsm_err err =
        auth_check(a, NULL, bytes_of(m.token.p, m.token.n - 1), NOW_MS, &who, text, sizeof text);
    identity_unref(who);
    auth_free(a);
    net_done(&net);
    return err == HSM_OK ? 0 : 5;
}

/* ---- parent ---- */

/* With its terminator. */
static void put_text(struct wr *w, const char *s)
{
    wr_lv(w, bytes_of(s, strlen(s) + 1));
}

static void material_write(int fd)
{
    static char token[TOKEN_CAP];
    EVP_PKEY *rsa = make_rsa();
    EVP_PKEY *ca_key = make_ec();
    EVP_PKEY *leaf_key = make_ec();
    X509 *ca = make_cert(ca_key, "test root", NULL, NULL, NULL, 86400);
    X509 *leaf = make_cert(leaf_key, "leaf", "DNS:localhost", ca, ca_key, 86400);
    char jwk[1200];
    char jwks[1400];
    jwk_text(jwk, sizeof jwk, rsa, "k1", "");
    snprintf(jwks, sizeof jwks, "{\"keys\":[%s]}", jwk);
    struct bytes t = token_of(token, "{\"alg\":\"RS256\",\"kid\":\"k1\"}",
                              claims_text(ISSUER, AUDIENCE, ""), rsa, false);
    token[t.n] = 0;
    char *roots_pem = pem_of(ca);
    char *leaf_pem = pem_of(leaf);
    BIO *b = BIO_new(BIO_s_mem());
    char *p;
    PEM_write_bio_PrivateKey(b, leaf_key, NULL, NULL, 0, NULL, NULL);
    long key_n = BIO_get_mem_data(b, &p);
    struct wr w = wr_of(blob, sizeof blob);
    put_text(&w, jwks);
    put_text(&w, token);
    put_text(&w, roots_pem);
    put_text(&w, leaf_pem);
    wr_lv(&w, bytes_of(p, (size_t)key_n));
    assert_int_equal(wr_ok(&w), HSM_OK);
    assert_int_equal(write(fd, blob, w.n), w.n);
    BIO_free(b);
    free(roots_pem);
    free(leaf_pem);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(leaf_key);
    X509_free(ca);
    X509_free(leaf);
}

static void fetch_behind_the_filter(void **state)
{
    (void)state;
    int fd[2];
    int status;
    if (IS_SANITIZED)
        skip();
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(fd[0], 0);
        (void)close(fd[0]);
        (void)close(fd[1]);
        (void)execl("/proc/self/exe", "auth_sandbox_test", "child", (char *)NULL);
        _exit(1);
    }
    (void)close(fd[0]);
    material_write(fd[1]);
    (void)close(fd[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with wait status 0x%x", (unsigned)status);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "child") == 0)
        _exit(child());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch_behind_the_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
