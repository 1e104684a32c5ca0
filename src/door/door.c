/* Listeners, the table of routes, the backends' connections, the clock. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/log.h"
#include "door/door_internal.h"
#include "net/door_message.h"

#define ACCEPTS_MAX 32 /* per wake-up */
#define TICK_MS     20
#define BACK_OFF_MS 100
#define BACKLOG     1024
#define PORT_TRIES  64
#define STUCK_MS    100

/* In the order in which visitors are given to them. */
enum link_mood {
    LINK_IDLE,
    LINK_BUSY,
    LINK_STUCK
};

void on_door_handle_closed(uv_handle_t *h)
{
    door_handle_closed(h->data);
}

/* ---- routes ---- */

struct backend *backend_find(const struct door *d, const char *name)
{
    for (size_t i = 0; i < d->backend_n; i++) {
        if (strcmp(d->backend[i]->name, name) == 0)
            return d->backend[i];
    }
    return NULL;
}

static bool fits(const struct route *r, const char *host, size_t host_n)
{
    size_t n = strlen(r->pattern);
    if (!r->is_suffix)
        return strcmp(r->pattern, host) == 0;
    return host_n > n && strcmp(host + host_n - n, r->pattern) == 0;
}

struct backend *door_find(const struct door *d, const char *host)
{
    const struct route *best = NULL;
    size_t host_n = strlen(host);

    if (host_n > 0 && host[host_n - 1] == '.')
        return NULL; /* the codecs do not pass them; were they to, they are not known */
    for (size_t i = 0; i < d->route_n; i++) {
        const struct route *r = &d->route[i];
        if (!fits(r, host, host_n))
            continue;
        if (!r->is_suffix)
            return r->b;
        if (best == NULL || strlen(r->pattern) > strlen(best->pattern))
            best = r;
    }
    char label[DOOR_POOL_MAX + 1];
    if (best != NULL || !pools_label(d, host, label))
        return best != NULL ? best->b : NULL;
    struct backend *b = backend_find(d, label);
    return b != NULL && b->is_pool ? b : NULL;
}

hsm_err door_add_route(struct door *d, const char *pattern, const char *name)
{
    struct backend *b = backend_find(d, name);
    struct route r = {.b = b};

    if (b == NULL)
        return HSM_E_NOT_FOUND;
    r.is_suffix = pattern[0] == '*' && pattern[1] == '.';
    pattern += r.is_suffix;
    size_t n = strlen(pattern);
    if (n == 0 || n >= sizeof(r.pattern) || strchr(pattern, '*') != NULL)
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < n; i++) {
        char c = pattern[i];
        r.pattern[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    for (size_t i = 0; i < d->route_n; i++) {
        struct route *o = &d->route[i];
        if (o->is_suffix == r.is_suffix && strcmp(o->pattern, r.pattern) == 0) {
            o->b = b;
            return HSM_OK;
        }
    }
    if (d->route_n == DOOR_ROUTES_MAX)
        return HSM_E_RANGE;
    d->route[d->route_n++] = r;
    return HSM_OK;
}

hsm_err door_set_default(struct door *d, const char *name)
{
    struct backend *b = backend_find(d, name);
    if (b == NULL)
        return HSM_E_NOT_FOUND;
    d->fallback = b;
    return HSM_OK;
}

/* ---- backends ---- */

static void on_link_closed(uv_handle_t *h)
{
    struct link *l = h->data;
    struct door *d = l->d;
    free(l);
    door_handle_closed(d);
}

static bool list_remove(struct link **list, size_t *n, const struct link *l)
{
    for (size_t i = 0; i < *n; i++) {
        if (list[i] == l) {
            list[i] = list[--*n];
            return true;
        }
    }
    return false;
}

void link_close(struct link *l)
{
    if (l->b != NULL)
        (void)!list_remove(l->b->link, &l->b->link_n, l);
    else
        (void)!list_remove(l->d->pools.unnamed, &l->d->pools.unnamed_n, l);
    uv_close((uv_handle_t *)&l->poll, on_link_closed);
    close(l->fd);
    l->fd = -1;
}

void on_backend_link(uv_poll_t *h, int status, int events)
{
    struct link *l = h->data;
    uint8_t byte;

    (void)events;
    ssize_t n = status < 0 ? 0 : recv(l->fd, &byte, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* a backend has nothing to say: whatever comes ends its connection */
    if (!l->d->freeing)
        log_info("backend %s: a connection ended, %zu left", l->b->name, l->b->link_n - 1);
    link_close(l);
}

/* 1: passed, 0: full, -1: dead. */
static int link_send(const struct link *l, int fd, const char *endpoint)
{
    uint8_t text[DOOR_MESSAGE_MAX];
    size_t n = door_message_write(endpoint, text);
    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec v = {.iov_base = text, .iov_len = n};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    memset(&control, 0, sizeof(control));
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
    if (sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n)
        return 1;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ||
                   errno == ETOOMANYREFS
               ? 0
               : -1;
}

static int link_queued(const struct link *l)
{
    int n = 0;
    return ioctl(l->fd, SIOCOUTQ, &n) == 0 ? n : 0;
}

/* A receiver that was stopped, or hangs, takes no sockets out of its connection. */
static enum link_mood link_look(struct link *l, uint64_t now)
{
    int n = link_queued(l);
    if (n == 0 || n != l->queued)
        l->moved_at = now;
    l->queued = n;
    return n == 0 ? LINK_IDLE : now - l->moved_at < STUCK_MS ? LINK_BUSY : LINK_STUCK;
}

bool backend_give(struct backend *b, int fd, const char *endpoint)
{
    uint64_t now = uv_now(b->d->loop);

    for (enum link_mood worst = LINK_IDLE; worst <= LINK_STUCK; worst++) {
        for (size_t tries = b->link_n; tries > 0 && b->link_n > 0; tries--) {
            struct link *l = b->link[b->turn++ % b->link_n];
            if (link_look(l, now) > worst)
                continue;
            int r = link_send(l, fd, endpoint);
            if (r < 0)
                link_close(l);
            if (r > 0)
                l->queued = link_queued(l);
            if (r > 0)
                return true;
        }
    }
    return false;
}

bool door_is_own_user(int fd)
{
    struct ucred cred = {0};
    socklen_t n = sizeof(cred);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 &&
           (cred.uid == geteuid() || cred.uid == 0);
}

struct link *link_new(struct door *d, int fd, uv_poll_cb cb)
{
    struct link *l = door_is_own_user(fd) ? calloc(1, sizeof(*l)) : NULL;

    if (l == NULL || uv_poll_init(d->loop, &l->poll, fd) != 0) {
        free(l);
        close(fd);
        return NULL;
    }
    l->d = d;
    l->fd = fd;
    l->poll.data = l;
    d->handles_open++;
    if (uv_poll_start(&l->poll, UV_READABLE | UV_DISCONNECT, cb) == 0)
        return l;
    link_close(l);
    return NULL;
}

void link_join(struct link *l, struct backend *b)
{
    if (b->link_n == DOOR_LINKS_MAX) {
        link_close(l);
        return;
    }
    (void)!list_remove(l->d->pools.unnamed, &l->d->pools.unnamed_n, l);
    l->b = b;
    b->link[b->link_n++] = l;
    for (struct visitor *v = b->d->visitors; v != NULL; v = v->next) {
        if (v->b == b)
            visitor_retry(v);
    }
}

static void on_backend(uv_poll_t *h, int status, int events)
{
    struct backend *b = (struct backend *)((char *)h - offsetof(struct backend, poll));

    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && status == 0; i++) {
        int fd = accept4(b->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct link *l = link_new(b->d, fd, on_backend_link);
        if (l != NULL)
            link_join(l, b);
    }
}

int door_backend_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;

    memcpy(a.sun_path, path, strlen(path) + 1);
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    mode_t old = umask(0177);
    int r = bind(fd, (const struct sockaddr *)&a, sizeof(a));
    umask(old);
    if (r == 0 && listen(fd, 64) == 0)
        return fd;
    close(fd);
    return -1;
}

hsm_err door_add_backend(struct door *d, const char *name, const char *path)
{
    struct backend *b = NULL;

    if (d->backend_n == DOOR_BACKENDS_MAX || name[0] == 0 || strlen(name) >= sizeof(b->name) ||
        path[0] == 0 || strlen(path) >= sizeof(b->path))
        return HSM_E_RANGE;
    if (backend_find(d, name) != NULL)
        return HSM_E_CONFLICT;
    b = calloc(1, sizeof(*b));
    if (b == NULL)
        return HSM_E_NOMEM;
    b->fd = door_backend_socket(path);
    if (b->fd < 0 || uv_poll_init(d->loop, &b->poll, b->fd) != 0) {
        if (b->fd >= 0)
            close(b->fd);
        free(b);
        return HSM_E_IO;
    }
    b->d = d;
    memcpy(b->name, name, strlen(name) + 1);
    memcpy(b->path, path, strlen(path) + 1);
    b->poll.data = d;
    d->backend[d->backend_n++] = b;
    d->handles_open++;
    return uv_poll_start(&b->poll, UV_READABLE, on_backend) == 0 ? HSM_OK : HSM_E_IO;
}

/* ---- listeners ---- */

static void on_listen(uv_poll_t *h, int status, int events);

static void listeners_pause(struct door *d, unsigned ms)
{
    d->paused = true;
    d->resume_at = uv_now(d->loop) + ms;
    for (struct listener *l = d->listeners; l != NULL; l = l->next)
        uv_poll_stop(&l->poll);
    door_timer_start(d);
}

static void listeners_resume(struct door *d)
{
    if (!d->paused || d->freeing || uv_now(d->loop) < d->resume_at ||
        d->stats.visitors >= d->cfg.visitors_max)
        return;
    d->paused = false;
    for (struct listener *l = d->listeners; l != NULL; l = l->next)
        (void)!uv_poll_start(&l->poll, UV_READABLE, on_listen);
}

static bool is_passing(int e)
{
    return e == EINTR || e == ECONNABORTED || e == EPROTO || e == ENETDOWN || e == EHOSTDOWN ||
           e == ENETUNREACH || e == EHOSTUNREACH;
}

static void on_listen(uv_poll_t *h, int status, int events)
{
    struct door *d = h->data;
    struct listener *l = (struct listener *)((char *)h - offsetof(struct listener, poll));

    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && status == 0; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t n = sizeof(peer);
        if (d->stats.visitors >= d->cfg.visitors_max) {
            listeners_pause(d, 0);
            return;
        }
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            visitor_new(d, fd, &peer, l->is_private ? &l->place : NULL);
        } else if (errno == EAGAIN) {
            return;
        } else if (!is_passing(errno)) {
            log_warn("accept: %s; waiting", strerror(errno));
            listeners_pause(d, BACK_OFF_MS);
            return;
        }
    }
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in in;
    socklen_t n = sizeof(a);

    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0 ||
        (a.ss_family != AF_INET && a.ss_family != AF_INET6))
        return 0;
    memcpy(&in, &a, sizeof(in)); /* the port lies at the same place in both families */
    return ntohs(in.sin_port);
}

hsm_err door_listen_fd(struct door *d, int fd, uint16_t *ret_port)
{
    const int one = 1;
    uint16_t port = port_of(fd);
    struct listener *l = port != 0 ? calloc(1, sizeof(*l)) : NULL;

    if (l == NULL || uv_poll_init(d->loop, &l->poll, fd) != 0) {
        free(l);
        close(fd);
        return HSM_E_IO;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* accepted ones inherit */
    l->d = d;
    l->fd = fd;
    l->poll.data = d;
    l->next = d->listeners;
    d->listeners = l;
    d->handles_open++;
    *ret_port = port;
    return uv_poll_start(&l->poll, UV_READABLE, on_listen) == 0 ? HSM_OK : HSM_E_IO;
}

static void on_listener_closed(uv_handle_t *h)
{
    struct listener *l = (struct listener *)((char *)h - offsetof(struct listener, poll));
    struct door *d = l->d;
    free(l);
    door_handle_closed(d);
}

void door_listener_close(struct listener *l)
{
    uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    close(l->fd);
    l->fd = -1;
}

static int listen_on(int family, uint16_t port)
{
    const int one = 1;
    struct sockaddr_in a4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 a6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const void *a = family == AF_INET ? (const void *)&a4 : (const void *)&a6;
    socklen_t n = family == AF_INET ? sizeof(a4) : sizeof(a6);

    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, a, n) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

hsm_err door_listen(struct door *d, uint16_t port, uint16_t *ret_port)
{
    int v4 = -1, v6 = -1;

    for (int i = 0; i < PORT_TRIES; i++) {
        v4 = listen_on(AF_INET, port);
        if (v4 < 0)
            return HSM_E_IO;
        v6 = listen_on(AF_INET6, port_of(v4));
        if (v6 >= 0 || errno != EADDRINUSE)
            break;
        close(v4); /* the other family's port is taken */
        v4 = -1;
        if (port != 0)
            break;
    }
    if (v4 < 0)
        return HSM_E_IO;
    hsm_err e = door_listen_fd(d, v4, ret_port);
    if (v6 < 0) {
        log_warn("no listener on ::1: %s", strerror(errno));
        return e;
    }
    if (e != HSM_OK) {
        close(v6);
        return e;
    }
    return door_listen_fd(d, v6, ret_port);
}

/* ---- clock and life ---- */

static void on_timer(uv_timer_t *t)
{
    struct door *d = t->data;
    uint64_t now = uv_now(d->loop);

    for (struct visitor *v = d->visitors; v != NULL; v = v->next)
        visitor_tick(v, now);
    listeners_resume(d);
    if (pools_tick(d, now) && d->stats.visitors == 0 && !d->paused) {
        uv_timer_stop(&d->timer);
        d->timer_on = false;
    }
}

void door_timer_start(struct door *d)
{
    if (d->timer_on || d->freeing)
        return;
    d->timer_on = uv_timer_start(&d->timer, on_timer, TICK_MS, TICK_MS) == 0;
}

void door_visitor_gone(struct door *d)
{
    listeners_resume(d);
}

void door_handle_closed(struct door *d)
{
    HSM_ASSERT(d->handles_open > 0);
    if (--d->handles_open > 0)
        return;
    for (size_t i = 0; i < d->backend_n; i++)
        free(d->backend[i]);
    while (d->listeners != NULL) {
        struct listener *l = d->listeners;
        d->listeners = l->next;
        free(l);
    }
    free(d);
}

static void set_default(unsigned *v, unsigned value)
{
    if (*v == 0)
        *v = value;
}

hsm_err door_new(uv_loop_t *loop, const struct door_config *cfg, struct door **ret)
{
    struct door *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return HSM_E_NOMEM;
    d->loop = loop;
    d->cfg = *cfg;
    d->pools.fd = d->pools.control_fd = -1;
    set_default(&d->cfg.visitors_max, 1024);
    set_default(&d->cfg.per_address_max, 64);
    set_default(&d->cfg.hello_timeout_ms, 5000);
    set_default(&d->cfg.backend_wait_ms, 2000);
    uv_timer_init(loop, &d->timer);
    d->timer.data = d;
    uv_timer_init(loop, &d->endpoint_timer);
    d->endpoint_timer.data = d;
    d->handles_open = 2;
    *ret = d;
    return HSM_OK;
}

static void backend_close(struct backend *b)
{
    while (b->link_n > 0)
        link_close(b->link[0]);
    if (b->is_pool)
        return;
    unlink(b->path);
    uv_close((uv_handle_t *)&b->poll, on_door_handle_closed);
    close(b->fd);
    b->fd = -1;
}

void door_free(struct door *d)
{
    if (d == NULL)
        return;
    d->freeing = true;
    private_free(d);
    for (struct listener *l = d->listeners; l != NULL; l = l->next) {
        uv_close((uv_handle_t *)&l->poll, on_door_handle_closed);
        close(l->fd);
    }
    for (struct visitor *v = d->visitors; v != NULL; v = v->next)
        visitor_close(v);
    for (size_t i = 0; i < d->backend_n; i++)
        backend_close(d->backend[i]);
    pools_close(d);
    uv_close((uv_handle_t *)&d->timer, on_door_handle_closed);
}

struct door_stats door_stats(const struct door *d)
{
    return d->stats;
}
