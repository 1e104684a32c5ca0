/* The store of the rig of boundary_testing.h: records in memory, and the rule by which they change.
 */
#ifndef BOUNDARY_RIG_STORE_TESTING_H
#define BOUNDARY_RIG_STORE_TESTING_H

#include "boundary/auth_testing.h"
#include "model/revision.h"

#define RIG_RECORDS_MAX 4096u

struct rig_record {
    uint8_t rid[32];
    uint64_t revision;
    uint8_t *sealed;
    size_t n;
};
struct rig_store {
    struct rig_record rec[RIG_RECORDS_MAX];
    size_t n;
    uint64_t floor, index;
    uint8_t digest[256];
    size_t digest_n;
};

static inline struct rig_record *rig_find(struct rig_store *s, const uint8_t *rid)
{
    for (size_t i = 0; i < s->n; i++)
        if (memcmp(s->rec[i].rid, rid, 32) == 0)
            return &s->rec[i];
    return NULL;
}

static inline bool rig_judge(struct rig_store *s, struct bytes ops)
{
    struct bytes item;
    struct wire_txn_op op;
    while (wire_list_next(&ops, &item)) {
        assert_int_equal(wire_txn_op_decode(item, &op), HSM_OK);
        struct rig_record *r = rig_find(s, op.rid.p);
        if (!revision_accepts(r == NULL ? 0 : r->revision, s->floor, op.expected, op.revision,
                              op.remove == 1))
            return false;
    }
    return true;
}

static inline void rig_store_apply(struct rig_store *s, struct bytes ops)
{
    struct bytes item;
    struct wire_txn_op op;
    while (wire_list_next(&ops, &item)) {
        assert_int_equal(wire_txn_op_decode(item, &op), HSM_OK);
        struct rig_record *r = rig_find(s, op.rid.p);
        if (r == NULL) {
            assert_true(s->n < RIG_RECORDS_MAX);
            r = &s->rec[s->n++];
            memcpy(r->rid, op.rid.p, 32);
        } else {
            free(r->sealed);
        }
        if (op.remove == 1) {
            s->floor = revision_floor_after(s->floor, op.revision);
            *r = s->rec[--s->n];
            continue;
        }
        r->revision = op.revision;
        r->n = op.sealed.n;
        r->sealed = malloc(r->n);
        memcpy(r->sealed, op.sealed.p, r->n);
    }
}

static inline void rig_store_clear(struct rig_store *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->rec[i].sealed);
    *s = (struct rig_store){0};
}

#endif
