#include "partition/commands.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "partition/supervisor.h"

#define LOOPS_MAX_DEFAULT 4
#define CPUS_MAX          64

void program_log_name(enum program program, unsigned partition, char *dst, size_t cap)
{
    static const char *const names[PROGRAM__COUNT] = {"door", "fabric", "boundary", "gateway"};
    bool numbered = partition > 0 && program >= PROGRAM_BOUNDARY;
    if (numbered)
        (void)snprintf(dst, cap, "%s-%u", names[program], partition);
    else
        (void)snprintf(dst, cap, "%s", names[program]);
}

/* ---- CPUs ---- */

/* Those that were named, else those that this process may use. */
static unsigned cpu_list(const struct installation *in, unsigned cpu[CPUS_MAX])
{
    unsigned n = 0;
    cpu_set_t set;
    for (const char *p = in->config.cpus; *p != '\0' && n < CPUS_MAX;) {
        char *end;
        cpu[n++] = (unsigned)strtoul(p, &end, 10);
        if (end == p || (*end != ',' && *end != '\0'))
            return 0; /* the programs say what is wrong with it */
        p = *end == ',' ? end + 1 : end;
    }
    CPU_ZERO(&set);
    if (n == 0 && sched_getaffinity(0, sizeof set, &set) == 0)
        for (unsigned i = 0; i < CPU_SETSIZE && n < CPUS_MAX; i++)
            if (CPU_ISSET(i, &set))
                cpu[n++] = i;
    return n;
}

static unsigned local_count(const struct installation *in)
{
    unsigned n = 0;
    for (unsigned i = 0; i < in->config.partition_n; i++)
        n += !in->config.partition[i].remote;
    return n > 0 ? n : 1;
}

static unsigned local_index(const struct installation *in, unsigned number)
{
    unsigned index = 0;
    for (unsigned i = 0; i < in->config.partition_n; i++) {
        if (in->config.partition[i].number == number)
            return index;
        index += !in->config.partition[i].remote;
    }
    return index;
}

static unsigned share(unsigned cpus, unsigned partitions)
{
    return (cpus + partitions - 1) / partitions;
}

unsigned installation_loops(const struct installation *in)
{
    if (in->config.loops > 0)
        return in->config.loops;
    if (in->config.cpus[0] != '\0') { /* one loop and one worker per named CPU */
        unsigned listed = 1;
        for (const char *p = in->config.cpus; *p != '\0'; p++)
            listed += *p == ',';
        listed = share(listed, local_count(in));
        return listed < RING_LANES_MAX ? listed : RING_LANES_MAX;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned loops = share(n < 1 ? 1 : (unsigned)n, local_count(in));
    return loops > LOOPS_MAX_DEFAULT ? LOOPS_MAX_DEFAULT : loops;
}

void installation_cpus(const struct installation *in, unsigned index, char *dst, size_t cap)
{
    unsigned cpu[CPUS_MAX];
    unsigned n = cpu_list(in, cpu), partitions = local_count(in), loops = installation_loops(in);
    struct wr w = wr_of(dst, cap - 1);
    for (unsigned i = 0; i < loops && n > 0; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, i == 0 ? "%u" : ",%u", cpu[(index + i * partitions) % n]);
        wr_str(&w, text);
    }
    dst[wr_ok(&w) == HSM_OK ? w.n : 0] = '\0';
}

/* ---- command lines ---- */

static void door_args(const struct installation *in, int ready_fd, struct process_args *a)
{
    process_args_add(a, "--listen-fd");
    char fds[64] = "";
    for (unsigned i = 0, n = 0; i < in->listen_n; i++)
        n += (unsigned)snprintf(fds + n, sizeof fds - n, i == 0 ? "%d" : ",%d", in->listen_fd[i]);
    process_args_add(a, "%s", fds);
    process_args_add(a, "--backend");
    process_args_add(a, "fabric=%s/" HOME_DOOR, in->home, "fabric");
    process_args_add(a, "--pools");
    process_args_add(a, "%s/" HOME_DOOR, in->home, "pools");
    static const char *const suffixes[] = {"managedhsm.localhost", "managedhsm.azure.net"};
    for (unsigned i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        process_args_add(a, "--pool-suffix");
        process_args_add(a, "%s", suffixes[i]);
    }
    process_args_add(a, "--control-fd");
    process_args_add(a, "%d", in->door_control);
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
    if (c->nodes[0] != '\0') {
        process_args_add(a, "--nodes");
        process_args_add(a, "%s", c->nodes);
    }
    process_args_add(a, "--ready-fd");
    process_args_add(a, "%d", ready_fd);
}

/* A partition without a log takes part in a pool only by joining it. The first one made the pool,
 * once. */
static bool joins(const struct installation *in, const struct partition_entry *p)
{
    return in->config.partition_n > 1 && (p->number != 0 || p->joined);
}

static void cpu_args(const struct installation *in, const struct partition_entry *p,
                     bool even_when_not_pinned, struct process_args *a)
{
    char list[256] = "";
    if (in->config.cpus[0] == '\0' && !even_when_not_pinned)
        return;
    installation_cpus(in, local_index(in, p->number), list, sizeof list);
    process_args_add(a, "--cpus");
    process_args_add(a, "%s", list[0] != '\0' ? list : in->config.cpus);
}

static void boundary_args(const struct installation *in, const struct partition_entry *p,
                          const char *rings, struct process_args *a)
{
    process_args_add(a, "--rings");
    process_args_add(a, "%s", rings);
    process_args_add(a, "--seal");
    process_args_add(a, "%s/" HOME_PARTITION "/seal", in->home, p->number);
    process_args_add(a, "--init");
    process_args_add(a, "%s/" HOME_POOL_INIT, in->home);
    if (in->config.partition_n == 1)
        process_args_add(a, "--alone");
    cpu_args(in, p, false, a);
    if (in->config.seal[0] != '\0') {
        process_args_add(a, "--seal-provider");
        process_args_add(a, "%s", in->config.seal);
    }
    if (p->number != 0 || in->config.partition_n > 1) {
        process_args_add(a, "--partition");
        process_args_add(a, "%u", p->number);
        process_args_add(a, "--admission");
        process_args_add(a, "%s/" HOME_ADMISSION, in->home);
    }
    if (in->config.evidence[0] != '\0') {
        process_args_add(a, "--evidence");
        process_args_add(a, "%s", in->config.evidence);
    }
    if (joins(in, p))
        process_args_add(a, "--join");
}

/* The first one that is here; the others' would only overwrite each other. */
static bool has_metrics(const struct installation *in, const struct partition_entry *p)
{
    return in->metrics_fd >= 0 && local_index(in, p->number) == 0;
}

static void peer_args(const struct installation *in, const struct partition_entry *p,
                      struct process_args *a)
{
    char peers[PARTITIONS_MAX * 96] = "";
    size_t n = 0;
    if (in->config.partition_n == 1 && p->number == 0)
        return;
    process_args_add(a, "--node");
    process_args_add(a, "%u", p->number + 1);
    if (p->peer[0] == '\0')
        return;
    process_args_add(a, "--peer-listen");
    process_args_add(a, "%s", p->peer);
    static const char *const files[][2] = {{"--peer-cert", "peer.pem"}, {"--peer-key", "peer.key"}};
    for (unsigned i = 0; i < 2; i++) {
        process_args_add(a, "%s", files[i][0]);
        process_args_add(a, "%s/" HOME_PARTITION "/%s", in->home, p->number, files[i][1]);
    }
    process_args_add(a, "--peer-ca");
    process_args_add(a, "%s/" HOME_PKI "/ca.pem", in->home);
    for (unsigned i = 0; i < in->config.partition_n; i++) {
        const struct partition_entry *o = &in->config.partition[i];
        if (o->number != p->number && o->peer[0] != '\0')
            n += (size_t)snprintf(peers + n, sizeof peers - n, "%s%u=%s", n > 0 ? "," : "",
                                  o->number + 1, o->peer);
    }
    if (n > 0) {
        process_args_add(a, "--peers");
        process_args_add(a, "%s", peers);
    }
    if (joins(in, p))
        process_args_add(a, "--join");
}

static void client_args(const struct installation *in, const struct partition_entry *p,
                        struct process_args *a)
{
    const struct partition_config *c = &in->config;
    if (in->role == INSTALLATION_ALONE) {
        process_args_add(a, "--listen");
        process_args_add(a, "%s", c->listen);
    } else {
        process_args_add(a, "--door");
        process_args_add(a, "%s", in->door);
    }
    tls_args(in, a);
    process_args_add(a, "--loops");
    process_args_add(a, "%u", installation_loops(in));
    cpu_args(in, p, local_count(in) > 1, a);
    process_args_add(a, "--face");
    process_args_add(a, "suffix=managedhsm.localhost,port=%u,authority=https://localhost:%u",
                     c->port, c->port);
    process_args_add(a, "--face");
    process_args_add(a, "suffix=managedhsm.azure.net,port=443,"
                        "authority=https://login.microsoftonline.com");
    process_args_add(a, "--issuer-connect");
    if (c->issuer[0] != '\0')
        process_args_add(a, "%s", c->issuer);
    else
        process_args_add(a, "127.0.0.1:%u", c->port);
    process_args_add(a, "--issuer-file");
    process_args_add(a, "%s/" HOME_POOL_INIT, in->home);
    process_args_add(a, "--region");
    process_args_add(a, "%s", c->region);
}

static void gateway_args(const struct installation *in, const struct partition_entry *p,
                         int ready_fd, const char *rings, struct process_args *a)
{
    process_args_add(a, "--rings");
    process_args_add(a, "%s", rings);
    process_args_add(a, "--store");
    process_args_add(a, "%s/" HOME_PARTITION "/store", in->home, p->number);
    process_args_add(a, "--audit");
    process_args_add(a, "%s/" HOME_PARTITION "/audit", in->home, p->number);
    client_args(in, p, a);
    peer_args(in, p, a);
    process_args_add(a, "--control");
    process_args_add(a, "%s/" HOME_CONTROL, in->home, p->number);
    process_args_add(a, "--network");
    process_args_add(a, "%s/" HOME_NETWORK, in->home);
    process_args_add(a, "--pool-state");
    if (p->number == 0)
        process_args_add(a, "%s/" HOME_POOL_STATE, in->home);
    else
        process_args_add(a, "%s/" HOME_POOL_STATE "-%u", in->home, p->number);
    if (has_metrics(in, p)) {
        process_args_add(a, "--metrics-fd");
        process_args_add(a, "%d", in->metrics_fd);
    }
    process_args_add(a, "--ready-fd");
    process_args_add(a, "%d", ready_fd);
}

/* What stays open in it besides the rings. */
static void inherits(const struct installation *in, enum program program,
                     const struct partition_entry *p, int fd[LISTEN_MAX + 1],
                     struct process_spec *spec)
{
    spec->inherit = fd;
    if (program == PROGRAM_DOOR) {
        for (unsigned i = 0; i < in->listen_n; i++)
            fd[spec->inherit_n++] = in->listen_fd[i];
        fd[spec->inherit_n++] = in->door_control;
    } else if (program == PROGRAM_GATEWAY && has_metrics(in, p)) {
        fd[spec->inherit_n++] = in->metrics_fd;
    }
}

hsm_err installation_start(const struct installation *in, enum program program,
                           const struct partition_entry *partition, int ready_fd,
                           const struct ring_fds *rings, pid_t *ret)
{
    static const char *const names[PROGRAM__COUNT] = {"door", "fabric", "boundary", "gateway"};
    static const struct partition_entry none;
    const struct partition_entry *p = partition != NULL ? partition : &none;
    struct process_args a = {0};
    char ring_text[1024] = "";
    char log_name[32], log_path[PATH_MAX];
    int inherited[LISTEN_MAX + 1];
    if (rings != NULL)
        TRY(ring_fds_format(rings, ring_text, sizeof ring_text));
    program_log_name(program, p->number, log_name, sizeof log_name);
    TRY(installation_path(in, log_path, HOME_LOG "/%s.log", log_name));
    process_args_add(&a, "%s/keyhold-%s", in->bindir, names[program]);
    if (program == PROGRAM_DOOR)
        door_args(in, ready_fd, &a);
    else if (program == PROGRAM_FABRIC)
        fabric_args(in, ready_fd, &a);
    else if (program == PROGRAM_BOUNDARY)
        boundary_args(in, p, ring_text, &a);
    else
        gateway_args(in, p, ready_fd, ring_text, &a);
    struct process_spec spec = {
        .args = &a,
        .log_path = log_path,
        .ready_fd = ready_fd,
        .rings = rings,
    };
    inherits(in, program, p, inherited, &spec);
    return process_start(&spec, ret);
}

hsm_err installation_start_pool(const struct installation *in, const char *home,
                                const char *log_path, int ready_fd, pid_t *ret)
{
    struct process_args a = {0};
    process_args_add(&a, "%s/keyhold-supervisor", in->bindir);
    process_args_add(&a, "--home");
    process_args_add(&a, "%s", home);
    process_args_add(&a, "--bindir");
    process_args_add(&a, "%s", in->bindir);
    process_args_add(&a, "--pool");
    process_args_add(&a, "--door");
    process_args_add(&a, "%s/" HOME_DOOR, in->home, "pools");
    process_args_add(&a, "--port");
    process_args_add(&a, "%u", in->config.port);
    process_args_add(&a, "--ready-fd");
    process_args_add(&a, "%d", ready_fd);
    const struct process_spec spec = {.args = &a, .log_path = log_path, .ready_fd = ready_fd};
    return process_start(&spec, ret);
}

hsm_err installation_start_prepare(const struct installation *in, const char *name,
                                   const char *log_path, pid_t *ret)
{
    struct process_args a = {0};
    process_args_add(&a, "%s/keyhold", in->bindir);
    process_args_add(&a, "--home");
    process_args_add(&a, "%s", in->home);
    process_args_add(&a, "pool");
    process_args_add(&a, "prepare");
    process_args_add(&a, "%s", name);
    const struct process_spec spec = {.args = &a, .log_path = log_path, .ready_fd = -1};
    return process_start(&spec, ret);
}

hsm_err installation_start_certificate(const struct installation *in, unsigned number, pid_t *ret)
{
    struct process_args a = {0};
    char log_path[PATH_MAX];
    TRY(installation_path(in, log_path, HOME_LOG "/partition.log"));
    process_args_add(&a, "%s/keyhold", in->bindir);
    process_args_add(&a, "--home");
    process_args_add(&a, "%s", in->home);
    process_args_add(&a, "partition");
    process_args_add(&a, "certificate");
    process_args_add(&a, "%u", number);
    const struct process_spec spec = {.args = &a, .log_path = log_path, .ready_fd = -1};
    return process_start(&spec, ret);
}
