/* For the tests of the peer links: certificates, and members of a pool in one loop. Header only. */
#ifndef STORE_PEER_TESTING_H
#define STORE_PEER_TESTING_H

#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include "store/peer.h"

#define KIT_UNUSED __attribute__((unused))
#define POOL       "testpool"
#define NODE_IDS   8

/* ---- certificates ---- */

struct ca {
    EVP_PKEY *key;
    X509 *cert;
};

struct pki {
    char dir[64];
    struct ca ca, other;
};

static KIT_UNUSED X509 *pki_issue(EVP_PKEY *key, const char *cn, const struct ca *ca,
                                  const char *san)
{
    static long serial = 1;
    X509 *x = X509_new();
    X509V3_CTX ctx;
    assert_non_null(x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x, ca ? X509_get_subject_name(ca->cert) : X509_get_subject_name(x));
    X509V3_set_ctx(&ctx, ca ? ca->cert : x, x, NULL, NULL, 0);
    static const int ca_ext[] = {NID_basic_constraints, NID_key_usage, 0};
    static const char *const ca_value[] = {"critical,CA:TRUE", "critical,keyCertSign"};
    static const int leaf_ext[] = {NID_basic_constraints, NID_ext_key_usage, NID_subject_alt_name,
                                   0};
    const char *leaf_value[] = {"critical,CA:FALSE", "serverAuth,clientAuth", san};
    const int *ext = ca ? leaf_ext : ca_ext;
    for (size_t i = 0; ext[i] != 0; i++) {
        const char *value = ca ? leaf_value[i] : ca_value[i];
        if (value == NULL)
            continue;
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, ext[i], value);
        assert_non_null(e);
        X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
    }
    assert_true(X509_sign(x, ca ? ca->key : key, EVP_sha256()) > 0);
    return x;
}

static KIT_UNUSED void pki_path(const struct pki *p, const char *name, const char *ext,
                                char path[160])
{
    (void)snprintf(path, 160, "%s/%s.%s", p->dir, name, ext);
}

static KIT_UNUSED void pki_write(const struct pki *p, const char *name, X509 *x, EVP_PKEY *key)
{
    char path[160];
    pki_path(p, name, "pem", path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    pki_path(p, name, "key", path);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
}

/* NAME.pem and NAME.key; san NULL: without one */
static KIT_UNUSED void pki_leaf(const struct pki *p, const char *name, const char *san,
                                const struct ca *ca)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = pki_issue(key, name, ca, san);
    pki_write(p, name, x, key);
    X509_free(x);
    EVP_PKEY_free(key);
}

static KIT_UNUSED void pki_ca(const struct pki *p, struct ca *ca, const char *name)
{
    ca->key = EVP_EC_gen("P-256");
    ca->cert = pki_issue(ca->key, name, NULL, NULL);
    pki_write(p, name, ca->cert, ca->key);
}

static KIT_UNUSED void pki_open(struct pki *p)
{
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/keyhold-peer-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    pki_ca(p, &p->ca, "ca");
    pki_ca(p, &p->other, "other");
    for (int n = 0; n < 4; n++) {
        char name[16], san[64];
        (void)snprintf(name, sizeof name, "p%d", n);
        (void)snprintf(san, sizeof san, "URI:keyhold:" POOL ":%d", n);
        pki_leaf(p, name, san, &p->ca);
    }
    pki_leaf(p, "elsewhere", "URI:keyhold:elsewhere:1", &p->ca);
    pki_leaf(p, "nameless", NULL, &p->ca);
    pki_leaf(p, "twice", "URI:keyhold:" POOL ":1,URI:keyhold:" POOL ":2", &p->ca);
    pki_leaf(p, "foreign", "URI:keyhold:" POOL ":1", &p->other);
}

static KIT_UNUSED int pki_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static KIT_UNUSED void pki_close(struct pki *p)
{
    X509_free(p->ca.cert);
    EVP_PKEY_free(p->ca.key);
    X509_free(p->other.cert);
    EVP_PKEY_free(p->other.key);
    (void)nftw(p->dir, pki_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- members ---- */

struct node {
    struct peer_net *net;
    uint64_t id;
    unsigned ups[NODE_IDS], downs[NODE_IDS];
    unsigned messages;
    uint64_t next_seq[NODE_IDS]; /* of the messages that come */
    uint64_t bytes;
    bool disorder; /* seq or content is not what was sent */
    uint64_t denied;
    bool deny_raft;
    bool close_in_handler, forget_in_handler;
    bool closed;
};

/* Content that depends on seq and length. */
static KIT_UNUSED void node_fill(uint8_t *p, size_t n, uint64_t seq)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(seq * 31 + n + i * 7 + (i >> 8));
}

static KIT_UNUSED void node_done(void *ctx)
{
    struct node *n = ctx;
    n->net = NULL;
    n->closed = true;
}

static KIT_UNUSED void node_message(void *ctx, uint64_t from, uint16_t type, uint64_t seq,
                                    struct bytes payload)
{
    static uint8_t want[PEER_PAYLOAD_MAX];
    struct node *n = ctx;
    n->messages++;
    n->bytes += payload.n;
    node_fill(want, payload.n, seq);
    if (from >= NODE_IDS || type != (uint16_t)(100 + from) || seq != n->next_seq[from] ||
        !bytes_eq(payload, bytes_of(want, payload.n)))
        n->disorder = true;
    if (from < NODE_IDS)
        n->next_seq[from] = seq + 1;
    if (n->forget_in_handler)
        peer_net_forget(n->net, from);
    if (n->close_in_handler) {
        n->close_in_handler = false;
        peer_net_close(n->net, node_done, n);
    }
}

static KIT_UNUSED void node_up(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    assert_true(id < NODE_IDS);
    assert_int_equal(n->ups[id], n->downs[id]);
    assert_true(peer_net_up(n->net, id));
    n->ups[id]++;
    n->next_seq[id] = 0;
}

static KIT_UNUSED void node_down(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    assert_true(id < NODE_IDS);
    n->downs[id]++;
    assert_int_equal(n->ups[id], n->downs[id]);
    assert_false(peer_net_up(n->net, id));
}

static KIT_UNUSED bool node_allowed(void *ctx, uint64_t id, bool is_raft)
{
    const struct node *n = ctx;
    return id != n->denied && !(is_raft && n->deny_raft);
}

static KIT_UNUSED hsm_err node_try(struct node *n, uv_loop_t *loop, const struct pki *p,
                                   uint64_t id, const char *cert, uint16_t port, char *text,
                                   size_t cap)
{
    char listen[32], pem[160], key[160], ca[160];
    *n = (struct node){.id = id};
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    pki_path(p, cert, "pem", pem);
    pki_path(p, cert, "key", key);
    pki_path(p, "ca", "pem", ca);
    struct peer_config cfg = {
        .self = id, .pool = POOL, .listen = listen, .cert = pem, .key = key, .ca = ca};
    struct peer_handlers h = {.ctx = n,
                              .message = node_message,
                              .up = node_up,
                              .down = node_down,
                              .allowed = node_allowed};
    return peer_net_open(loop, &cfg, &h, &n->net, text, cap);
}

static KIT_UNUSED void node_open_as(struct node *n, uv_loop_t *loop, const struct pki *p,
                                    uint64_t id, const char *cert, uint16_t port)
{
    char text[256] = "";
    hsm_err err = node_try(n, loop, p, id, cert, port, text, sizeof text);
    if (err != HSM_OK)
        fail_msg("%s", text);
    assert_true(peer_net_port(n->net) != 0);
}

static KIT_UNUSED void node_open(struct node *n, uv_loop_t *loop, const struct pki *p, uint64_t id)
{
    char cert[16];
    (void)snprintf(cert, sizeof cert, "p%d", (int)id - 1);
    node_open_as(n, loop, p, id, cert, 0);
}

static KIT_UNUSED const char *node_address(const struct node *n)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", peer_net_port(n->net));
    return text;
}

static KIT_UNUSED void node_knows(struct node *n, const struct node *other)
{
    assert_int_equal(peer_net_set_address(n->net, other->id, node_address(other)), HSM_OK);
}

static KIT_UNUSED hsm_err node_send(struct node *n, uint64_t to, uint64_t seq, size_t len)
{
    static uint8_t buf[PEER_PAYLOAD_MAX];
    node_fill(buf, len, seq);
    return peer_send(n->net, to, (uint16_t)(100 + n->id), seq, bytes_of(buf, len));
}

/* ---- the loop ---- */

static KIT_UNUSED void kit_nothing(uv_timer_t *t)
{
    (void)t;
}

/* Run until the condition holds; after ten seconds the test fails. */
#define RUN_UNTIL(loop, condition)                                                                 \
    do {                                                                                           \
        uint64_t until_ = uv_hrtime() + 10000000000ull;                                            \
        uv_timer_t tick_;                                                                          \
        uv_timer_init(loop, &tick_);                                                               \
        uv_timer_start(&tick_, kit_nothing, 5, 5);                                                 \
        while (!(condition) && uv_hrtime() < until_)                                               \
            uv_run(loop, UV_RUN_ONCE);                                                             \
        bool holds_ = (condition);                                                                 \
        uv_close((uv_handle_t *)&tick_, NULL);                                                     \
        uv_run(loop, UV_RUN_NOWAIT);                                                               \
        if (!holds_)                                                                               \
            fail_msg("%s:%d: not reached: %s", __FILE__, __LINE__, #condition);                    \
    } while (0)

static KIT_UNUSED void run_for(uv_loop_t *loop, unsigned ms)
{
    uint64_t end = uv_hrtime() + ms * 1000000ull;
    RUN_UNTIL(loop, uv_hrtime() >= end);
}

static KIT_UNUSED void node_close(struct node *n, uv_loop_t *loop)
{
    if (n->closed)
        return;
    peer_net_close(n->net, node_done, n);
    RUN_UNTIL(loop, n->closed);
}

static KIT_UNUSED void loop_close(uv_loop_t *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
}

#endif
