/* Reading libraft's segment files (raft/uv.h tells the format, version 1). Pure. */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include "base/bytes.h"

#define SEGMENT_HEAD 8u /* format version */

struct segment_batch {
    uint64_t entries;
    uint64_t max_term;
    uint64_t durable; /* largest index its transactions prove to be durable */
    size_t end;       /* offset after it */
};

/* True when the first eight bytes are a known format version. */
bool segment_head_ok(struct bytes file);
/* The batch at that offset, with both of its checksums. */
HSM_MUST_USE hsm_err segment_batch_read(struct bytes file, size_t at, struct segment_batch *ret);
bool segment_is_zero(struct bytes file, size_t from);

#endif
