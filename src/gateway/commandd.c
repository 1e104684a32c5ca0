#include "gateway/commandd.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/text.h"

#define CLIENTS_MAX 8
#define LINE_LEN    128
#define PATH_MAX_N  107

struct client {
    struct commandd *d;
    uv_pipe_t pipe;
    uv_write_t req;
    size_t n;
    char in[LINE_LEN], out[LINE_LEN];
};

struct commandd {
    uv_loop_t *loop;
    struct store *store; /* NULL: one partition */
    struct firewall *firewall;
    uv_pipe_t listener;
    struct client *client[CLIENTS_MAX];
    bool is_stopping;
};

static void on_closed(uv_handle_t *h)
{
    struct client *k = h->data;
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (k->d->client[i] == k)
            k->d->client[i] = NULL;
    free(k);
}

static void client_close(struct client *k)
{
    if (!uv_is_closing((uv_handle_t *)&k->pipe))
        uv_close((uv_handle_t *)&k->pipe, on_closed);
}

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    client_close(req->data);
}

static hsm_err run_network(struct firewall *fw)
{
    hsm_err err = firewall_load(fw);
    return err == HSM_OK || err == HSM_E_NOMEM ? err : HSM_E_CORRUPT;
}

static hsm_err run(const struct commandd *d, const char *line)
{
    struct store *s = d->store;
    long id = 0;
    if (strcmp(line, "network") == 0)
        return run_network(d->firewall);
    if (s == NULL)
        return HSM_E_NOT_FOUND;
    if (strcmp(line, "transfer") == 0)
        return store_transfer(s, 0);
    if (strncmp(line, "transfer ", 9) == 0 && text_number(line + 9, 1000000, &id) && id > 0)
        return store_transfer(s, (uint64_t)id);
    if (strncmp(line, "remove ", 7) == 0 && text_number(line + 7, 1000000, &id) && id > 0)
        return store_remove(s, (uint64_t)id);
    return HSM_E_BAD_PARAMETER;
}

static void answer(struct client *k)
{
    struct store *s = k->d->store;
    hsm_err err = run(k->d, k->in);
    if (err == HSM_OK)
        (void)snprintf(k->out, sizeof k->out, "ok\n");
    else if (err == HSM_E_UNAVAILABLE && s != NULL && store_leader(s) != 0)
        (void)snprintf(k->out, sizeof k->out, "error: node %llu leads\n",
                       (unsigned long long)store_leader(s));
    else
        (void)snprintf(k->out, sizeof k->out, "error: %s\n",
                       err == HSM_E_UNAVAILABLE     ? "nobody leads just now"
                       : err == HSM_E_NOT_FOUND     ? "there is no such member"
                       : err == HSM_E_BAD_PARAMETER ? "the command is not known"
                       : err == HSM_E_CORRUPT       ? "the network's rules cannot be used"
                       : err == HSM_E_NOMEM         ? "out of memory"
                                                    : "another change is under way");
    uv_buf_t buf = uv_buf_init(k->out, (unsigned)strlen(k->out));
    if (uv_write(&k->req, (uv_stream_t *)&k->pipe, &buf, 1, on_written) != 0)
        client_close(k);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct client *k = h->data;
    (void)suggested;
    *ret = uv_buf_init(k->in + k->n, (unsigned)(sizeof k->in - 1 - k->n));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *k = stream->data;
    (void)buf;
    if (n == 0)
        return;
    if (n < 0) {
        client_close(k);
        return;
    }
    k->n += (size_t)n;
    k->in[k->n] = '\0';
    char *end = strchr(k->in, '\n');
    if (end == NULL)
        return;
    *end = '\0';
    (void)uv_read_stop(stream);
    answer(k);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct commandd *d = listener->data;
    size_t at = 0;
    while (at < CLIENTS_MAX && d->client[at] != NULL)
        at++;
    struct client *k =
        status < 0 || d->is_stopping || at == CLIENTS_MAX ? NULL : calloc(1, sizeof *k);
    if (k == NULL)
        return; /* the caller's own timeout ends it */
    k->d = d;
    (void)uv_pipe_init(d->loop, &k->pipe, 0);
    k->pipe.data = k->req.data = k;
    d->client[at] = k;
    if (uv_accept(listener, (uv_stream_t *)&k->pipe) != 0 ||
        uv_read_start((uv_stream_t *)&k->pipe, on_alloc, on_read) != 0)
        client_close(k);
}

hsm_err commandd_new(uv_loop_t *loop, const char *path, struct store *s, struct firewall *firewall,
                     struct commandd **ret)
{
    if (strlen(path) > PATH_MAX_N)
        return HSM_E_BAD_PARAMETER;
    struct commandd *d = calloc(1, sizeof *d);
    if (d == NULL)
        return HSM_E_NOMEM;
    d->loop = loop;
    d->store = s;
    d->firewall = firewall;
    if (uv_pipe_init(loop, &d->listener, 0) != 0) {
        free(d);
        return HSM_E_IO;
    }
    d->listener.data = d;
    (void)unlink(path);
    mode_t before = umask(0177);
    int rc = uv_pipe_bind(&d->listener, path);
    umask(before);
    *ret = d; /* the handle is open: the caller stops it in any case */
    if (rc != 0 || uv_listen((uv_stream_t *)&d->listener, CLIENTS_MAX, on_connection) != 0)
        return HSM_E_IO;
    return HSM_OK;
}

void commandd_stop(struct commandd *d)
{
    if (d == NULL || d->is_stopping)
        return;
    d->is_stopping = true;
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (d->client[i] != NULL)
            client_close(d->client[i]);
    uv_close((uv_handle_t *)&d->listener, NULL);
}

void commandd_free(struct commandd *d)
{
    free(d);
}
