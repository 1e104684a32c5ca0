/* HOME/run/supervisor.sock: commands of `keyhold`, one line there and one line back.
 *   status      JSON: what runs here
 *   add         "ok N" when partition N serves
 *   remove N, restart N   "ok" when it is done
 * Anything that cannot be done: "error: text". Only for processes of the same user. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "codec/json.h"
#include "partition/private_socket.h"
#include "partition/supervisor_internal.h"

bool commandd_open(struct supervisor *s)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < COMMAND_CLIENTS_MAX; i++)
        s->client[i].fd = -1;
    s->command_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return s->command_fd >= 0 && installation_path(&s->in, path, HOME_SUPERVISOR) == HSM_OK &&
           listen_private(s->command_fd, path, COMMAND_CLIENTS_MAX);
}

void commandd_accept(struct supervisor *s)
{
    int fd = accept4(s->command_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (unsigned i = 0; i < COMMAND_CLIENTS_MAX && private_peer_is_own(fd); i++) {
        if (s->client[i].fd >= 0)
            continue;
        s->client[i] = (struct command_client){.fd = fd};
        return;
    }
    (void)close(fd);
}

static void say(struct command_client *c, const void *line, size_t n)
{
    if (send(c->fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("a command went away: %s", strerror(errno));
    (void)close(c->fd);
    c->fd = -1;
}

static const char *state_of(const struct supervisor *s, const struct pair *p)
{
    if (p == NULL)
        return "elsewhere";
    if (pair_is_ready(p))
        return "ready";
    if (p->fate == PAIR_REPLACE)
        return "failed";
    if (s->op.kind == OPERATION_ADD && s->op.fresh == p->number)
        return "joining";
    return p->hold ? "stopping" : "starting";
}

static const char *operation_name(enum operation_kind kind)
{
    static const char *const names[] = {[OPERATION_NONE] = "none",
                                        [OPERATION_ADD] = "add",
                                        [OPERATION_REMOVE] = "remove",
                                        [OPERATION_RESTART] = "restart",
                                        [OPERATION_REPLACE] = "replace"};
    return names[kind];
}

static void put_partition(struct json_wr *j, const struct supervisor *s,
                          const struct partition_entry *e, const struct pair *p)
{
    json_obj_open(j);
    json_name(j, "number");
    json_put_int(j, e->number);
    json_name(j, "state");
    json_put_str(j, state_of(s, p));
    json_name(j, "address");
    json_put_str(j, e->peer);
    json_name(j, "rack");
    json_put_str(j, e->rack);
    if (p != NULL) {
        json_name(j, "boundary");
        json_put_int(j, p->boundary.pid);
        json_name(j, "gateway");
        json_put_int(j, p->gateway.pid);
    }
    if (p != NULL && p->fate == PAIR_REPLACE) {
        json_name(j, "reason");
        json_put_str(j, p->why);
    }
    json_obj_close(j);
}

static void say_status(struct supervisor *s, struct command_client *c)
{
    uint8_t buf[4096];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "operation");
    json_put_str(&j, operation_name(s->op.kind));
    json_name(&j, "partitions");
    json_arr_open(&j);
    for (unsigned i = 0; i < s->in.config.partition_n; i++)
        put_partition(&j, s, &s->in.config.partition[i],
                      pair_find(s, s->in.config.partition[i].number));
    json_arr_close(&j);
    json_obj_close(&j);
    wr_str(&w, "\n");
    say(c, buf, wr_ok(&w) == HSM_OK ? w.n : 0);
}

static void run(struct supervisor *s, struct command_client *c)
{
    static const struct {
        const char *word;
        enum operation_kind kind;
    } commands[] = {{"remove ", OPERATION_REMOVE}, {"restart ", OPERATION_RESTART}};
    char text[200] = "no such command", line[220];
    enum operation_kind kind = strcmp(c->line, "add") == 0 ? OPERATION_ADD : OPERATION_NONE;
    long number = 0;
    for (unsigned i = 0; i < 2; i++) {
        size_t n = strlen(commands[i].word);
        if (strncmp(c->line, commands[i].word, n) == 0 &&
            text_number(c->line + n, PARTITION_MAX, &number))
            kind = commands[i].kind;
    }
    if (strcmp(c->line, "status") == 0) {
        say_status(s, c);
    } else if (kind != OPERATION_NONE &&
               operation_begin(s, kind, (unsigned)number, c->fd, text, sizeof text)) {
        c->fd = -1; /* the operation answers */
    } else {
        int n = snprintf(line, sizeof line, "error: %s\n", text);
        say(c, line, (size_t)n);
    }
}

void commandd_read(struct supervisor *s, struct command_client *c)
{
    ssize_t m = recv(c->fd, c->line + c->n, sizeof c->line - 1 - c->n, MSG_DONTWAIT);
    if (m < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (m <= 0) {
        say(c, "", 0);
        return;
    }
    c->n += (size_t)m;
    c->line[c->n] = '\0';
    char *end = strchr(c->line, '\n');
    if (end == NULL && c->n < sizeof c->line - 1)
        return;
    if (end != NULL)
        *end = '\0';
    run(s, c);
}

void commandd_close(struct supervisor *s)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < COMMAND_CLIENTS_MAX; i++)
        if (s->client[i].fd >= 0)
            say(&s->client[i], "", 0);
    if (s->command_fd < 0)
        return;
    (void)close(s->command_fd);
    s->command_fd = -1;
    if (installation_path(&s->in, path, HOME_SUPERVISOR) == HSM_OK)
        (void)unlink(path);
}
