/* up and down: first-run files, and the supervisor as a daemon. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/creation.h"
#include "cli/local.h"
#include "cli/partition.h"
#include "fabric/identity/pki.h"
#include "partition/node.h"
#include "partition/process.h"
#include "partition/supervisor.h"

#define PORT_DEFAULT 8443
#define START_MS     60000
/* Of a new pool. */
#define PARTITIONS_DEFAULT 3
#define SOCKET_NAME_MAX    80 /* "run/gateway-0.sock" and the like must fit sockaddr_un below HOME */

/* ---- first-run files ---- */

/* Settings of `up`; NULL: not given. */
struct settings {
    const char *name, *port, *cpus, *metrics, *partitions;
};

static bool take_metrics(const char *text, int *ret)
{
    long n = CONFIG_NO_METRICS;
    if (strcmp(text, "off") != 0 && !text_number(text, 65535, &n))
        return false;
    *ret = (int)n;
    return true;
}

static bool same_config(const struct partition_config *a, const struct partition_config *b)
{
    return strcmp(a->name, b->name) == 0 && a->port == b->port && strcmp(a->cpus, b->cpus) == 0 &&
           strcmp(a->tenant, b->tenant) == 0 && a->metrics_port == b->metrics_port;
}

static int take_settings(const struct settings *s, struct partition_config *cfg)
{
    long n;
    if (s->name != NULL)
        (void)snprintf(cfg->name, sizeof cfg->name, "%s", s->name);
    if (s->port != NULL) {
        if (!text_number(s->port, 65535, &n) || n == 0)
            return cli_fail(CLI_USAGE, "--port: 1 to 65535");
        cfg->port = (uint16_t)n;
    }
    if (s->cpus != NULL &&
        snprintf(cfg->cpus, sizeof cfg->cpus, "%s", s->cpus) >= (int)sizeof cfg->cpus)
        return cli_fail(CLI_USAGE, "--cpus: the list is too long");
    if (s->metrics != NULL && !take_metrics(s->metrics, &cfg->metrics_port))
        return cli_fail(CLI_USAGE, "--metrics-port: 1 to 65535, 0 for any free one, or off");
    return CLI_OK;
}

/* How many there are is decided on the first run; later it changes while the pool runs. */
static int take_partitions(const struct settings *s, bool exists, struct partition_config *cfg)
{
    long n = PARTITIONS_DEFAULT;
    unsigned number;
    if (s->partitions != NULL && (!text_number(s->partitions, PARTITIONS_MAX, &n) || n == 0))
        return cli_fail(CLI_USAGE, "--partitions: 1 to %d", PARTITIONS_MAX);
    if (exists && s->partitions != NULL && (unsigned)n != cfg->partition_n)
        return cli_fail(CLI_FAILED,
                        "the pool has %u partitions; change that with `keyhold partition add` and "
                        "`keyhold partition remove`",
                        cfg->partition_n);
    while (!exists && cfg->partition_n < (unsigned)n)
        if (partition_config_add(cfg, &number) != HSM_OK)
            return cli_fail(CLI_FAILED, "no port is free on 127.0.0.1 for the partitions");
    return CLI_OK;
}

static int make_config(struct cli *c, const struct settings *s, struct partition_config *cfg,
                       const struct directory *d)
{
    char path[PATH_MAX], text[PATH_MAX + 200];
    cli_path(c, HOME_CONFIG, path);
    bool exists = access(path, F_OK) == 0;
    *cfg = (struct partition_config){.port = PORT_DEFAULT,
                                     .name = "dev",
                                     .region = "local",
                                     .metrics_port = CONFIG_NO_METRICS,
                                     .partition_n = 1,
                                     .next_partition = 1};
    if (exists && !cli_config(c, cfg))
        return CLI_FAILED;
    const struct partition_config before = *cfg;
    if (s->name != NULL && !pool_name_valid(s->name))
        return cli_fail(CLI_USAGE, "--name: 3 to 24 letters, digits and single hyphens, first a "
                                   "letter");
    if (exists && s->name != NULL && strcmp(s->name, cfg->name) != 0)
        return cli_fail(CLI_FAILED,
                        "the pool in %s is named %s and keeps its name; use another "
                        "--home for another pool",
                        c->home, cfg->name);
    int status = take_settings(s, cfg);
    if (status == CLI_OK)
        status = take_partitions(s, exists, cfg);
    if (status != CLI_OK)
        return status;
    (void)snprintf(cfg->tenant, sizeof cfg->tenant, "%s", d->tenant);
    /* Unchanged it stays: a pool starts on a full disk, too. */
    if (exists && same_config(&before, cfg))
        return CLI_OK;
    if (partition_config_store(path, cfg, text, sizeof text) != HSM_OK)
        return cli_fail(CLI_FAILED, "%s", text);
    return CLI_OK;
}

/* One start at a time: the lock is on the directory itself and ends with this process. */
static int lock_home(const struct cli *c)
{
    if (strlen(c->home) > SOCKET_NAME_MAX)
        return cli_fail(CLI_FAILED,
                        "the path of the home directory is longer than %d characters, "
                        "too long for its sockets; choose a shorter --home",
                        SOCKET_NAME_MAX);
    if (dir_ensure(c->home, 0700) != HSM_OK)
        return cli_fail(CLI_FAILED, "cannot create %s: %s", c->home, strerror(errno));
    static int fd; /* stays open */
    fd = open(c->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        return cli_fail(CLI_FAILED, "cannot lock %s: %s", c->home, strerror(errno));
    return CLI_OK;
}

static bool pool_exists(const struct cli *c, const struct partition_config *cfg)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < cfg->partition_n; i++) {
        cli_partition_path(c, HOME_PARTITION, cfg->partition[i].number, "/seal", path);
        if (cfg->partition[i].joined || access(path, F_OK) == 0)
            return true;
    }
    return false;
}

static int prepare(struct cli *c, const struct settings *s, const struct creation *creation)
{
    char path[PATH_MAX], text[600] = "";
    struct partition_config cfg;
    struct directory d;
    cli_path(c, HOME_FABRIC, path);
    if (directory_load_or_create(path, clock_now_ms(), &d) != HSM_OK)
        return cli_fail(CLI_FAILED, "cannot load or create the directory of identities in %s",
                        path);
    int status = make_config(c, s, &cfg, &d);
    cli_path(c, HOME_PKI, path);
    if (status == CLI_OK && pki_ensure(path, pki_default_names, pki_default_names_n, clock_now_ms(),
                                       NULL, text, sizeof text) != HSM_OK)
        status = cli_fail(CLI_FAILED, "certificates: %s", text);
    if (status != CLI_OK || cli_first_is_gone(c)) {
        directory_done(&d);
        return status;
    }
    status = partitions_prepare(c, &cfg);
    if (status == CLI_OK && pool_exists(c, &cfg))
        status = creation_check(c, creation);
    else if (status == CLI_OK && !creation_store(c, &cfg, &d, creation))
        status = cli_fail(CLI_FAILED, "cannot write %s/" HOME_POOL_INIT ": %s", c->home,
                          strerror(errno));
    directory_done(&d);
    return status;
}

/* ---- the daemon ---- */

static void bindir_of_self(char dst[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", dst, PATH_MAX - 1);
    dst[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(dst, '/');
    if (slash != NULL)
        *slash = '\0';
}

static void exec_supervisor(const struct cli *c, int ready_fd)
{
    char bindir[PATH_MAX], program[PATH_MAX], fd_text[16];
    bindir_of_self(bindir);
    if (path_join(program, sizeof program, bindir, "keyhold-supervisor") != HSM_OK)
        return;
    (void)snprintf(fd_text, sizeof fd_text, "%d", ready_fd);
    if (ready_fd >= 0)
        (void)execl(program, program, "--home", c->home, "--bindir", bindir, "--ready-fd", fd_text,
                    (char *)NULL);
    else
        (void)execl(program, program, "--home", c->home, "--bindir", bindir, (char *)NULL);
}

static void daemon_child(const struct cli *c, int ready_fd)
{
    char path[PATH_MAX];
    if (setsid() < 0 || fork() != 0)
        _exit(0);
    cli_path(c, HOME_LOG, path);
    int log_fd = -1, null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dir_ensure(path, 0700) == HSM_OK) {
        cli_path(c, HOME_LOG "/supervisor.log", path);
        log_fd = process_log_open(path);
    }
    (void)dup2(null_fd, 0);
    (void)dup2(log_fd >= 0 ? log_fd : null_fd, 1);
    (void)dup2(log_fd >= 0 ? log_fd : null_fd, 2);
    if (chdir("/") != 0)
        _exit(127);
    exec_supervisor(c, ready_fd);
    _exit(127);
}

static int start_daemon(const struct cli *c)
{
    int p[2];
    if (pipe(p) != 0)
        return cli_fail(CLI_FAILED, "pipe: %s", strerror(errno));
    (void)fcntl(p[0], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        daemon_child(c, p[1]);
    (void)close(p[1]);
    if (pid < 0)
        return cli_fail(CLI_FAILED, "fork: %s", strerror(errno));
    (void)waitpid(pid, NULL, 0);
    char line[1024];
    size_t n = 0;
    struct pollfd pf = {.fd = p[0], .events = POLLIN};
    while (n < sizeof line - 1 && poll(&pf, 1, START_MS) > 0) {
        ssize_t m = read(p[0], line + n, sizeof line - 1 - n);
        if (m <= 0)
            break;
        n += (size_t)m;
    }
    (void)close(p[0]);
    line[n] = '\0';
    if (strcmp(line, "ready\n") == 0)
        return CLI_OK;
    line[strcspn(line, "\n")] = '\0';
    return cli_fail(
        CLI_FAILED, "%s",
        n > 0 ? line : "it did not become ready; see log/supervisor.log in the home directory");
}

/* It runs: is that what was asked for? */
static int check_running(const struct cli *c, const struct settings *s,
                         const struct creation *creation)
{
    struct partition_config is, want;
    if (!cli_config(c, &is))
        return CLI_FAILED;
    want = is;
    int status = take_settings(s, &want);
    if (status == CLI_OK)
        status = take_partitions(s, true, &want);
    if (status != CLI_OK)
        return status;
    if (!same_config(&is, &want))
        return cli_fail(CLI_FAILED, "pool %s runs on port %u already; `keyhold down` first",
                        is.name, is.port);
    return creation_check(c, creation);
}

int local_up(struct cli *c)
{
    struct arg args[] = {
        {.name = "--port",
         .alias = "-p",
         .kind = ARG_VALUE,
         .help = "port on 127.0.0.1 and ::1 (default 8443)"},
        {.name = "--name",
         .alias = "--hsm-name",
         .kind = ARG_VALUE,
         .help = "name of the pool (default dev)"},
        {.name = "--cpus", .kind = ARG_VALUE, .help = "pin to these CPUs, e.g. 0,1"},
        {.name = "--metrics-port",
         .kind = ARG_VALUE,
         .help = "serve /metrics, /healthz, /readyz on 127.0.0.1; 0: any port, or off (default)"},
        {.name = "--partitions",
         .kind = ARG_VALUE,
         .help = "first run: processes that hold the pool together, 1 to 9 (default 3)"},
        CREATION_ARGS,
        {.name = "--foreground", .kind = ARG_FLAG, .help = "do not return; log to standard error"},
        {.name = NULL},
    };
    int ret;
    struct creation creation;
    if (!cli_args(c, args, "up [--home DIR] [--port N] [--name POOL] [--foreground]", &ret) ||
        !creation_parse(args, &creation, &ret))
        return ret;
    const struct settings s = {.name = args_value(args, "--name"),
                               .port = args_value(args, "--port"),
                               .cpus = args_value(args, "--cpus"),
                               .metrics = args_value(args, "--metrics-port"),
                               .partitions = args_value(args, "--partitions")};
    ret = lock_home(c);
    if (ret != CLI_OK)
        return ret;
    if (cli_supervisor_pid(c) != 0) {
        ret = check_running(c, &s, &creation);
        c->argc = 0;
        return ret == CLI_OK ? local_status(c) : ret;
    }
    ret = prepare(c, &s, &creation);
    if (ret != CLI_OK)
        return ret;
    if (args_get(args, "--foreground")->given) {
        exec_supervisor(c, -1);
        return cli_fail(CLI_FAILED, "keyhold-supervisor is not beside keyhold: %s",
                        strerror(errno));
    }
    ret = start_daemon(c);
    if (ret != CLI_OK)
        return ret;
    cli_pin_audit_key(c);
    c->argc = 0;
    return local_status(c);
}

int local_down(struct cli *c)
{
    struct arg args[] = {{.name = NULL}};
    int ret;
    if (!cli_args(c, args, "down [--home DIR]", &ret))
        return ret;
    long pid = cli_supervisor_pid(c);
    if (pid == 0) {
        (void)printf("not running\n");
        return CLI_OK;
    }
    if (kill((pid_t)pid, SIGTERM) != 0)
        return cli_fail(CLI_FAILED, "cannot signal process %ld: %s", pid, strerror(errno));
    for (unsigned i = 0; i < 600; i++) {
        if (cli_supervisor_pid(c) == 0) {
            (void)printf("stopped\n");
            return CLI_OK;
        }
        (void)poll(NULL, 0, 50);
    }
    return cli_fail(CLI_FAILED, "process %ld does not stop; see log/supervisor.log in %s", pid,
                    c->home);
}
