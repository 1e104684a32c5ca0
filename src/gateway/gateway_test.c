/* The whole gateway process against a made-up boundary: start, a write through the log, the relay,
 * HTTPS, the status socket, restart from the stored state, orderly stop, a damaged ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/file.h"
#include "gateway/gateway.h"
#include "wire/wire.h"

#define HOST "dev.managedhsm.localhost"

struct fake {
    char dir[64], status_path[128];
    struct ring_fds fds;
    struct ring_set rings;
    pthread_t thread;
    pid_t gateway;
    int ready;     /* read end */
    int echo;      /* listening socket of the relay's target */
    uint16_t port; /* of the gateway */
    int metrics;   /* listening socket of monitoring, inherited */
    uint16_t metrics_port;
    _Atomic bool stop;
    _Atomic bool break_lane, is_silent;
    _Atomic unsigned loaded, applied, requests, quiesced, resumed_seq;
    char relayed[64];
    _Atomic unsigned relayed_n;
    _Atomic uint64_t audit_seq;
    uint8_t buf[RING_FRAME_MAX], out[RING_FRAME_MAX];
};

/* ---- the boundary's side ---- */

static void send_frame(struct fake *f, struct ring *r, unsigned type, uint64_t id, struct wr *w)
{
    struct ring_frame frame = {.type = (uint16_t)type, .id = id, .payload = wr_view(w)};
    (void)f;
    assert_int_equal(ring_write(r, &frame, 1000), HSM_OK);
}

#define SEND(f, type, msg, ...)                                                                    \
    do {                                                                                           \
        struct wire_##msg m_ = {__VA_ARGS__};                                                      \
        struct wr w_ = wr_of((f)->out, sizeof(f)->out);                                            \
        wire_##msg##_put(&w_, &m_);                                                                \
        send_frame(f, (f)->rings.out[0], type, 0, &w_);                                            \
    } while (0)

/* One record, created: what a boundary proposes first for a new pool. */
static void propose(struct fake *f)
{
    static uint8_t ops[512], txn[1024];
    uint8_t rid[32] = {1}, mac[32] = {2};
    struct wire_txn_op op = {.rid = bytes_of(rid, 32), .revision = 1, .sealed = bytes_str("seal")};
    struct wr w = wr_of(ops, sizeof ops);
    size_t at = wr_lv_open(&w);
    wire_txn_op_put(&w, &op);
    wr_lv_close(&w, at);
    struct wire_txn t = {.ops = wr_view(&w), .mac = bytes_of(mac, 32)};
    struct wr tw = wr_of(txn, sizeof txn);
    wire_txn_put(&tw, &t);
    SEND(f, CTL_PROPOSE, propose, .bytes = wr_view(&tw));
}

static void audit_line(struct fake *f)
{
    char line[256];
    int n = snprintf(line, sizeof line, "{\"chain\":{\"seq\":%llu,\"hash\":\"%064d\"}}",
                     (unsigned long long)++f->audit_seq, 7);
    struct ring_frame frame = {.payload = bytes_of(line, (size_t)n)};
    assert_int_equal(ring_write(f->rings.audit, &frame, 1000), HSM_OK);
}

static void on_resume(struct fake *f, struct bytes payload)
{
    struct wire_audit_resume m;
    assert_int_equal(wire_audit_resume_decode(payload, &m), HSM_OK);
    f->resumed_seq = (unsigned)m.seq;
    f->audit_seq = m.seq;
    audit_line(f);
    if (f->loaded == 0)
        propose(f);
    SEND(f, CTL_NET_OPEN, net_open, .conn = 5, .host = bytes_str("ignored.example"), .port = 1);
    SEND(f, CTL_NET_DATA, net_data, .conn = 5, .data = bytes_str("hello relay"));
}

static void on_status(struct fake *f, uint64_t id)
{
    if (f->is_silent)
        return;
    uint8_t hash[32] = {0};
    struct wire_status m = {
        .pool_state = f->applied + f->loaded > 0 ? POOL_ACTIVE : POOL_NEW,
        .applied = 1u << 20,
        .audit_seq = f->audit_seq,
        .audit_hash = bytes_of(hash, 32),
        .issuers = 1,
        .issuers_known = 1,
    };
    struct wr w = wr_of(f->out, sizeof f->out);
    wire_status_put(&w, &m);
    send_frame(f, f->rings.out[0], CTL_STATUS_RESULT, id, &w);
}

static void on_records(struct fake *f, struct bytes payload)
{
    struct wire_load_records m;
    struct bytes item;
    struct wire_record r;
    assert_int_equal(wire_load_records_decode(payload, &m), HSM_OK);
    while (wire_list_next(&m.records, &item)) {
        assert_int_equal(wire_record_decode(item, &r), HSM_OK);
        assert_true(bytes_eq_str(r.sealed, "seal"));
        f->loaded++;
    }
}

static void on_control(struct fake *f, const struct ring_frame *g)
{
    struct wire_apply apply;
    struct wire_net_data data;
    struct wr w = wr_of(f->out, sizeof f->out);
    switch (g->type) {
    case CTL_HELLO:
        SEND(f, CTL_WELCOME, welcome, .version = WIRE_VERSION, .pool_name = bytes_str("dev"),
             .tenant = bytes_str("t"), .protection = bytes_str("software"), .fresh = 1);
        return;
    case CTL_LOAD_RECORDS:
        on_records(f, g->payload);
        return;
    case CTL_LOAD_END:
        SEND(f, CTL_LOADED, loaded, .err = HSM_OK);
        return;
    case CTL_AUDIT_RESUME:
        on_resume(f, g->payload);
        return;
    case CTL_APPLY:
        assert_int_equal(wire_apply_decode(g->payload, &apply), HSM_OK);
        assert_int_equal(apply.accepted, 1);
        SEND(f, CTL_APPLIED, applied, .index = apply.index, .digest = bytes_str("digest"));
        f->applied++;
        return;
    case CTL_NET_DATA:
        assert_int_equal(wire_net_data_decode(g->payload, &data), HSM_OK);
        assert_true(f->relayed_n + data.data.n < sizeof f->relayed);
        memcpy(f->relayed + f->relayed_n, data.data.p, data.data.n);
        f->relayed_n += (unsigned)data.data.n;
        return;
    case CTL_STATUS:
        on_status(f, g->id);
        return;
    case CTL_QUIESCE:
        audit_line(f);
        send_frame(f, f->rings.out[0], CTL_QUIESCED, 0, &w);
        f->quiesced++;
        return;
    default:
        return;
    }
}

static void on_request(struct fake *f, unsigned lane, const struct ring_frame *g)
{
    struct wire_result r = {.err = g->type == OP_KEY_PURGE ? HSM_OK : HSM_E_KEY_NOT_FOUND};
    struct wr w = wr_of(f->out, sizeof f->out);
    audit_line(f);
    wire_result_put(&w, &r);
    send_frame(f, f->rings.out[lane], f->break_lane ? 77 : WIRE_ANSWER, g->id, &w);
    f->requests++;
}

static void *fake_main(void *arg)
{
    struct fake *f = arg;
    while (!f->stop) {
        bool idle = true;
        for (unsigned lane = 0; lane <= f->rings.lanes; lane++) {
            struct ring_frame g;
            if (ring_read(f->rings.in[lane], f->buf, sizeof f->buf, &g) != HSM_OK)
                continue;
            idle = false;
            if (lane == 0)
                on_control(f, &g);
            else
                on_request(f, lane, &g);
        }
        if (idle)
            (void)poll(NULL, 0, 1);
    }
    return NULL;
}

/* ---- surroundings ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void make_certificate(const struct fake *f)
{
    char path[128];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_non_null(key);
    assert_non_null(x);
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    (void)snprintf(path, sizeof path, "%s/cert.pem", f->dir);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_X509(out, x), 1);
    (void)fclose(out);
    (void)snprintf(path, sizeof path, "%s/key.pem", f->dir);
    out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(out);
    X509_free(x);
    EVP_PKEY_free(key);
}

static int listen_any(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static void gateway_child(struct fake *f, uint16_t echo_port)
{
    static struct gateway_options o;
    char store[128], audit[128], cert[128], key[128], listen_at[64], echo[64], face[128], ready[16];
    char state[128], metrics[16];
    static char rings[512], text[256];
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    f->gateway = fork();
    assert_true(f->gateway >= 0);
    if (f->gateway > 0) {
        close(pipe_fd[1]);
        f->ready = pipe_fd[0];
        return;
    }
    close(pipe_fd[0]);
    (void)snprintf(store, sizeof store, "%s/store", f->dir);
    (void)snprintf(audit, sizeof audit, "%s/audit", f->dir);
    (void)snprintf(state, sizeof state, "%s/pool-state", f->dir);
    (void)snprintf(cert, sizeof cert, "%s/cert.pem", f->dir);
    (void)snprintf(key, sizeof key, "%s/key.pem", f->dir);
    (void)snprintf(listen_at, sizeof listen_at, "127.0.0.1:%u", f->port);
    (void)snprintf(echo, sizeof echo, "127.0.0.1:%u", echo_port);
    (void)snprintf(face, sizeof face, "suffix=managedhsm.localhost,port=%u,authority=https://l",
                   f->port);
    (void)snprintf(ready, sizeof ready, "%d", pipe_fd[1]);
    (void)snprintf(metrics, sizeof metrics, "%d", f->metrics);
    if (ring_fds_format(&f->fds, rings, sizeof rings) != HSM_OK)
        _exit(99);
    const char *argv[] = {"keyhold-gateway",
                          "--rings",
                          rings,
                          "--store",
                          store,
                          "--audit",
                          audit,
                          "--cert",
                          cert,
                          "--key",
                          key,
                          "--listen",
                          listen_at,
                          "--loops",
                          "2",
                          "--face",
                          face,
                          "--issuer-connect",
                          echo,
                          "--control",
                          f->status_path,
                          "--pool-state",
                          state,
                          "--metrics-fd",
                          metrics,
                          "--ready-fd",
                          ready};
    int argc = sizeof argv / sizeof argv[0];
    if (options_parse(argc, (char **)(uintptr_t)argv, &o, text, sizeof text) != HSM_OK)
        _exit(98);
    _exit(gateway_run(&o));
}

static void start(struct fake *f)
{
    uint16_t echo_port;
    assert_int_equal(ring_fds_create(2, &f->fds), HSM_OK);
    assert_int_equal(ring_attach(&f->fds, RING_BOUNDARY, &f->rings), HSM_OK);
    f->echo = listen_any(&echo_port);
    close(listen_any(&f->port));
    f->metrics = listen_any(&f->metrics_port);
    f->stop = false;
    f->loaded = 0;
    f->applied = 0;
    f->relayed_n = 0;
    gateway_child(f, echo_port);
    assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
    int conn = accept4(f->echo, NULL, NULL, SOCK_CLOEXEC);
    assert_true(conn >= 0);
    char text[64];
    ssize_t n = read(conn, text, sizeof text);
    assert_int_equal(n, 11);
    assert_memory_equal(text, "hello relay", 11);
    assert_int_equal(write(conn, "echo", 4), 4);
    close(conn);
    char byte;
    struct pollfd p = {.fd = f->ready, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(read(f->ready, &byte, 1), 1);
}

static int finish(struct fake *f)
{
    int status;
    assert_int_equal(waitpid(f->gateway, &status, 0), f->gateway);
    f->gateway = 0;
    f->stop = true;
    pthread_join(f->thread, NULL);
    close(f->ready);
    close(f->echo);
    close(f->metrics);
    ring_detach(&f->rings);
    ring_fds_close(&f->fds);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int setup(void **state)
{
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/kh-gateway-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->status_path, sizeof f->status_path, "%s/status", f->dir);
    make_certificate(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;
    if (f->gateway > 0)
        (void)kill(f->gateway, SIGKILL);
    (void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

/* ---- clients ---- */

/* One request on a connection of its own; the answer's text, "" when the connection was cut. */
static const char *https(struct fake *f, const char *line, const char *token)
{
    static char answer[8192];
    char text[512];
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(f->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t n = 0;
    int k, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_equal(SSL_connect(ssl), 1);
    int len = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: " HOST ":%u\r\n%s%s\r\n", line,
                       f->port, token, token[0] != '\0' ? "\r\n" : "");
    assert_int_equal(SSL_write(ssl, text, len), len);
    answer[0] = '\0';
    while (n < sizeof answer - 1 && strstr(answer, "\r\n\r\n") == NULL &&
           (k = SSL_read(ssl, answer + n, (int)(sizeof answer - 1 - n))) > 0) {
        n += (size_t)k;
        answer[n] = '\0';
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return answer;
}

static int monitor_connect(const struct fake *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(f->metrics_port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* Everything that comes back until the listener closes. */
static const char *monitor(const struct fake *f, const char *request)
{
    static char answer[65536];
    size_t n = 0;
    ssize_t k;
    int fd = monitor_connect(f);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while (n < sizeof answer - 1 && (k = read(fd, answer + n, sizeof answer - 1 - n)) > 0)
        n += (size_t)k;
    answer[n] = '\0';
    close(fd);
    return answer;
}

static const char *status_line(const struct fake *f)
{
    static char text[8192];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = 0;
    ssize_t k;
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%.100s", f->status_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    while (n < sizeof text - 1 && (k = read(fd, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)k;
    text[n] = '\0';
    close(fd);
    return text;
}

static size_t audit_lines(const struct fake *f)
{
    char path[128];
    size_t n = 0;
    int c;
    (void)snprintf(path, sizeof path, "%s/audit/audit.jsonl", f->dir);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    while ((c = getc(in)) != EOF)
        n += c == '\n';
    (void)fclose(in);
    return n;
}

#define BEGINS(text, with) assert_memory_equal(text, with, strlen(with))

static void expect_state_file(const struct fake *f, const char *want)
{
    char path[128];
    uint8_t text[32];
    size_t n = 0;
    (void)snprintf(path, sizeof path, "%s/pool-state", f->dir);
    assert_int_equal(file_read(path, text, sizeof text, &n), HSM_OK);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(text, want, n);
}

static void test_life(void **state)
{
    struct fake *f = *state;
    start(f);
    assert_int_equal(f->applied, 1);
    assert_int_equal(f->resumed_seq, 0);
    BEGINS(https(f, "GET /keys?api-version=7.4", ""), "HTTP/1.1 401 ");
    BEGINS(https(f, "GET /keys/k?api-version=7.4", "Authorization: Bearer t"), "HTTP/1.1 404 ");
    BEGINS(https(f, "DELETE /deletedkeys/k?api-version=7.4", "Authorization: Bearer t"),
           "HTTP/1.1 204 ");
    assert_int_equal(f->relayed_n, 4);
    assert_memory_equal(f->relayed, "echo", 4);
    const char *line = status_line(f);
    assert_non_null(strstr(line, "\"state\":\"Active\""));
    assert_non_null(strstr(line, "\"leader\":true"));
    expect_state_file(f, "Active\n");
    assert_int_equal(audit_lines(f), f->audit_seq); /* the status line comes after them */
    assert_int_equal(kill(f->gateway, SIGTERM), 0);
    assert_int_equal(finish(f), 0);
    assert_int_equal(f->quiesced, 1);
    assert_int_equal(audit_lines(f), f->audit_seq);
    /* and again, from what the first life left */
    unsigned seq = (unsigned)f->audit_seq;
    start(f);
    assert_int_equal(f->loaded, 1);
    assert_int_equal(f->applied, 0);
    assert_int_equal(f->resumed_seq, seq);
    BEGINS(https(f, "GET /keys/k?api-version=7.4", "Authorization: Bearer t"), "HTTP/1.1 404 ");
    assert_int_equal(kill(f->gateway, SIGINT), 0);
    assert_int_equal(finish(f), 0);
}

#define PAGE(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* Good and bad requests, more clients than it holds, a boundary that does not answer. */
static void test_monitoring(void **state)
{
    struct fake *f = *state;
    int crowd[40];
    start(f);
    BEGINS(https(f, "GET /keys/k?api-version=7.4", "Authorization: Bearer t"), "HTTP/1.1 404 ");
    assert_non_null(strstr(monitor(f, PAGE("/metrics")),
                           "\nkeyhold_requests_total{operation=\"KeyGet\",status=\"4xx\"} 1\n"));
    for (unsigned i = 0; i < 40; i++) {
        static const char *const said[] = {"", "GET", PAGE("/metrics"), "\n\n\n"};
        crowd[i] = monitor_connect(f);
        (void)!send(crowd[i], said[i % 4], strlen(said[i % 4]), MSG_NOSIGNAL);
    }
    BEGINS(monitor(f, PAGE("/readyz")), "HTTP/1.1 200 ");
    BEGINS(monitor(f, PAGE("/healthz?x")), "HTTP/1.1 200 ");
    BEGINS(monitor(f, PAGE("/")), "HTTP/1.1 404 ");
    BEGINS(monitor(f, "PUT /metrics HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 405 ");
    BEGINS(monitor(f, "GET /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 ");
    f->is_silent = true;
    const char *text = monitor(f, PAGE("/readyz"));
    BEGINS(text, "HTTP/1.1 503 ");
    assert_non_null(strstr(text, "\r\n\r\nnot ready: the boundary does not answer\n"));
    f->is_silent = false;
    BEGINS(monitor(f, PAGE("/readyz")), "HTTP/1.1 200 ");
    assert_non_null(strstr(status_line(f), "\"metricsPort\":"));
    assert_int_equal(kill(f->gateway, SIGTERM), 0); /* with clients that still hang on */
    assert_int_equal(finish(f), 0);
    for (unsigned i = 0; i < 40; i++)
        close(crowd[i]);
}

/* A boundary that talks nonsense ends the process, not the client's patience. */
static void test_damaged_lane(void **state)
{
    struct fake *f = *state;
    start(f);
    f->break_lane = true;
    const char *text = https(f, "GET /keys/k?api-version=7.4", "Authorization: Bearer t");
    assert_string_equal(text, "");
    assert_int_equal(finish(f), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_monitoring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_lane, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
