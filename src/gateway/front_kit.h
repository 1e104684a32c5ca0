/* For front_test.c and front_result_test.c: request bytes in, frame on the lane; answer on the
 * lane, response bytes out. The HTTP server is replaced by the two functions of it that the front
 * calls; the rings and the audit file are real. */
#ifndef GATEWAY_FRONT_KIT_H
#define GATEWAY_FRONT_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/base64url.h"
#include "gateway/front.h"
#include "gateway/front_internal.h"
#include "model/alg.h"

#define HOST   "dev.managedhsm.localhost:8443"
#define TENANT "72f988bf-86f1-41af-91ab-2d7cd011db47"
#define TEXT_N (1u << 20)

/* ---- the HTTP side ---- */

struct http_exchange {
    struct http_request rq;
    struct http1_head head;
    unsigned status;
    unsigned answers;
    bool secret;
    size_t headers_n, body_n;
    char headers[8192];
    char body[TEXT_N];
};

void http_respond(struct http_exchange *x, unsigned status, struct bytes headers, struct bytes body,
                  bool secret)
{
    x->status = status;
    x->secret = secret;
    x->answers++;
    x->headers_n = headers.n;
    x->body_n = body.n;
    assert_true(headers.n < sizeof x->headers && body.n < sizeof x->body);
    memcpy(x->headers, headers.p, headers.n);
    x->headers[headers.n] = '\0';
    if (body.n > 0)
        memcpy(x->body, body.p, body.n);
    x->body[body.n] = '\0';
}

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    return &x->rq;
}

/* ---- the boundary's side ---- */

struct kit {
    struct ring_fds fds;
    struct ring_set gateway, boundary;
    struct front_shared shared;
    struct front *front;
    struct http_server_handlers h;
    char dir[64];
    const char *endpoint; /* of the next requests */
    struct http_exchange x;
    uint8_t frame[RING_FRAME_MAX];
    struct ring_frame got;
    struct wire_caller caller;
    struct rd body;
    uint8_t out[RING_FRAME_MAX];
    uint8_t result[RING_FRAME_MAX];
    struct wr w; /* over result */
};

static inline int setup(void **state)
{
    struct kit *k = calloc(1, sizeof *k);
    char text[256];
    assert_non_null(k);
    (void)snprintf(k->dir, sizeof k->dir, "/tmp/kh-front-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    assert_int_equal(ring_fds_create(1, &k->fds), HSM_OK);
    assert_int_equal(ring_attach(&k->fds, RING_GATEWAY, &k->gateway), HSM_OK);
    assert_int_equal(ring_attach(&k->fds, RING_BOUNDARY, &k->boundary), HSM_OK);
    k->shared.rings = &k->gateway;
    assert_int_equal(firewall_new(NULL, &k->shared.firewall), HSM_OK);
    k->shared.meters = meters_new(1);
    assert_non_null(k->shared.meters);
    (void)snprintf(k->shared.region, sizeof k->shared.region, "region1");
    assert_int_equal(audit_sink_open(k->dir, k->gateway.audit, &k->shared.audit, text, sizeof text),
                     HSM_OK);
    assert_int_equal(faces_add(&k->shared.faces, "suffix=managedhsm.localhost,port=8443,"
                                                 "authority=https://localhost:8443"),
                     HSM_OK);
    assert_int_equal(faces_add(&k->shared.faces, "suffix=managedhsm.azure.net,port=443,"
                                                 "authority=https://login.microsoftonline.com"),
                     HSM_OK);
    assert_int_equal(faces_bind(&k->shared.faces, bytes_str("dev"), bytes_str(TENANT)), HSM_OK);
    assert_int_equal(front_new(&k->shared, 1, &k->front), HSM_OK);
    k->h = front_handlers(k->front, NULL, NULL);
    *state = k;
    return 0;
}

static inline int teardown(void **state)
{
    struct kit *k = *state;
    char path[128];
    assert_int_equal(front_pending(k->front), 0);
    front_free(k->front);
    free(k->shared.meters);
    firewall_free(k->shared.firewall);
    audit_sink_close(k->shared.audit);
    ring_detach(&k->gateway);
    ring_detach(&k->boundary);
    ring_fds_close(&k->fds);
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", k->dir);
    (void)unlink(path);
    (void)rmdir(k->dir);
    free(k);
    return 0;
}

/* One request, as it comes from the wire. */
static inline void request(struct kit *k, const char *text)
{
    size_t used;
    memset(&k->x, 0, offsetof(struct http_exchange, headers));
    assert_int_equal(http1_parse(bytes_str(text), &k->x.head, &used), HSM_OK);
    k->x.rq = (struct http_request){
        .head = &k->x.head,
        .body = bytes_of(text + used, strlen(text) - used),
        .client_ip = "203.0.113.7",
        .endpoint = k->endpoint,
        .received_us = clock_mono_us(),
    };
    k->h.request(k->h.ctx, &k->x, &k->x.rq);
    k->h.batch_end(k->h.ctx);
}

static inline void with_token(struct kit *k, const char *line, const char *body)
{
    static char text[TEXT_N];
    (void)snprintf(text, sizeof text,
                   "%s HTTP/1.1\r\nHost: " HOST "\r\nAuthorization: Bearer t.o.k\r\n"
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   line, strlen(body), body);
    request(k, text);
}

/* The frame that the boundary sees next. */
static inline void receive(struct kit *k, unsigned type)
{
    assert_int_equal(ring_read(k->boundary.in[1], k->frame, sizeof k->frame, &k->got), HSM_OK);
    if (k->got.type != type)
        fail_msg("%s instead of %s", wire_type_name(k->got.type), wire_type_name(type));
    k->body = rd_of(k->got.payload);
    assert_int_equal(wire_caller_get(&k->body, &k->caller), HSM_OK);
}

#define BODY(k, type, m)                                                                           \
    struct wire_##type m;                                                                          \
    assert_int_equal(wire_##type##_decode(bytes_of((k)->body.p, (k)->body.n), &m), HSM_OK)

static inline void audit_line(struct kit *k, const char *text)
{
    struct ring_frame f = {.payload = bytes_str(text)};
    assert_int_equal(ring_write(k->boundary.audit, &f, 0), HSM_OK);
}

static inline void answer(struct kit *k, unsigned err, const char *detail, bool challenge)
{
    struct wr w = wr_of(k->out, sizeof k->out);
    struct wire_result r = {
        .err = (uint16_t)err,
        .challenge = challenge,
        .detail = bytes_str(detail),
        .body = wr_view(&k->w),
    };
    wire_result_put(&w, &r);
    struct ring_frame f = {.type = WIRE_ANSWER, .id = k->got.id, .payload = wr_view(&w)};
    assert_int_equal(ring_write(k->boundary.out[1], &f, 0), HSM_OK);
    assert_int_equal(front_answers(k->front), HSM_OK);
    k->w.n = 0;
}

static inline struct wr *result(struct kit *k)
{
    k->w = wr_of(k->result, sizeof k->result);
    return &k->w;
}

/* ---- what is compared ---- */

static inline bool has_line(const struct kit *k, const char *line)
{
    const char *at = strstr(k->x.headers, line);
    return at != NULL && (at == k->x.headers || at[-1] == '\n') &&
           strncmp(at + strlen(line), "\r\n", 2) == 0;
}

static inline bool has_name(const struct kit *k, const char *name)
{
    const char *at = strstr(k->x.headers, name);
    return at != NULL && (at == k->x.headers || at[-1] == '\n');
}

static inline void request_id(const struct kit *k, char id[UUID_TEXT_LEN + 1])
{
    const char *at = strstr(k->x.headers, "x-ms-request-id: ");
    assert_non_null(at);
    memcpy(id, at + 17, UUID_TEXT_LEN);
    id[UUID_TEXT_LEN] = '\0';
}

static inline void expect_error(struct kit *k, unsigned status, const char *code,
                                const char *message)
{
    char want[2048], id[UUID_TEXT_LEN + 1];
    request_id(k, id);
    (void)snprintf(want, sizeof want,
                   "{\"error\":{\"code\":\"%s\",\"message\":\"%s (Activity ID: %s)\"}}", code,
                   message, id);
    assert_int_equal(k->x.answers, 1);
    assert_string_equal(k->x.body, want);
    assert_int_equal(k->x.status, status);
}

static inline void expect_ok(struct kit *k, unsigned status, const char *body)
{
    assert_int_equal(k->x.answers, 1);
    assert_string_equal(k->x.body, body);
    assert_int_equal(k->x.status, status);
    assert_true(has_line(k, "x-ms-keyvault-network-info: "
                            "conn_type=Ipv4;addr=203.0.113.7;act_addr_fam=Ipv4;"));
    assert_true(has_line(k, "x-ms-keyvault-region: region1"));
}

static inline void expect_plain_headers(struct kit *k)
{
    assert_true(has_line(k, "cache-control: no-cache"));
    assert_true(has_line(k, "content-security-policy: default-src 'self'"));
    assert_true(has_line(k, "content-type: application/json; charset=utf-8"));
    assert_true(has_line(k, "strict-transport-security: max-age=31536000; includeSubDomains"));
    assert_true(has_line(k, "x-content-type-options: nosniff"));
    assert_true(has_line(k, "x-frame-options: SAMEORIGIN"));
    assert_true(has_name(k, "x-ms-server-latency: "));
}

#endif
