#include "gateway/statusd.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "codec/json.h"
#include "gateway/peers.h"
#include "gateway/pool_state.h"
#include "model/key_class.h"

#define CLIENTS_MAX 16
#define LINE_MAX_N  8192
#define PATH_MAX_N  107

struct statusd_client {
    struct statusd *s;
    uv_pipe_t pipe;
    uv_write_t req;
    char line[LINE_MAX_N];
};

struct statusd {
    uv_loop_t *loop;
    struct control *c;
    struct statusd_facts facts;
    uv_pipe_t listener;
    unsigned clients;
    bool is_stopping;
    struct statusd_client *client[CLIENTS_MAX];
};

static void put_text(struct json_wr *j, const char *name, const char *text)
{
    json_name(j, name);
    json_put_str(j, text);
}

static void put_count(struct json_wr *j, const char *name, uint64_t v)
{
    json_name(j, name);
    json_put_int(j, (int64_t)v);
}

static void put_faces(struct json_wr *j, const struct faces *f)
{
    json_name(j, "faces");
    json_arr_open(j);
    for (size_t i = 0; i < f->n; i++) {
        json_obj_open(j);
        put_text(j, "host", f->face[i].host);
        put_count(j, "port", f->face[i].port);
        put_text(j, "suffix", f->face[i].suffix);
        json_obj_close(j);
    }
    json_arr_close(j);
}

static void put_status(struct json_wr *j, const struct wire_status *m)
{
    char hash[65];
    hex_encode(hash, m->audit_hash.p, m->audit_hash.n);
    put_text(j, "state", pool_state_name(m->pool_state));
    put_count(j, "keys", m->keys);
    put_count(j, "versions", m->versions);
    put_count(j, "applied", m->applied);
    put_count(j, "auditSeq", m->audit_seq);
    put_text(j, "auditHash", hash);
    json_name(j, "auditKey");
    json_put_b64u(j, m->audit_key);
    put_count(j, "retentionDays", m->retention_days);
    json_name(j, "purgeProtection");
    json_put_bool(j, m->purge_protection == 1);
    put_count(j, "tokenHits", m->token_hits);
    put_count(j, "tokenMisses", m->token_misses);
    json_name(j, "lease");
    json_obj_open(j);
    json_name(j, "needed");
    json_put_bool(j, m->lease_ms_left != UINT32_MAX);
    if (m->lease_ms_left != UINT32_MAX)
        put_count(j, "msLeft", m->lease_ms_left);
    put_count(j, "waits", m->lease_waits);
    put_count(j, "released", m->released);
    json_obj_close(j);
    json_name(j, "preparedKeys");
    json_obj_open(j);
    put_count(j, "2048", m->prepared_2048);
    put_count(j, "3072", m->prepared_3072);
    put_count(j, "4096", m->prepared_4096);
    json_obj_close(j);
}

static void put_raft(struct json_wr *j, const struct statusd_facts *facts,
                     const struct store_info *info)
{
    struct store_member m[STORE_MEMBERS_MAX];
    size_t n = store_members(facts->store, m);
    json_name(j, "raft");
    json_obj_open(j);
    put_count(j, "id", info->node_id);
    put_text(j, "role", info->leader ? "leader" : info->voter ? "follower" : "spare");
    put_count(j, "leader", info->leader_id);
    put_count(j, "term", info->term);
    put_count(j, "applied", info->applied);
    put_count(j, "released", peers_released(facts->peers));
    json_name(j, "members");
    json_arr_open(j);
    for (size_t i = 0; i < n; i++) {
        json_obj_open(j);
        put_count(j, "id", m[i].id);
        put_text(j, "address", m[i].address);
        put_text(j, "role", m[i].role == STORE_VOTER ? "voter" : "spare");
        json_name(j, "linked");
        json_put_bool(j, m[i].linked);
        json_obj_close(j);
    }
    json_arr_close(j);
    json_obj_close(j);
}

/* What a bill is made of: versions by kind of key, operations since this process started. */
static void put_usage(struct json_wr *j, const struct statusd_facts *facts,
                      const struct wire_status *m)
{
    uint64_t answers = 0, n;
    for (unsigned i = 0; facts->meters != NULL && i < facts->loops; i++)
        for (unsigned op = 1; op < WIRE_OP__END; op++)
            for (unsigned c = 0; c < METER_CLASSES; c++)
                answers += meter_read(&facts->meters[i].op[op].answers[c]);
    put_count(j, "operations", answers);
    struct rd r = m != NULL ? rd_of(m->amounts) : rd_of(bytes_of(NULL, 0));
    json_name(j, "keyTypes");
    json_obj_open(j);
    for (unsigned i = 0; i < KEY_CLASS__COUNT && rd_u64(&r, &n) == HSM_OK; i++)
        if (n > 0)
            put_count(j, key_class_name((enum key_class)i), n);
    json_obj_close(j);
}

void statusd_render(const struct statusd_facts *facts, const struct wire_status *m, struct wr *out)
{
    struct json_wr j = json_wr_of(out);
    char id[UUID_TEXT_LEN + 1];
    uuid_format(&facts->pool->id, id);
    json_obj_open(&j);
    put_text(&j, "pool", facts->pool->name);
    put_text(&j, "poolId", id);
    put_text(&j, "tenant", facts->pool->tenant);
    put_text(&j, "protection", facts->pool->protection);
    put_text(&j, "secretMemory", facts->pool->secret_memory);
    put_text(&j, "region", facts->region);
    put_text(&j, "version", KEYHOLD_VERSION);
    if (m != NULL)
        put_status(&j, m);
    else
        put_text(&j, "state", "Unknown");
    if (facts->store != NULL) {
        struct store_info info;
        store_info(facts->store, &info);
        json_name(&j, "leader");
        json_put_bool(&j, info.leader);
        put_count(&j, "records", info.records);
        put_count(&j, "logLast", info.log_last);
        put_count(&j, "flushed", info.flushed);
        if (facts->peers != NULL)
            put_raft(&j, facts, &info);
    }
    put_usage(&j, facts, m);
    put_count(&j, "loops", facts->loops);
    if (facts->metrics_port != 0)
        put_count(&j, "metricsPort", facts->metrics_port);
    put_faces(&j, facts->faces);
    json_obj_close(&j);
    wr_str(out, "\n");
}

static void on_client_closed(uv_handle_t *h)
{
    struct statusd_client *k = h->data;
    k->s->clients--;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (k->s->client[i] == k)
            k->s->client[i] = NULL;
    }
    free(k);
}

static void client_close(struct statusd_client *k)
{
    if (!uv_is_closing((uv_handle_t *)&k->pipe))
        uv_close((uv_handle_t *)&k->pipe, on_client_closed);
}

static void on_line_written(uv_write_t *req, int status)
{
    (void)status;
    client_close(req->data);
}

static void on_status(void *ctx, const struct wire_status *m)
{
    struct statusd_client *k = ctx;
    struct wr w = wr_of(k->line, sizeof k->line);
    if (k->s->facts.audit != NULL)
        (void)!audit_sink_drain(k->s->facts.audit); /* failures show on the sink's own timer */
    statusd_render(&k->s->facts, m, &w);
    uv_buf_t buf = uv_buf_init(k->line, (unsigned)w.n);
    if (wr_ok(&w) != HSM_OK ||
        uv_write(&k->req, (uv_stream_t *)&k->pipe, &buf, 1, on_line_written) != 0)
        client_close(k);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct statusd *s = listener->data;
    size_t at = 0;
    while (at < CLIENTS_MAX && s->client[at] != NULL)
        at++;
    struct statusd_client *k =
        status < 0 || s->is_stopping || at == CLIENTS_MAX ? NULL : calloc(1, sizeof *k);
    if (k == NULL)
        return; /* the caller's own timeout ends it */
    k->s = s;
    (void)uv_pipe_init(s->loop, &k->pipe, 0);
    k->pipe.data = k;
    k->req.data = k;
    s->client[at] = k;
    s->clients++;
    if (uv_accept(listener, (uv_stream_t *)&k->pipe) != 0) {
        client_close(k);
        return;
    }
    control_status(s->c, on_status, k);
}

hsm_err statusd_new(uv_loop_t *loop, struct control *c, const char *path,
                    const struct statusd_facts *facts, struct statusd **ret)
{
    if (strlen(path) > PATH_MAX_N)
        return HSM_E_BAD_PARAMETER;
    struct statusd *s = calloc(1, sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    s->loop = loop;
    s->c = c;
    s->facts = *facts;
    if (uv_pipe_init(loop, &s->listener, 0) != 0) {
        free(s);
        return HSM_E_IO;
    }
    s->listener.data = s;
    (void)unlink(path);
    mode_t before = umask(0177);
    int rc = uv_pipe_bind(&s->listener, path);
    umask(before);
    *ret = s; /* the handle is open: the caller stops it in any case */
    if (rc != 0 || uv_listen((uv_stream_t *)&s->listener, CLIENTS_MAX, on_connection) != 0)
        return HSM_E_IO;
    return HSM_OK;
}

void statusd_stop(struct statusd *s)
{
    if (s == NULL || s->is_stopping)
        return;
    s->is_stopping = true;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (s->client[i] == NULL)
            continue;
        control_status_cancel(s->c, s->client[i]);
        client_close(s->client[i]);
    }
    uv_close((uv_handle_t *)&s->listener, NULL);
}

void statusd_free(struct statusd *s)
{
    free(s);
}
