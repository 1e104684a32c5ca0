#include "wire/ring.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire/ring_layout.h"

/* One end of one ring. Positions count bytes since the start and never wrap in practice; the own
 * position lives here, not in shared memory, so the peer cannot move it. */
struct ring {
    struct ring_shared *sh;
    uint8_t *data;
    int data_fd, room_fd;
    pthread_mutex_t lock; /* writers of this process */
    uint64_t pos;         /* writer: tail; reader: head */
    bool dirty;           /* written since the last flush */
};

static void signal_fd(int fd)
{
    const uint64_t one = 1;
    ssize_t n;
    do {
        n = write(fd, &one, sizeof one);
    } while (n < 0 && errno == EINTR);
}

static void drain_fd(int fd)
{
    uint64_t v;
    ssize_t n;
    do {
        n = read(fd, &v, sizeof v);
    } while (n < 0 && errno == EINTR);
}

static void copy_in(struct ring *r, uint64_t at, const void *src, size_t n)
{
    size_t off = (size_t)(at & (RING_SIZE - 1));
    size_t first = n < RING_SIZE - off ? n : RING_SIZE - off;
    if (first > 0)
        memcpy(r->data + off, src, first);
    if (n > first)
        memcpy(r->data, (const uint8_t *)src + first, n - first);
}

static void copy_out(struct ring *r, uint64_t at, void *dst, size_t n)
{
    size_t off = (size_t)(at & (RING_SIZE - 1));
    size_t first = n < RING_SIZE - off ? n : RING_SIZE - off;
    memcpy(dst, r->data + off, first);
    if (n > first)
        memcpy((uint8_t *)dst + first, r->data, n - first);
}

static void wipe_shared(struct ring *r, uint64_t at, size_t n)
{
    size_t off = (size_t)(at & (RING_SIZE - 1));
    size_t first = n < RING_SIZE - off ? n : RING_SIZE - off;
    explicit_bzero(r->data + off, first);
    if (n > first)
        explicit_bzero(r->data, n - first);
}

static size_t frame_size(size_t payload)
{
    return (RING_HEADER_LEN + payload + 7) & ~(size_t)7;
}

/* ---- writer ---- */

static hsm_err room_now(struct ring *r, size_t need, bool *ret)
{
    uint64_t used = r->pos - atomic_load_explicit(&r->sh->head, memory_order_acquire);
    if (used > RING_SIZE)
        return HSM_E_CORRUPT;
    *ret = RING_SIZE - used >= need;
    return HSM_OK;
}

bool ring_has_room(struct ring *r, size_t payload_n)
{
    bool room = false;
    pthread_mutex_lock(&r->lock);
    if (room_now(r, frame_size(payload_n), &room) != HSM_OK)
        room = false;
    pthread_mutex_unlock(&r->lock);
    return room;
}

bool ring_is_behind(const struct ring *r)
{
    return atomic_load_explicit(&r->sh->head, memory_order_acquire) != r->pos;
}

static void flush_locked(struct ring *r)
{
    if (!r->dirty)
        return;
    r->dirty = false;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&r->sh->reader_sleeps, memory_order_relaxed) != RING_READER_AWAKE &&
        atomic_exchange(&r->sh->reader_sleeps, RING_READER_AWAKE) != RING_READER_AWAKE)
        signal_fd(r->data_fd);
}

void ring_turn_over(struct ring *r)
{
    uint32_t was = RING_READER_TURN;
    atomic_thread_fence(memory_order_seq_cst); /* the head that this side moved is seen before */
    if (atomic_load_explicit(&r->sh->reader_sleeps, memory_order_relaxed) == RING_READER_TURN &&
        atomic_compare_exchange_strong(&r->sh->reader_sleeps, &was, RING_READER_AWAKE))
        signal_fd(r->data_fd);
}

static hsm_err wait_room(struct ring *r, size_t need, int wait_ms)
{
    bool room = false;
    TRY(room_now(r, need, &room));
    if (room)
        return HSM_OK;
    if (wait_ms == 0)
        return HSM_E_AGAIN;
    flush_locked(r); /* the reader must see what fills the ring */
    for (;;) {
        atomic_store(&r->sh->writer_waits, 1);
        TRY(room_now(r, need, &room));
        if (room)
            return HSM_OK;
        struct pollfd p = {.fd = r->room_fd, .events = POLLIN};
        int n = poll(&p, 1, wait_ms);
        if (n == 0)
            return HSM_E_AGAIN;
        if (n < 0 && errno != EINTR)
            return HSM_E_IO;
        if (n > 0)
            drain_fd(r->room_fd);
    }
}

static hsm_err write_locked(struct ring *r, const struct ring_frame *f, int wait_ms)
{
    size_t need = frame_size(f->payload.n);
    TRY(wait_room(r, need, wait_ms));
    uint8_t head[RING_HEADER_LEN];
    struct wr w = wr_of(head, sizeof head);
    wr_u32(&w, (uint32_t)f->payload.n);
    wr_u16(&w, f->type);
    wr_u16(&w, 0);
    wr_u64(&w, f->id);
    copy_in(r, r->pos, head, sizeof head);
    copy_in(r, r->pos + sizeof head, f->payload.p, f->payload.n);
    r->pos += need;
    r->dirty = true;
    atomic_store_explicit(&r->sh->tail, r->pos, memory_order_release);
    return HSM_OK;
}

hsm_err ring_write_quiet(struct ring *r, const struct ring_frame *f, int wait_ms)
{
    if (f->payload.n > RING_FRAME_MAX)
        return HSM_E_RANGE;
    pthread_mutex_lock(&r->lock);
    hsm_err err = write_locked(r, f, wait_ms);
    pthread_mutex_unlock(&r->lock);
    return err;
}

void ring_flush(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    flush_locked(r);
    pthread_mutex_unlock(&r->lock);
}

hsm_err ring_write(struct ring *r, const struct ring_frame *f, int wait_ms)
{
    if (f->payload.n > RING_FRAME_MAX)
        return HSM_E_RANGE;
    pthread_mutex_lock(&r->lock);
    hsm_err err = write_locked(r, f, wait_ms);
    flush_locked(r);
    pthread_mutex_unlock(&r->lock);
    return err;
}

/* ---- reader ---- */

static hsm_err available(struct ring *r, uint64_t *ret)
{
    uint64_t n = atomic_load_explicit(&r->sh->tail, memory_order_acquire) - r->pos;
    if (n > RING_SIZE)
        return HSM_E_CORRUPT;
    *ret = n;
    return HSM_OK;
}

hsm_err ring_peek(struct ring *r, struct ring_head *ret)
{
    uint64_t avail;
    TRY(available(r, &avail));
    if (avail == 0)
        return HSM_E_AGAIN;
    if (avail < RING_HEADER_LEN)
        return HSM_E_CORRUPT;
    uint8_t head[RING_HEADER_LEN];
    copy_out(r, r->pos, head, sizeof head);
    struct rd h = {.p = head, .n = sizeof head};
    uint32_t len;
    uint16_t zero;
    TRY(rd_u32(&h, &len));
    TRY(rd_u16(&h, &ret->type));
    TRY(rd_u16(&h, &zero));
    TRY(rd_u64(&h, &ret->id));
    if (len > RING_FRAME_MAX || zero != 0 || frame_size(len) > avail)
        return HSM_E_CORRUPT;
    ret->n = len;
    return HSM_OK;
}

hsm_err ring_read(struct ring *r, uint8_t *buf, size_t cap, struct ring_frame *ret)
{
    struct ring_head h;
    TRY(ring_peek(r, &h));
    const size_t len = h.n;
    if (len > cap)
        return HSM_E_RANGE;
    copy_out(r, r->pos + RING_HEADER_LEN, buf, len);
    wipe_shared(r, r->pos, RING_HEADER_LEN + len);
    r->pos += frame_size(len);
    atomic_store_explicit(&r->sh->head, r->pos, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&r->sh->writer_waits, memory_order_relaxed) != 0 &&
        atomic_exchange(&r->sh->writer_waits, 0) != 0)
        signal_fd(r->room_fd);
    *ret = (struct ring_frame){.type = h.type, .id = h.id, .payload = bytes_of(buf, len)};
    return HSM_OK;
}

int ring_fd(const struct ring *r)
{
    return r->data_fd;
}

bool ring_sleep(struct ring *r)
{
    atomic_store(&r->sh->reader_sleeps, RING_READER_FRAME);
    atomic_thread_fence(memory_order_seq_cst);
    /* An inconsistent tail counts as "something arrived": the next ring_read() reports it. */
    if (atomic_load_explicit(&r->sh->tail, memory_order_acquire) == r->pos)
        return true;
    atomic_store(&r->sh->reader_sleeps, RING_READER_AWAKE);
    return false;
}

void ring_awake(struct ring *r)
{
    atomic_store(&r->sh->reader_sleeps, RING_READER_AWAKE);
    drain_fd(r->data_fd);
}

bool ring_await_turn(struct ring *r)
{
    uint32_t was = RING_READER_FRAME;
    bool ok = atomic_compare_exchange_strong(&r->sh->reader_sleeps, &was, RING_READER_TURN);
    atomic_thread_fence(memory_order_seq_cst);
    return ok;
}

void ring_end_turn(struct ring *r)
{
    uint32_t was = RING_READER_TURN;
    (void)atomic_compare_exchange_strong(&r->sh->reader_sleeps, &was, RING_READER_FRAME);
}

bool ring_wait(struct ring *r, int timeout_ms)
{
    if (!ring_sleep(r))
        return true;
    struct pollfd p = {.fd = r->data_fd, .events = POLLIN};
    int n = poll(&p, 1, timeout_ms);
    ring_awake(r);
    return n > 0 || atomic_load_explicit(&r->sh->tail, memory_order_acquire) != r->pos;
}

/* ---- attaching ---- */

static struct ring *ring_new(const struct ring_fds *f, void *map, unsigned index, bool writer)
{
    struct ring *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    uint8_t *base = (uint8_t *)map + (size_t)index * RING_SLOT;
    r->sh = (struct ring_shared *)(void *)base;
    r->data = base + RING_HEADER_PAGE;
    r->data_fd = f->event[2 * index];
    r->room_fd = f->event[2 * index + 1];
    pthread_mutex_init(&r->lock, NULL);
    /* Both sides start on a fresh mapping; a position of zero is what the supervisor made. */
    r->pos = writer ? atomic_load(&r->sh->tail) : atomic_load(&r->sh->head);
    return r;
}

hsm_err ring_attach(const struct ring_fds *f, enum ring_side side, struct ring_set *ret)
{
    unsigned rings = ring_count(f->lanes);
    size_t n = (size_t)rings * RING_SLOT;
    void *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, f->memfd, 0);
    if (map == MAP_FAILED)
        return HSM_E_IO;
    struct ring_set s = {.lanes = f->lanes, .map = map, .map_n = n};
    bool ok = true;
    for (unsigned lane = 0; lane <= f->lanes; lane++) {
        struct ring *to_boundary = ring_new(f, map, 2 * lane, side == RING_GATEWAY);
        struct ring *to_gateway = ring_new(f, map, 2 * lane + 1, side == RING_BOUNDARY);
        s.in[lane] = side == RING_BOUNDARY ? to_boundary : to_gateway;
        s.out[lane] = side == RING_BOUNDARY ? to_gateway : to_boundary;
        ok = ok && to_boundary != NULL && to_gateway != NULL;
    }
    s.audit = ring_new(f, map, rings - 1, side == RING_BOUNDARY);
    if (!ok || s.audit == NULL) {
        ring_detach(&s);
        return HSM_E_NOMEM;
    }
    *ret = s;
    return HSM_OK;
}

static void ring_free(struct ring *r)
{
    if (r == NULL)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void ring_detach(struct ring_set *s)
{
    for (unsigned lane = 0; lane <= s->lanes; lane++) {
        ring_free(s->in[lane]);
        ring_free(s->out[lane]);
    }
    ring_free(s->audit);
    if (s->map != NULL)
        (void)munmap(s->map, s->map_n);
    *s = (struct ring_set){0};
}
