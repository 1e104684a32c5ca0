#include "partition/installation.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "partition/supervisor.h"

#define LOCK_TRIES      20
#define POOL_LOCK_TRIES 200
#define LOCK_RETRY_US   10000

/* `keyhold status` holds the lock for a moment to see whether it is free; a pool's supervisor of
 * before may just be ending. */
static bool lock_exclusive(int fd, int tries)
{
    for (int i = 0; i < tries; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        usleep(LOCK_RETRY_US);
    }
    return false;
}

static hsm_err take_lock(struct installation *in, char *text, size_t cap)
{
    char path[PATH_MAX];
    bool is_pool = in->role == INSTALLATION_POOL;
    TRY(path_join(path, sizeof path, in->home, is_pool ? HOME_POOL_LOCK : HOME_LOCK));
    in->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (in->lock_fd < 0) {
        (void)snprintf(text, cap, "cannot open %s: %s", path, strerror(errno));
        return HSM_E_IO;
    }
    if (!lock_exclusive(in->lock_fd, is_pool ? POOL_LOCK_TRIES : LOCK_TRIES)) {
        (void)snprintf(text, cap, "another supervisor runs in %s; `keyhold down` ends it",
                       in->home);
        return HSM_E_CONFLICT;
    }
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(in->lock_fd, 0) != 0 || fd_write_all(in->lock_fd, pid, (size_t)n) != HSM_OK) {
        (void)snprintf(text, cap, "cannot write %s: %s", path, strerror(errno));
        return HSM_E_IO;
    }
    return HSM_OK;
}

/* On loopback. */
static int listen_on(int family, uint16_t port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    const int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_storage ss = {0};
    socklen_t n;
    if (family == AF_INET) {
        struct sockaddr_in *a = (struct sockaddr_in *)&ss;
        *a = (struct sockaddr_in){.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        n = sizeof *a;
    } else {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)&ss;
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        *a = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
        n = sizeof *a;
    }
    if (bind(fd, (struct sockaddr *)&ss, n) != 0 || listen(fd, 1024) != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* The further address for clients, where the door listens as well. */
static int listen_there(const char *text)
{
    char host[256], port_text[8];
    uint16_t port;
    struct addrinfo *a = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    if (!text_listen(text, host, sizeof host, &port))
        return -1;
    (void)snprintf(port_text, sizeof port_text, "%u", port);
    if (getaddrinfo(host, port_text, &hints, &a) != 0) {
        errno = EINVAL;
        return -1;
    }
    const int one = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool ok = fd >= 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 1024) == 0;
    int saved = errno;
    freeaddrinfo(a);
    if (!ok && fd >= 0)
        (void)close(fd);
    errno = saved;
    return ok ? fd : -1;
}

static hsm_err take_address(struct installation *in, char *text, size_t cap)
{
    if (in->config.listen[0] == '\0')
        return HSM_OK;
    int fd = listen_there(in->config.listen);
    if (fd < 0) {
        (void)snprintf(text, cap, "%s cannot be used for clients: %s", in->config.listen,
                       strerror(errno));
        return HSM_E_IO;
    }
    in->listen_fd[in->listen_n++] = fd;
    return HSM_OK;
}

static hsm_err take_port(struct installation *in, char *text, size_t cap)
{
    int fd = listen_on(AF_INET, in->config.port);
    if (fd < 0) {
        (void)snprintf(text, cap,
                       "port %u on 127.0.0.1 cannot be used (%s); choose another one with "
                       "`keyhold up --port N`",
                       in->config.port, strerror(errno));
        return HSM_E_IO;
    }
    in->listen_fd[in->listen_n++] = fd;
    fd = listen_on(AF_INET6, in->config.port);
    if (fd < 0 && errno == EADDRINUSE) {
        (void)snprintf(text, cap,
                       "port %u on ::1 is in use; choose another one with "
                       "`keyhold up --port N`",
                       in->config.port);
        return HSM_E_IO;
    }
    if (fd >= 0) /* a host may have no IPv6 */
        in->listen_fd[in->listen_n++] = fd;
    return take_address(in, text, cap);
}

static void forget_metrics_port(const struct installation *in)
{
    char path[PATH_MAX];
    if (path_join(path, sizeof path, in->home, HOME_METRICS) == HSM_OK)
        (void)unlink(path);
}

/* The file is a convenience: it cannot be written on a full disk, `keyhold status` knows, too. */
static void tell_metrics_port(const struct installation *in)
{
    struct sockaddr_in a = {0};
    socklen_t n = sizeof a;
    char path[PATH_MAX], text[16];
    if (getsockname(in->metrics_fd, (struct sockaddr *)&a, &n) != 0 ||
        path_join(path, sizeof path, in->home, HOME_METRICS) != HSM_OK)
        return;
    (void)snprintf(text, sizeof text, "%u\n", ntohs(a.sin_port));
    if (file_replace(path, bytes_str(text), 0600) != HSM_OK)
        log_warn("cannot write %s: %s", path, strerror(errno));
    log_info("monitoring: http://127.0.0.1:%u/metrics", ntohs(a.sin_port));
}

static hsm_err take_metrics_port(struct installation *in, char *text, size_t cap)
{
    forget_metrics_port(in);
    if (in->config.metrics_port == CONFIG_NO_METRICS)
        return HSM_OK;
    in->metrics_fd = listen_on(AF_INET, (uint16_t)in->config.metrics_port);
    if (in->metrics_fd < 0) {
        (void)snprintf(text, cap,
                       "port %d on 127.0.0.1 cannot be used for monitoring (%s); choose another "
                       "one with `keyhold up --metrics-port N`",
                       in->config.metrics_port, strerror(errno));
        return HSM_E_IO;
    }
    tell_metrics_port(in);
    return HSM_OK;
}

hsm_err installation_open(struct installation *in, enum installation_role role, const char *home,
                          const char *bindir, char *text, size_t cap)
{
    *in = (struct installation){.role = role, .lock_fd = -1, .metrics_fd = -1, .door_control = -1};
    char path[PATH_MAX];
    if (snprintf(in->home, sizeof in->home, "%s", home) >= (int)sizeof in->home ||
        snprintf(in->bindir, sizeof in->bindir, "%s", bindir) >= (int)sizeof in->bindir) {
        (void)snprintf(text, cap, "path too long");
        return HSM_E_RANGE;
    }
    static const char *const dirs[] = {HOME_RUN, HOME_LOG};
    for (unsigned i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        TRY(path_join(path, sizeof path, home, dirs[i]));
        hsm_err err = dir_ensure(path, 0700);
        if (err != HSM_OK) {
            (void)snprintf(text, cap, "cannot create %s: %s", path, strerror(errno));
            return err;
        }
    }
    TRY(path_join(path, sizeof path, home, HOME_CONFIG));
    TRY(partition_config_load(path, &in->config, text, cap));
    TRY(take_lock(in, text, cap));
    return role == INSTALLATION_NODE ? take_port(in, text, cap) : take_metrics_port(in, text, cap);
}

void installation_close(struct installation *in)
{
    for (unsigned i = 0; i < in->listen_n; i++)
        (void)close(in->listen_fd[i]);
    if (in->metrics_fd >= 0) {
        forget_metrics_port(in);
        (void)close(in->metrics_fd);
    }
    if (in->lock_fd >= 0)
        (void)close(in->lock_fd);
}

hsm_err installation_path(const struct installation *in, char dst[PATH_MAX], const char *fmt, ...)
{
    char name[PATH_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < sizeof name ? path_join(dst, PATH_MAX, in->home, name)
                                             : HSM_E_RANGE;
}

hsm_err installation_store_config(const struct installation *in)
{
    char path[PATH_MAX], text[PATH_MAX + 200] = "a path is too long";
    hsm_err err = installation_path(in, path, HOME_CONFIG);
    if (err == HSM_OK)
        err = partition_config_store(path, &in->config, text, sizeof text);
    if (err != HSM_OK)
        log_warn("%s", text);
    return err;
}

bool installation_has(const struct installation *in, unsigned number, const char *name)
{
    char path[PATH_MAX];
    return installation_path(in, path, HOME_PARTITION "/%s", number, name) == HSM_OK &&
           access(path, F_OK) == 0;
}

hsm_err installation_make_directory(const struct installation *in, unsigned number)
{
    char path[PATH_MAX];
    TRY(installation_path(in, path, HOME_PARTITION, number));
    return dir_ensure(path, 0700);
}
