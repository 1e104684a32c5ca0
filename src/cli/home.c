#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "partition/supervisor.h"

void cli_path(const struct cli *c, const char *name, char dst[PATH_MAX])
{
    if (path_join(dst, PATH_MAX, c->home, name) != HSM_OK)
        dst[0] = '\0';
}

void cli_pool_path(const struct cli *c, const char *name, char dst[PATH_MAX])
{
    if (path_join(dst, PATH_MAX, c->pool_home, name) != HSM_OK)
        dst[0] = '\0';
}

static bool load(const struct cli *c, const char *home, struct partition_config *ret)
{
    char path[PATH_MAX], text[PATH_MAX + 200];
    if (path_join(path, sizeof path, home, HOME_CONFIG) != HSM_OK || access(path, F_OK) != 0) {
        (void)cli_fail(CLI_FAILED, "no installation in %s; start one with `keyhold up`", c->home);
        return false;
    }
    if (partition_config_load(path, ret, text, sizeof text) == HSM_OK)
        return true;
    (void)cli_fail(CLI_FAILED, "%s", text);
    return false;
}

bool cli_config(const struct cli *c, struct partition_config *ret)
{
    static struct partition_config first;
    if (!load(c, c->pool_home, ret))
        return false;
    if (strcmp(c->home, c->pool_home) == 0)
        return true;
    if (!load(c, c->home, &first))
        return false;
    ret->port = first.port; /* the door is the installation's */
    return true;
}

bool cli_directory(const struct cli *c, struct directory *ret)
{
    char path[PATH_MAX];
    cli_path(c, HOME_FABRIC, path);
    if (directory_load(path, ret) == HSM_OK)
        return true;
    (void)cli_fail(CLI_FAILED, "%s/directory.json cannot be read; is this the right --home?", path);
    return false;
}

long cli_supervisor_pid(const struct cli *c)
{
    char path[PATH_MAX], buf[32] = "";
    cli_path(c, HOME_LOCK, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    bool free_lock = flock(fd, LOCK_SH | LOCK_NB) == 0;
    ssize_t n = free_lock ? 0 : read(fd, buf, sizeof buf - 1);
    (void)close(fd);
    if (n <= 0)
        return 0;
    return strtol(buf, NULL, 10);
}

void cli_partition_path(const struct cli *c, const char *fmt, unsigned number, const char *rest,
                        char dst[PATH_MAX])
{
    char name[PATH_MAX], full[PATH_MAX];
    const char *at = strstr(fmt, "%u");
    int n = at == NULL ? -1
                       : snprintf(name, sizeof name, "%.*s%u%s%s", (int)(at - fmt), fmt, number,
                                  at + 2, rest);
    dst[0] = '\0';
    if (n < 0 || (size_t)n >= sizeof name ||
        path_join(full, sizeof full, c->pool_home, name) != HSM_OK)
        return;
    memcpy(dst, full, strlen(full) + 1);
}

static int connect_to(const char *path, unsigned timeout_s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return -1;
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    const struct timeval limit = {.tv_sec = timeout_s};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* The other side may end meanwhile: that is no answer, and no end of this process. */
static bool send_line(int fd, const char *line)
{
    size_t n = strlen(line);
    return send(fd, line, n, MSG_NOSIGNAL) == (ssize_t)n && send(fd, "\n", 1, MSG_NOSIGNAL) == 1;
}

bool cli_ask(const char *path, const char *line, unsigned timeout_s, struct cli_status *ret)
{
    size_t n = 0, cap = sizeof ret->text - 1;
    int fd = connect_to(path, timeout_s);
    if (fd < 0)
        return false;
    if (line == NULL || send_line(fd, line)) {
        ssize_t m;
        while (n < cap && (m = read(fd, ret->text + n, cap - n)) > 0)
            n += (size_t)m;
    }
    (void)close(fd);
    ret->text[n] = '\0';
    ret->doc = (struct json_doc){0};
    if (json_parse(bytes_of(ret->text, n), ret->toks, sizeof ret->toks / sizeof ret->toks[0],
                   &ret->doc) != HSM_OK)
        ret->doc.n = 0;
    return n > 0;
}

bool cli_partition_status(const struct cli *c, unsigned number, struct cli_status *ret)
{
    char path[PATH_MAX];
    cli_partition_path(c, HOME_CONTROL, number, "", path);
    return cli_ask(path, NULL, 5, ret) && ret->doc.n > 0;
}

bool cli_gateway_status(const struct cli *c, struct cli_status *ret)
{
    struct partition_config cfg;
    if (!cli_config(c, &cfg))
        return false;
    for (unsigned i = 0; i < cfg.partition_n; i++)
        if (cli_partition_status(c, cfg.partition[i].number, ret))
            return true;
    return false;
}
