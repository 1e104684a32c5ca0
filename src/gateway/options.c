#include "gateway/options.h"

#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/text.h"

const char options_usage[] =
    "usage: keyhold-gateway --rings TEXT --store DIR --audit DIR --cert FILE --key FILE\n"
    "                       --loops N --face suffix=S,port=P,authority=URL [--face ...]\n"
    "                       [--door PATH] [--listen ADDR:PORT] [--issuer-connect HOST:PORT]\n"
    "                       [--issuer-file POOL.JSON]\n"
    "                       [--region NAME] [--control PATH] [--pool-state PATH]\n"
    "                       [--network FILE]\n"
    "                       [--cpus LIST] [--metrics-fd N] [--ready-fd N]\n"
    "                       [--node N] [--peer-listen HOST:PORT --peer-cert FILE --peer-key FILE\n"
    "                        --peer-ca FILE [--peers 1=HOST:PORT,2=HOST:PORT] [--join]]\n"
    "Started by keyhold-supervisor; serves a pool's data plane over HTTPS.\n";

/* "0,2,4-6": cpus in the order of the loops. */
static bool take_cpus(struct gateway_options *o, const char *text)
{
    size_t n = 0;
    while (*text != '\0') {
        char *end;
        long first = strtol(text, &end, 10);
        long last = first;
        if (end == text)
            return false;
        if (*end == '-') {
            text = end + 1;
            last = strtol(text, &end, 10);
            if (end == text)
                return false;
        }
        if (first < 0 || last < first || last >= CPU_SETSIZE || (*end != ',' && *end != '\0'))
            return false;
        for (long cpu = first; cpu <= last && n < RING_LANES_MAX; cpu++)
            o->cpu[n++] = (int)cpu;
        text = *end == ',' ? end + 1 : end;
    }
    return n > 0;
}

/* Loop i belongs on the i-th cpu that this process may use. */
static void default_cpus(struct gateway_options *o)
{
    cpu_set_t set;
    size_t n = 0;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE && n < RING_LANES_MAX; cpu++) {
        if (CPU_ISSET(cpu, &set))
            o->cpu[n++] = (int)cpu;
    }
}

static bool take_fd(const char *text, int *ret)
{
    long v;
    if (!text_number(text, INT_MAX, &v))
        return false;
    *ret = (int)v;
    return true;
}

/* Links to other partitions. */
static bool take_peer(struct gateway_options *o, int option, const char *arg)
{
    long v;
    switch (option) {
    case 'N':
        if (!text_number(arg, 1000000, &v) || v < 1)
            return false;
        o->node = (uint64_t)v;
        return true;
    case 'J':
        o->join = true;
        return true;
    case 'L':
        o->peer_listen = arg;
        return true;
    case 'C':
        o->peer_cert = arg;
        return true;
    case 'K':
        o->peer_key = arg;
        return true;
    case 'A':
        o->peer_ca = arg;
        return true;
    case 'P':
        o->peers = arg;
        return true;
    default:
        return false;
    }
}

static bool take(struct gateway_options *o, int option, const char *arg)
{
    long v;
    switch (option) {
    case 'r':
        return ring_fds_parse(arg, &o->rings) == HSM_OK;
    case 's':
        o->store_dir = arg;
        return true;
    case 'a':
        o->audit_dir = arg;
        return true;
    case 'd':
        o->door = arg;
        return true;
    case 'l':
        return text_listen(arg, o->listen_addr, sizeof o->listen_addr, &o->listen_port);
    case 'c':
        o->cert_file = arg;
        return true;
    case 'k':
        o->key_file = arg;
        return true;
    case 'n':
        if (!text_number(arg, RING_LANES_MAX, &v) || v < 1)
            return false;
        o->loops = (unsigned)v;
        return true;
    case 'f':
        return faces_add(&o->faces, arg) == HSM_OK;
    case 'i':
        o->issuer_connect = arg;
        return true;
    case 'q':
        o->issuer_file = arg;
        return true;
    case 'g':
        o->region = arg;
        return true;
    case 'o':
        o->control = arg;
        return true;
    case 'p':
        o->pool_state = arg;
        return true;
    case 'w':
        o->network = arg;
        return true;
    case 'u':
        return take_cpus(o, arg);
    case 'm':
        return take_fd(arg, &o->metrics_fd);
    case 'y':
        return take_fd(arg, &o->ready_fd);
    default:
        return take_peer(o, option, arg);
    }
}

static bool region_valid(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    return n > 0 && n < 64 && s[n] == '\0';
}

static const char *missing(const struct gateway_options *o)
{
    if (o->rings.lanes == 0)
        return "--rings";
    if (o->store_dir == NULL)
        return "--store";
    if (o->audit_dir == NULL)
        return "--audit";
    if (o->cert_file == NULL)
        return "--cert";
    if (o->key_file == NULL)
        return "--key";
    if (o->faces.n == 0)
        return "--face";
    if (o->door == NULL && o->listen_addr[0] == '\0')
        return "--door or --listen";
    if (o->peer_listen != NULL &&
        (o->peer_cert == NULL || o->peer_key == NULL || o->peer_ca == NULL))
        return "--peer-cert, --peer-key or --peer-ca";
    if (o->join && (o->peer_listen == NULL || o->peers == NULL))
        return "--peer-listen or --peers";
    return NULL;
}

hsm_err options_parse(int argc, char **argv, struct gateway_options *ret, char *text, size_t cap)
{
    static const struct option names[] = {
        {"rings", required_argument, NULL, 'r'},
        {"store", required_argument, NULL, 's'},
        {"audit", required_argument, NULL, 'a'},
        {"door", required_argument, NULL, 'd'},
        {"listen", required_argument, NULL, 'l'},
        {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        {"loops", required_argument, NULL, 'n'},
        {"face", required_argument, NULL, 'f'},
        {"issuer-connect", required_argument, NULL, 'i'},
        {"issuer-file", required_argument, NULL, 'q'},
        {"region", required_argument, NULL, 'g'},
        {"control", required_argument, NULL, 'o'},
        {"pool-state", required_argument, NULL, 'p'},
        {"network", required_argument, NULL, 'w'},
        {"cpus", required_argument, NULL, 'u'},
        {"metrics-fd", required_argument, NULL, 'm'},
        {"ready-fd", required_argument, NULL, 'y'},
        {"node", required_argument, NULL, 'N'},
        {"join", no_argument, NULL, 'J'},
        {"peer-listen", required_argument, NULL, 'L'},
        {"peer-cert", required_argument, NULL, 'C'},
        {"peer-key", required_argument, NULL, 'K'},
        {"peer-ca", required_argument, NULL, 'A'},
        {"peers", required_argument, NULL, 'P'},
        {NULL, 0, NULL, 0},
    };
    struct gateway_options o = {
        .loops = 1, .region = "local", .node = 1, .metrics_fd = -1, .ready_fd = -1};
    int option;
    for (size_t i = 0; i < RING_LANES_MAX; i++)
        o.cpu[i] = -1;
    default_cpus(&o);
    optind = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (!take(&o, option, optarg)) {
            (void)snprintf(text, cap, "bad option or value near '%s'",
                           optind > 0 && optind <= argc ? argv[optind - 1] : "");
            return HSM_E_BAD_PARAMETER;
        }
    }
    const char *what = missing(&o);
    if (what != NULL || optind < argc) {
        (void)snprintf(text, cap, what != NULL ? "%s is missing" : "unexpected argument '%s'",
                       what != NULL ? what : argv[optind]);
        return HSM_E_BAD_PARAMETER;
    }
    if (o.loops > o.rings.lanes || !region_valid(o.region)) {
        (void)snprintf(text, cap, "--loops or --region has an unusable value");
        return HSM_E_BAD_PARAMETER;
    }
    *ret = o;
    return HSM_OK;
}
