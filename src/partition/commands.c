#include "partition/commands.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "partition/supervisor.h"

#define LOOPS_MAX_DEFAULT 4
#define LOCK_TRIES        20
#define LOCK_RETRY_US     10000

/* `keyhold status` holds the lock for a moment to see whether it is free. */
static bool lock_exclusive(int fd)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        usleep(LOCK_RETRY_US);
    }
    return false;
}

static hsm_err take_lock(struct installation *in, char *text, size_t cap)
{
    char path[PATH_MAX];
    TRY(path_join(path, sizeof path, in->home, HOME_LOCK));
    in->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (in->lock_fd < 0) {
        (void)snprintf(text, cap, "cannot open %s: %s", path, strerror(errno));
        return HSM_E_IO;
    }
    if (!lock_exclusive(in->lock_fd)) {
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

static hsm_err take_port(struct installation *in, char *text, size_t cap)
{
    in->listen_fd[0] = listen_on(AF_INET, in->config.port);
    if (in->listen_fd[0] < 0) {
        (void)snprintf(text, cap,
                       "port %u on 127.0.0.1 cannot be used (%s); choose another one with "
                       "`keyhold up --port N`",
                       in->config.port, strerror(errno));
        return HSM_E_IO;
    }
    in->listen_fd[1] = listen_on(AF_INET6, in->config.port);
    if (in->listen_fd[1] < 0 && errno == EADDRINUSE) {
        (void)snprintf(text, cap,
                       "port %u on ::1 is in use; choose another one with "
                       "`keyhold up --port N`",
                       in->config.port);
        return HSM_E_IO;
    }
    return HSM_OK;
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

hsm_err installation_open(struct installation *in, const char *home, const char *bindir, char *text,
                          size_t cap)
{
    *in = (struct installation){.lock_fd = -1, .listen_fd = {-1, -1}, .metrics_fd = -1};
    char path[PATH_MAX];
    if (snprintf(in->home, sizeof in->home, "%s", home) >= (int)sizeof in->home ||
        snprintf(in->bindir, sizeof in->bindir, "%s", bindir) >= (int)sizeof in->bindir) {
        (void)snprintf(text, cap, "path too long");
        return HSM_E_RANGE;
    }
    static const char *const dirs[] = {HOME_RUN, HOME_LOG, HOME_PARTITION};
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
    TRY(take_port(in, text, cap));
    return take_metrics_port(in, text, cap);
}

void installation_close(struct installation *in)
{
    for (unsigned i = 0; i < 2; i++)
        if (in->listen_fd[i] >= 0)
            (void)close(in->listen_fd[i]);
    if (in->metrics_fd >= 0) {
        forget_metrics_port(in);
        (void)close(in->metrics_fd);
    }
    if (in->lock_fd >= 0)
        (void)close(in->lock_fd);
}

unsigned installation_loops(const struct installation *in)
{
    if (in->config.loops > 0)
        return in->config.loops;
    if (in->config.cpus[0] != '\0') { /* one loop and one worker per named CPU */
        unsigned listed = 1;
        for (const char *p = in->config.cpus; *p != '\0'; p++)
            listed += *p == ',';
        return listed < RING_LANES_MAX ? listed : RING_LANES_MAX;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > LOOPS_MAX_DEFAULT ? LOOPS_MAX_DEFAULT : (unsigned)n;
}

/* ---- command lines ---- */

static void door_args(const struct installation *in, int ready_fd, struct process_args *a)
{
    const struct partition_config *c = &in->config;
    process_args_add(a, "--listen-fd");
    if (in->listen_fd[1] >= 0)
        process_args_add(a, "%d,%d", in->listen_fd[0], in->listen_fd[1]);
    else
        process_args_add(a, "%d", in->listen_fd[0]);
    process_args_add(a, "--backend");
    process_args_add(a, "fabric=%s/" HOME_DOOR, in->home, "fabric");
    process_args_add(a, "--backend");
    process_args_add(a, "pool=%s/" HOME_DOOR, in->home, "pool");
    process_args_add(a, "--route");
    process_args_add(a, "%s.managedhsm.localhost=pool", c->name);
    process_args_add(a, "--route");
    process_args_add(a, "%s.managedhsm.azure.net=pool", c->name);
    static const char *const origin_hosts[] = {"localhost", "management.azure.com",
                                               "login.microsoftonline.com", "graph.microsoft.com"};
    for (unsigned i = 0; i < sizeof origin_hosts / sizeof origin_hosts[0]; i++) {
        process_args_add(a, "--route");
        process_args_add(a, "%s=fabric", origin_hosts[i]);
    }
    process_args_add(a, "--default");
    process_args_add(a, "fabric");
    process_args_add(a, "--ready-fd");
    process_args_add(a, "%d", ready_fd);
}

static void tls_args(const struct installation *in, struct process_args *a)
{
    process_args_add(a, "--cert");
    process_args_add(a, "%s/" HOME_PKI "/server.pem", in->home);
    process_args_add(a, "--key");
    process_args_add(a, "%s/" HOME_PKI "/server.key", in->home);
}

static void fabric_args(const struct installation *in, int ready_fd, struct process_args *a)
{
    const struct partition_config *c = &in->config;
    process_args_add(a, "--home");
    process_args_add(a, "%s/" HOME_FABRIC, in->home);
    process_args_add(a, "--door");
    process_args_add(a, "%s/" HOME_DOOR, in->home, "fabric");
    tls_args(in, a);
    process_args_add(a, "--origin");
    process_args_add(a, "https://localhost:%u", c->port);
    process_args_add(a, "--hsm-suffix");
    process_args_add(a, "managedhsm.localhost:%u", c->port);
    process_args_add(a, "--pool");
    process_args_add(a, "%s", c->name);
    process_args_add(a, "--region");
    process_args_add(a, "%s", c->region);
    process_args_add(a, "--ready-fd");
    process_args_add(a, "%d", ready_fd);
}

static void boundary_args(const struct installation *in, const char *rings, struct process_args *a)
{
    process_args_add(a, "--rings");
    process_args_add(a, "%s", rings);
    process_args_add(a, "--seal");
    process_args_add(a, "%s/" HOME_PARTITION "/seal", in->home);
    process_args_add(a, "--init");
    process_args_add(a, "%s/" HOME_POOL_INIT, in->home);
    process_args_add(a, "--alone");
    if (in->config.cpus[0] != '\0') {
        process_args_add(a, "--cpus");
        process_args_add(a, "%s", in->config.cpus);
    }
}

static void gateway_args(const struct installation *in, int ready_fd, const char *rings,
                         struct process_args *a)
{
    const struct partition_config *c = &in->config;
    process_args_add(a, "--rings");
    process_args_add(a, "%s", rings);
    process_args_add(a, "--store");
    process_args_add(a, "%s/" HOME_PARTITION "/store", in->home);
    process_args_add(a, "--audit");
    process_args_add(a, "%s/" HOME_PARTITION "/audit", in->home);
    process_args_add(a, "--door");
    process_args_add(a, "%s/" HOME_DOOR, in->home, "pool");
    tls_args(in, a);
    process_args_add(a, "--loops");
    process_args_add(a, "%u", installation_loops(in));
    process_args_add(a, "--face");
    process_args_add(a, "suffix=managedhsm.localhost,port=%u,authority=https://localhost:%u",
                     c->port, c->port);
    process_args_add(a, "--face");
    process_args_add(a, "suffix=managedhsm.azure.net,port=443,"
                        "authority=https://login.microsoftonline.com");
    process_args_add(a, "--issuer-connect");
    process_args_add(a, "127.0.0.1:%u", c->port);
    process_args_add(a, "--region");
    process_args_add(a, "%s", c->region);
    process_args_add(a, "--control");
    process_args_add(a, "%s/" HOME_CONTROL, in->home);
    process_args_add(a, "--pool-state");
    process_args_add(a, "%s/" HOME_POOL_STATE, in->home);
    if (c->cpus[0] != '\0') {
        process_args_add(a, "--cpus");
        process_args_add(a, "%s", c->cpus);
    }
    if (in->metrics_fd >= 0) {
        process_args_add(a, "--metrics-fd");
        process_args_add(a, "%d", in->metrics_fd);
    }
    process_args_add(a, "--ready-fd");
    process_args_add(a, "%d", ready_fd);
}

/* What stays open in it besides the rings. */
static void inherits(const struct installation *in, enum unit_id id, struct process_spec *spec)
{
    if (id == UNIT_DOOR) {
        spec->inherit = in->listen_fd;
        spec->inherit_n = in->listen_fd[1] >= 0 ? 2 : 1;
    } else if (id == UNIT_GATEWAY) {
        spec->inherit = &in->metrics_fd;
        spec->inherit_n = in->metrics_fd >= 0 ? 1 : 0;
    }
}

hsm_err installation_start(const struct installation *in, enum unit_id id, int ready_fd,
                           const struct ring_fds *rings, pid_t *ret)
{
    static const char *const names[UNIT__COUNT] = {"door", "fabric", "boundary", "gateway"};
    struct process_args a = {0};
    char ring_text[1024] = "";
    char log_path[PATH_MAX];
    if (rings != NULL)
        TRY(ring_fds_format(rings, ring_text, sizeof ring_text));
    if (snprintf(log_path, sizeof log_path, "%s/" HOME_LOG "/%s.log", in->home, names[id]) >=
        (int)sizeof log_path)
        return HSM_E_RANGE;
    process_args_add(&a, "%s/keyhold-%s", in->bindir, names[id]);
    if (id == UNIT_DOOR)
        door_args(in, ready_fd, &a);
    else if (id == UNIT_FABRIC)
        fabric_args(in, ready_fd, &a);
    else if (id == UNIT_BOUNDARY)
        boundary_args(in, ring_text, &a);
    else
        gateway_args(in, ready_fd, ring_text, &a);
    struct process_spec spec = {
        .args = &a,
        .log_path = log_path,
        .ready_fd = ready_fd,
        .rings = rings,
    };
    inherits(in, id, &spec);
    return process_start(&spec, ret);
}
