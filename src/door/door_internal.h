/* What door.c (listeners, table, life) and visitor.c (one connection) share. */
#ifndef DOOR_INTERNAL_H
#define DOOR_INTERNAL_H

#include <netinet/in.h>
#include <stdbool.h>
#include "base/bytes.h"
#include "door/door.h"
#include "door/place.h"

#define DOOR_BACKENDS_MAX  256
#define DOOR_ROUTES_MAX    256
#define DOOR_LINKS_MAX     160 /* connections of one backend: each loop of its processes has one */
#define DOOR_UNNAMED_MAX   256 /* connections of gateways that did not name their pool yet */
#define DOOR_SUFFIXES_MAX  4
#define DOOR_POOL_MAX      24 /* length of a pool's name */
#define DOOR_ENDPOINTS_MAX 1024
#define DOOR_PEEK_MAX      (16384 + 512)

/* One connection of a backend. */
struct link {
    uv_poll_t poll;
    struct door *d;
    struct backend *b; /* NULL: it did not say whose it is */
    int fd;
    int queued;        /* what lay in it unread at the last look */
    uint64_t moved_at; /* when that was nothing, or less than before */
};
struct backend {
    struct door *d;
    bool is_pool; /* without a socket of its own: pools.c */
    char name[64];
    char path[108];
    uv_poll_t poll;
    int fd;
    struct link *link[DOOR_LINKS_MAX];
    size_t link_n;
    size_t turn;
};
struct route {
    char pattern[256]; /* without the "*" of a suffix */
    bool is_suffix;
    struct backend *b;
};
struct listener {
    struct door *d;
    struct listener *next;
    uv_poll_t poll;
    int fd;
    bool paused;
    bool is_private;
    struct place place; /* private ones */
};
struct private_endpoint {
    struct private_endpoint *next;
    struct place_endpoint e;
    bool is_told; /* that it cannot be opened */
};

enum visitor_state {
    VISITOR_FIRST,   /* nothing known */
    VISITOR_CONNECT, /* head of a CONNECT request */
    VISITOR_HELLO,   /* ClientHello */
    VISITOR_PARKED,  /* its backend is not there or is full */
    VISITOR_LINGER,  /* refused with a text; reads away what still comes */
    VISITOR_CLOSED,
};
struct visitor {
    struct door *d;
    struct visitor *prev, *next;
    uv_poll_t poll;
    int fd;
    int low; /* SO_RCVLOWAT */
    enum visitor_state state;
    uint64_t deadline;
    struct in6_addr address; /* IPv4 as mapped */
    struct backend *b;       /* by CONNECT, then by server name */
    size_t linger_left;
    bool is_private;
    struct place place;                   /* private: of the listener */
    char endpoint[DOOR_ENDPOINT_MAX + 1]; /* private: by which it is handed over */
};

struct door {
    uv_loop_t *loop;
    struct door_config cfg;
    uv_timer_t timer;
    struct backend *backend[DOOR_BACKENDS_MAX];
    size_t backend_n;
    struct route route[DOOR_ROUTES_MAX];
    size_t route_n;
    struct backend *fallback;
    struct {
        uv_poll_t poll, control;
        char path[108];
        char suffix[DOOR_SUFFIXES_MAX][64]; /* ".managedhsm.localhost" */
        size_t suffix_n;
        int fd, control_fd; /* -1: none */
        struct link *unnamed[DOOR_UNNAMED_MAX];
        size_t unnamed_n;
    } pools;
    struct listener *listeners;
    struct private_endpoint *endpoints;
    uv_timer_t endpoint_timer;
    struct visitor *visitors;
    unsigned handles_open;
    bool timer_on, paused, freeing;
    uint64_t resume_at;
    struct door_stats stats;
    uint8_t peek[DOOR_PEEK_MAX];
};

/* Takes fd. place: of a private listener, NULL: a public one. */
void visitor_new(struct door *d, int fd, const struct sockaddr_storage *peer,
                 const struct place *place);
void visitor_close(struct visitor *v);
void visitor_tick(struct visitor *v, uint64_t now);
/* Try again to hand over. */
void visitor_retry(struct visitor *v);

/* NULL when no route fits, nor is there a pool of that name. */
struct backend *door_find(const struct door *d, const char *host);
struct backend *backend_find(const struct door *d, const char *name);
bool door_is_own_user(int fd);
/* A socket of that kind for backends, or -1. */
int door_backend_socket(const char *path);
/* A connection of b, or with NULL of somebody who did not say whose it is; the socket is taken.
 * NULL: it was closed. */
struct link *link_new(struct door *d, int fd, uv_poll_cb cb);
void link_join(struct link *l, struct backend *b);
void link_close(struct link *l);
void on_backend_link(uv_poll_t *h, int status, int events);
void on_door_handle_closed(uv_handle_t *h);

/* ---- pools.c ---- */
/* host lies below one of the suffixes; its label, or "". */
bool pools_label(const struct door *d, const char *host, char ret[DOOR_POOL_MAX + 1]);
/* Whoever does not say whose he is goes. true: nobody is left. */
bool pools_tick(struct door *d, uint64_t now);
void pools_close(struct door *d);
/* Pass fd to one of the backend's connections; the caller closes its copy. */
bool backend_give(struct backend *b, int fd, const char *endpoint);
/* It is in no list any more. */
void door_listener_close(struct listener *l);
void door_handle_closed(struct door *d);
void door_visitor_gone(struct door *d);
void door_timer_start(struct door *d);

/* ---- private.c ---- */
/* The endpoint of a pool at a place; NULL: that pool is not reached there. */
const char *private_endpoint_of(const struct door *d, const struct place *p, const char *pool);
/* For clients that do not say whom they want: when there is one pool only. */
struct backend *private_only_pool(const struct door *d, const struct place *p);
void private_free(struct door *d);

#endif
