#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire/ring_layout.h"

void ring_fds_close(struct ring_fds *f)
{
    if (f->memfd > 0)
        (void)close(f->memfd);
    for (unsigned i = 0; i < f->event_n; i++)
        (void)close(f->event[i]);
    *f = (struct ring_fds){.memfd = -1};
}

hsm_err ring_fds_create(unsigned lanes, struct ring_fds *ret)
{
    if (lanes == 0 || lanes > RING_LANES_MAX)
        return HSM_E_RANGE;
    struct ring_fds f = {.lanes = lanes};
    f.memfd = memfd_create("keyhold-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (f.memfd < 0)
        return HSM_E_IO;
    /* Sealed against resizing: a peer that could shrink it could kill us with SIGBUS. */
    if (ftruncate(f.memfd, (off_t)ring_count(lanes) * RING_SLOT) != 0 ||
        fcntl(f.memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        ring_fds_close(&f);
        return HSM_E_IO;
    }
    while (f.event_n < 2 * ring_count(lanes)) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            ring_fds_close(&f);
            return HSM_E_IO;
        }
        f.event[f.event_n++] = fd;
    }
    *ret = f;
    return HSM_OK;
}

void ring_fds_inheritable(const struct ring_fds *f)
{
    (void)fcntl(f->memfd, F_SETFD, 0);
    for (unsigned i = 0; i < f->event_n; i++)
        (void)fcntl(f->event[i], F_SETFD, 0);
}

hsm_err ring_fds_format(const struct ring_fds *f, char *dst, size_t cap)
{
    int n = snprintf(dst, cap, "%d:%u:", f->memfd, f->lanes);
    for (unsigned i = 0; i < f->event_n && n >= 0 && (size_t)n < cap; i++) {
        int m = snprintf(dst + n, cap - (size_t)n, i > 0 ? ",%d" : "%d", f->event[i]);
        n = m < 0 ? m : n + m;
    }
    return n >= 0 && (size_t)n < cap ? HSM_OK : HSM_E_RANGE;
}

static hsm_err number(const char **at, char stop, long max, int *ret)
{
    char *end;
    errno = 0;
    long v = strtol(*at, &end, 10);
    if (errno != 0 || end == *at || v < 0 || v > max || *end != stop)
        return HSM_E_MALFORMED;
    *at = stop == '\0' ? end : end + 1;
    *ret = (int)v;
    return HSM_OK;
}

hsm_err ring_fds_parse(const char *text, struct ring_fds *ret)
{
    struct ring_fds f = {0};
    int lanes;
    TRY(number(&text, ':', 1 << 20, &f.memfd));
    TRY(number(&text, ':', RING_LANES_MAX, &lanes));
    if (lanes == 0)
        return HSM_E_MALFORMED;
    f.lanes = (unsigned)lanes;
    unsigned want = 2 * ring_count(f.lanes);
    while (f.event_n < want) {
        TRY(number(&text, f.event_n + 1 < want ? ',' : '\0', 1 << 20, &f.event[f.event_n]));
        f.event_n++;
    }
    if (fcntl(f.memfd, F_SETFD, FD_CLOEXEC) != 0)
        return HSM_E_IO;
    for (unsigned i = 0; i < f.event_n; i++)
        if (fcntl(f.event[i], F_SETFD, FD_CLOEXEC) != 0)
            return HSM_E_IO;
    *ret = f;
    return HSM_OK;
}
