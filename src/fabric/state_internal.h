#ifndef FABRIC_STATE_INTERNAL_H
#define FABRIC_STATE_INTERNAL_H

#include "fabric/state.h"

#define STATE_WATCHERS_MAX 8

/* Sorted by key. */
struct state_table {
    struct document **at;
    size_t n, cap;
};

struct state_watcher {
    state_watch_fn fn;
    void *ctx;
};

/* A commit that waits for its turn. */
struct state_commit {
    const struct changes *changes;
    state_done_fn done;
    void *ctx;
    struct state_commit *next;
};

struct state_disk;

struct state {
    struct state_table table[STATE__KINDS];
    uint64_t version; /* of the last commit; its documents have it as revision */
    bool busy;        /* a commit is on its way to the disk */
    bool closed;
    struct state_commit *first, **last;
    struct state_watcher watcher[STATE_WATCHERS_MAX];
    size_t watcher_n;
    struct state_disk *disk; /* NULL: in memory only */
};

struct change {
    struct document *doc; /* with the new JSON, or without any for a deletion */
    bool is_delete;
    struct change *next;
};

struct changes {
    const struct state *state;
    uint64_t base;
    hsm_err err;
    size_t size, n;
    struct change *first, **last;
};

extern const char *const state_kind_name[STATE__KINDS];

/* One block: the struct, id of the record, key, JSON. NULL: no memory. */
struct document *document_new(enum state_kind kind, uint64_t revision, struct bytes key,
                              struct bytes json);
static inline const uint8_t *document_rid(const struct document *d)
{
    return (const uint8_t *)(d + 1);
}
/* Put, replace or remove. Owns doc. */
HSM_MUST_USE hsm_err state_take(struct state *s, struct document *doc, bool is_delete);
/* Free the documents and s. */
void state_free(struct state *s);
/* Send a commit on its way; *k is owned then, and state_next() will be called. */
HSM_MUST_USE hsm_err state_disk_commit(struct state *s, struct state_commit *k);
void state_disk_fresh(struct state *s, state_done_fn done, void *ctx);
void state_disk_close(struct state *s, void (*done)(void *ctx), void *ctx);
void state_tell(struct state *s, enum state_kind kind, struct bytes key);
/* The commit under way has ended: report it, and go on with those that wait. */
void state_next(struct state *s);

#endif
