/* Private endpoints: listeners that lead to one pool each, or to several by server name when they
 * share a place. What is wanted and cannot be opened (its address may come later) is tried again.
 */
#include <stdlib.h>
#include <unistd.h>
#include "base/log.h"
#include "door/door_internal.h"

#define RETRY_MS 1000

static struct private_endpoint *find_id(const struct door *d, const char *id)
{
    for (struct private_endpoint *e = d->endpoints; e != NULL; e = e->next) {
        if (strcmp(e->e.id, id) == 0)
            return e;
    }
    return NULL;
}

static struct listener *find_listener(const struct door *d, const struct place *p)
{
    for (struct listener *l = d->listeners; l != NULL; l = l->next) {
        if (l->is_private && place_equal(&l->place, p))
            return l;
    }
    return NULL;
}

const char *private_endpoint_of(const struct door *d, const struct place *p, const char *pool)
{
    for (const struct private_endpoint *e = d->endpoints; e != NULL; e = e->next) {
        if (place_equal(&e->e.place, p) && strcmp(e->e.pool, pool) == 0)
            return e->e.id;
    }
    return NULL;
}

struct backend *private_only_pool(const struct door *d, const struct place *p)
{
    const char *pool = NULL;
    for (const struct private_endpoint *e = d->endpoints; e != NULL; e = e->next) {
        if (!place_equal(&e->e.place, p))
            continue;
        if (pool != NULL && strcmp(pool, e->e.pool) != 0)
            return NULL;
        pool = e->e.pool;
    }
    return pool != NULL ? backend_find(d, pool) : NULL;
}

/* ---- listeners ---- */

static bool open_place(struct door *d, struct private_endpoint *e)
{
    char why[256] = "out of memory";
    uint16_t port;
    if (find_listener(d, &e->e.place) != NULL)
        return true;
    int fd = place_listen(&e->e.place, why, sizeof why);
    if (fd >= 0 && door_listen_fd(d, fd, &port) == HSM_OK) {
        d->listeners->is_private = true;
        d->listeners->place = e->e.place;
        log_info("private endpoint %s: pool %s is reached at %s port %u", e->e.id, e->e.pool,
                 e->e.place.address, e->e.place.port);
        e->is_told = false;
        return true;
    }
    if (!e->is_told)
        log_error("private endpoint %s has no listener: %s", e->e.id, why);
    e->is_told = true; /* once, not every second */
    return false;
}

static void on_retry(uv_timer_t *t)
{
    struct door *d = t->data;
    bool done = true;
    for (struct private_endpoint *e = d->endpoints; e != NULL; e = e->next)
        done = open_place(d, e) && done;
    if (done)
        uv_timer_stop(t);
}

/* Listeners that no endpoint needs. */
static void close_unused(struct door *d)
{
    struct listener **at = &d->listeners;
    while (*at != NULL) {
        struct listener *l = *at;
        bool used = !l->is_private;
        for (const struct private_endpoint *e = d->endpoints; e != NULL && !used; e = e->next)
            used = place_equal(&e->e.place, &l->place);
        if (used) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        door_listener_close(l);
    }
}

static void forget(struct door *d, struct private_endpoint *gone)
{
    struct private_endpoint **at = &d->endpoints;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    free(gone);
}

/* ---- commands ---- */

hsm_err door_open_endpoint(struct door *d, struct bytes text)
{
    struct place_endpoint wanted;
    TRY(place_parse(text, &wanted));
    struct private_endpoint *e = find_id(d, wanted.id);
    if (e == NULL) {
        size_t n = 0;
        for (const struct private_endpoint *o = d->endpoints; o != NULL; o = o->next)
            n++;
        e = n < DOOR_ENDPOINTS_MAX ? calloc(1, sizeof *e) : NULL;
        if (e == NULL)
            return HSM_E_RANGE;
        e->next = d->endpoints;
        d->endpoints = e;
    }
    e->e = wanted;
    e->is_told = false;
    close_unused(d); /* where it was before */
    if (!open_place(d, e))
        (void)uv_timer_start(&d->endpoint_timer, on_retry, RETRY_MS, RETRY_MS);
    return HSM_OK;
}

void door_close_endpoint(struct door *d, const char *id)
{
    struct private_endpoint *e = find_id(d, id);
    if (e == NULL)
        return;
    forget(d, e);
    close_unused(d);
    log_info("private endpoint %s is closed", id);
}

void private_free(struct door *d)
{
    while (d->endpoints != NULL)
        forget(d, d->endpoints);
    uv_close((uv_handle_t *)&d->endpoint_timer, on_door_handle_closed);
}
