/* A node on another host, from its token to its answers: both ends in one loop. */
#include "fabric/identity/test_dir.h"

#include <signal.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include "base/file.h"
#include "codec/base64url.h"
#include "fabric/fabric.h"
#include "fabric/identity/pki.h"
#include "fabric/node_link.h"
#include "fabric/node_registry.h"
#include "nodelink/link.h"

#define NOW_MS 1795307240000ull

struct rig {
    struct test_dir *dir;
    uv_loop_t loop;
    struct fabric *f; /* state, nodes and link only */
    struct link *link;
    char fabric_dir[200], node_dir[200], socket[200], text[512];
    uv_pipe_t listener, peer;
    uv_write_t write;
    bool listening, accepted;
    char got[128];
    unsigned answers, closed;
    hsm_err err;
    char answer[512];
};

static void wait_ms(struct rig *r)
{
    uv_run(&r->loop, UV_RUN_NOWAIT);
    usleep(1000);
}

static const char *in(const char *dir, const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void copy_file(const char *from, const char *to)
{
    uint8_t buf[8192];
    size_t n = 0;
    assert_int_equal(file_read(from, buf, sizeof buf, &n), HSM_OK);
    assert_int_equal(file_replace(to, bytes_of(buf, n), 0600), HSM_OK);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    *state = r;
    void *dir = NULL;
    static const char *const names[] = {"localhost"};
    if (r == NULL || test_dir_setup(&dir) != 0 || uv_loop_init(&r->loop) != 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    r->dir = dir;
    r->f = calloc(1, sizeof *r->f);
    snprintf(r->fabric_dir, sizeof r->fabric_dir, "%s/fabric", r->dir->path);
    snprintf(r->node_dir, sizeof r->node_dir, "%s/node", r->dir->path);
    snprintf(r->socket, sizeof r->socket, "%s/node.sock", r->dir->path);
    r->f->config.loop = &r->loop;
    if (dir_ensure(r->fabric_dir, 0700) != HSM_OK || dir_ensure(r->node_dir, 0700) != HSM_OK ||
        pki_ensure(r->fabric_dir, names, 1, NOW_MS, NULL, r->text, sizeof r->text) != HSM_OK ||
        pki_ensure_peer(r->fabric_dir, r->fabric_dir, NODE_LINK_POOL, 0, NOW_MS, r->text,
                        sizeof r->text) != HSM_OK ||
        state_open_memory(&r->f->state) != HSM_OK ||
        nodes_open(&r->loop, "/nowhere", &r->f->nodes) != HSM_OK)
        return -1;
    char ca[220];
    snprintf(ca, sizeof ca, "%s/ca.pem", r->fabric_dir);
    const struct node_link_config cfg = {.listen = "127.0.0.1:0", .dir = r->fabric_dir, .ca = ca};
    return node_link_open(r->f, &cfg, &r->f->link, r->text, sizeof r->text) == HSM_OK ? 0 : -1;
}

static void on_closed(void *ctx)
{
    ((struct rig *)ctx)->closed++;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    void *dir = r->dir;
    unsigned want = 1;
    node_link_close(r->f->link, on_closed, r);
    if (r->link != NULL) {
        link_close(r->link, on_closed, r);
        want++;
    }
    while (r->closed < want)
        wait_ms(r);
    if (r->accepted && !uv_is_closing((uv_handle_t *)&r->peer))
        uv_close((uv_handle_t *)&r->peer, NULL);
    if (r->listening)
        uv_close((uv_handle_t *)&r->listener, NULL);
    nodes_close(r->f->nodes, NULL, NULL);
    state_close(r->f->state, NULL, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    int e = uv_loop_close(&r->loop);
    free(r->f);
    free(r);
    return e == 0 ? test_dir_teardown(&dir) : -1;
}

static void on_done(void *ctx, hsm_err err)
{
    *(hsm_err *)ctx = err;
}

static hsm_err commit(struct rig *r, struct changes *c)
{
    hsm_err err = HSM_E_INTERNAL;
    state_commit(r->f->state, c, on_done, &err);
    changes_free(c);
    return err;
}

static void make_token(struct rig *r, uint64_t expires, char secret[NODE_SECRET_LEN + 1])
{
    struct changes *c = changes_new(r->f->state);
    node_token_make(c, expires, secret);
    assert_int_equal(commit(r, c), HSM_OK);
}

/* The node's key, and the body of its request. */
static void make_body(struct rig *r, const char *secret, const char *name, char body[1024])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t spki[256], *at = spki;
    char text[256];
    int n = i2d_PUBKEY(key, &at);
    assert_true(n > 0);
    text[b64u_encode(text, spki, (size_t)n)] = 0;
    FILE *f = fopen(in(r->node_dir, "peer.key"), "w");
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    EVP_PKEY_free(key);
    snprintf(body, 1024,
             "{\"token\":\"%s\",\"name\":\"%s\",\"region\":\"local\",\"zone\":\"2\",\"rack\":\"b\","
             "\"publicKey\":\"%s\"}",
             secret, name, text);
}

/* As the handler does it; the certificate goes where the node keeps it. */
static hsm_err join(struct rig *r, const char *body, struct node_record *ret)
{
    char pem[8192], line[128];
    struct wr w = wr_of(pem, sizeof pem);
    struct node_join j;
    TRY(node_join_parse(bytes_str(body), &j));
    struct changes *c = changes_new(r->f->state);
    hsm_err e = node_join_stage(r->f->state, c, &j, NOW_MS, ret);
    if (e == HSM_OK)
        e = pki_issue_peer(r->fabric_dir, bytes_of(j.spki, j.spki_n), NODE_LINK_POOL, ret->number,
                           NOW_MS, &w);
    if (e != HSM_OK) {
        changes_free(c);
        return e;
    }
    TRY(commit(r, c));
    TRY(file_replace(in(r->node_dir, "peer.pem"), wr_view(&w), 0600));
    char ca[300];
    snprintf(ca, sizeof ca, "%s/ca.pem", r->fabric_dir);
    copy_file(ca, in(r->node_dir, "ca.pem"));
    snprintf(line, sizeof line, "{\"number\":%u,\"address\":\"127.0.0.1:%u\"}", ret->number,
             node_link_port(r->f->link));
    return file_replace(in(r->node_dir, LINK_FILE), bytes_str(line), 0600);
}

static void connect_node(struct rig *r)
{
    const struct link_config cfg = {.dir = r->node_dir, .socket = r->socket};
    assert_int_equal(link_open(&r->loop, &cfg, &r->link, r->text, sizeof r->text), HSM_OK);
}

/* ---- the node's socket ---- */

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    struct rig *r = h->data;
    (void)n;
    *buf = uv_buf_init(r->got, sizeof r->got);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    static const char answer[] = "{\"ok\":true,\"node\":\"local\"}\n";
    struct rig *r = s->data;
    (void)buf;
    if (n <= 0) {
        if (!uv_is_closing((uv_handle_t *)s))
            uv_close((uv_handle_t *)s, NULL);
        return;
    }
    uv_buf_t out = {.base = (char *)(uintptr_t)answer, .len = sizeof answer - 1};
    uv_write(&r->write, s, &out, 1, NULL);
}

static void on_connection(uv_stream_t *s, int status)
{
    struct rig *r = s->data;
    assert_int_equal(status, 0);
    uv_pipe_init(&r->loop, &r->peer, 0);
    r->peer.data = r;
    r->accepted = true;
    assert_int_equal(uv_accept(s, (uv_stream_t *)&r->peer), 0);
    uv_read_start((uv_stream_t *)&r->peer, on_alloc, on_read);
}

static void serve_node(struct rig *r)
{
    uv_pipe_init(&r->loop, &r->listener, 0);
    r->listener.data = r;
    r->listening = true;
    assert_int_equal(uv_pipe_bind(&r->listener, r->socket), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&r->listener, 4, on_connection), 0);
}

static void on_answer(void *ctx, const struct node_answer *a)
{
    struct rig *r = ctx;
    r->answers++;
    r->err = a->err;
    snprintf(r->answer, sizeof r->answer, "%s", a->text);
}

static void ask(struct rig *r, const char *name)
{
    unsigned before = r->answers;
    nodes_ask(r->f->nodes, name, bytes_str("{\"op\":\"status\"}"), on_answer, r);
    while (r->answers == before)
        wait_ms(r);
}

static void joined_nodes_are_asked(void **state)
{
    struct rig *r = *state;
    char secret[NODE_SECRET_LEN + 1], body[1024];
    struct node_record node = {0};
    make_token(r, NOW_MS + 1000, secret);
    make_body(r, secret, "far", body);
    assert_int_equal(join(r, body, &node), HSM_OK);
    assert_int_equal(node.number, NODE_NUMBER_MIN);
    ask(r, "far");
    assert_int_equal(r->err, HSM_E_UNAVAILABLE);
    connect_node(r);
    while (!node_link_is_up(r->f->link, node.number))
        wait_ms(r);
    ask(r, "far");
    assert_int_equal(r->err, HSM_E_INTERNAL);
    assert_string_equal(r->answer, "the node is not running");
    serve_node(r);
    ask(r, "far");
    assert_int_equal(r->err, HSM_OK);
    ask(r, "near");
    assert_int_equal(r->err, HSM_E_UNAVAILABLE);
}

static void tokens_are_good_once(void **state)
{
    struct rig *r = *state;
    char secret[NODE_SECRET_LEN + 1], body[1024];
    struct node_record node = {0};
    make_token(r, NOW_MS + 1000, secret);
    make_body(r, secret, "far", body);
    assert_int_equal(join(r, body, &node), HSM_OK);
    make_body(r, secret, "other", body);
    assert_int_equal(join(r, body, &node), HSM_E_DENIED);
    make_token(r, NOW_MS, secret);
    make_body(r, secret, "other", body);
    assert_int_equal(join(r, body, &node), HSM_E_DENIED);
    make_token(r, NOW_MS + 1000, secret);
    make_body(r, secret, "far", body);
    assert_int_equal(join(r, body, &node), HSM_E_CONFLICT);
    make_body(r, secret, "other", body);
    assert_int_equal(join(r, body, &node), HSM_OK);
    assert_int_equal(node.number, NODE_NUMBER_MIN + 1);
}

static void removed_nodes_stay_out(void **state)
{
    struct rig *r = *state;
    char secret[NODE_SECRET_LEN + 1], body[1024];
    struct node_record node = {0}, next = {0};
    make_token(r, NOW_MS + 1000, secret);
    make_body(r, secret, "far", body);
    assert_int_equal(join(r, body, &node), HSM_OK);
    connect_node(r);
    while (!node_link_is_up(r->f->link, node.number))
        wait_ms(r);
    struct changes *c = changes_new(r->f->state);
    changes_delete(c, STATE_NODE, bytes_str("far"));
    assert_int_equal(commit(r, c), HSM_OK);
    node_link_forget(r->f->link, node.number);
    for (int i = 0; i < 300; i++) {
        wait_ms(r);
        assert_false(node_link_is_up(r->f->link, node.number));
    }
    /* Its number, for which it has a certificate, is not given again. */
    make_token(r, NOW_MS + 1000, secret);
    make_body(r, secret, "far", body);
    assert_int_equal(join(r, body, &next), HSM_OK);
    assert_int_equal(next.number, node.number + 1);
}

static void bodies(void **state)
{
    (void)state;
    struct node_join j;
    static const char good[] =
        "{\"token\":\"t\",\"name\":\"n-1\",\"region\":\"East US 2\",\"zone\":"
        "\"1\",\"rack\":\"a\",\"publicKey\":\"AAAA\"}";
    assert_int_equal(node_join_parse(bytes_str(good), &j), HSM_OK);
    assert_string_equal(j.node.region, "East US 2");
    assert_int_equal(j.spki_n, 3);
    static const struct {
        const char *from, *to;
        hsm_err err;
    } rows[] = {
        {"\"n-1\"", "\"local\"", HSM_E_BAD_PARAMETER}, {"\"n-1\"", "\"-n\"", HSM_E_BAD_PARAMETER},
        {"\"n-1\"", "\"N\"", HSM_E_BAD_PARAMETER},     {"\"n-1\"", "\"\"", HSM_E_BAD_PARAMETER},
        {"\"1\"", "\"a/b\"", HSM_E_BAD_PARAMETER},     {"\"1\"", "1", HSM_E_MALFORMED},
        {"\"AAAA\"", "\"A\"", HSM_E_MALFORMED},        {"\"rack\"", "\"r\"", HSM_E_MALFORMED},
        {"\"token\"", "\"t\"", HSM_E_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        const char *at = strstr(good, rows[i].from);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, rows[i].to,
                 at + strlen(rows[i].from));
        assert_int_equal(node_join_parse(bytes_str(text), &j), rows[i].err);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(joined_nodes_are_asked),
        TEST(tokens_are_good_once),
        TEST(removed_nodes_stay_out),
        cmocka_unit_test(bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
