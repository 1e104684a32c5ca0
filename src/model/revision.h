/* The one rule that decides whether a transaction applies, evaluated by the store and, on its own
 * copy of the revisions, by the boundary. Revisions are taken from one counter per pool: a new one
 * is larger than any the maker had seen. The floor is the largest revision a removed record had
 * (or was removed at): a record may be created only above it, so an old transaction that once
 * created a since removed record can never be replayed. */
#ifndef MODEL_REVISION_H
#define MODEL_REVISION_H

#include <stdbool.h>
#include <stdint.h>

/* current: revision the record has now, 0 when absent. */
static inline bool revision_accepts(uint64_t current, uint64_t floor, uint64_t expected,
                                    uint64_t revision, bool removing)
{
    if (expected != current || revision <= expected)
        return false;
    if (removing)
        return expected != 0;
    return expected != 0 || revision > floor;
}

/* The floor after an accepted removal at that revision. */
static inline uint64_t revision_floor_after(uint64_t floor, uint64_t removed_at)
{
    return removed_at > floor ? removed_at : floor;
}

#endif
