/* keyhold-supervisor --home DIR [--bindir DIR] [--ready-fd N] */
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "partition/supervisor.h"

static int usage(void)
{
    (void)fprintf(stderr, "usage: keyhold-supervisor --home DIR [--bindir DIR] [--ready-fd N]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"home", required_argument, NULL, 'h'},
        {"bindir", required_argument, NULL, 'b'},
        {"ready-fd", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    struct supervisor_options o = {0};
    char self[PATH_MAX] = "";
    long ready_fd = -1;
    bool numbers_ok = true;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'h')
            o.home = optarg;
        else if (c == 'b')
            o.bindir = optarg;
        else if (c == 'r')
            numbers_ok = text_number(optarg, 65535, &ready_fd);
        else
            return usage();
    }
    if (o.home == NULL || optind != argc || !numbers_ok)
        return usage();
    o.ready_fd = (int)ready_fd;
    if (o.bindir == NULL) {
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        if (n <= 0)
            return usage();
        self[n] = '\0';
        o.bindir = dirname(self);
    }
    log_init("supervisor", LOG_INFO_L);
    return supervisor_run(&o);
}
