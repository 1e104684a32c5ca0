#include "gateway/gateway.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "gateway/audit_sink.h"
#include "gateway/commandd.h"
#include "gateway/control.h"
#include "gateway/http_loop.h"
#include "gateway/joining.h"
#include "gateway/metricsd.h"
#include "gateway/peers.h"
#include "gateway/pool_state.h"
#include "gateway/relay.h"
#include "gateway/statusd.h"

#define AUDIT_MS       100 /* also: between looks at the pool's state */
#define SYNC_EVERY     10  /* audit drains */
#define READY_RETRY_MS 10
#define QUIESCE_MS     10000
#define LINGER_MS      5000 /* after that the log goes on without the others' end */
#define TEXT_MAX       512
#define NO_LEADER_MS   3000 /* then requests are answered, if only that nobody leads */
/* Besides 0 and 1: */
#define EXIT_JOINED  70 /* start again: the root secrets are here */
#define EXIT_RELOAD  71 /* start again: the state is another partition's copy */
#define EXIT_REMOVED 72 /* no member of the pool any more */

enum phase {
    PHASE_STARTING,
    PHASE_SERVING,
    PHASE_DRAINING,
    PHASE_QUIESCING,
    PHASE_LINGERING, /* takes part in the log for partitions that have not finished yet */
    PHASE_CLOSING
};

struct gateway {
    const struct gateway_options *o;
    uv_loop_t loop;
    struct ring_set rings;
    SSL_CTX *tls;
    struct front_shared shared;
    struct control *control;
    struct control_pool pool;
    struct store *store;
    struct relay *relay;
    struct peers *peers;     /* NULL: one partition */
    struct joining *joining; /* NULL: it has the root secrets */
    struct store_peers links;
    uint64_t started_ms;
    struct statusd *statusd;
    struct commandd *commandd;
    char command_path[128];
    struct metricsd *metricsd;
    struct pool_state_file pool_state;
    struct http_loop *http[RING_LANES_MAX];
    unsigned http_n;
    _Atomic unsigned http_stopped;
    enum phase phase;
    bool failed;
    bool sync_running;
    int ready_fd;
    unsigned drains;
    uv_signal_t sigterm, sigint;
    uv_timer_t audit_timer, phase_timer;
    uv_async_t progress; /* an HTTP loop has ended */
    uv_work_t sync;
    char text[TEXT_MAX];
};

/* What was acknowledged is safe in the store; the supervisor starts both sides again. */
__attribute__((noreturn)) static void die(struct gateway *g, const char *text)
{
    log_error("%s; the partition restarts", text);
    if (g->shared.audit != NULL) {
        (void)!audit_sink_drain(g->shared.audit);
        (void)!audit_sink_sync(g->shared.audit);
    }
    _exit(1);
}

static void on_fatal(void *ctx, const char *text)
{
    die(ctx, text);
}

static void on_store_failed(void *ctx, hsm_err err)
{
    struct gateway *g = ctx;
    if (err != HSM_E_STALE && err != HSM_E_DENIED)
        die(g, "the store cannot go on");
    (void)!audit_sink_drain(g->shared.audit);
    (void)!audit_sink_sync(g->shared.audit);
    _exit(err == HSM_E_STALE ? EXIT_RELOAD : EXIT_REMOVED);
}

static void on_joined(void *ctx)
{
    (void)ctx;
    log_info("the root secrets are here");
    _exit(EXIT_JOINED);
}

/* ---- orderly stop ---- */

static void close_timers(struct gateway *g)
{
    uv_close((uv_handle_t *)&g->sigterm, NULL);
    uv_close((uv_handle_t *)&g->sigint, NULL);
    uv_close((uv_handle_t *)&g->audit_timer, NULL);
    uv_close((uv_handle_t *)&g->phase_timer, NULL);
    uv_close((uv_handle_t *)&g->progress, NULL);
}

static void on_store_closed(void *ctx)
{
    struct gateway *g = ctx;
    g->store = NULL;
    close_timers(g);
}

static void enter_closing(struct gateway *g)
{
    if (g->phase == PHASE_CLOSING)
        return;
    g->phase = PHASE_CLOSING;
    uv_timer_stop(&g->phase_timer);
    uv_timer_stop(&g->audit_timer);
    if (audit_sink_drain(g->shared.audit) != HSM_OK || audit_sink_sync(g->shared.audit) != HSM_OK) {
        log_error("the last audit lines could not be written");
        g->failed = true;
    }
    statusd_stop(g->statusd);
    commandd_stop(g->commandd);
    peers_stop(g->peers);
    metricsd_stop(g->metricsd);
    relay_stop(g->relay);
    control_stop(g->control);
    store_close(g->store, on_store_closed, g);
}

static void on_lingered(uv_timer_t *t)
{
    enter_closing(t->data);
}

/* Whoever started this process says, by another signal, when nobody needs the log here. */
static bool tell_quiet(struct gateway *g)
{
    return g->peers != NULL && g->ready_fd >= 0 && write(g->ready_fd, "quiet\n", 6) == 6 &&
           uv_timer_start(&g->phase_timer, on_lingered, LINGER_MS, 0) == 0;
}

static void on_quiesced(void *ctx)
{
    struct gateway *g = ctx;
    if (g->phase >= PHASE_LINGERING)
        return;
    if (tell_quiet(g))
        g->phase = PHASE_LINGERING;
    else
        enter_closing(g);
}

static void on_quiesce_late(uv_timer_t *t)
{
    struct gateway *g = t->data;
    log_error("the boundary did not finish in time");
    g->failed = true;
    enter_closing(g);
}

static void enter_quiescing(struct gateway *g)
{
    if (g->phase >= PHASE_QUIESCING)
        return;
    g->phase = PHASE_QUIESCING;
    (void)uv_timer_start(&g->phase_timer, on_quiesce_late, QUIESCE_MS, 0);
    control_quiesce(g->control);
}

static void on_progress(uv_async_t *a)
{
    struct gateway *g = a->data;
    if (g->phase == PHASE_DRAINING && atomic_load(&g->http_stopped) == g->http_n)
        enter_quiescing(g);
}

static void on_http_stopped(void *ctx)
{
    struct gateway *g = ctx;
    atomic_fetch_add(&g->http_stopped, 1);
    (void)uv_async_send(&g->progress);
}

static void on_signal(uv_signal_t *h, int number)
{
    struct gateway *g = h->data;
    (void)number;
    if (g->phase == PHASE_LINGERING)
        enter_closing(g);
    if (g->phase >= PHASE_DRAINING)
        return;
    log_info("stopping");
    if (g->joining != NULL)
        _exit(0); /* nothing is open but links */
    uv_timer_stop(&g->phase_timer);
    g->phase = PHASE_DRAINING;
    for (unsigned i = 0; i < g->http_n; i++)
        http_loop_stop(g->http[i]);
    if (g->http_n == 0)
        enter_quiescing(g);
}

/* ---- audit file ---- */

static void sync_work(uv_work_t *w)
{
    struct gateway *g = w->data;
    hsm_err err = audit_sink_sync(g->shared.audit);
    if (err != HSM_OK)
        log_error("audit: sync failed: %s", hsm_err_name(err));
}

static void sync_done(uv_work_t *w, int status)
{
    struct gateway *g = w->data;
    (void)status;
    g->sync_running = false;
}

static void on_audit_timer(uv_timer_t *t)
{
    struct gateway *g = t->data;
    if (audit_sink_drain(g->shared.audit) == HSM_E_CORRUPT)
        die(g, "the audit ring is damaged");
    if (++g->drains % SYNC_EVERY == 0 && !g->sync_running)
        g->sync_running = uv_queue_work(&g->loop, &g->sync, sync_work, sync_done) == 0;
    if (g->phase == PHASE_SERVING) {
        struct store_info info;
        store_info(g->store, &info);
        pool_state_look(&g->pool_state, info.applied);
    }
}

/* ---- readiness ---- */

static hsm_err start_http(struct gateway *g)
{
    uint16_t port = g->o->listen_port;
    for (unsigned i = 0; i < g->o->loops; i++) {
        struct http_loop_config cfg = {
            .shared = &g->shared,
            .lane = i + 1,
            .cpu = g->o->cpu[i],
            .tls = g->tls,
            .door = g->o->door,
            .pool = g->pool.name,
            .listen_addr = g->o->listen_addr[0] != '\0' ? g->o->listen_addr : NULL,
            .listen_port = port,
            .fatal = on_fatal,
            .stopped = on_http_stopped,
            .ctx = g,
        };
        TRY(http_loop_new(&cfg, &g->http[i], &port));
        g->http_n++;
    }
    for (unsigned i = 0; i < g->http_n; i++)
        TRY(http_loop_run(g->http[i]));
    if (g->o->listen_addr[0] != '\0')
        log_info("listening on %s port %u", g->o->listen_addr, port);
    return HSM_OK;
}

static void tell_ready(const struct gateway *g)
{
    if (g->ready_fd >= 0 && write(g->ready_fd, "\n", 1) != 1)
        log_warn("nobody waits for readiness");
}

static void on_ready_timer(uv_timer_t *t);

/* A follower serves under the boundary's leases. Without a leader for a while it answers all the
 * same, that nobody leads: better than no answer. */
static bool may_serve(const struct gateway *g, const struct store_info *info)
{
    return (info->voter && info->leader_id != 0) ||
           (info->voter && clock_mono_us() / 1000 - g->started_ms > NO_LEADER_MS);
}

/* Serve only from a state that holds everything committed before this start. */
static void on_start_status(void *ctx, const struct wire_status *m)
{
    struct gateway *g = ctx;
    struct store_info info;
    if (g->phase != PHASE_STARTING)
        return;
    store_info(g->store, &info);
    bool is_led = info.leader || (g->peers != NULL && may_serve(g, &info));
    if (m == NULL || m->pool_state == POOL_NEW || !is_led || m->applied < info.applied) {
        (void)uv_timer_start(&g->phase_timer, on_ready_timer, READY_RETRY_MS, 0);
        return;
    }
    if (start_http(g) != HSM_OK)
        die(g, "the HTTP loops cannot start");
    g->phase = PHASE_SERVING;
    pool_state_take(&g->pool_state, m);
    log_info("pool %s is served by %u loops", g->pool.name, g->http_n);
    tell_ready(g);
}

static void on_ready_timer(uv_timer_t *t)
{
    struct gateway *g = t->data;
    if (g->phase == PHASE_STARTING)
        control_status(g->control, on_start_status, g);
}

/* ---- start ---- */

static void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == r.rlim_max)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

static hsm_err open_handles(struct gateway *g)
{
    if (uv_signal_init(&g->loop, &g->sigterm) != 0 || uv_signal_init(&g->loop, &g->sigint) != 0 ||
        uv_timer_init(&g->loop, &g->audit_timer) != 0 ||
        uv_timer_init(&g->loop, &g->phase_timer) != 0 ||
        uv_async_init(&g->loop, &g->progress, on_progress) != 0)
        return HSM_E_IO;
    g->sigterm.data = g;
    g->sigint.data = g;
    g->audit_timer.data = g;
    g->phase_timer.data = g;
    g->progress.data = g;
    g->sync.data = g;
    if (uv_signal_start(&g->sigterm, on_signal, SIGTERM) != 0 ||
        uv_signal_start(&g->sigint, on_signal, SIGINT) != 0)
        return HSM_E_IO;
    return HSM_OK;
}

static hsm_err open_boundary(struct gateway *g)
{
    struct control_handlers h = {.ctx = g,
                                 .fatal = on_fatal,
                                 .store_failed = on_store_failed,
                                 .joined = on_joined,
                                 .quiesced = on_quiesced};
    TRY(control_new(&g->loop, &g->rings, &h, &g->control));
    TRY(control_greet(g->control, &g->pool, g->text, sizeof g->text));
    hsm_err err = faces_bind(&g->shared.faces, bytes_str(g->pool.name), bytes_str(g->pool.tenant));
    if (err != HSM_OK)
        (void)snprintf(g->text, sizeof g->text, "pool name or tenant is unusable");
    return err;
}

static hsm_err open_store(struct gateway *g)
{
    struct store_config cfg = {
        .dir = g->o->store_dir,
        .node_id = g->o->node,
        .address = g->o->peer_listen != NULL ? g->o->peer_listen : "127.0.0.1:0",
        .peers = g->o->peer_listen != NULL ? &g->links : NULL,
    };
    struct store_callbacks cb = control_store_callbacks(g->control);
    uint64_t seq;
    uint8_t hash[AUDIT_HASH_LEN];
    TRY(store_open(&g->loop, &cfg, &cb, &g->store, g->text, sizeof g->text));
    if (cfg.peers != NULL) {
        TRY(peers_new(&g->loop, g->control, g->o->node, &g->peers));
        peers_set_store(g->peers, g->store);
        control_set_peers(g->control, g->peers);
    }
    audit_sink_tail(g->shared.audit, &seq, hash);
    return control_load(g->control, g->store, seq, hash, g->text, sizeof g->text);
}

static enum metrics_phase phase_of(void *ctx)
{
    const struct gateway *g = ctx;
    return g->phase == PHASE_STARTING  ? METRICS_STARTING
           : g->phase == PHASE_SERVING ? METRICS_SERVING
                                       : METRICS_STOPPING;
}

static hsm_err open_metrics(struct gateway *g)
{
    const struct metricsd_config cfg = {
        .fd = g->o->metrics_fd,
        .pool = &g->pool,
        .control = g->control,
        .store = g->store,
        .audit = g->shared.audit,
        .meters = g->shared.meters,
        .loops = g->o->loops,
        .phase = phase_of,
        .ctx = g,
    };
    hsm_err err = cfg.fd < 0 ? HSM_OK : metricsd_new(&g->loop, &cfg, &g->metricsd);
    if (err != HSM_OK)
        (void)snprintf(g->text, sizeof g->text, "the socket of --metrics-fd is of no use");
    return err;
}

static hsm_err open_rest(struct gateway *g)
{
    TRY(open_metrics(g));
    struct statusd_facts facts = {
        .pool = &g->pool,
        .faces = &g->shared.faces,
        .store = g->store,
        .peers = g->peers,
        .audit = g->shared.audit,
        .loops = g->o->loops,
        .metrics_port = metricsd_port(g->metricsd),
        .meters = g->shared.meters,
        .region = g->shared.region,
    };
    struct issuer_hosts external = {.n = 0};
    hsm_err err = HSM_OK;
    if (g->o->issuer_file != NULL)
        err = issuer_hosts_read(g->o->issuer_file, &external);
    if (err != HSM_OK) {
        (void)snprintf(g->text, sizeof g->text, "--issuer-file cannot be read");
        return err;
    }
    err = relay_new(&g->loop, g->control, g->o->issuer_connect, &external, &g->relay);
    if (err != HSM_OK) {
        (void)snprintf(g->text, sizeof g->text, "--issuer-connect cannot be resolved");
        return err;
    }
    control_set_relay(g->control, g->relay);
    g->pool_state = (struct pool_state_file){.path = g->o->pool_state, .control = g->control};
    if (g->o->control != NULL) {
        err = statusd_new(&g->loop, g->control, g->o->control, &facts, &g->statusd);
        if (err != HSM_OK) {
            (void)snprintf(g->text, sizeof g->text, "cannot listen on %.300s", g->o->control);
            return err;
        }
    }
    if (g->o->control == NULL)
        return HSM_OK;
    (void)snprintf(g->command_path, sizeof g->command_path, "%s.cmd", g->o->control);
    return commandd_new(&g->loop, g->command_path, g->peers != NULL ? g->store : NULL,
                        g->shared.firewall, &g->commandd);
}

static hsm_err open_joining(struct gateway *g)
{
    if (g->o->peer_listen == NULL) {
        (void)snprintf(g->text, sizeof g->text, "a boundary that joins needs --peer-listen");
        return HSM_E_BAD_PARAMETER;
    }
    TRY(joining_new(&g->loop, g->control, g->o->node, &g->links, &g->joining, g->text,
                    sizeof g->text));
    control_set_joining(g->control, g->joining);
    return control_run(g->control);
}

static hsm_err start(struct gateway *g)
{
    g->shared.rings = &g->rings;
    g->shared.faces = g->o->faces;
    (void)snprintf(g->shared.region, sizeof g->shared.region, "%s", g->o->region);
    g->shared.meters = meters_new(g->o->loops);
    if (g->shared.meters == NULL)
        return HSM_E_NOMEM;
    TRY(firewall_new(g->o->network, &g->shared.firewall));
    (void)!firewall_load(g->shared.firewall); /* closed by what it cannot use */
    TRY(ring_attach(&g->o->rings, RING_GATEWAY, &g->rings));
    g->tls = http_tls_context(g->o->cert_file, g->o->key_file, g->text, sizeof g->text);
    if (g->tls == NULL)
        return HSM_E_IO;
    if (uv_loop_init(&g->loop) != 0)
        return HSM_E_NOMEM;
    TRY(open_handles(g));
    TRY(audit_sink_open(g->o->audit_dir, g->rings.audit, &g->shared.audit, g->text,
                        sizeof g->text));
    g->links = (struct store_peers){
        .pool = g->pool.name,
        .listen = g->o->peer_listen,
        .cert = g->o->peer_cert,
        .key = g->o->peer_key,
        .ca = g->o->peer_ca,
        .seeds = g->o->peers,
        .join = g->o->join,
    };
    g->started_ms = clock_mono_us() / 1000;
    TRY(open_boundary(g));
    if (g->pool.is_joining)
        return open_joining(g);
    TRY(open_store(g));
    TRY(open_rest(g));
    TRY(store_start(g->store));
    TRY(control_run(g->control));
    if (uv_timer_start(&g->audit_timer, on_audit_timer, AUDIT_MS, AUDIT_MS) != 0 ||
        uv_timer_start(&g->phase_timer, on_ready_timer, READY_RETRY_MS, 0) != 0)
        return HSM_E_IO;
    return HSM_OK;
}

static void release(struct gateway *g)
{
    for (unsigned i = 0; i < g->http_n; i++)
        http_loop_free(g->http[i]);
    statusd_free(g->statusd);
    commandd_free(g->commandd);
    peers_free(g->peers);
    metricsd_free(g->metricsd);
    free(g->shared.meters);
    firewall_free(g->shared.firewall);
    relay_free(g->relay);
    control_free(g->control);
    audit_sink_close(g->shared.audit);
    if (uv_loop_close(&g->loop) != 0)
        log_warn("handles were left open");
    SSL_CTX_free(g->tls);
    ring_detach(&g->rings);
}

int gateway_run(const struct gateway_options *o)
{
    static struct gateway g;
    g.o = o;
    g.ready_fd = o->ready_fd;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    raise_descriptors();
    hsm_err err = start(&g);
    if (err != HSM_OK) {
        log_error("cannot start: %s%s%s", hsm_err_name(err), g.text[0] != '\0' ? ": " : "", g.text);
        return 1;
    }
    (void)uv_run(&g.loop, UV_RUN_DEFAULT);
    release(&g);
    log_info("stopped");
    return g.failed ? 1 : 0;
}
