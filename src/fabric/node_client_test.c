/* The client against a socket of the test. */
#include "fabric/identity/test_dir.h"

#include <string.h>
#include "fabric/node_client.h"

struct rig {
    struct test_dir *dir;
    uv_loop_t loop;
    uv_pipe_t listener, peer;
    uv_write_t write;
    bool listening, connected, hang_up;
    char path[160], got[128];
    size_t got_n;
    const char *answer;
    size_t answer_n;
    struct nodes *nodes;
    unsigned answers;
    hsm_err err;
    char text[512], value[32];
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    *state = r;
    void *dir = NULL;
    if (r == NULL || test_dir_setup(&dir) != 0 || uv_loop_init(&r->loop) != 0)
        return -1;
    r->dir = dir;
    snprintf(r->path, sizeof r->path, "%s/node.sock", r->dir->path);
    return nodes_open(&r->loop, r->path, &r->nodes) == HSM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    void *dir = r->dir;
    nodes_close(r->nodes, NULL, NULL);
    if (r->listening)
        uv_close((uv_handle_t *)&r->listener, NULL);
    if (r->connected && !uv_is_closing((uv_handle_t *)&r->peer))
        uv_close((uv_handle_t *)&r->peer, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    int e = uv_loop_close(&r->loop);
    free(r);
    return e == 0 ? test_dir_teardown(&dir) : -1;
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    struct rig *r = h->data;
    (void)n;
    *buf = uv_buf_init(r->got + r->got_n, (unsigned)(sizeof r->got - r->got_n));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct rig *r = s->data;
    (void)buf;
    if (n <= 0)
        return;
    r->got_n += (size_t)n;
    if (memchr(r->got, '\n', r->got_n) == NULL)
        return;
    if (r->hang_up) {
        uv_close((uv_handle_t *)s, NULL);
    } else if (r->answer != NULL) {
        uv_buf_t out = {.base = (char *)(uintptr_t)r->answer, .len = r->answer_n};
        uv_write(&r->write, s, &out, 1, NULL);
    }
}

static void on_connection(uv_stream_t *s, int status)
{
    struct rig *r = s->data;
    assert_int_equal(status, 0);
    uv_pipe_init(&r->loop, &r->peer, 0);
    r->peer.data = r;
    r->connected = true;
    assert_int_equal(uv_accept(s, (uv_stream_t *)&r->peer), 0);
    uv_read_start((uv_stream_t *)&r->peer, on_alloc, on_read);
}

static void listen_there(struct rig *r)
{
    uv_pipe_init(&r->loop, &r->listener, 0);
    r->listener.data = r;
    r->listening = true;
    assert_int_equal(uv_pipe_bind(&r->listener, r->path), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&r->listener, 4, on_connection), 0);
}

static void on_answer(void *ctx, const struct node_answer *a)
{
    struct rig *r = ctx;
    struct bytes node;
    r->answers++;
    r->err = a->err;
    memcpy(r->text, a->text, sizeof r->text);
    if (a->doc.n > 0 && json_get(&a->doc, 0, "node") != JSON_NONE &&
        json_plain(&a->doc, json_get(&a->doc, 0, "node"), &node) == HSM_OK)
        snprintf(r->value, sizeof r->value, "%.*s", (int)node.n, (const char *)node.p);
}

static void ask(struct rig *r, const char *node)
{
    r->got_n = 0;
    r->answers = 0;
    nodes_ask(r->nodes, node, bytes_str("{\"op\":\"status\"}"), on_answer, r);
    while (r->answers == 0)
        assert_true(uv_run(&r->loop, UV_RUN_ONCE) != 0 || r->answers > 0);
    assert_int_equal(r->answers, 1);
}

static void answers_come_back(void **state)
{
    struct rig *r = *state;
    listen_there(r);
    r->answer = "{\"ok\":true,\"node\":\"local\"}\n";
    r->answer_n = strlen(r->answer);
    ask(r, NODE_LOCAL);
    assert_int_equal(r->err, HSM_OK);
    assert_string_equal(r->value, "local");
    assert_true(bytes_eq_str(bytes_of(r->got, r->got_n), "{\"op\":\"status\"}\n"));
}

static void silence_and_refusal(void **state)
{
    struct rig *r = *state;
    ask(r, NODE_LOCAL);
    assert_int_equal(r->err, HSM_E_UNAVAILABLE);
    assert_string_equal(r->text, "the node is not running");
    ask(r, "elsewhere");
    assert_int_equal(r->err, HSM_E_UNAVAILABLE);
    listen_there(r);
    r->hang_up = true;
    ask(r, NODE_LOCAL);
    assert_int_equal(r->err, HSM_E_UNAVAILABLE);
    assert_string_equal(r->text, "the node hung up");
}

static void endless_line(void **state)
{
    struct rig *r = *state;
    char *big = malloc(NODE_LINE_MAX + 1);
    assert_non_null(big);
    memset(big, ' ', NODE_LINE_MAX + 1);
    listen_there(r);
    r->answer = big;
    r->answer_n = NODE_LINE_MAX + 1;
    ask(r, NODE_LOCAL);
    assert_int_equal(r->err, HSM_E_MALFORMED);
    uv_close((uv_handle_t *)&r->peer, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    free(big);
}

static void closing_answers_what_waits(void **state)
{
    struct rig *r = *state;
    listen_there(r);
    nodes_ask(r->nodes, NODE_LOCAL, bytes_str("{}"), on_answer, r);
    while (r->got_n == 0)
        uv_run(&r->loop, UV_RUN_ONCE);
    assert_int_equal(r->answers, 0);
    nodes_close(r->nodes, NULL, NULL);
    assert_int_equal(r->answers, 1);
    assert_int_equal(r->err, HSM_E_UNAVAILABLE);
    r->nodes = NULL;
}

static void meaning_of_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        hsm_err err;
        const char *text;
    } rows[] = {
        {"{\"ok\":true}", HSM_OK, ""},
        {"{\"ok\":false,\"code\":\"conflict\",\"text\":\"differs\"}", HSM_E_CONFLICT, "differs"},
        {"{\"ok\":false,\"code\":\"not-found\",\"text\":\"x\"}", HSM_E_NOT_FOUND, "x"},
        {"{\"ok\":false,\"code\":\"bad\",\"text\":\"x\"}", HSM_E_BAD_PARAMETER, "x"},
        {"{\"ok\":false,\"code\":\"busy\",\"text\":\"x\"}", HSM_E_AGAIN, "x"},
        {"{\"ok\":false,\"code\":\"failed\"}", HSM_E_INTERNAL, "the node gives no reason"},
        {"{\"ok\":false,\"code\":\"new\",\"text\":\"\"}", HSM_E_INTERNAL,
         "the node gives no reason"},
        {"{\"ok\":false}", HSM_E_INTERNAL, "the node gives no reason"},
        {"{\"ok\":1}", HSM_E_MALFORMED, "the node's answer is malformed"},
        {"{}", HSM_E_MALFORMED, "the node's answer is malformed"},
        {"[true]", HSM_E_MALFORMED, "the node's answer is malformed"},
        {"", HSM_E_MALFORMED, "the node's answer is malformed"},
        {"{\"ok\":true}x", HSM_E_MALFORMED, "the node's answer is malformed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_tok tok[16];
        struct node_answer a;
        node_answer_parse(bytes_str(rows[i].line), tok, 16, &a);
        assert_int_equal(a.err, rows[i].err);
        assert_string_equal(a.text, rows[i].text);
        assert_true((a.doc.n > 0) == (rows[i].err != HSM_E_MALFORMED));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_come_back),          TEST(silence_and_refusal),          TEST(endless_line),
        TEST(closing_answers_what_waits), cmocka_unit_test(meaning_of_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
