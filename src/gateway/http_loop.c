#include "gateway/http_loop.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include "base/log.h"
#include "base/slice.h"
#include "net/door_client.h"

#define DRAIN_MS      5000
#define DOOR_RETRY_MS 100

struct http_loop {
    struct http_loop_config cfg;
    uv_loop_t loop;
    uv_poll_t lane;
    uv_prepare_t prepare;
    uv_async_t stop;
    uv_timer_t door_timer;
    struct front *front;
    struct http_server *server;
    pthread_t thread;
    bool has_thread, is_stopping;
};

static void on_lane(uv_poll_t *h, int status, int events)
{
    struct http_loop *l = h->data;
    (void)events;
    hsm_err err = status < 0 ? HSM_E_IO : front_answers(l->front);
    if (err != HSM_OK)
        l->cfg.fatal(l->cfg.ctx, "the boundary's answers are damaged");
}

static void on_door_timer(uv_timer_t *t);

static void door_look(struct http_loop *l)
{
    if (l->is_stopping || l->cfg.door == NULL)
        return;
    int fd = door_connect_pool(l->cfg.door, l->cfg.pool);
    if (fd >= 0 && http_server_from_door(l->server, fd) == HSM_OK)
        return;
    (void)uv_timer_start(&l->door_timer, on_door_timer, DOOR_RETRY_MS, 0);
}

static void on_door_timer(uv_timer_t *t)
{
    door_look(t->data);
}

static void on_door_closed(void *ctx)
{
    struct http_loop *l = ctx;
    if (!l->is_stopping)
        (void)uv_timer_start(&l->door_timer, on_door_timer, DOOR_RETRY_MS, 0);
}

static void on_drained(void *ctx)
{
    struct http_loop *l = ctx;
    http_server_free(l->server);
    l->server = NULL;
    uv_close((uv_handle_t *)&l->lane, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->stop, NULL);
    uv_close((uv_handle_t *)&l->door_timer, NULL);
}

static void on_stop(uv_async_t *a)
{
    struct http_loop *l = a->data;
    if (l->is_stopping)
        return;
    l->is_stopping = true;
    uv_timer_stop(&l->door_timer);
    http_server_drain(l->server, DRAIN_MS, on_drained, l);
}

static void on_prepare(uv_prepare_t *h)
{
    struct http_loop *l = h->data;
    front_let_worker_run(l->front);
}

/* The boundary pins the lane's worker to the same one. */
static void pin(struct http_loop *l)
{
    int cpu = l->cfg.cpu;
    cpu_set_t set;
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
        log_warn("cannot stay on cpu %d", cpu);
    else
        (void)uv_prepare_start(&l->prepare, on_prepare);
}

static void *thread_main(void *arg)
{
    struct http_loop *l = arg;
    pin(l);
    slice_short();
    /* Puts the lane's reader to sleep for the first time. */
    if (front_answers(l->front) != HSM_OK)
        l->cfg.fatal(l->cfg.ctx, "the boundary's answers are damaged");
    (void)uv_run(&l->loop, UV_RUN_DEFAULT);
    l->cfg.stopped(l->cfg.ctx);
    return NULL;
}

static hsm_err open_server(struct http_loop *l, uint16_t *ret_port)
{
    struct http_server_config cfg = {
        .tls = l->cfg.tls,
        .body_max = 65536,
        .connections_max = FRONT_PENDING_MAX,
    };
    struct http_server_handlers h = front_handlers(l->front, on_door_closed, l);
    TRY(http_server_new(&l->loop, &cfg, &h, &l->server));
    if (l->cfg.listen_addr != NULL)
        TRY(http_server_listen(l->server, l->cfg.listen_addr, l->cfg.listen_port, ret_port));
    door_look(l);
    return HSM_OK;
}

static hsm_err open_loop(struct http_loop *l, uint16_t *ret_port)
{
    if (uv_loop_init(&l->loop) != 0)
        return HSM_E_NOMEM;
    if (uv_poll_init(&l->loop, &l->lane, front_fd(l->front)) != 0 ||
        uv_prepare_init(&l->loop, &l->prepare) != 0 ||
        uv_async_init(&l->loop, &l->stop, on_stop) != 0 ||
        uv_timer_init(&l->loop, &l->door_timer) != 0)
        return HSM_E_IO;
    l->lane.data = l;
    l->prepare.data = l;
    l->stop.data = l;
    l->door_timer.data = l;
    if (uv_poll_start(&l->lane, UV_READABLE, on_lane) != 0)
        return HSM_E_IO;
    return open_server(l, ret_port);
}

hsm_err http_loop_new(const struct http_loop_config *cfg, struct http_loop **ret,
                      uint16_t *ret_port)
{
    struct http_loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return HSM_E_NOMEM;
    l->cfg = *cfg;
    hsm_err err = front_new(cfg->shared, cfg->lane, &l->front);
    if (err == HSM_OK)
        err = open_loop(l, ret_port);
    if (err != HSM_OK) {
        /* The process ends on this path: open handles may stay. */
        front_free(l->front);
        free(l);
        return err;
    }
    *ret = l;
    return HSM_OK;
}

hsm_err http_loop_run(struct http_loop *l)
{
    sigset_t all, before;
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&l->thread, NULL, thread_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->has_thread = rc == 0;
    return rc == 0 ? HSM_OK : HSM_E_NOMEM;
}

void http_loop_stop(struct http_loop *l)
{
    (void)uv_async_send(&l->stop);
}

void http_loop_free(struct http_loop *l)
{
    if (l == NULL)
        return;
    if (l->has_thread)
        pthread_join(l->thread, NULL);
    (void)uv_loop_close(&l->loop);
    front_free(l->front);
    free(l);
}
