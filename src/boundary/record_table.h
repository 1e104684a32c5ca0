/* Hash table of all records by rid: the newest revision of each, and what it was decoded to.
 * Not thread-safe (the state's lock protects it). rids are keyed hashes, so their first bytes serve
 * as the hash value. */
#ifndef BOUNDARY_RECORD_TABLE_H
#define BOUNDARY_RECORD_TABLE_H

#include "boundary/seal_record.h"

struct record {
    uint8_t rid[RID_LEN];
    uint8_t tag[SEAL_TAG_LEN];
    uint64_t revision;
    void *object; /* of the kind; the state owns it */
    uint8_t kind; /* enum record_kind */
};

/* Records lie densely in chunks; the hash table holds their numbers only, so that its free slots
 * cost little and growing moves no record. */
#define RECORD_CHUNK 1024u
struct record_table {
    uint32_t *slot; /* number of a record + 1, or 0 */
    size_t cap;     /* slots: power of two, or 0 */
    size_t n;
    struct record **chunk;
    size_t chunk_n, chunk_cap;
    uint32_t *spare; /* numbers of removed records */
    size_t spare_n, spare_cap;
    uint32_t next; /* first number never used */
};
void record_table_done(struct record_table *t);
/* NULL when absent. Pointers stay valid until the record is removed. */
struct record *record_find(const struct record_table *t, const uint8_t rid[RID_LEN]);
/* Make room for extra more records, so that as many inserts cannot fail. */
HSM_MUST_USE hsm_err record_reserve(struct record_table *t, size_t extra);
/* Room must have been reserved; the rid must be absent. */
struct record *record_insert(struct record_table *t, const uint8_t rid[RID_LEN]);
void record_remove(struct record_table *t, struct record *r);
/* i in 0..cap: the record in that slot, or NULL. */
struct record *record_at(const struct record_table *t, size_t i);

#endif
