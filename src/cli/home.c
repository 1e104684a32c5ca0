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

bool cli_config(const struct cli *c, struct partition_config *ret)
{
    char path[PATH_MAX], text[PATH_MAX + 200];
    cli_path(c, HOME_CONFIG, path);
    if (access(path, F_OK) != 0) {
        (void)cli_fail(CLI_FAILED, "no installation in %s; start one with `keyhold up`", c->home);
        return false;
    }
    if (partition_config_load(path, ret, text, sizeof text) == HSM_OK)
        return true;
    (void)cli_fail(CLI_FAILED, "%s", text);
    return false;
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

/* Bytes read into buf[cap]; 0: nobody answers. */
static size_t read_control(const struct cli *c, char *buf, size_t cap)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char path[PATH_MAX];
    cli_path(c, HOME_CONTROL, path);
    if (strlen(path) >= sizeof a.sun_path)
        return 0;
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    const struct timeval limit = {.tv_sec = 5};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    size_t n = 0;
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
        ssize_t m;
        while (n < cap && (m = read(fd, buf + n, cap - n)) > 0)
            n += (size_t)m;
    }
    (void)close(fd);
    return n;
}

bool cli_gateway_status(const struct cli *c, struct cli_status *ret)
{
    size_t n = read_control(c, ret->text, sizeof ret->text - 1);
    ret->text[n] = '\0';
    return n > 0 && json_parse(bytes_of(ret->text, n), ret->toks,
                               sizeof ret->toks / sizeof ret->toks[0], &ret->doc) == HSM_OK;
}
