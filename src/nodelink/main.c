#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "base/file.h"
#include "base/log.h"
#include "nodelink/link.h"

#define PATH_MAX_LEN 4096

static void on_closed(void *ctx)
{
    uv_stop(ctx);
}

static void on_signal(uv_signal_t *s, int signum)
{
    (void)signum;
    (void)uv_signal_stop(s);
    link_close(s->data, on_closed, s->loop);
}

static int run(const char *home)
{
    static uv_loop_t loop;
    static uv_signal_t term, interrupt;
    char dir[PATH_MAX_LEN], socket[PATH_MAX_LEN], text[512] = "";
    struct link *l = NULL;
    if (path_join(dir, sizeof dir, home, "link") != HSM_OK ||
        path_join(socket, sizeof socket, home, "run/node.sock") != HSM_OK ||
        uv_loop_init(&loop) != 0)
        return 1;
    const struct link_config cfg = {.dir = dir, .socket = socket};
    if (link_open(&loop, &cfg, &l, text, sizeof text) != HSM_OK) {
        log_error("%s", text);
        return 1;
    }
    (void)uv_signal_init(&loop, &term);
    (void)uv_signal_init(&loop, &interrupt);
    term.data = interrupt.data = l;
    (void)uv_signal_start(&term, on_signal, SIGTERM);
    (void)uv_signal_start(&interrupt, on_signal, SIGINT);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return 0;
}

int main(int argc, char **argv)
{
    const struct rlimit none = {0, 0};
    log_init("keyhold-node-link", LOG_INFO_L);
    (void)!setrlimit(RLIMIT_CORE, &none);
    (void)!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc != 3 || strcmp(argv[1], "--home") != 0) {
        fprintf(stderr, "usage: keyhold-node-link --home DIR\n");
        return 2;
    }
    return run(argv[2]);
}
