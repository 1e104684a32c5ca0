#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "gateway/gateway.h"

int main(int argc, char **argv)
{
    static struct gateway_options options;
    char text[256];
    log_init("gateway", LOG_INFO_L);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(options_usage, stdout);
        return 0;
    }
    if (options_parse(argc, argv, &options, text, sizeof text) != HSM_OK) {
        (void)fprintf(stderr, "keyhold-gateway: %s\n%s", text, options_usage);
        return 2;
    }
    return gateway_run(&options);
}
