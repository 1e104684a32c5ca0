/* The rotation of keys in memory and in their records: what a key remembers, and which key is due
 * first. Only keys with a policy have one, so all others cost nothing here. The state's lock
 * protects it. */
#ifndef BOUNDARY_KEY_ROTATION_H
#define BOUNDARY_KEY_ROTATION_H

#include "boundary/key_record.h"

struct key_rotation {
    struct rotation r;
    struct rotation_step next;
    size_t place; /* in the heap, from 1; 0: nothing is due */
};

/* The part of a key's record. */
void key_rotation_put(const struct rotation *r, struct wr *w);
HSM_MUST_USE hsm_err key_rotation_get(struct rd *r, struct rotation *ret);

/* A heap: the key that is due first is on top. */
struct rotation_index {
    struct key **heap;
    size_t n, cap;
};
void rotation_index_done(struct rotation_index *x);
/* After anything of k changed that matters: policy, versions, attributes, deletion. */
HSM_MUST_USE hsm_err rotation_index_update(struct rotation_index *x, struct key *k);
void rotation_index_remove(struct rotation_index *x, struct key *k);
static inline struct key *rotation_index_first(const struct rotation_index *x)
{
    return x->n == 0 ? NULL : x->heap[0];
}
/* NULL: k forgets its policy. */
HSM_MUST_USE hsm_err key_set_rotation(struct rotation_index *x, struct key *k,
                                      const struct rotation *r);

#endif
