#include "gateway/audit_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "base/uuid.h"
#include "codec/json.h"

#define BUFFER_CAP (2 * RING_SIZE)
#define LINE_MAX_N (1u << 20)

struct audit_sink {
    pthread_mutex_t lock;
    struct ring *ring;
    int fd;
    _Atomic bool is_broken;
    _Atomic bool is_dirty;
    uint64_t seq; /* of the last line at opening */
    uint8_t hash[AUDIT_HASH_LEN];
    size_t n; /* bytes in buf that are not in the file yet */
    uint8_t buf[BUFFER_CAP];
};

/* ---- the last line ---- */

hsm_err audit_line_parse(struct bytes line, uint64_t *ret_seq, uint8_t ret_hash[AUDIT_HASH_LEN])
{
    struct json_tok toks[512];
    struct json_doc d;
    struct bytes text;
    int64_t seq;
    uint8_t hash[AUDIT_HASH_LEN];
    TRY(json_parse(line, toks, sizeof toks / sizeof toks[0], &d));
    uint32_t chain = json_get_nn(&d, 0, "chain");
    uint32_t seq_at = json_get_nn(&d, chain, "seq");
    uint32_t hash_at = json_get_nn(&d, chain, "hash");
    if (seq_at == JSON_NONE || hash_at == JSON_NONE)
        return HSM_E_MALFORMED;
    TRY(json_int(&d, seq_at, &seq));
    TRY(json_plain(&d, hash_at, &text));
    TRY(hex_decode(hash, sizeof hash, text));
    if (seq < 1)
        return HSM_E_MALFORMED;
    *ret_seq = (uint64_t)seq;
    memcpy(ret_hash, hash, AUDIT_HASH_LEN);
    return HSM_OK;
}

static hsm_err keep_torn(const char *dir, const uint8_t *p, size_t n)
{
    char path[4096];
    TRY(path_join(path, sizeof path, dir, "audit.torn"));
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return HSM_E_IO;
    hsm_err err = fd_write_all(fd, p, n);
    if (err == HSM_OK)
        err = fd_write_all(fd, "\n", 1);
    if (err == HSM_OK && fsync(fd) != 0)
        err = HSM_E_IO;
    close(fd);
    return err;
}

/* The end of the file is read into buf; the last complete line decides where the chain stands. */
static hsm_err find_tail(struct audit_sink *s, const char *dir)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return HSM_E_IO;
    uint64_t size = (uint64_t)st.st_size;
    uint64_t from = size > LINE_MAX_N ? size - LINE_MAX_N : 0;
    size_t n = (size_t)(size - from);
    for (size_t got = 0; got < n;) {
        ssize_t k = pread(s->fd, s->buf + got, n - got, (off_t)(from + got));
        if (k <= 0)
            return HSM_E_IO;
        got += (size_t)k;
    }
    size_t end = n;
    while (end > 0 && s->buf[end - 1] != '\n')
        end--;
    if (end == 0 && from > 0)
        return HSM_E_CORRUPT;
    if (end < n) {
        TRY(keep_torn(dir, s->buf + end, n - end));
        if (ftruncate(s->fd, (off_t)(from + end)) != 0 || fsync(s->fd) != 0)
            return HSM_E_IO;
        log_warn("audit: a torn last line was moved to %s/audit.torn", dir);
    }
    if (end == 0)
        return HSM_OK;
    size_t start = end - 1;
    while (start > 0 && s->buf[start - 1] != '\n')
        start--;
    if (start == 0 && from > 0)
        return HSM_E_CORRUPT;
    return audit_line_parse(bytes_of(s->buf + start, end - 1 - start), &s->seq, s->hash) == HSM_OK
               ? HSM_OK
               : HSM_E_CORRUPT;
}

static hsm_err open_file(struct audit_sink *s, const char *dir, char *text, size_t cap)
{
    char path[4096];
    TRY(path_join(path, sizeof path, dir, "audit.jsonl"));
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        (void)snprintf(text, cap, "cannot create %s: %s", dir, strerror(errno));
        return HSM_E_IO;
    }
    s->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        (void)snprintf(text, cap, "cannot open %s: %s", path, strerror(errno));
        return HSM_E_IO;
    }
    hsm_err err = find_tail(s, dir);
    if (err == HSM_E_CORRUPT)
        (void)snprintf(text, cap, "the last line of %s is no audit line; move the file away", path);
    else if (err != HSM_OK)
        (void)snprintf(text, cap, "cannot read %s: %s", path, strerror(errno));
    return err;
}

hsm_err audit_sink_open(const char *dir, struct ring *ring, struct audit_sink **ret, char *text,
                        size_t cap)
{
    text[0] = '\0';
    struct audit_sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    s->fd = -1;
    s->ring = ring;
    pthread_mutex_init(&s->lock, NULL);
    hsm_err err = open_file(s, dir, text, cap);
    if (err != HSM_OK) {
        audit_sink_close(s);
        return err;
    }
    *ret = s;
    return HSM_OK;
}

void audit_sink_close(struct audit_sink *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0) {
        (void)fdatasync(s->fd);
        close(s->fd);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void audit_sink_tail(const struct audit_sink *s, uint64_t *ret_seq,
                     uint8_t ret_hash[AUDIT_HASH_LEN])
{
    *ret_seq = s->seq;
    memcpy(ret_hash, s->hash, AUDIT_HASH_LEN);
}

/* ---- writing ---- */

/* One write for all that is there; what the file did not take stays at the front of the buffer. */
static hsm_err write_out(struct audit_sink *s)
{
    size_t done = 0;
    hsm_err err = HSM_OK;
    while (done < s->n && err == HSM_OK) {
        ssize_t k = write(s->fd, s->buf + done, s->n - done);
        if (k >= 0)
            done += (size_t)k;
        else if (errno != EINTR)
            err = errno == ENOSPC || errno == EDQUOT ? HSM_E_DISK_FULL : HSM_E_IO;
    }
    if (done > 0)
        atomic_store(&s->is_dirty, true);
    s->n -= done;
    if (s->n > 0)
        memmove(s->buf, s->buf + done, s->n);
    if (err != HSM_OK && !atomic_exchange(&s->is_broken, true))
        log_error("audit: the log cannot be written (%s); requests are refused until it can",
                  hsm_err_name(err));
    if (err == HSM_OK && atomic_exchange(&s->is_broken, false))
        log_info("audit: the log can be written again");
    return err;
}

static hsm_err drain_locked(struct audit_sink *s)
{
    for (;;) {
        struct ring_frame f;
        hsm_err err = ring_read(s->ring, s->buf + s->n, sizeof s->buf - s->n - 1, &f);
        if (err == HSM_E_AGAIN)
            return s->n > 0 ? write_out(s) : HSM_OK;
        if (err == HSM_E_RANGE) { /* buffer full: make room first */
            TRY(write_out(s));
            continue;
        }
        TRY(err);
        s->n += f.payload.n;
        if (f.payload.n > 0 && s->buf[s->n - 1] != '\n')
            s->buf[s->n++] = '\n';
    }
}

hsm_err audit_sink_drain(struct audit_sink *s)
{
    pthread_mutex_lock(&s->lock);
    hsm_err err = drain_locked(s);
    pthread_mutex_unlock(&s->lock);
    return err;
}

bool audit_sink_is_broken(const struct audit_sink *s)
{
    return atomic_load(&s->is_broken);
}

hsm_err audit_sink_sync(struct audit_sink *s)
{
    if (!atomic_exchange(&s->is_dirty, false))
        return HSM_OK;
    if (fdatasync(s->fd) == 0)
        return HSM_OK;
    atomic_store(&s->is_dirty, true);
    return errno == ENOSPC || errno == EDQUOT ? HSM_E_DISK_FULL : HSM_E_IO;
}
