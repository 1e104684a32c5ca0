/* bench-commits NODE DIR POOL ADDRESS CERT KEY CA SEEDS: one voter of a store whose members are
 * processes of this program with real links. NODE 1 makes the pool, the others join it; "ready"
 * is said when all three vote. On standard input: "WRITERS SECONDS", so many transactions of one
 * record of 2 KB are under way at any time; the answer is a line of JSON. Ends with its input. */
#include <stdio.h>
#include "store/testkit.h"

#define VALUE    2048
#define RECORDS  60000u
#define VOTERS   3
#define MOST     (1u << 20)
#define SLOT_MAX 256u

struct writer {
    struct bench *b;
    uint64_t began;
};

struct bench {
    struct kit k;
    uv_poll_t input;
    uint64_t next, until, start;
    unsigned under_way, failed;
    bool is_running, is_over;
    struct writer writer[SLOT_MAX];
    uint32_t *took_us;
    unsigned took_n;
};

static void propose(struct writer *w);

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(struct bench *b)
{
    double seconds = (double)(uv_hrtime() - b->start) / 1e9;
    qsort(b->took_us, b->took_n, sizeof *b->took_us, by_value);
    uint32_t p50 = b->took_n ? b->took_us[b->took_n / 2] : 0;
    uint32_t p99 = b->took_n ? b->took_us[b->took_n - 1 - b->took_n / 100] : 0;
    printf("{\"rate\":%.1f,\"p50\":%u,\"p99\":%u,\"failed\":%u}\n", b->took_n / seconds, p50, p99,
           b->failed);
    fflush(stdout);
    b->is_running = false;
}

static void on_done(void *ctx, hsm_err err)
{
    struct writer *w = ctx;
    struct bench *b = w->b;
    if (err != HSM_OK)
        b->failed++;
    else if (b->took_n < MOST)
        b->took_us[b->took_n++] = (uint32_t)((uv_hrtime() - w->began) / 1000);
    b->under_way--;
    if (uv_hrtime() < b->until)
        propose(w);
    else if (b->under_way == 0)
        report(b);
}

static void propose(struct writer *w)
{
    static char sealed[VALUE];
    static uint8_t buf[VALUE + 512];
    struct bench *b = w->b;
    memset(sealed, 'x', sizeof sealed);
    b->next++;
    uint64_t rid = 1 + b->next % RECORDS;
    struct kit_op op = {rid, b->k.records[rid].revision, b->next, sealed, sizeof sealed};
    w->began = uv_hrtime();
    b->under_way++;
    if (store_propose(b->k.s, kit_txn(buf, sizeof buf, &op, 1), on_done, w) != HSM_OK)
        abort();
}

static void on_input(uv_poll_t *h, int status, int events)
{
    struct bench *b = h->data;
    char line[64];
    unsigned writers, seconds;
    (void)events;
    ssize_t n = status < 0 ? 0 : read(0, line, sizeof line - 1);
    if (n <= 0) {
        b->is_over = true;
        uv_poll_stop(h);
        return;
    }
    line[n] = '\0';
    if (b->is_running || sscanf(line, "%u %u", &writers, &seconds) != 2 || writers > SLOT_MAX)
        abort();
    b->is_running = true;
    b->took_n = b->failed = 0;
    b->start = uv_hrtime();
    b->until = b->start + (uint64_t)seconds * 1000000000;
    for (unsigned i = 0; i < writers; i++) {
        b->writer[i].b = b;
        propose(&b->writer[i]);
    }
}

static bool all_vote(struct bench *b)
{
    struct store_member m[STORE_MEMBERS_MAX];
    size_t n = store_members(b->k.s, m), voters = 0;
    for (size_t i = 0; i < n; i++)
        voters += m[i].role == STORE_VOTER;
    return voters == VOTERS;
}

int main(int argc, char **argv)
{
    static struct bench b;
    bool said = false;
    if (argc != 9) {
        fprintf(stderr, "usage: bench-commits NODE DIR POOL ADDRESS CERT KEY CA SEEDS\n");
        return 2;
    }
    uint64_t node = strtoull(argv[1], NULL, 10);
    const struct store_peers peers = {.pool = argv[3],
                                      .listen = argv[4],
                                      .cert = argv[5],
                                      .key = argv[6],
                                      .ca = argv[7],
                                      .seeds = argv[8],
                                      .join = node > 1};
    if (kit_open_as(&b.k, argv[2], 0, node, argv[4], &peers) != HSM_OK) {
        fprintf(stderr, "%s\n", b.k.text);
        return 1;
    }
    b.took_us = calloc(MOST, sizeof *b.took_us);
    if (b.took_us == NULL || store_start(b.k.s) != HSM_OK)
        return 1;
    b.next = b.k.last_index;
    b.input.data = &b;
    (void)uv_poll_init(&b.k.loop, &b.input, 0);
    (void)uv_poll_start(&b.input, UV_READABLE, on_input);
    while (!b.is_over && b.k.fatal == HSM_OK) {
        if (!said && node == 1 && all_vote(&b)) {
            printf("ready\n");
            fflush(stdout);
            said = true;
        }
        uv_run(&b.k.loop, UV_RUN_ONCE);
    }
    return b.k.fatal != HSM_OK; /* the process takes all with it */
}
