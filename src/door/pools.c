/* Pools that come and go: their gateways say whose they are. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "door/door_internal.h"

#define NAME_MS     5000
#define ACCEPTS_MAX 32

/* ---- names ---- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Letters, digits, hyphens; in lower case. */
static bool take_name(struct bytes in, char ret[DOOR_POOL_MAX + 1])
{
    if (in.n == 0 || in.n > DOOR_POOL_MAX)
        return false;
    for (size_t i = 0; i < in.n; i++) {
        char c = lower((char)in.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
        ret[i] = c;
    }
    ret[in.n] = '\0';
    return true;
}

bool pools_label(const struct door *d, const char *host, char ret[DOOR_POOL_MAX + 1])
{
    size_t n = strlen(host);
    for (size_t i = 0; i < d->pools.suffix_n; i++) {
        size_t m = strlen(d->pools.suffix[i]);
        if (n <= m || strcmp(host + n - m, d->pools.suffix[i]) != 0)
            continue;
        if (!take_name(bytes_of(host, n - m), ret))
            ret[0] = '\0';
        return true;
    }
    return false;
}

hsm_err door_add_pool_suffix(struct door *d, const char *suffix)
{
    size_t n = strlen(suffix);
    if (d->pools.suffix_n == DOOR_SUFFIXES_MAX || n == 0 || n + 1 >= sizeof(d->pools.suffix[0]))
        return HSM_E_RANGE;
    char *dst = d->pools.suffix[d->pools.suffix_n];
    dst[0] = '.';
    memcpy(dst + 1, suffix, n + 1);
    d->pools.suffix_n++;
    return HSM_OK;
}

/* ---- gateways ---- */

static void on_unnamed(uv_poll_t *h, int status, int events)
{
    struct link *l = h->data;
    char buf[DOOR_POOL_MAX + 2], name[DOOR_POOL_MAX + 1];

    (void)events;
    ssize_t n = status < 0 ? 0 : recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    struct backend *b =
        n > 0 && take_name(bytes_of(buf, (size_t)n), name) ? backend_find(l->d, name) : NULL;
    if (b == NULL || !b->is_pool ||
        uv_poll_start(&l->poll, UV_READABLE | UV_DISCONNECT, on_backend_link) != 0)
        link_close(l);
    else
        link_join(l, b);
}

static void on_gateway(uv_poll_t *h, int status, int events)
{
    struct door *d = h->data;

    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && status == 0; i++) {
        int fd = accept4(d->pools.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        if (d->pools.unnamed_n == DOOR_UNNAMED_MAX) {
            close(fd);
            continue;
        }
        struct link *l = link_new(d, fd, on_unnamed);
        if (l == NULL)
            continue;
        l->moved_at = uv_now(d->loop);
        d->pools.unnamed[d->pools.unnamed_n++] = l;
        door_timer_start(d);
    }
}

bool pools_tick(struct door *d, uint64_t now)
{
    for (size_t i = d->pools.unnamed_n; i > 0; i--) {
        if (now - d->pools.unnamed[i - 1]->moved_at >= NAME_MS)
            link_close(d->pools.unnamed[i - 1]);
    }
    return d->pools.unnamed_n == 0;
}

hsm_err door_open_pools(struct door *d, const char *path)
{
    if (path[0] == 0 || strlen(path) >= sizeof(d->pools.path) || d->pools.fd >= 0)
        return HSM_E_RANGE;
    int fd = door_backend_socket(path);
    if (fd < 0 || uv_poll_init(d->loop, &d->pools.poll, fd) != 0) {
        if (fd >= 0)
            close(fd);
        return HSM_E_IO;
    }
    memcpy(d->pools.path, path, strlen(path) + 1);
    d->pools.fd = fd;
    d->pools.poll.data = d;
    d->handles_open++;
    return uv_poll_start(&d->pools.poll, UV_READABLE, on_gateway) == 0 ? HSM_OK : HSM_E_IO;
}

/* ---- which there are ---- */

hsm_err door_add_pool(struct door *d, const char *name)
{
    char label[DOOR_POOL_MAX + 1];
    if (!take_name(bytes_str(name), label))
        return HSM_E_BAD_PARAMETER;
    struct backend *b = backend_find(d, label);
    if (b != NULL)
        return b->is_pool ? HSM_OK : HSM_E_CONFLICT;
    b = d->backend_n < DOOR_BACKENDS_MAX ? calloc(1, sizeof(*b)) : NULL;
    if (b == NULL)
        return HSM_E_RANGE;
    b->d = d;
    b->is_pool = true;
    b->fd = -1;
    memcpy(b->name, label, strlen(label) + 1);
    d->backend[d->backend_n++] = b;
    return HSM_OK;
}

void door_remove_pool(struct door *d, const char *name)
{
    char label[DOOR_POOL_MAX + 1];
    struct backend *b = take_name(bytes_str(name), label) ? backend_find(d, label) : NULL;
    if (b == NULL || !b->is_pool)
        return;
    for (struct visitor *v = d->visitors; v != NULL; v = v->next) {
        if (v->b == b) {
            v->b = NULL;
            visitor_close(v);
        }
    }
    while (b->link_n > 0)
        link_close(b->link[0]);
    for (size_t i = 0; i < d->backend_n; i++) {
        if (d->backend[i] == b) {
            d->backend[i] = d->backend[--d->backend_n];
            break;
        }
    }
    free(b);
}

static void command(struct door *d, const char *text)
{
    hsm_err err = HSM_OK;
    if (strncmp(text, "pool ", 5) == 0)
        err = door_add_pool(d, text + 5);
    else if (strncmp(text, "gone ", 5) == 0)
        door_remove_pool(d, text + 5);
    else if (strncmp(text, "listen ", 7) == 0)
        err = door_open_endpoint(d, bytes_str(text + 7));
    else if (strncmp(text, "unlisten ", 9) == 0)
        door_close_endpoint(d, text + 9);
    else
        err = HSM_E_MALFORMED;
    if (err != HSM_OK)
        log_warn("the node's message is of no use: %s", hsm_err_name(err));
}

static void on_control(uv_poll_t *h, int status, int events)
{
    struct door *d = h->data;
    char text[16 + PLACE_TEXT_MAX];

    (void)events;
    for (;;) {
        ssize_t n =
            status < 0 ? 0 : recv(d->pools.control_fd, text, sizeof(text) - 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            uv_poll_stop(&d->pools.control);
            return;
        }
        text[n] = '\0';
        command(d, text);
    }
}

hsm_err door_control(struct door *d, int fd)
{
    if (d->pools.control_fd >= 0 || uv_poll_init(d->loop, &d->pools.control, fd) != 0) {
        close(fd);
        return HSM_E_IO;
    }
    d->pools.control_fd = fd;
    d->pools.control.data = d;
    d->handles_open++;
    if (uv_poll_start(&d->pools.control, UV_READABLE | UV_DISCONNECT, on_control) != 0)
        return HSM_E_IO;
    on_control(&d->pools.control, 0, UV_READABLE);
    return HSM_OK;
}

void pools_close(struct door *d)
{
    while (d->pools.unnamed_n > 0)
        link_close(d->pools.unnamed[0]);
    if (d->pools.fd >= 0) {
        unlink(d->pools.path);
        uv_close((uv_handle_t *)&d->pools.poll, on_door_handle_closed);
        close(d->pools.fd);
        d->pools.fd = -1;
    }
    if (d->pools.control_fd >= 0) {
        uv_close((uv_handle_t *)&d->pools.control, on_door_handle_closed);
        close(d->pools.control_fd);
        d->pools.control_fd = -1;
    }
}
