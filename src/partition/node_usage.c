/* What a pool's partitions say of their use. */
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

#define ANSWER_MS  500
#define LINE_CAP   16384
#define TOKENS_MAX 1024

/* All that comes until the end. */
static size_t read_all(int fd, char *dst, size_t cap)
{
    size_t n = 0;
    ssize_t m;
    while (n < cap && (m = recv(fd, dst + n, cap - n, 0)) > 0)
        n += (size_t)m;
    return n;
}

static size_t read_status(const char *path, char *dst, size_t cap)
{
    const struct timeval limit = {.tv_usec = ANSWER_MS * 1000};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return 0;
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    size_t n = connect(fd, (const struct sockaddr *)&a, sizeof a) == 0 ? read_all(fd, dst, cap) : 0;
    (void)close(fd);
    return n;
}

struct usage {
    char keys[LINE_CAP]; /* JSON; all partitions have the same keys, the first that answers tells */
    size_t keys_n;
    int64_t operations; /* of all */
};

static void add(struct usage *u, const char *path)
{
    static char line[LINE_CAP];
    static struct json_tok toks[TOKENS_MAX];
    struct json_doc d;
    int64_t n = 0;
    size_t m = read_status(path, line, sizeof line);
    if (m == 0 || json_parse(bytes_of(line, m), toks, TOKENS_MAX, &d) != HSM_OK)
        return;
    uint32_t keys = json_get_nn(&d, 0, "keyTypes"), operations = json_get_nn(&d, 0, "operations");
    if (keys == JSON_NONE || operations == JSON_NONE || json_int(&d, operations, &n) != HSM_OK)
        return;
    u->operations += n;
    if (u->keys_n > 0)
        return;
    struct bytes raw = json_raw(&d, keys);
    memcpy(u->keys, raw.p, raw.n);
    u->keys_n = raw.n;
}

static bool is_status_socket(const char *name)
{
    size_t n = strlen(name);
    return strncmp(name, "gateway-", 8) == 0 && n > 5 && strcmp(name + n - 5, ".sock") == 0;
}

const char *node_usage(struct node *n, const struct node_pool *p, struct json_wr *j, char *text,
                       size_t cap)
{
    static struct usage u;
    char run[PATH_MAX], path[PATH_MAX];
    const struct dirent *e;
    u.keys_n = 0;
    u.operations = 0;
    DIR *d =
        p->unit.pid != 0 && node_pool_path(n, p, HOME_RUN, run) == HSM_OK ? opendir(run) : NULL;
    while (d != NULL && (e = readdir(d)) != NULL)
        if (is_status_socket(e->d_name) && path_join(path, sizeof path, run, e->d_name) == HSM_OK)
            add(&u, path);
    if (d != NULL)
        (void)closedir(d);
    if (u.keys_n == 0) {
        (void)snprintf(text, cap, "no partition of the pool answers");
        return "busy";
    }
    json_name(j, "keys");
    json_put_raw(j, bytes_of(u.keys, u.keys_n));
    json_name(j, "operations");
    json_put_int(j, u.operations);
    return NULL;
}
