/* Settings of a pool: kept with it, and given to its gateways that run. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "partition/node_internal.h"

#define ANSWER_MS 500

/* true: it took the rules, or does not run. */
static bool tell_gateway(const char *path)
{
    static const char line[] = "network\n";
    const struct timeval limit = {.tv_usec = ANSWER_MS * 1000};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char answer[64];
    if (strlen(path) >= sizeof a.sun_path)
        return false;
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    bool runs = connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
    bool ok = (!runs && (errno == ECONNREFUSED || errno == ENOENT)) ||
              (runs && send(fd, line, sizeof line - 1, MSG_NOSIGNAL) == sizeof line - 1 &&
               recv(fd, answer, sizeof answer, 0) >= 2 && memcmp(answer, "ok", 2) == 0);
    (void)close(fd);
    return ok;
}

static bool tell_gateways(const struct node *n, const struct node_pool *p)
{
    char run[PATH_MAX], path[PATH_MAX];
    const struct dirent *e;
    bool ok = true;
    DIR *d = node_pool_path(n, p, HOME_RUN, run) == HSM_OK ? opendir(run) : NULL;
    while (d != NULL && (e = readdir(d)) != NULL) {
        size_t m = strlen(e->d_name);
        if (strncmp(e->d_name, "gateway-", 8) == 0 && m > 4 &&
            strcmp(e->d_name + m - 4, ".cmd") == 0)
            ok = path_join(path, sizeof path, run, e->d_name) == HSM_OK && tell_gateway(path) && ok;
    }
    if (d != NULL)
        (void)closedir(d);
    return ok;
}

static hsm_err keep(const struct node *n, const struct node_pool *p, const char *name,
                    struct bytes json)
{
    char path[PATH_MAX];
    TRY(node_pool_path(n, p, name, path));
    return file_replace(path, json, 0600);
}

const char *node_configure(struct node *n, const struct node_pool *p, const struct json_doc *d,
                           char *text, size_t cap)
{
    uint32_t v = json_get_nn(d, 0, "settings");
    if (v == JSON_NONE || json_type_of(d, v) != JSON_OBJECT) {
        (void)snprintf(text, cap, "\"settings\" is not an object");
        return "bad";
    }
    uint32_t network = json_get_nn(d, v, "network");
    hsm_err err = keep(n, p, HOME_SETTINGS, json_raw(d, v));
    if (err == HSM_OK && network != JSON_NONE)
        err = keep(n, p, HOME_NETWORK, json_raw(d, network));
    if (err != HSM_OK) {
        (void)snprintf(text, cap, "the settings cannot be kept: %s", hsm_err_text(err));
        return "failed";
    }
    if (network == JSON_NONE || tell_gateways(n, p))
        return NULL;
    (void)snprintf(text, cap, "a gateway of the pool does not take the network's rules");
    return "busy";
}
