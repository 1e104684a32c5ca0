#include "door/place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/text.h"

#define BACKLOG 1024
#define FIELDS  6

/* ---- text ---- */

static bool is_word(const char *s, const char *more)
{
    for (; *s != '\0'; s++) {
        bool ok = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                  (*s >= '0' && *s <= '9') || strchr(more, *s) != NULL;
        if (!ok)
            return false;
    }
    return true;
}

static bool is_name(const char *s)
{
    return is_word(s, "._-@:+") && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static bool is_address(const char *s)
{
    uint8_t b[16];
    return inet_pton(AF_INET, s, b) == 1 || inet_pton(AF_INET6, s, b) == 1;
}

static bool is_valid(const struct place_endpoint *e)
{
    return door_endpoint_valid(bytes_str(e->id)) && e->pool[0] != '\0' && is_word(e->pool, "-") &&
           is_address(e->place.address) && e->place.port != 0 && is_name(e->place.device) &&
           is_name(e->place.netns);
}

static bool copy(char *dst, size_t cap, struct bytes b)
{
    if (b.n == 0 || b.n >= cap || memchr(b.p, 0, b.n) != NULL)
        return false;
    memcpy(dst, b.p, b.n);
    dst[b.n] = '\0';
    return true;
}

/* "-": none */
static bool copy_optional(char *dst, size_t cap, struct bytes b)
{
    dst[0] = '\0';
    return bytes_eq_str(b, "-") || copy(dst, cap, b);
}

static bool take_port(struct bytes b, uint16_t *ret)
{
    char text[6];
    long v = 0;
    if (!copy(text, sizeof text, b) || !text_number(text, 65535, &v))
        return false;
    *ret = (uint16_t)v;
    return true;
}

hsm_err place_parse(struct bytes text, struct place_endpoint *ret)
{
    struct place_endpoint e = {0};
    struct bytes field[FIELDS];
    size_t n = 0;
    const uint8_t *from = text.p, *end = text.p + text.n;
    for (; n < FIELDS; n++) {
        const uint8_t *space = from < end ? memchr(from, ' ', (size_t)(end - from)) : NULL;
        const uint8_t *to = space != NULL ? space : end;
        field[n] = bytes_of(from, (size_t)(to - from));
        if (space == NULL)
            break;
        from = space + 1;
    }
    if (n != FIELDS - 1 || !copy(e.id, sizeof e.id, field[0]) ||
        !copy(e.pool, sizeof e.pool, field[1]) ||
        !copy(e.place.address, sizeof e.place.address, field[2]) ||
        !take_port(field[3], &e.place.port) ||
        !copy_optional(e.place.device, sizeof e.place.device, field[4]) ||
        !copy_optional(e.place.netns, sizeof e.place.netns, field[5]) || !is_valid(&e))
        return HSM_E_MALFORMED;
    for (char *c = e.pool; *c != '\0'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    *ret = e;
    return HSM_OK;
}

size_t place_format(const struct place_endpoint *e, char *dst, size_t cap)
{
    if (!is_valid(e))
        return 0;
    int n = snprintf(dst, cap, "%s %s %s %u %s %s", e->id, e->pool, e->place.address, e->place.port,
                     e->place.device[0] != '\0' ? e->place.device : "-",
                     e->place.netns[0] != '\0' ? e->place.netns : "-");
    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

bool place_equal(const struct place *a, const struct place *b)
{
    return strcmp(a->address, b->address) == 0 && a->port == b->port &&
           strcmp(a->device, b->device) == 0 && strcmp(a->netns, b->netns) == 0;
}

/* ---- socket ---- */

struct target {
    struct sockaddr_storage a;
    socklen_t n;
};

static void target_of(const struct place *p, struct target *ret)
{
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(p->port)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(p->port)};
    if (inet_pton(AF_INET, p->address, &a4.sin_addr) == 1) {
        memcpy(&ret->a, &a4, sizeof a4);
        ret->n = sizeof a4;
        return;
    }
    HSM_ASSERT(inet_pton(AF_INET6, p->address, &a6.sin6_addr) == 1);
    if (IN6_IS_ADDR_LINKLOCAL(&a6.sin6_addr))
        a6.sin6_scope_id = if_nametoindex(p->device);
    memcpy(&ret->a, &a6, sizeof a6);
    ret->n = sizeof a6;
}

static bool same_address(const struct sockaddr *a, const struct target *t)
{
    if (a == NULL || a->sa_family != t->a.ss_family)
        return false;
    struct sockaddr_in6 x6, y6;
    struct sockaddr_in x4, y4;
    if (a->sa_family == AF_INET) {
        memcpy(&x4, a, sizeof x4);
        memcpy(&y4, &t->a, sizeof y4);
        return x4.sin_addr.s_addr == y4.sin_addr.s_addr;
    }
    memcpy(&x6, a, sizeof x6);
    memcpy(&y6, &t->a, sizeof y6);
    return IN6_ARE_ADDR_EQUAL(&x6.sin6_addr, &y6.sin6_addr);
}

/* The device that has the address. */
static bool find_device(const struct target *t, char device[PLACE_DEVICE_MAX + 1])
{
    struct ifaddrs *list = NULL;
    bool found = false;
    if (getifaddrs(&list) != 0)
        return false;
    for (const struct ifaddrs *i = list; i != NULL && !found; i = i->ifa_next) {
        found = same_address(i->ifa_addr, t) && strlen(i->ifa_name) <= PLACE_DEVICE_MAX;
        if (found)
            memcpy(device, i->ifa_name, strlen(i->ifa_name) + 1);
    }
    freeifaddrs(list);
    return found;
}

/* Returns what failed, NULL: nothing. */
static const char *set_up(int fd, const struct target *t, const char *device)
{
    const int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        (t->a.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0))
        return "socket options";
    if (device[0] != '\0' &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) != 0)
        return errno == EPERM ? "binding to the device needs CAP_NET_RAW" : "binding to the device";
    if (bind(fd, (const struct sockaddr *)&t->a, t->n) != 0)
        return "binding to the address";
    return listen(fd, BACKLOG) == 0 ? NULL : "listening";
}

static int listen_here(const struct place *p, char *why, size_t cap)
{
    struct target t = {0};
    char device[PLACE_DEVICE_MAX + 1];
    memcpy(device, p->device, sizeof device);
    target_of(p, &t);
    if (device[0] == '\0' && p->netns[0] == '\0' && !find_device(&t, device)) {
        (void)snprintf(why, cap, "no interface has the address %s", p->address);
        return -1;
    }
    int fd = socket(t.a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const char *what = fd < 0 ? "socket" : set_up(fd, &t, device);
    if (what == NULL)
        return fd;
    (void)snprintf(why, cap, "%s: %s (%s port %u, device %s, namespace %s)", what, strerror(errno),
                   p->address, p->port, device[0] != '\0' ? device : "any",
                   p->netns[0] != '\0' ? p->netns : "own");
    if (fd >= 0)
        close(fd);
    return -1;
}

int place_listen(const struct place *p, char *why, size_t cap)
{
    char path[sizeof "/run/netns/" + PLACE_NETNS_MAX];
    if (p->netns[0] == '\0')
        return listen_here(p, why, cap);
    (void)snprintf(path, sizeof path, "/run/netns/%s", p->netns);
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int other = own >= 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    int fd = -1;
    if (other < 0) {
        (void)snprintf(why, cap, "%s: %s", own < 0 ? "/proc/self/ns/net" : path, strerror(errno));
    } else if (setns(other, CLONE_NEWNET) != 0) {
        (void)snprintf(why, cap, "namespace %s cannot be entered: %s%s", p->netns, strerror(errno),
                       errno == EPERM ? "; the door needs CAP_SYS_ADMIN for that" : "");
    } else {
        fd = listen_here(p, why, cap);
        /* elsewhere nothing of this process would be right any more */
        HSM_ASSERT(setns(own, CLONE_NEWNET) == 0);
    }
    if (other >= 0)
        close(other);
    if (own >= 0)
        close(own);
    return fd;
}
