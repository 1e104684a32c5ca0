/* The audit file: lines that the boundary made are taken from the audit ring and appended before
 * the answers that follow them are sent. A line that was taken and cannot be written stays in
 * memory and is tried again; meanwhile the sink is "broken" and nobody gets an answer of success.
 * Thread-safe. */
#ifndef GATEWAY_AUDIT_SINK_H
#define GATEWAY_AUDIT_SINK_H

#include "wire/ring.h"

#define AUDIT_HASH_LEN 32

struct audit_sink;

/* Open DIR/audit.jsonl (directory 0700, file 0600). A torn last line, left by a crash, is copied to
 * DIR/audit.torn and cut off. HSM_E_IO, HSM_E_CORRUPT (the last line is no audit line); text[cap]
 * says what. */
HSM_MUST_USE hsm_err audit_sink_open(const char *dir, struct ring *ring, struct audit_sink **ret,
                                     char *text, size_t cap);
void audit_sink_close(struct audit_sink *s); /* syncs */

/* Chain state of the last complete line at opening; seq 0: the file was empty. */
void audit_sink_tail(const struct audit_sink *s, uint64_t *ret_seq,
                     uint8_t ret_hash[AUDIT_HASH_LEN]);

/* Write every line that is in the ring now. HSM_E_DISK_FULL, HSM_E_IO: not all of them are in the
 * file; HSM_E_CORRUPT: the ring is unusable. */
HSM_MUST_USE hsm_err audit_sink_drain(struct audit_sink *s);
bool audit_sink_is_broken(const struct audit_sink *s);
/* fdatasync when something was written since the last one. */
HSM_MUST_USE hsm_err audit_sink_sync(struct audit_sink *s);

/* Chain members of one audit line. HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err audit_line_parse(struct bytes line, uint64_t *ret_seq,
                                      uint8_t ret_hash[AUDIT_HASH_LEN]);

#endif
