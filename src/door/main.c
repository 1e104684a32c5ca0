#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/log.h"
#include "base/text.h"
#include "door/door.h"

static const char usage[] =
    "usage: keyhold-door --listen PORT | --listen-fd N[,M]  --backend NAME=PATH ...\n"
    "                    --route PATTERN=NAME ...  --default NAME  [--ready-fd N]\n"
    "                    [--pools PATH  --pool-suffix SUFFIX ...  --control-fd N]\n"
    "PORT 0: any. PATTERN: host or *.suffix. N: inherited descriptors.\n";

struct program {
    uv_loop_t loop;
    struct door *door;
    uv_signal_t term, interrupt;
    int ready_fd;
    uint16_t port;
};

static bool add_listen(struct program *p, const char *arg)
{
    long port = 0;
    if (!text_number(arg, 65535, &port))
        return false;
    return door_listen(p->door, (uint16_t)port, &p->port) == HSM_OK;
}

static bool add_listen_fds(struct program *p, char *arg)
{
    char *comma;
    do {
        long fd = 0;
        comma = strchr(arg, ',');
        if (comma != NULL)
            *comma = 0;
        bool ok =
            text_number(arg, 65535, &fd) && door_listen_fd(p->door, (int)fd, &p->port) == HSM_OK;
        if (comma != NULL) {
            *comma = ',';
            arg = comma + 1;
        }
        if (!ok)
            return false;
    } while (comma != NULL);
    return true;
}

/* "LEFT=RIGHT" in two; the last '=' divides, names have none. */
static bool add_pair(struct program *p, char *arg, bool is_route)
{
    char *eq = is_route ? strrchr(arg, '=') : strchr(arg, '=');
    if (eq == NULL)
        return false;
    *eq = 0;
    hsm_err e =
        is_route ? door_add_route(p->door, arg, eq + 1) : door_add_backend(p->door, arg, eq + 1);
    *eq = '=';
    return e == HSM_OK;
}

enum option_id {
    OPT_BACKEND = 1,
    OPT_ROUTE,
    OPT_DEFAULT,
    OPT_POOLS,
    OPT_POOL_SUFFIX,
    OPT_CONTROL_FD,
    OPT_LISTEN,
    OPT_LISTEN_FD,
    OPT_READY_FD
};

static bool take_option(struct program *p, int id, char *arg)
{
    long fd = -1;

    switch ((enum option_id)id) {
    case OPT_BACKEND:
        return add_pair(p, arg, false);
    case OPT_ROUTE:
        return add_pair(p, arg, true);
    case OPT_DEFAULT:
        return door_set_default(p->door, arg) == HSM_OK;
    case OPT_POOLS:
        return door_open_pools(p->door, arg) == HSM_OK;
    case OPT_POOL_SUFFIX:
        return door_add_pool_suffix(p->door, arg) == HSM_OK;
    case OPT_CONTROL_FD:
        return text_number(arg, 65535, &fd) && door_control(p->door, (int)fd) == HSM_OK;
    case OPT_LISTEN:
        return add_listen(p, arg);
    case OPT_LISTEN_FD:
        return add_listen_fds(p, arg);
    case OPT_READY_FD:
        if (!text_number(arg, 65535, &fd))
            return false;
        p->ready_fd = (int)fd;
        return true;
    }
    return false;
}

/* Options may come in any order: backends first, then what names them, listeners last. */
static bool take_options(struct program *p, int argc, char **argv)
{
    static const struct option options[] = {
        {"backend", required_argument, NULL, OPT_BACKEND},
        {"route", required_argument, NULL, OPT_ROUTE},
        {"default", required_argument, NULL, OPT_DEFAULT},
        {"pools", required_argument, NULL, OPT_POOLS},
        {"pool-suffix", required_argument, NULL, OPT_POOL_SUFFIX},
        {"control-fd", required_argument, NULL, OPT_CONTROL_FD},
        {"listen", required_argument, NULL, OPT_LISTEN},
        {"listen-fd", required_argument, NULL, OPT_LISTEN_FD},
        {"ready-fd", required_argument, NULL, OPT_READY_FD},
        {0},
    };
    for (int pass = OPT_BACKEND; pass <= OPT_READY_FD; pass++) {
        int id;
        optind = 1;
        while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
            if (id == '?')
                return false;
            if (id == pass && !take_option(p, id, optarg)) {
                log_error("--%s %s: not accepted", options[id - 1].name, optarg);
                return false;
            }
        }
    }
    return optind == argc && p->port != 0;
}

static void harden(void)
{
    const struct rlimit none = {0, 0};
    struct rlimit files;

    (void)!setrlimit(RLIMIT_CORE, &none);
    (void)!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)!setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
}

static void on_signal(uv_signal_t *h, int signum)
{
    struct program *p = h->data;

    (void)signum;
    door_free(p->door);
    p->door = NULL;
    uv_close((uv_handle_t *)&p->term, NULL);
    uv_close((uv_handle_t *)&p->interrupt, NULL);
}

static bool report(const struct program *p)
{
    if (p->ready_fd < 0)
        return true;
    bool ok = dprintf(p->ready_fd, "%u\n", (unsigned)p->port) > 0;
    close(p->ready_fd);
    return ok;
}

int main(int argc, char **argv)
{
    static struct program p = {.ready_fd = -1};
    const struct door_config cfg = {0};

    log_init("keyhold-door", LOG_INFO_L);
    harden();
    if (uv_loop_init(&p.loop) != 0 || door_new(&p.loop, &cfg, &p.door) != HSM_OK)
        return 1;
    if (!take_options(&p, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    uv_signal_init(&p.loop, &p.term);
    uv_signal_init(&p.loop, &p.interrupt);
    p.term.data = p.interrupt.data = &p;
    if (uv_signal_start(&p.term, on_signal, SIGTERM) != 0 ||
        uv_signal_start(&p.interrupt, on_signal, SIGINT) != 0 || !report(&p))
        return 1;
    log_info("listening on port %u", (unsigned)p.port);
    uv_run(&p.loop, UV_RUN_DEFAULT);
    uv_loop_close(&p.loop);
    return 0;
}
