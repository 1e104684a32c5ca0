/* What two boundaries say inside their TLS connection when one joins the pool. The two take turns:
 * each turn is exactly one frame,
 *   u8 version (1) | u8 type | u16 length | that many bytes. Pure codec.
 *
 *   ASK   joiner: proof 32, u32 partition number
 *   GIVE  member: proof 32, pool id 16, the root secrets (roots_encode)
 *   NO    member, instead: u8 reason
 *   DONE  joiner: nothing; the secrets are sealed */
#ifndef BOUNDARY_JOIN_MSG_H
#define BOUNDARY_JOIN_MSG_H

#include "base/bytes.h"
#include "base/uuid.h"

#define JOIN_PROOF_LEN 32u
#define JOIN_ROOTS_MAX 6144u /* what roots_encode() makes at most, rounded up */
#define JOIN_HEAD_LEN  4u
#define JOIN_FRAME_MAX (JOIN_HEAD_LEN + JOIN_PROOF_LEN + 16u + JOIN_ROOTS_MAX)

enum join_type {
    JOIN_ASK = 1,
    JOIN_GIVE = 2,
    JOIN_NO = 3,
    JOIN_DONE = 4
};

/* Why a member says no to a peer that TLS let pass: X(name, text of the member, of the joiner) */
#define JOIN_REASONS(X)                                                                            \
    X(JOIN_NO_PROOF, "it does not have the pool's admission key",                                  \
      "the other boundary refused: this one has another admission key")                            \
    X(JOIN_NO_PARTITION, "it claims a partition number that it cannot have",                       \
      "the other boundary refused the partition number of this one")                               \
    X(JOIN_NO_POOL, "the pool is not made yet", "the pool is not made yet")                        \
    X(JOIN_NO_MEMORY, "the secrets could not be sent",                                             \
      "the other boundary could not send the secrets")
enum join_reason {
#define X(name, member, joiner) name,
    JOIN_REASONS(X)
#undef X
    JOIN__REASONS
};
const char *join_reason_member(enum join_reason r); /* static */
const char *join_reason_joiner(enum join_reason r);

struct join_msg {
    enum join_type type;
    struct bytes proof; /* ASK, GIVE: JOIN_PROOF_LEN */
    uint32_t partition; /* ASK */
    struct uuid pool;   /* GIVE */
    struct bytes roots; /* GIVE: secret */
    enum join_reason reason;
};
void join_msg_encode(const struct join_msg *m, struct wr *w);
/* in: all that came in this turn. HSM_E_AGAIN: the beginning of a frame; HSM_E_MALFORMED: no frame,
 * or more than one. */
HSM_MUST_USE hsm_err join_msg_decode(struct bytes in, struct join_msg *ret);

#endif
