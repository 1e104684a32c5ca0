/* For the tests of this folder: a loop, a store, and a stand-in for the boundary that keeps the
 * state it was told in a plain table. Header only. */
#ifndef STORE_TESTKIT_H
#define STORE_TESTKIT_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include "store/store.h"
#include "wire/wire.h"

#define KIT_UNUSED __attribute__((unused))

struct kit_op {
    uint64_t rid, expected, revision;
    const char *sealed; /* NULL: remove */
    size_t len;         /* 0: strlen */
};

static KIT_UNUSED void kit_rid(uint64_t n, uint8_t rid[STORE_RID_LEN])
{
    memset(rid, 0x5a, STORE_RID_LEN);
    be64_put(rid, n * 0x9e3779b97f4a7c15ull);
    be64_put(rid + 8, n);
}

static KIT_UNUSED uint64_t kit_rid_number(const uint8_t *rid)
{
    return be64_get(rid + 8);
}

#define KIT_TXN_HEAD (16 + 8 + 4) /* id, seen, empty past */
static KIT_UNUSED struct bytes kit_txn(uint8_t *buf, size_t cap, const struct kit_op *ops, size_t n)
{
    struct wr w = wr_of(buf, cap);
    static _Atomic uint64_t number;
    uint8_t id[16] = {1};
    be64_put(id + 8, ++number);
    be64_put(id, (uint64_t)getpid());
    wr_bytes(&w, id, sizeof id);
    wr_u64(&w, 0);            /* seen */
    wr_lv(&w, bytes_str("")); /* past */
    size_t list = wr_lv_open(&w);
    for (size_t i = 0; i < n; i++) {
        uint8_t rid[STORE_RID_LEN];
        kit_rid(ops[i].rid, rid);
        size_t item = wr_lv_open(&w);
        struct wire_txn_op op = {.rid = bytes_of(rid, sizeof rid),
                                 .expected = ops[i].expected,
                                 .revision = ops[i].revision,
                                 .remove = !ops[i].sealed};
        if (ops[i].sealed)
            op.sealed = bytes_of(ops[i].sealed, ops[i].len ? ops[i].len : strlen(ops[i].sealed));
        wire_txn_op_put(&w, &op);
        wr_lv_close(&w, item);
    }
    wr_lv_close(&w, list);
    wr_lv(&w, bytes_str("mac"));
    assert_int_equal(wr_ok(&w), HSM_OK);
    return wr_view(&w);
}

#define KIT_RECORDS 65536u
struct kit_record {
    uint64_t revision; /* 0: absent */
    uint64_t value;    /* first eight bytes of sealed, as a decimal number */
    size_t len;
};

struct kit {
    uv_loop_t loop;
    struct store *s;
    char dir[256];
    struct store_config cfg;
    char text[640];
    bool auto_ack;
    uint64_t last_index, n_committed, n_accepted;
    bool last_accepted;
    bool leader;
    hsm_err fatal;
    char fatal_text[640];
    uint64_t loaded_records;
    bool closed;
    struct kit_record *records; /* by number of the rid */
    uint64_t to_ack;            /* with auto_ack off: first index not yet given back */
};

static KIT_UNUSED uint64_t kit_value(struct bytes sealed)
{
    char b[24] = {0};
    memcpy(b, sealed.p, sealed.n < 20 ? sealed.n : 20);
    return strtoull(b, NULL, 10);
}

static KIT_UNUSED void kit_set(struct kit *k, const uint8_t *rid, uint64_t revision,
                               struct bytes sealed)
{
    uint64_t n = kit_rid_number(rid);
    assert_true(n < KIT_RECORDS);
    k->records[n] = (struct kit_record){revision, revision ? kit_value(sealed) : 0, sealed.n};
}

/* The digest of a state: the value of record 0 and the index. */
static KIT_UNUSED size_t kit_digest(const struct kit *k, uint64_t index, uint8_t *dst)
{
    be64_put(dst, k->records[0].value);
    be64_put(dst + 8, index);
    return 16;
}

static KIT_UNUSED void kit_committed(void *ctx, uint64_t index, bool accepted, struct bytes txn)
{
    struct kit *k = ctx;
    struct wire_txn t;
    struct bytes item;
    assert_true(index > k->last_index);
    k->last_index = index;
    k->n_committed++;
    k->n_accepted += accepted;
    k->last_accepted = accepted;
    assert_int_equal(wire_txn_decode(txn, &t), HSM_OK);
    while (accepted && wire_list_next(&t.ops, &item)) {
        struct wire_txn_op op;
        assert_int_equal(wire_txn_op_decode(item, &op), HSM_OK);
        kit_set(k, op.rid.p, op.remove ? 0 : op.revision, op.sealed);
    }
    if (k->auto_ack) {
        uint8_t d[16];
        store_applied(k->s, index, bytes_of(d, kit_digest(k, index, d)));
    }
}

static KIT_UNUSED void kit_leader(void *ctx, bool is)
{
    struct kit *k = ctx;
    k->leader = is;
}

static KIT_UNUSED void kit_fatal(void *ctx, hsm_err err, const char *text)
{
    struct kit *k = ctx;
    k->fatal = err;
    print_message("fatal: %s\n", text);
    snprintf(k->fatal_text, sizeof k->fatal_text, "%s", text);
}

static KIT_UNUSED hsm_err kit_each(void *ctx, const uint8_t *rid, uint64_t revision,
                                   struct bytes sealed)
{
    struct kit *k = ctx;
    kit_set(k, rid, revision, sealed);
    k->loaded_records++;
    return HSM_OK;
}

static KIT_UNUSED void kit_tmp(char dir[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(dir, 256, "%s/khstore-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
}

static KIT_UNUSED int kit_rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static KIT_UNUSED void kit_rm(const char *dir)
{
    nftw(dir, kit_rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Open and load; the state is read into the table. */
static KIT_UNUSED hsm_err kit_open_as(struct kit *k, const char *dir, unsigned threshold,
                                      uint64_t node_id, const char *address,
                                      const struct store_peers *peers)
{
    signal(SIGPIPE, SIG_IGN);
    *k = (struct kit){.auto_ack = true};
    snprintf(k->dir, sizeof k->dir, "%s", dir);
    k->records = calloc(KIT_RECORDS, sizeof *k->records);
    assert_non_null(k->records);
    assert_int_equal(uv_loop_init(&k->loop), 0);
    k->cfg = (struct store_config){.dir = k->dir,
                                   .node_id = node_id,
                                   .address = address,
                                   .peers = peers,
                                   .map_size = (size_t)1 << 30,
                                   .snapshot_threshold = threshold};
    struct store_callbacks cb = {
        .ctx = k, .committed = kit_committed, .leader = kit_leader, .fatal = kit_fatal};
    hsm_err err = store_open(&k->loop, &k->cfg, &cb, &k->s, k->text, sizeof k->text);
    if (err == HSM_OK) {
        k->last_index = store_loaded_index(k->s);
        err = store_each(k->s, kit_each, k);
        if (err != HSM_OK)
            snprintf(k->text, sizeof k->text, "%s", store_failure(k->s));
    }
    return err;
}

static KIT_UNUSED hsm_err kit_open(struct kit *k, const char *dir, unsigned threshold)
{
    return kit_open_as(k, dir, threshold, 1, "127.0.0.1:0", NULL);
}

static KIT_UNUSED void kit_closed(void *ctx)
{
    struct kit *k = ctx;
    k->closed = true;
    k->s = NULL;
}

static KIT_UNUSED void kit_close(struct kit *k)
{
    if (k->s) {
        store_close(k->s, kit_closed, k);
        while (!k->closed)
            uv_run(&k->loop, UV_RUN_ONCE);
    }
    for (int i = 0; i < 20 && uv_run(&k->loop, UV_RUN_NOWAIT) != 0; i++)
        usleep(1000);
    int rc = uv_loop_close(&k->loop);
    assert_true(rc == 0 || k->fatal != HSM_OK); /* libraft may leave handles when it failed */
    free(k->records);
}

/* Run until the condition or the time is over. */
#define kit_run_until(k, cond, ms)                                                                 \
    do {                                                                                           \
        uint64_t end_ = uv_hrtime() + (uint64_t)(ms)*1000000;                                      \
        while (!(cond) && uv_hrtime() < end_)                                                      \
            if (uv_run(&(k)->loop, UV_RUN_NOWAIT), !(cond))                                        \
                usleep(200);                                                                       \
    } while (0)

static KIT_UNUSED void kit_ready(struct kit *k)
{
    assert_int_equal(store_start(k->s), HSM_OK);
    kit_run_until(k, k->leader || k->fatal, 5000);
    assert_true(k->leader);
}

struct kit_done {
    bool called;
    hsm_err err;
};

static KIT_UNUSED void kit_done(void *ctx, hsm_err err)
{
    struct kit_done *d = ctx;
    assert_false(d->called);
    *d = (struct kit_done){true, err};
}

/* Propose and wait: the answer; *accepted is the verdict. */
static KIT_UNUSED hsm_err kit_propose(struct kit *k, const struct kit_op *ops, size_t n,
                                      bool *accepted)
{
    static uint8_t buf[900000];
    struct kit_done d = {0};
    struct bytes txn = kit_txn(buf, sizeof buf, ops, n);
    hsm_err err = store_propose(k->s, txn, kit_done, &d);
    if (err != HSM_OK)
        return err;
    kit_run_until(k, d.called, 20000);
    assert_true(d.called);
    if (accepted)
        *accepted = k->last_accepted;
    return d.err;
}

static KIT_UNUSED bool kit_try(struct kit *k, const struct kit_op *ops, size_t n)
{
    bool accepted = false;
    assert_int_equal(kit_propose(k, ops, n, &accepted), HSM_OK);
    return accepted;
}
#define KIT_TRY(k, ...)                                                                            \
    kit_try(k, (const struct kit_op[]){__VA_ARGS__},                                               \
            sizeof((const struct kit_op[]){__VA_ARGS__}) / sizeof(struct kit_op))

#endif
