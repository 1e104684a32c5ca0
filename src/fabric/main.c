#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "base/log.h"
#include "fabric/server.h"

/* The process holds the token signing key and everybody's passwords. */
static void harden(void)
{
    const struct rlimit none = {0, 0};
    (void)!setrlimit(RLIMIT_CORE, &none);
    (void)!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct server_options o;
    char text[256];
    log_init("keyhold-fabric", LOG_INFO_L);
    harden();
    if (!server_options_parse(argc, argv, &o, text, sizeof text)) {
        fprintf(stderr, "keyhold-fabric: %s\n%s", text, server_usage);
        return 2;
    }
    return server_run(&o);
}
