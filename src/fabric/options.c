#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "fabric/server.h"

const char server_usage[] =
    "usage: keyhold-fabric --home DIR --cert FILE --key FILE --origin https://HOST:PORT\n"
    "                      --hsm-suffix SUFFIX[:PORT]  --door PATH | --listen ADDR:PORT\n"
    "                      [--pool NAME] [--region NAME] [--ready-fd N]\n"
    "                      [--nodes ADDR:PORT [--nodes-address HOST:PORT]]\n"
    "                      [--instance N --peer-listen HOST:PORT --peers 1=HOST:PORT,2=...,3=...]\n"
    "PORT 0 of --listen: any.\n";

enum option_id {
    OPT_HOME = 1,
    OPT_DOOR,
    OPT_LISTEN,
    OPT_CERT,
    OPT_KEY,
    OPT_ORIGIN,
    OPT_SUFFIX,
    OPT_POOL,
    OPT_REGION,
    OPT_READY_FD,
    OPT_NODES,
    OPT_NODES_ADDRESS,
    OPT_INSTANCE,
    OPT_PEER_LISTEN,
    OPT_PEERS,
};

static bool take(struct server_options *o, int id, const char *arg)
{
    long fd = -1;
    const char **text[] = {
        [OPT_HOME] = &o->fabric.home,
        [OPT_DOOR] = &o->door,
        [OPT_CERT] = &o->cert,
        [OPT_KEY] = &o->key,
        [OPT_ORIGIN] = &o->fabric.origin,
        [OPT_SUFFIX] = &o->fabric.hsm_suffix,
        [OPT_POOL] = &o->fabric.pool,
        [OPT_REGION] = &o->fabric.region,
        [OPT_READY_FD] = NULL,
        [OPT_NODES] = &o->fabric.nodes_listen,
        [OPT_NODES_ADDRESS] = &o->fabric.nodes_address,
        [OPT_INSTANCE] = NULL,
        [OPT_PEER_LISTEN] = &o->fabric.peer_listen,
        [OPT_PEERS] = &o->fabric.peers,
    };
    if (id == OPT_LISTEN)
        return text_listen(arg, o->listen_addr, sizeof o->listen_addr, &o->listen_port);
    if (id == OPT_INSTANCE) {
        if (!text_number(arg, 3, &fd) || fd < 1)
            return false;
        o->fabric.instance = (unsigned)fd;
        return true;
    }
    if (id == OPT_READY_FD) {
        if (!text_number(arg, 65535, &fd))
            return false;
        o->ready_fd = (int)fd;
        return true;
    }
    if (arg[0] == 0 || strlen(arg) >= FACE_URL_MAX)
        return false;
    *text[id] = arg;
    return true;
}

static const char *missing(const struct server_options *o)
{
    if (o->fabric.home == NULL)
        return "--home";
    if (o->cert == NULL)
        return "--cert";
    if (o->key == NULL)
        return "--key";
    if (o->fabric.origin == NULL || strncmp(o->fabric.origin, "https://", 8) != 0)
        return "--origin https://...";
    if (o->fabric.hsm_suffix == NULL)
        return "--hsm-suffix";
    bool has_all = o->fabric.peer_listen != NULL && o->fabric.peers != NULL;
    bool has_one = o->fabric.peer_listen != NULL || o->fabric.peers != NULL;
    if (o->fabric.instance != 0 ? !has_all : has_one)
        return "--instance, --peer-listen and --peers together";
    if (o->fabric.nodes_listen != NULL && strrchr(o->fabric.nodes_listen, ':') == NULL)
        return "--nodes ADDR:PORT";
    if (o->door == NULL && o->listen_addr[0] == 0)
        return "--door or --listen";
    return NULL;
}

bool server_options_parse(int argc, char **argv, struct server_options *ret, char *text, size_t cap)
{
    static const struct option options[] = {
        {"home", required_argument, NULL, OPT_HOME},
        {"door", required_argument, NULL, OPT_DOOR},
        {"listen", required_argument, NULL, OPT_LISTEN},
        {"cert", required_argument, NULL, OPT_CERT},
        {"key", required_argument, NULL, OPT_KEY},
        {"origin", required_argument, NULL, OPT_ORIGIN},
        {"hsm-suffix", required_argument, NULL, OPT_SUFFIX},
        {"pool", required_argument, NULL, OPT_POOL},
        {"region", required_argument, NULL, OPT_REGION},
        {"instance", required_argument, NULL, OPT_INSTANCE},
        {"peer-listen", required_argument, NULL, OPT_PEER_LISTEN},
        {"peers", required_argument, NULL, OPT_PEERS},
        {"nodes", required_argument, NULL, OPT_NODES},
        {"nodes-address", required_argument, NULL, OPT_NODES_ADDRESS},
        {"ready-fd", required_argument, NULL, OPT_READY_FD},
        {0},
    };
    struct server_options o = {.fabric = {.region = "local"}, .ready_fd = -1};
    int id;
    optind = 1;
    opterr = 0;
    while ((id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (id == '?' || id == ':' || !take(&o, id, optarg)) {
            snprintf(text, cap, "not accepted: %s", argv[optind - 1]);
            return false;
        }
    }
    const char *what = optind == argc ? missing(&o) : "nothing else on the command line";
    if (what != NULL) {
        snprintf(text, cap, "expected: %s", what);
        return false;
    }
    *ret = o;
    return true;
}
