/* How often somebody may try: failures are counted for what was tried and from where, in memory.
 * A name that does not exist is counted like one that does. Time is a parameter; one thread. */
#ifndef FABRIC_IDENTITY_GUESS_LIMIT_H
#define FABRIC_IDENTITY_GUESS_LIMIT_H

#include "base/bytes.h"

#define GUESS_ENTRIES  1024u
#define GUESS_PER_NAME 10u   /* failures of one name from one address ... */
#define GUESS_PER_ADDR 100u  /* ... of all names from one address ... */
#define GUESS_NAME_ALL 1000u /* ... and of one name from anywhere, ... */
#define GUESS_SPAN_S   60u   /* ... within this time; then no try counts until it is over */

struct guess_limit {
    struct guess_entry {
        uint64_t id;    /* keyed digest of name, address or both; 0: free */
        uint64_t since; /* Unix seconds of the first failure that counts */
        unsigned failures;
    } entry[GUESS_ENTRIES];
    uint8_t key[32]; /* so that nobody can choose names that share an entry */
};

/* HSM_E_INTERNAL: no random bytes. */
HSM_MUST_USE hsm_err guess_limit_init(struct guess_limit *g);
/* May this be tried? name in any case. */
bool guess_allowed(struct guess_limit *g, struct bytes name, const char *address, uint64_t now_s);
/* What came of it. A success forgets the failures of that name from that address. */
void guess_note(struct guess_limit *g, struct bytes name, const char *address, bool good,
                uint64_t now_s);

#endif
