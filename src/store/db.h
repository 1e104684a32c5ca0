/* The applied state on disk: one LMDB file with the tables "records" (rid -> revision, checksum,
 * sealed) and "meta" (one record). Every record carries a checksum, the meta record carries one
 * over itself and the sum of all record checksums, so that damage ends in HSM_E_CORRUPT.
 *
 * db_get, db_each: one thread. db_write: one thread at a time, may be another one. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <lmdb.h>
#include "base/bytes.h"
#include "store/overlay.h"
#include "store/store.h"

#define DB_CHECK_LEN 16

/* What belongs together with the records in the file. */
struct db_meta {
    uint64_t index; /* of the last transaction in the state; 0: none */
    uint64_t floor;
    uint64_t records;
    uint64_t sum[2]; /* of all record checksums, modulo 2^64 each */
    uint64_t node_id;
    uint8_t digest[STORE_DIGEST_MAX];
    size_t digest_len;
};

struct db {
    MDB_env *env;
    MDB_txn *reader; /* reset between uses */
    MDB_dbi records, meta_table;
    size_t map_size;
    bool adopt;          /* another node's file */
    struct db_meta meta; /* as in the file; the owner copies the result of db_write here */
    char path[4096];
};

/* Opens, checks the whole structure of the file, reads the meta record. On errors text says what.
 */
HSM_MUST_USE hsm_err db_open(struct db *db, const char *path, size_t map_size, uint64_t node_id,
                             char *text, size_t cap);
void db_close(struct db *db);
/* A copy of another node's file becomes that of node_id. Opens, checks and closes it. */
HSM_MUST_USE hsm_err db_adopt(const char *path, size_t map_size, uint64_t node_id,
                              struct db_meta *ret, char *text, size_t cap);

/* Revision of a record in the file, 0 when absent. */
HSM_MUST_USE hsm_err db_revision(struct db *db, const uint8_t rid[STORE_RID_LEN], uint64_t *ret,
                                 char *text, size_t cap);
/* Every record; checks all checksums, their sum and the count. */
HSM_MUST_USE hsm_err db_each(struct db *db, store_record_fn fn, void *ctx, char *text, size_t cap);

/* Writes n transactions of the list in one durable LMDB transaction. from: meta before them. */
HSM_MUST_USE hsm_err db_write(struct db *db, const struct db_meta *from, const struct pend *first,
                              size_t n, struct db_meta *ret, char *text, size_t cap);

/* Structure check of an LMDB file by reading it, without mapping it: every page that can be reached
 * is sane, so that LMDB, which trusts its pages, can be let loose on it. An absent or empty file is
 * fine. */
HSM_MUST_USE hsm_err db_check_file(const char *path, char *text, size_t cap);

#endif
