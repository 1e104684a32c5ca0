/* Listeners, front doors, limits, the clock, drain. */
#include <errno.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "net/door_message.h"
#include "net/http_internal.h"

#define ACCEPTS_MAX   32 /* per wake-up */
#define BACK_OFF_MS   100
#define BACKLOG       1024
#define TRIM_AT_LEAST 64
#define TRIM_EVERY_MS 5000

static void feeds_resume(struct http_server *s);

/* ---- the clock ---- */

static void server_release(struct http_server *s)
{
    for (struct conn *c = s->conns; c != NULL; c = c->next)
        c->s = NULL;              /* unanswered exchanges live on without a server */
    HSM_ASSERT(s->feeds == NULL); /* each was closed, and counted as a handle */
    SSL_CTX_free(s->tls);
    free(s);
}

void server_handle_closed(struct http_server *s)
{
    HSM_ASSERT(s->handles_open > 0);
    if (--s->handles_open > 0)
        return;
    s->stopped = true;
    if (s->freeing) {
        server_release(s);
    } else if (s->done != NULL) {
        s->done(s->done_ctx); /* may free the server */
    }
}

static void on_handle_closed(uv_handle_t *h)
{
    server_handle_closed(h->data);
}

/* No sockets are left: let go of the loop. */
static void server_stop(struct http_server *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    uv_close((uv_handle_t *)&s->timer, on_handle_closed);
    uv_close((uv_handle_t *)&s->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&s->check, on_handle_closed);
}

/* Freed buffers lie between living ones: without this the pages would stay with the process. */
static void give_back(struct http_server *s, uint64_t now)
{
    if (s->trimmed_n < TRIM_AT_LEAST || now < s->trim_at)
        return;
    malloc_trim(0);
    s->trimmed_n = 0;
    s->trim_at = now + TRIM_EVERY_MS;
}

static void on_timer(uv_timer_t *t)
{
    struct http_server *s = t->data;
    uint64_t now = uv_now(s->loop);
    bool over = s->draining && now >= s->drain_at;

    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        if (over) {
            conn_close(c, true);
        } else {
            conn_tick(c, now);
        }
    }
    if (over) {
        server_stop(s);
        return;
    }
    give_back(s, now);
    feeds_resume(s);
    if (s->sock_n == 0 && !s->draining && s->resume_at == 0) {
        uv_timer_stop(&s->timer);
        s->timer_on = false;
    }
}

static unsigned min_u(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

void server_timer_start(struct http_server *s)
{
    if (s->timer_on || s->stopping)
        return;
    const struct http_server_config *c = &s->cfg;
    unsigned least =
        min_u(min_u(c->handshake_timeout_ms, c->head_timeout_ms),
              min_u(min_u(c->body_timeout_ms, c->idle_timeout_ms), c->write_timeout_ms));
    unsigned period = min_u(BACK_OFF_MS, least / 4 + 1);
    s->timer_on = uv_timer_start(&s->timer, on_timer, period, period) == 0;
}

struct bytes server_date(struct http_server *s)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t now = uv_now(s->loop);

    if (s->date_at == 0 || now - s->date_at >= 500) {
        struct tm tm;
        time_t t = (time_t)(clock_now_ms() / 1000);
        gmtime_r(&t, &tm);
        snprintf(s->date, sizeof(s->date), "date: %.3s, %02u %.3s %04u %02u:%02u:%02u GMT\r\n",
                 days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon,
                 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                 (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        s->date_at = now > 0 ? now : 1;
    }
    return bytes_str(s->date);
}

static void batch_end(struct http_server *s)
{
    if (!s->delivered)
        return;
    s->delivered = false;
    if (s->h.batch_end != NULL)
        s->h.batch_end(s->h.ctx);
}

static void on_prepare(uv_prepare_t *h)
{
    batch_end(h->data);
}

static void on_check(uv_check_t *h)
{
    batch_end(h->data);
}

/* ---- connections ---- */

void server_sock_closed(struct http_server *s)
{
    s->sock_n--;
}

void server_conn_gone(struct http_server *s, struct conn *c)
{
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        s->conns = c->next;
    }
    if (c->next != NULL)
        c->next->prev = c->prev;
    s->conn_n--;
    if (s->draining && s->conn_n == 0) {
        server_stop(s);
    } else {
        feeds_resume(s);
    }
}

/* At the limit the connection that has been idle longest makes room. */
static bool make_room(struct http_server *s)
{
    struct conn *oldest = NULL;

    if (s->sock_n < s->cfg.connections_max)
        return true;
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        if (c->state == CONN_IDLE && !c->fresh &&
            (oldest == NULL || c->deadline < oldest->deadline))
            oldest = c;
    }
    if (oldest == NULL)
        return false;
    conn_close(oldest, true);
    return true;
}

static hsm_err adopt(struct http_server *s, int fd, const char *endpoint)
{
    struct sockaddr_storage peer = {0};
    socklen_t n = sizeof(peer);

    if (s->draining || s->freeing || !make_room(s)) {
        close(fd);
        return HSM_E_UNAVAILABLE;
    }
    if (getpeername(fd, (struct sockaddr *)&peer, &n) != 0) {
        close(fd);
        return HSM_E_IO;
    }
    return conn_new(s, fd, &peer, endpoint);
}

hsm_err http_server_adopt(struct http_server *s, int fd)
{
    return adopt(s, fd, NULL);
}

/* ---- feeds ---- */

static void on_listen(uv_poll_t *h, int status, int events);
static void on_door(uv_poll_t *h, int status, int events);

static int feed_start(struct feed *f)
{
    return uv_poll_start(&f->poll, UV_READABLE, f->is_door ? on_door : on_listen);
}

static void feeds_resume(struct http_server *s)
{
    if (s->resume_at == 0 || uv_now(s->loop) < s->resume_at || s->draining || s->freeing ||
        s->sock_n >= s->cfg.connections_max)
        return;
    s->resume_at = 0;
    for (struct feed *f = s->feeds; f != NULL; f = f->next) {
        if (f->paused && !f->closed && feed_start(f) == 0)
            f->paused = false;
    }
}

/* Full: stop looking for new connections for a while, or until one goes. */
static void feed_pause(struct feed *f, unsigned ms)
{
    f->paused = true;
    uv_poll_stop(&f->poll);
    f->s->resume_at = uv_now(f->s->loop) + ms;
    server_timer_start(f->s);
}

/* Doors come and go for as long as the server runs: nothing of a lost one stays. */
static void on_feed_closed(uv_handle_t *h)
{
    struct http_server *s = h->data;
    struct feed *f = (struct feed *)((char *)h - offsetof(struct feed, poll));
    struct feed **at = &s->feeds;

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    free(f);
    server_handle_closed(s);
}

static void feed_close(struct feed *f)
{
    if (f->closed)
        return;
    f->closed = true;
    uv_close((uv_handle_t *)&f->poll, on_feed_closed);
    close(f->fd);
    f->fd = -1;
}

static bool is_passing(int e)
{
    return e == EINTR || e == ECONNABORTED || e == EPROTO || e == ENETDOWN || e == EHOSTDOWN ||
           e == ENETUNREACH || e == EHOSTUNREACH;
}

static void on_listen(uv_poll_t *h, int status, int events)
{
    struct http_server *s = h->data;
    struct feed *f = (struct feed *)((char *)h - offsetof(struct feed, poll));

    (void)events;
    if (status < 0) {
        feed_pause(f, BACK_OFF_MS);
        return;
    }
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t n = sizeof(peer);
        if (!make_room(s)) {
            feed_pause(f, 0);
            return;
        }
        int fd = accept4(f->fd, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            if (conn_new(s, fd, &peer, NULL) == HSM_E_NOMEM) {
                feed_pause(f, BACK_OFF_MS);
                return;
            }
        } else if (errno == EAGAIN) {
            return;
        } else if (!is_passing(errno)) {
            log_warn("accept: %s; waiting", strerror(errno));
            feed_pause(f, BACK_OFF_MS);
            return;
        }
    }
}

/* One socket from the door: the descriptor, -1 with errno EAGAIN (none now), ENOMSG (a message
 * without a descriptor, or one that does not say how it came) or another error, -2 at the end. */
static int door_receive(int door, char endpoint[DOOR_ENDPOINT_MAX + 1])
{
    uint8_t text[DOOR_MESSAGE_MAX + 1];
    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec v = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(door, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -1;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (h != NULL && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
        h->cmsg_len == CMSG_LEN(sizeof(int))) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(h), sizeof(fd));
        if (door_message_parse(bytes_of(text, (size_t)n), endpoint) == HSM_OK)
            return fd;
        close(fd);
    }
    errno = ENOMSG;
    return n == 0 && h == NULL ? -2 : -1;
}

static void door_lost(struct feed *f)
{
    struct http_server *s = f->s;
    log_warn("the front door has closed its end");
    feed_close(f);
    if (s->h.door_closed != NULL)
        s->h.door_closed(s->h.ctx);
}

static void on_door(uv_poll_t *h, int status, int events)
{
    struct http_server *s = h->data;
    struct feed *f = (struct feed *)((char *)h - offsetof(struct feed, poll));

    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && status == 0; i++) {
        if (!make_room(s)) {
            feed_pause(f, 0);
            return;
        }
        char endpoint[DOOR_ENDPOINT_MAX + 1];
        int fd = door_receive(f->fd, endpoint);
        if (fd >= 0) {
            (void)!adopt(s, fd, endpoint[0] != '\0' ? endpoint : NULL);
            continue;
        }
        if (fd == -1 && errno == EAGAIN)
            return;
        if (fd == -1 && (errno == EINTR || errno == ENOMSG))
            continue;
        status = -1;
    }
    if (status < 0)
        door_lost(f);
}

static hsm_err feed_add(struct http_server *s, int fd, bool is_door)
{
    struct feed *f = s->draining || s->freeing ? NULL : calloc(1, sizeof(*f));
    if (f == NULL || uv_poll_init(s->loop, &f->poll, fd) != 0) {
        free(f);
        close(fd);
        return HSM_E_UNAVAILABLE;
    }
    f->s = s;
    f->fd = fd;
    f->is_door = is_door;
    f->poll.data = s;
    f->next = s->feeds;
    s->feeds = f;
    s->handles_open++;
    if (feed_start(f) != 0) {
        feed_close(f);
        return HSM_E_IO;
    }
    return HSM_OK;
}

hsm_err http_server_from_door(struct http_server *s, int door_fd)
{
    return feed_add(s, door_fd, true);
}

static bool listen_address(const char *addr, uint16_t port, struct sockaddr_storage *ret,
                           socklen_t *ret_n)
{
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, addr, &a4.sin_addr) == 1) {
        memcpy(ret, &a4, sizeof(a4));
        *ret_n = sizeof(a4);
        return true;
    }
    if (inet_pton(AF_INET6, addr, &a6.sin6_addr) == 1) {
        memcpy(ret, &a6, sizeof(a6));
        *ret_n = sizeof(a6);
        return true;
    }
    return false;
}

static int listen_socket(const struct sockaddr_storage *a, socklen_t n)
{
    const int one = 1;
    int fd = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
              setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
              setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0;
    if (ok && a->ss_family == AF_INET6)
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0;
    if (ok && bind(fd, (const struct sockaddr *)a, n) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

hsm_err http_server_listen(struct http_server *s, const char *addr, uint16_t port,
                           uint16_t *ret_port)
{
    struct sockaddr_storage a = {0};
    socklen_t n = 0;

    if (!listen_address(addr, port, &a, &n))
        return HSM_E_BAD_PARAMETER;
    int fd = listen_socket(&a, n);
    if (fd < 0)
        return HSM_E_IO;
    n = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        close(fd);
        return HSM_E_IO;
    }
    TRY(feed_add(s, fd, false));
    /* the port lies at the same place in both families */
    struct sockaddr_in in;
    memcpy(&in, &a, sizeof(in));
    *ret_port = ntohs(in.sin_port);
    return HSM_OK;
}

/* ---- life ---- */

static void set_default(unsigned *v, unsigned value)
{
    if (*v == 0)
        *v = value;
}

hsm_err http_server_new(uv_loop_t *loop, const struct http_server_config *cfg,
                        const struct http_server_handlers *h, struct http_server **ret)
{
    struct http_server *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return HSM_E_NOMEM;
    signal(SIGPIPE, SIG_IGN);
    s->loop = loop;
    s->cfg = *cfg;
    s->h = *h;
    s->tls = cfg->tls;
    SSL_CTX_up_ref(s->tls);
    set_default(&s->cfg.connections_max, 4096);
    set_default(&s->cfg.handshake_timeout_ms, 5000);
    set_default(&s->cfg.head_timeout_ms, 10000);
    set_default(&s->cfg.body_timeout_ms, 30000);
    set_default(&s->cfg.idle_timeout_ms, 180000);
    set_default(&s->cfg.write_timeout_ms, 30000);
    uv_timer_init(loop, &s->timer);
    uv_prepare_init(loop, &s->prepare);
    uv_check_init(loop, &s->check);
    s->timer.data = s->prepare.data = s->check.data = s;
    s->handles_open = 3;
    uv_prepare_start(&s->prepare, on_prepare);
    uv_check_start(&s->check, on_check);
    uv_unref((uv_handle_t *)&s->timer);
    uv_unref((uv_handle_t *)&s->prepare);
    uv_unref((uv_handle_t *)&s->check);
    *ret = s;
    return HSM_OK;
}

void http_server_set_tls(struct http_server *s, SSL_CTX *tls)
{
    SSL_CTX_up_ref(tls);
    SSL_CTX_free(s->tls);
    s->tls = tls;
}

struct http_server_stats http_server_stats(const struct http_server *s)
{
    struct http_server_stats st = s->stats;
    st.connections = s->sock_n;
    return st;
}

void http_server_drain(struct http_server *s, unsigned deadline_ms, void (*done)(void *ctx),
                       void *ctx)
{
    HSM_ASSERT(!s->draining);
    uv_update_time(s->loop);
    uint64_t now = uv_now(s->loop);
    s->draining = true;
    s->drain_at = now + deadline_ms;
    s->done = done;
    s->done_ctx = ctx;
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        feed_close(f);
    for (struct conn *c = s->conns; c != NULL; c = c->next)
        conn_drain(c, now);
    if (s->conn_n == 0) {
        server_stop(s);
        return;
    }
    uv_ref((uv_handle_t *)&s->timer); /* an answer may still be due with no socket open */
    s->timer_on = uv_timer_start(&s->timer, on_timer, 20, 20) == 0;
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    if (s->stopped) {
        server_release(s);
        return;
    }
    s->freeing = true;
    for (struct feed *f = s->feeds; f != NULL; f = f->next)
        feed_close(f);
    for (struct conn *c = s->conns; c != NULL; c = c->next)
        conn_close(c, true);
    server_stop(s);
}
