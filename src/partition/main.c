/* keyhold-supervisor --home DIR [--bindir DIR] [--ready-fd N]
 *                    [--pool --door PATH --port N]   of one pool, started by the node */
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "partition/config.h"
#include "partition/node.h"

static int usage(void)
{
    (void)fprintf(stderr, "usage: keyhold-supervisor --home DIR [--bindir DIR] [--ready-fd N]\n"
                          "                          [--pool --door PATH --port N]\n");
    return 2;
}

static bool take(struct supervisor_options *o, int option, const char *arg)
{
    long n = -1;
    switch (option) {
    case 'h':
        o->home = arg;
        return true;
    case 'b':
        o->bindir = arg;
        return true;
    case 'P':
        o->is_pool = true;
        return true;
    case 'd':
        o->door = arg;
        return true;
    case 'p':
        if (!text_number(arg, 65535, &n))
            return false;
        o->port = (uint16_t)n;
        return true;
    case 'r':
        if (!text_number(arg, 65535, &n))
            return false;
        o->ready_fd = (int)n;
        return true;
    default:
        return false;
    }
}

static bool take_all(int argc, char **argv, struct supervisor_options *o)
{
    static const struct option options[] = {
        {"home", required_argument, NULL, 'h'},
        {"bindir", required_argument, NULL, 'b'},
        {"pool", no_argument, NULL, 'P'},
        {"door", required_argument, NULL, 'd'},
        {"port", required_argument, NULL, 'p'},
        {"ready-fd", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!take(o, c, optarg))
            return false;
    return o->home != NULL && optind == argc && (!o->is_pool || (o->door != NULL && o->port != 0));
}

/* The host of a pool on several hosts may have no fabric: then there is no node either. A
 * configuration that cannot be read is reported by the node. */
static bool has_node(const struct supervisor_options *o)
{
    static struct partition_config c;
    char path[PATH_MAX], text[PATH_MAX + 200];
    return path_join(path, sizeof path, o->home, HOME_CONFIG) != HSM_OK ||
           partition_config_load(path, &c, text, sizeof text) != HSM_OK || !c.no_fabric;
}

int main(int argc, char **argv)
{
    struct supervisor_options o = {.ready_fd = -1};
    char self[PATH_MAX] = "";
    if (!take_all(argc, argv, &o))
        return usage();
    if (o.bindir == NULL) {
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        if (n <= 0)
            return usage();
        self[n] = '\0';
        o.bindir = dirname(self);
    }
    bool is_node = !o.is_pool && has_node(&o);
    log_init(is_node ? "node" : "supervisor", LOG_INFO_L);
    return is_node ? node_run(&o) : supervisor_run(&o);
}
