#include "store/logscan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/segment.h"

#define NAME_LEN 40
#define RESTORE  "Restore this store from a backup or from another node."

struct file {
    bool open;
    uint64_t first, last; /* open: first is the counter */
    char name[NAME_LEN];
};

struct scan {
    int dir_fd;
    const char *dir;
    uint64_t loaded;
    bool may_be_empty;
    struct file *files;
    size_t n;
    uint64_t snapshot; /* index of the newest one, 0: none */
    uint64_t next;     /* index of the next entry */
    uint64_t term;
    bool torn; /* in files[torn_file], from torn_at on */
    size_t torn_file, torn_at;
    char *text;
    size_t cap;
};

static hsm_err damaged(struct scan *s, const char *name, const char *what)
{
    snprintf(s->text, s->cap, "%s/%s: %s. " RESTORE, s->dir, name, what);
    return HSM_E_CORRUPT;
}

static hsm_err sys_fail(struct scan *s, const char *name)
{
    int e = errno;
    snprintf(s->text, s->cap, "%s/%s: %s", s->dir, name, strerror(e));
    return e == ENOSPC || e == EDQUOT ? HSM_E_DISK_FULL : HSM_E_IO;
}

/* ---- names ---- */

/* "prefix" then numbers with '-' between them and nothing after; returns whether it fits. */
static bool name_numbers(const char *name, const char *prefix, size_t n, uint64_t *ret)
{
    size_t len = strlen(prefix);
    if (strncmp(name, prefix, len) != 0)
        return false;
    name += len;
    for (size_t i = 0; i < n; i++) {
        char *end;
        if (*name < '0' || *name > '9')
            return false;
        errno = 0;
        ret[i] = strtoull(name, &end, 10);
        if (errno != 0 || *end != (i + 1 < n ? '-' : '\0'))
            return false;
        name = end + 1;
    }
    return true;
}

static hsm_err add_file(struct scan *s, const char *name, bool open, uint64_t first, uint64_t last)
{
    struct file *more = realloc(s->files, (s->n + 1) * sizeof *more);
    if (!more)
        return HSM_E_NOMEM;
    s->files = more;
    struct file *f = &s->files[s->n++];
    *f = (struct file){.open = open, .first = first, .last = last};
    snprintf(f->name, sizeof f->name, "%s", name);
    return HSM_OK;
}

static hsm_err take_name(struct scan *s, const char *name)
{
    uint64_t v[3];
    if (strlen(name) < NAME_LEN && name_numbers(name, "", 2, v))
        return v[0] > 0 && v[0] <= v[1] ? add_file(s, name, false, v[0], v[1])
                                        : damaged(s, name, "its name is impossible");
    if (strlen(name) < NAME_LEN && name_numbers(name, "open-", 1, v))
        return add_file(s, name, true, v[0], 0);
    if (name_numbers(name, "snapshot-", 3, v) && v[1] > s->snapshot)
        s->snapshot = v[1];
    return HSM_OK;
}

static int file_compare(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    if (x->open != y->open)
        return x->open ? 1 : -1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static hsm_err list_files(struct scan *s)
{
    int fd = dup(s->dir_fd);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        hsm_err err = sys_fail(s, "");
        if (fd >= 0)
            close(fd);
        return err;
    }
    hsm_err err = HSM_OK;
    for (struct dirent *e = readdir(d); e && err == HSM_OK; e = readdir(d))
        err = take_name(s, e->d_name);
    closedir(d);
    if (err == HSM_OK && s->n > 1)
        qsort(s->files, s->n, sizeof *s->files, file_compare);
    return err;
}

/* ---- contents ---- */

static hsm_err read_file(struct scan *s, const char *name, struct bytes *ret)
{
    struct stat st;
    int fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sys_fail(s, name);
    uint8_t *buf = NULL;
    size_t n = 0, size = 0;
    ssize_t got = 1;
    if (fstat(fd, &st) == 0) {
        size = (size_t)st.st_size;
        buf = malloc(size + 1);
    }
    while (buf && n < size && got > 0) {
        got = pread(fd, buf + n, size - n, (off_t)n);
        n += got > 0 ? (size_t)got : 0;
    }
    hsm_err err = !buf ? HSM_E_NOMEM : got < 0 ? sys_fail(s, name) : HSM_OK;
    close(fd);
    if (err != HSM_OK) {
        free(buf);
        return err;
    }
    *ret = bytes_of(buf, n);
    return HSM_OK;
}

static void take_batch(struct scan *s, const struct segment_batch *b, uint64_t *count)
{
    *count += b->entries;
    if (b->max_term > s->term)
        s->term = b->max_term;
}

static hsm_err scan_closed(struct scan *s, const struct file *f, struct bytes in)
{
    uint64_t count = 0;
    size_t at = SEGMENT_HEAD;
    if (!segment_head_ok(in))
        return damaged(s, f->name, "it does not begin like a segment of the log");
    while (at < in.n && count < f->last - f->first + 1) {
        struct segment_batch b;
        if (segment_batch_read(in, at, &b) != HSM_OK)
            return damaged(s, f->name, "an entry does not match its checksum");
        take_batch(s, &b, &count);
        at = b.end;
    }
    if (count != f->last - f->first + 1 || at != in.n)
        return damaged(s, f->name, "it does not hold the entries its name says");
    return HSM_OK;
}

/* Does anything after the bad batch prove that the lost index was durable? */
static bool later_proof(struct bytes in, size_t from, uint64_t lost)
{
    struct segment_batch b;
    for (size_t at = from; at + 8 <= in.n; at += 8)
        if (segment_batch_read(in, at, &b) == HSM_OK && b.durable >= lost)
            return true;
    return false;
}

static hsm_err scan_open(struct scan *s, size_t i, struct bytes in)
{
    const struct file *f = &s->files[i];
    size_t at = SEGMENT_HEAD;
    if (in.n == 0 || segment_is_zero(in, 0))
        return HSM_OK;
    if (s->torn)
        return damaged(s, s->files[s->torn_file].name, "an entry does not match its checksum");
    struct segment_batch b;
    if (!segment_head_ok(in)) {
        if (segment_batch_read(in, at, &b) == HSM_OK)
            return damaged(s, f->name, "it does not begin like a segment of the log");
        at = 0; /* the first write to it is torn */
    }
    while (at >= SEGMENT_HEAD && at < in.n) {
        uint64_t count = 0;
        if (segment_batch_read(in, at, &b) != HSM_OK)
            break;
        take_batch(s, &b, &count);
        s->next += count;
        at = b.end;
    }
    if (at == in.n || segment_is_zero(in, at))
        return HSM_OK;
    if (later_proof(in, at, s->next))
        return damaged(s, f->name, "an entry does not match its checksum");
    s->torn = true;
    s->torn_file = i;
    s->torn_at = at;
    return HSM_OK;
}

static hsm_err scan_file(struct scan *s, size_t i)
{
    struct file *f = &s->files[i];
    struct bytes in = {0};
    if (!f->open) {
        /* Segments below the snapshot may be gone, in any order after a power cut. */
        if (i > 0 && f->first < s->next)
            return damaged(s, f->name, "it overlaps the segment before it");
        if ((i == 0 || f->first != s->next) && f->first > s->snapshot + 1)
            return damaged(s, f->name, "the segment before it is missing");
        s->next = f->first;
    }
    TRY(read_file(s, f->name, &in));
    hsm_err err = f->open ? scan_open(s, i, in) : scan_closed(s, f, in);
    free((void *)(uintptr_t)in.p);
    if (err == HSM_OK && !f->open)
        s->next = f->last + 1;
    return err;
}

/* libraft keeps term and vote in two small files without checksums, the newer version counts. */
static hsm_err check_metadata(struct scan *s)
{
    uint64_t version = 0, term = 0;
    for (int i = 1; i <= 2; i++) {
        uint64_t v[4] = {0};
        char name[32];
        snprintf(name, sizeof name, "metadata%d", i);
        int fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        ssize_t got = pread(fd, v, sizeof v, 0);
        close(fd);
        if (got == (ssize_t)sizeof v && v[1] > version) {
            version = v[1];
            term = v[2];
        }
    }
    return term < s->term ? damaged(s, "metadata1", "it or metadata2 is older than the log")
                          : HSM_OK;
}

/* ---- repair ---- */

/* What was never acknowledged goes: libraft then sees a clean end. */
static hsm_err zero_tail(struct scan *s)
{
    static const uint8_t zeros[65536];
    const char *name = s->files[s->torn_file].name;
    struct stat st;
    int fd = openat(s->dir_fd, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return sys_fail(s, name);
    bool ok = fstat(fd, &st) == 0;
    for (off_t at = (off_t)s->torn_at; ok && at < st.st_size;) {
        size_t n = (size_t)(st.st_size - at);
        ssize_t put = pwrite(fd, zeros, n < sizeof zeros ? n : sizeof zeros, at);
        ok = put > 0;
        at += ok ? put : 0;
    }
    ok = ok && fdatasync(fd) == 0;
    hsm_err err = ok ? HSM_OK : sys_fail(s, name);
    close(fd);
    return err;
}

static hsm_err scan_all(struct scan *s, struct logscan *ret)
{
    TRY(list_files(s));
    if (s->n == 0 && s->snapshot == 0) {
        if (s->loaded > 0)
            return damaged(s, "", "the log is missing");
        /* A start that was cut off between libraft's first two files. */
        (void)unlinkat(s->dir_fd, "metadata1", 0);
        (void)unlinkat(s->dir_fd, "metadata2", 0);
        *ret = (struct logscan){.pristine = true};
        return HSM_OK;
    }
    s->next = s->snapshot + 1;
    for (size_t i = 0; i < s->n; i++)
        TRY(scan_file(s, i));
    uint64_t last = s->next - 1 > s->snapshot ? s->next - 1 : s->snapshot;
    if (last == 0 && s->loaded == 0 && s->may_be_empty && !s->torn) {
        *ret = (struct logscan){.pristine = true};
        return HSM_OK;
    }
    if (last < s->loaded || last == 0)
        return damaged(s, s->torn ? s->files[s->torn_file].name : "",
                       "acknowledged transactions are missing from the log");
    TRY(check_metadata(s));
    if (s->torn)
        TRY(zero_tail(s));
    *ret = (struct logscan){.last = last, .snapshot = s->snapshot, .term = s->term};
    return HSM_OK;
}

hsm_err logscan_run(const char *dir, uint64_t loaded, bool may_be_empty, struct logscan *ret,
                    char *text, size_t cap)
{
    struct scan s = {
        .dir = dir, .loaded = loaded, .may_be_empty = may_be_empty, .text = text, .cap = cap};
    snprintf(text, cap, "%s: out of memory.", dir);
    s.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s.dir_fd < 0)
        return sys_fail(&s, "");
    hsm_err err = scan_all(&s, ret);
    close(s.dir_fd);
    free(s.files);
    return err;
}
