/* HOME/run/node.sock: one JSON object as a line there, one back, and the end. "op" says what is
 * asked:
 *   {"op":"status"}
 *     -> {"ok":true,"node":"local","region":...,"zone":...,"rack":...,"pools":[{"name":...,
 *         "state":"stopped|starting|running|stopping|failed","ready":3,"partitions":3,
 *         "activation":"Active|NotActivated|Unknown","text":""}]}
 *   {"op":"start","name":POOL}  {"op":"stop","name":POOL}   -> {"ok":true}, then watch its state
 * or {"ok":false,"code":"conflict|not-found|bad|busy|failed","text":...}. All may be asked again.
 * Only for processes of the same user. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "partition/node_internal.h"

#define TOKENS_MAX  4096
#define PATIENCE_MS 5000u /* then a place may be taken by another client */

/* ---- operations ---- */

/* NULL: done, and j has the members of the answer; else the code, and text says why. */
typedef const char *operation(struct node *n, const struct json_doc *d, struct json_wr *j,
                              char *text, size_t cap);

static void put_pool(struct json_wr *j, const struct node *n, const struct node_pool *p)
{
    json_obj_open(j);
    json_name(j, "name");
    json_put_str(j, p->name);
    json_name(j, "state");
    json_put_str(j, node_pool_state(p));
    json_name(j, "ready");
    json_put_int(j, p->ready);
    json_name(j, "partitions");
    json_put_int(j, p->partitions);
    json_name(j, "activation");
    json_put_str(j, node_pool_activation(n, p));
    json_name(j, "text");
    json_put_str(j, p->why);
    json_obj_close(j);
}

static const char *status(struct node *n, const struct json_doc *d, struct json_wr *j, char *text,
                          size_t cap)
{
    (void)d, (void)text, (void)cap;
    json_name(j, "node");
    json_put_str(j, "local");
    json_name(j, "region");
    json_put_str(j, n->in.config.region);
    json_name(j, "zone");
    json_put_str(j, "1");
    json_name(j, "rack");
    json_put_str(j, "a");
    json_name(j, "pools");
    json_arr_open(j);
    for (unsigned i = 0; i < n->pool_n; i++)
        put_pool(j, n, n->pool[i]);
    json_arr_close(j);
    return NULL;
}

static const char *want(struct node *n, const struct json_doc *d, bool run, char *text, size_t cap)
{
    struct bytes name;
    uint32_t v = json_get_nn(d, 0, "name");
    if (v == JSON_NONE || json_plain(d, v, &name) != HSM_OK) {
        (void)snprintf(text, cap, "\"name\" is missing");
        return "bad";
    }
    struct node_pool *p = node_pool_find(n, name);
    if (p == NULL) {
        (void)snprintf(text, cap, "there is no pool of that name");
        return "not-found";
    }
    if (node_pool_want(n, p, run) == HSM_OK)
        return NULL;
    (void)snprintf(text, cap, "that cannot be written: %s", strerror(errno));
    return "failed";
}

static const char *start(struct node *n, const struct json_doc *d, struct json_wr *j, char *text,
                         size_t cap)
{
    (void)j;
    return want(n, d, true, text, cap);
}

static const char *stop(struct node *n, const struct json_doc *d, struct json_wr *j, char *text,
                        size_t cap)
{
    (void)j;
    return want(n, d, false, text, cap);
}

static const struct {
    const char *name;
    operation *fn;
} operations[] = {{"status", status}, {"start", start}, {"stop", stop}};

static const char *perform(struct node *n, struct bytes line, struct json_wr *j, char *text,
                           size_t cap)
{
    static struct json_tok toks[TOKENS_MAX];
    struct json_doc d;
    struct bytes name;
    (void)snprintf(text, cap, "no such operation");
    if (json_parse(line, toks, TOKENS_MAX, &d) != HSM_OK || json_type_of(&d, 0) != JSON_OBJECT ||
        json_get_nn(&d, 0, "op") == JSON_NONE ||
        json_plain(&d, json_get_nn(&d, 0, "op"), &name) != HSM_OK)
        return "bad";
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (bytes_eq(name, bytes_str(operations[i].name)))
            return operations[i].fn(n, &d, j, text, cap);
    return "bad";
}

static void answer(struct node *n, struct bytes line, struct wr *w)
{
    char text[600];
    struct json_wr j = json_wr_of(w);
    json_obj_open(&j);
    json_name(&j, "ok");
    json_put_bool(&j, true);
    const char *code = perform(n, line, &j, text, sizeof text);
    if (code != NULL) {
        w->n = 0;
        j = json_wr_of(w);
        json_obj_open(&j);
        json_name(&j, "ok");
        json_put_bool(&j, false);
        json_name(&j, "code");
        json_put_str(&j, code);
        json_name(&j, "text");
        json_put_str(&j, text);
    }
    json_obj_close(&j);
    wr_str(w, "\n");
}

/* ---- clients ---- */

static void end(struct node_client *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    free(c->line);
    *c = (struct node_client){.fd = -1};
}

static bool bind_private(int fd, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return false;
    memcpy(a.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    mode_t before = umask(0177);
    int r = bind(fd, (const struct sockaddr *)&a, sizeof a);
    (void)umask(before);
    return r == 0 && listen(fd, 32) == 0;
}

bool noded_open(struct node *n)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < NODE_CLIENTS_MAX; i++)
        n->client[i] = (struct node_client){.fd = -1};
    n->command_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return n->command_fd >= 0 && installation_path(&n->in, path, HOME_NODE) == HSM_OK &&
           bind_private(n->command_fd, path);
}

static bool is_own_user(int fd)
{
    struct ucred cred = {0};
    socklen_t m = sizeof cred;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &m) == 0 && cred.uid == geteuid();
}

/* A free place, or that of a client which does not come to its end. */
static struct node_client *place(struct node *n)
{
    struct node_client *oldest = &n->client[0];
    for (unsigned i = 0; i < NODE_CLIENTS_MAX; i++) {
        if (n->client[i].fd < 0)
            return &n->client[i];
        if (n->client[i].since < oldest->since)
            oldest = &n->client[i];
    }
    if (unit_now_ms() - oldest->since < PATIENCE_MS)
        return NULL;
    end(oldest);
    return oldest;
}

void noded_accept(struct node *n)
{
    int fd = accept4(n->command_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct node_client *c = is_own_user(fd) ? place(n) : NULL;
    char *line = c != NULL ? malloc(NODE_LINE_MAX) : NULL;
    if (line == NULL) {
        (void)close(fd);
        return;
    }
    *c = (struct node_client){.fd = fd, .line = line, .since = unit_now_ms()};
}

void noded_read(struct node *n, struct node_client *c)
{
    static uint8_t buf[NODE_LINE_MAX];
    ssize_t m = recv(c->fd, c->line + c->n, NODE_LINE_MAX - c->n, MSG_DONTWAIT);
    if (m < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (m <= 0) {
        end(c);
        return;
    }
    const char *eol = memchr(c->line + c->n, '\n', (size_t)m);
    c->n += (size_t)m;
    if (eol == NULL && c->n < NODE_LINE_MAX)
        return;
    struct wr w = wr_of(buf, sizeof buf);
    answer(n, bytes_of(c->line, eol != NULL ? (size_t)(eol - c->line) : c->n), &w);
    if (wr_ok(&w) != HSM_OK || send(c->fd, buf, w.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("an answer of the node did not arrive");
    end(c);
}

void noded_close(struct node *n)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < NODE_CLIENTS_MAX; i++)
        end(&n->client[i]);
    if (n->command_fd < 0)
        return;
    (void)close(n->command_fd);
    n->command_fd = -1;
    if (installation_path(&n->in, path, HOME_NODE) == HSM_OK)
        (void)unlink(path);
}
