#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <unistd.h>

#define META_MAGIC    "KHSTATE1"
#define META_VERSION  1u
#define META_MAX      (8 + 4 + 8 * 6 + 4 + STORE_DIGEST_MAX + SHA256_DIGEST_LENGTH)
#define VALUE_HEAD    (8 + DB_CHECK_LEN)
#define READERS       16
#define LOCK_FILE_LEN 8192 /* more than LMDB needs for that many */

/* LMDB's code as ours, with a text that says which file and what to do. */
static hsm_err fail(const struct db *db, int rc, const char *what, char *text, size_t cap)
{
    const char *hint = "Check the disk and the kernel log.";
    hsm_err err = HSM_E_IO;
    switch (rc) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        err = HSM_E_DISK_FULL;
        hint = "Free space on its disk.";
        break;
    case MDB_MAP_FULL:
        err = HSM_E_DISK_FULL;
        hint = "The store has reached its configured largest size; raise it.";
        break;
    case ENOMEM:
        err = HSM_E_NOMEM;
        hint = "Not enough memory or address space.";
        break;
    case MDB_PANIC: /* a write of LMDB's own page of pointers failed before */
        err = HSM_E_CORRUPT;
        hint = "Restart the program; if this comes back, restore this store from a backup.";
        break;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE:
    case MDB_NOTFOUND:
        err = HSM_E_CORRUPT;
        hint = "The file is damaged: restore this store from a backup or from another node.";
        break;
    default:
        break;
    }
    snprintf(text, cap, "%s: %s: %s. %s", db->path, what, mdb_strerror(rc), hint);
    return err;
}

static hsm_err damaged(const struct db *db, const char *what, char *text, size_t cap)
{
    snprintf(text, cap,
             "%s: %s. The file is damaged: restore this store from a backup or from another node.",
             db->path, what);
    return HSM_E_CORRUPT;
}

/* ---- records ---- */

static hsm_err record_check(const uint8_t *rid, uint64_t revision, struct bytes sealed,
                            uint8_t ret[DB_CHECK_LEN])
{
    uint8_t rev[8], full[SHA256_DIGEST_LENGTH];
    be64_put(rev, revision);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(c, rid, STORE_RID_LEN) == 1 &&
              EVP_DigestUpdate(c, rev, sizeof rev) == 1 &&
              (sealed.n == 0 || EVP_DigestUpdate(c, sealed.p, sealed.n) == 1) &&
              EVP_DigestFinal_ex(c, full, NULL) == 1;
    EVP_MD_CTX_free(c);
    if (!ok)
        return HSM_E_NOMEM;
    memcpy(ret, full, DB_CHECK_LEN);
    return HSM_OK;
}

struct record {
    uint64_t revision;
    const uint8_t *check;
    struct bytes sealed;
};

/* Take a value apart and verify its checksum. */
static hsm_err record_of(const uint8_t *rid, MDB_val v, struct record *ret)
{
    struct rd r = rd_of(bytes_of(v.mv_data, v.mv_size));
    struct record rec;
    struct bytes check;
    uint8_t want[DB_CHECK_LEN];
    TRY(rd_u64(&r, &rec.revision));
    TRY(rd_bytes(&r, DB_CHECK_LEN, &check));
    rec.check = check.p;
    rec.sealed = bytes_of(r.p, r.n);
    TRY(record_check(rid, rec.revision, rec.sealed, want));
    if (memcmp(want, rec.check, DB_CHECK_LEN) != 0)
        return HSM_E_MALFORMED;
    *ret = rec;
    return HSM_OK;
}

static void sum_add(struct db_meta *m, const uint8_t *check)
{
    m->sum[0] += be64_get(check);
    m->sum[1] += be64_get(check + 8);
    m->records++;
}

static void sum_sub(struct db_meta *m, const uint8_t *check)
{
    m->sum[0] -= be64_get(check);
    m->sum[1] -= be64_get(check + 8);
    m->records--;
}

/* ---- meta record ---- */

static hsm_err meta_encode(const struct db_meta *m, uint8_t *buf, size_t cap, size_t *ret)
{
    struct wr w = wr_of(buf, cap);
    wr_bytes(&w, META_MAGIC, 8);
    wr_u32(&w, META_VERSION);
    wr_u64(&w, m->index);
    wr_u64(&w, m->floor);
    wr_u64(&w, m->records);
    wr_u64(&w, m->sum[0]);
    wr_u64(&w, m->sum[1]);
    wr_u64(&w, m->node_id);
    wr_lv(&w, bytes_of(m->digest, m->digest_len));
    uint8_t sha[SHA256_DIGEST_LENGTH];
    TRY(wr_ok(&w));
    if (EVP_Digest(buf, w.n, sha, NULL, EVP_sha256(), NULL) != 1)
        return HSM_E_NOMEM;
    wr_bytes(&w, sha, sizeof sha);
    TRY(wr_ok(&w));
    *ret = w.n;
    return HSM_OK;
}

static hsm_err meta_decode(struct bytes in, struct db_meta *ret)
{
    struct db_meta m = {0};
    struct bytes digest;
    uint8_t sha[SHA256_DIGEST_LENGTH];
    uint32_t version;
    if (in.n < sizeof sha + 12)
        return HSM_E_MALFORMED;
    size_t body = in.n - sizeof sha;
    if (EVP_Digest(in.p, body, sha, NULL, EVP_sha256(), NULL) != 1)
        return HSM_E_NOMEM;
    if (memcmp(sha, in.p + body, sizeof sha) != 0 || memcmp(in.p, META_MAGIC, 8) != 0)
        return HSM_E_MALFORMED;
    struct rd r = rd_of(bytes_of(in.p + 8, body - 8));
    TRY(rd_u32(&r, &version));
    if (version != META_VERSION)
        return HSM_E_RANGE;
    TRY(rd_u64(&r, &m.index));
    TRY(rd_u64(&r, &m.floor));
    TRY(rd_u64(&r, &m.records));
    TRY(rd_u64(&r, &m.sum[0]));
    TRY(rd_u64(&r, &m.sum[1]));
    TRY(rd_u64(&r, &m.node_id));
    TRY(rd_lv(&r, sizeof m.digest, &digest));
    TRY(rd_end(&r));
    if (digest.n > 0)
        memcpy(m.digest, digest.p, digest.n);
    m.digest_len = digest.n;
    *ret = m;
    return HSM_OK;
}

static char meta_key[] = "state";
static MDB_val meta_key_val(void)
{
    return (MDB_val){.mv_size = sizeof meta_key - 1, .mv_data = meta_key};
}

/* Also tells a new file (no meta, no records). */
static hsm_err meta_load(struct db *db, MDB_txn *txn, bool *is_new, char *text, size_t cap)
{
    MDB_val key = meta_key_val(), val;
    MDB_stat st;
    int rc = mdb_stat(txn, db->records, &st);
    if (rc != 0)
        return fail(db, rc, "cannot read", text, cap);
    rc = mdb_get(txn, db->meta_table, &key, &val);
    *is_new = rc == MDB_NOTFOUND && st.ms_entries == 0;
    if (*is_new)
        return HSM_OK;
    if (rc != 0)
        return fail(db, rc, "no state record", text, cap);
    hsm_err err = meta_decode(bytes_of(val.mv_data, val.mv_size), &db->meta);
    if (err == HSM_E_RANGE)
        return damaged(db, "written by another version of the store", text, cap);
    if (err != HSM_OK)
        return damaged(db, "the state record does not match its checksum", text, cap);
    if (st.ms_entries != db->meta.records)
        return damaged(db, "records are missing", text, cap);
    return HSM_OK;
}

static hsm_err meta_store(struct db *db, MDB_txn *txn, const struct db_meta *m, char *text,
                          size_t cap)
{
    uint8_t buf[META_MAX];
    size_t n;
    TRY(meta_encode(m, buf, sizeof buf, &n));
    MDB_val key = meta_key_val(), val = {.mv_size = n, .mv_data = buf};
    int rc = mdb_put(txn, db->meta_table, &key, &val, 0);
    return rc == 0 ? HSM_OK : fail(db, rc, "cannot write", text, cap);
}

/* ---- open ---- */

static hsm_err open_tables(struct db *db, MDB_txn *txn, uint64_t node_id, char *text, size_t cap)
{
    bool is_new = false;
    int rc = mdb_dbi_open(txn, "records", MDB_CREATE, &db->records);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &db->meta_table);
    if (rc != 0)
        return fail(db, rc, "cannot open its tables", text, cap);
    TRY(meta_load(db, txn, &is_new, text, cap));
    if (!is_new && db->adopt) {
        db->meta.node_id = node_id;
        return meta_store(db, txn, &db->meta, text, cap);
    }
    if (!is_new && db->meta.node_id != node_id) {
        snprintf(text, cap, "%s belongs to node %llu, not %llu.", db->path,
                 (unsigned long long)db->meta.node_id, (unsigned long long)node_id);
        return HSM_E_BAD_PARAMETER;
    }
    if (!is_new)
        return HSM_OK;
    db->meta = (struct db_meta){.node_id = node_id};
    return meta_store(db, txn, &db->meta, text, cap);
}

/* LMDB maps its lock file and touches it: with a hole in it a full disk would be a SIGBUS. */
static int reserve_lock_file(const struct db *db)
{
    char path[sizeof db->path + 8];
    snprintf(path, sizeof path, "%s-lock", db->path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int rc = posix_fallocate(fd, 0, LOCK_FILE_LEN);
    close(fd);
    return rc;
}

static hsm_err open_env(struct db *db, size_t map_size, char *text, size_t cap)
{
    int rc = reserve_lock_file(db);
    if (rc == 0)
        rc = mdb_env_create(&db->env);
    if (rc != 0)
        return fail(db, rc, "cannot open", text, cap);
    rc = mdb_env_set_maxdbs(db->env, 2);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(db->env, READERS);
    if (rc == 0)
        rc = mdb_env_set_mapsize(db->env, map_size);
    if (rc == 0)
        rc = mdb_env_open(db->env, db->path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    return rc == 0 ? HSM_OK : fail(db, rc, "cannot open", text, cap);
}

static hsm_err open_all(struct db *db, size_t map_size, uint64_t node_id, char *text, size_t cap)
{
    MDB_txn *txn;
    TRY(open_env(db, map_size, text, cap));
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc != 0)
        return fail(db, rc, "cannot begin", text, cap);
    hsm_err err = open_tables(db, txn, node_id, text, cap);
    if (err != HSM_OK) {
        mdb_txn_abort(txn);
        return err;
    }
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->reader);
    if (rc != 0)
        return fail(db, rc, "cannot write", text, cap);
    mdb_txn_reset(db->reader);
    return HSM_OK;
}

static hsm_err open_as(struct db *db, const char *path, size_t map_size, uint64_t node_id,
                       bool adopt, char *text, size_t cap)
{
    *db = (struct db){.map_size = map_size, .adopt = adopt};
    snprintf(db->path, sizeof db->path, "%s", path);
    TRY(db_check_file(path, text, cap));
    hsm_err err = open_all(db, map_size, node_id, text, cap);
    if (err != HSM_OK)
        db_close(db);
    return err;
}

hsm_err db_open(struct db *db, const char *path, size_t map_size, uint64_t node_id, char *text,
                size_t cap)
{
    return open_as(db, path, map_size, node_id, false, text, cap);
}

hsm_err db_adopt(const char *path, size_t map_size, uint64_t node_id, struct db_meta *ret,
                 char *text, size_t cap)
{
    struct db db;
    char lock[sizeof db.path + 8];
    hsm_err err = open_as(&db, path, map_size, node_id, true, text, cap);
    if (err == HSM_OK) {
        *ret = db.meta;
        db_close(&db);
    }
    snprintf(lock, sizeof lock, "%s-lock", path);
    (void)unlink(lock);
    return err;
}

void db_close(struct db *db)
{
    if (db->reader)
        mdb_txn_abort(db->reader);
    if (db->env)
        mdb_env_close(db->env);
    db->reader = NULL;
    db->env = NULL;
}

/* ---- read ---- */

hsm_err db_revision(struct db *db, const uint8_t rid[STORE_RID_LEN], uint64_t *ret, char *text,
                    size_t cap)
{
    uint8_t key_bytes[STORE_RID_LEN];
    memcpy(key_bytes, rid, sizeof key_bytes);
    MDB_val key = {.mv_size = sizeof key_bytes, .mv_data = key_bytes}, val;
    int rc = mdb_txn_renew(db->reader);
    if (rc != 0)
        return fail(db, rc, "cannot read", text, cap);
    rc = mdb_get(db->reader, db->records, &key, &val);
    hsm_err err = HSM_OK;
    *ret = 0;
    if (rc == 0) {
        struct record rec;
        err = record_of(rid, val, &rec);
        if (err == HSM_OK)
            *ret = rec.revision;
        else
            err = damaged(db, "a record does not match its checksum", text, cap);
    } else if (rc != MDB_NOTFOUND) {
        err = fail(db, rc, "cannot read", text, cap);
    }
    mdb_txn_reset(db->reader);
    return err;
}

static hsm_err each_record(struct db *db, MDB_cursor *c, store_record_fn fn, void *ctx,
                           struct db_meta *seen, char *text, size_t cap)
{
    MDB_val key, val;
    int rc = mdb_cursor_get(c, &key, &val, MDB_FIRST);
    for (; rc == 0; rc = mdb_cursor_get(c, &key, &val, MDB_NEXT)) {
        struct record rec;
        if (key.mv_size != STORE_RID_LEN || record_of(key.mv_data, val, &rec) != HSM_OK)
            return damaged(db, "a record does not match its checksum", text, cap);
        sum_add(seen, rec.check);
        TRY(fn(ctx, key.mv_data, rec.revision, rec.sealed));
    }
    return rc == MDB_NOTFOUND ? HSM_OK : fail(db, rc, "cannot read", text, cap);
}

hsm_err db_each(struct db *db, store_record_fn fn, void *ctx, char *text, size_t cap)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    struct db_meta seen = {0};
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return fail(db, rc, "cannot read", text, cap);
    rc = mdb_cursor_open(txn, db->records, &cursor);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return fail(db, rc, "cannot read", text, cap);
    }
    hsm_err err = each_record(db, cursor, fn, ctx, &seen, text, cap);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    TRY(err);
    if (seen.records != db->meta.records || seen.sum[0] != db->meta.sum[0] ||
        seen.sum[1] != db->meta.sum[1])
        return damaged(db, "its records are not those of the state record", text, cap);
    return HSM_OK;
}

/* ---- write ---- */

/* The record an operation replaces or removes leaves the sum. */
static hsm_err take_out(struct db *db, MDB_txn *txn, MDB_val *key, uint64_t expected,
                        struct db_meta *m, char *text, size_t cap)
{
    MDB_val val;
    struct record rec;
    int rc = mdb_get(txn, db->records, key, &val);
    if (rc != 0)
        return fail(db, rc, "a record is missing", text, cap);
    if (record_of(key->mv_data, val, &rec) != HSM_OK || rec.revision != expected)
        return damaged(db, "a record does not match its checksum", text, cap);
    sum_sub(m, rec.check);
    return HSM_OK;
}

static hsm_err write_op(struct db *db, MDB_txn *txn, const struct pend_op *op, struct db_meta *m,
                        char *text, size_t cap)
{
    uint8_t rid[STORE_RID_LEN], check[DB_CHECK_LEN];
    memcpy(rid, op->rid, sizeof rid);
    MDB_val key = {.mv_size = sizeof rid, .mv_data = rid};
    if (op->expected != 0)
        TRY(take_out(db, txn, &key, op->expected, m, text, cap));
    if (op->remove) {
        int rc = mdb_del(txn, db->records, &key, NULL);
        return rc == 0 ? HSM_OK : fail(db, rc, "cannot remove", text, cap);
    }
    TRY(record_check(rid, op->revision, op->sealed, check));
    MDB_val val = {.mv_size = VALUE_HEAD + op->sealed.n};
    int rc = mdb_put(txn, db->records, &key, &val,
                     MDB_RESERVE | (op->expected == 0 ? MDB_NOOVERWRITE : 0u));
    if (rc == MDB_KEYEXIST)
        return damaged(db, "a removed record is there", text, cap);
    if (rc != 0)
        return fail(db, rc, "cannot write", text, cap);
    struct wr w = wr_of(val.mv_data, val.mv_size);
    wr_u64(&w, op->revision);
    wr_bytes(&w, check, sizeof check);
    wr_bytes(&w, op->sealed.p, op->sealed.n);
    TRY(wr_ok(&w));
    sum_add(m, check);
    return HSM_OK;
}

static hsm_err write_all(struct db *db, MDB_txn *txn, const struct pend *p, size_t n,
                         struct db_meta *m, char *text, size_t cap)
{
    while (n > 0) {
        for (size_t i = 0; i < p->n_ops; i++)
            TRY(write_op(db, txn, &p->ops[i], m, text, cap));
        m->index = p->index;
        m->floor = p->floor_after;
        memcpy(m->digest, p->digest, p->digest_len);
        m->digest_len = p->digest_len;
        if (--n > 0)
            p = p->next;
    }
    return meta_store(db, txn, m, text, cap);
}

hsm_err db_write(struct db *db, const struct db_meta *from, const struct pend *first, size_t n,
                 struct db_meta *ret, char *text, size_t cap)
{
    struct db_meta m = *from;
    MDB_txn *txn;
    snprintf(text, cap, "%s: out of memory.", db->path);
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc != 0)
        return fail(db, rc, "cannot begin to write", text, cap);
    hsm_err err = write_all(db, txn, first, n, &m, text, cap);
    if (err != HSM_OK) {
        mdb_txn_abort(txn);
        return err;
    }
    rc = mdb_txn_commit(txn);
    if (rc != 0)
        return fail(db, rc, "cannot write", text, cap);
    *ret = m;
    return HSM_OK;
}
