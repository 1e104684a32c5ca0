/* LMDB trusts every offset and page number it finds; a flipped bit in its file can crash it or make
 * it answer "absent". So the file is walked once, by plain reads, before LMDB maps it: page
 * numbers, flags, node offsets and sizes, key order within the bounds of the parents, every page
 * used once, the counters of every table, and a list of free pages that are really free. File
 * format: LMDB data version 1, host byte order, as of LMDB 0.9. */
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_HEAD    16u
#define NODE_HEAD    8u
#define TABLE_LEN    48u
#define MAGIC        0xBEEFC0DEu
#define DATA_VERSION 1u
#define DEPTH_MAX    32u
#define NO_PAGE      UINT64_MAX
enum {
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8
};
enum {
    NODE_BIG = 1,
    NODE_TABLE = 2
};
enum {
    TABLE_INTEGER_KEY = 8,
    ENV_NOSUBDIR = 0x4000
};

struct table {
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};

struct meta {
    uint32_t psize;
    uint64_t last_page, txn;
    struct table free_list, main;
};

enum kind {
    KIND_FREE,
    KIND_MAIN,
    KIND_PLAIN
};

struct check {
    int fd;
    uint64_t file_pages;
    struct meta meta;
    uint8_t *used; /* a bit per page: in the tree or free */
    const char *what;
};

struct walk {
    struct check *c;
    enum kind kind;
    struct table seen;
};

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static hsm_err bad(struct check *c, const char *what)
{
    c->what = what;
    return HSM_E_CORRUPT;
}

static hsm_err read_at(struct check *c, void *buf, size_t n, uint64_t off)
{
    uint8_t *p = buf;
    while (n > 0) {
        ssize_t got = pread(c->fd, p, n, (off_t)off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            c->what = strerror(errno);
            return HSM_E_IO;
        }
        if (got == 0)
            return bad(c, "it is shorter than its own description");
        p += got;
        n -= (size_t)got;
        off += (uint64_t)got;
    }
    return HSM_OK;
}

static hsm_err use_page(struct check *c, uint64_t page)
{
    if (page < 2 || page > c->meta.last_page)
        return bad(c, "a page number is out of range");
    uint8_t bit = (uint8_t)(1u << (page & 7));
    if (c->used[page >> 3] & bit)
        return bad(c, "a page is used twice");
    c->used[page >> 3] |= bit;
    return HSM_OK;
}

static struct table table_of(const uint8_t *p)
{
    return (struct table){.flags = get16(p + 4),
                          .depth = get16(p + 6),
                          .branches = get64(p + 8),
                          .leaves = get64(p + 16),
                          .overflows = get64(p + 24),
                          .entries = get64(p + 32),
                          .root = get64(p + 40)};
}

static hsm_err meta_of(struct check *c, const uint8_t *p, struct meta *ret)
{
    if (!(get16(p + 10) & PAGE_META) || get32(p + 16) != MAGIC || get32(p + 20) != DATA_VERSION)
        return bad(c, "it does not begin like an LMDB file");
    const uint8_t *tables = p + 40;
    *ret = (struct meta){.psize = get32(tables),
                         .free_list = table_of(tables),
                         .main = table_of(tables + TABLE_LEN),
                         .last_page = get64(tables + 2 * TABLE_LEN),
                         .txn = get64(tables + 2 * TABLE_LEN + 8)};
    if (ret->psize < 512 || ret->psize > 32768 || (ret->psize & (ret->psize - 1)) != 0)
        return bad(c, "its page size is impossible");
    if ((ret->free_list.flags & ~ENV_NOSUBDIR) != TABLE_INTEGER_KEY || ret->main.flags != 0)
        return bad(c, "the flags of its tables are wrong");
    return HSM_OK;
}

static hsm_err load_meta(struct check *c, uint64_t file_size)
{
    uint8_t head[PAGE_HEAD + 24 + 2 * TABLE_LEN + 16];
    struct meta a, b;
    TRY(read_at(c, head, sizeof head, 0));
    TRY(meta_of(c, head, &a));
    TRY(read_at(c, head, sizeof head, a.psize));
    TRY(meta_of(c, head, &b));
    if (a.psize != b.psize)
        return bad(c, "its page size is impossible");
    c->meta = a.txn < b.txn ? b : a; /* the one LMDB takes */
    c->file_pages = file_size / a.psize;
    /* Pages that were freed before they were ever written may lie past the end, a few. */
    if (c->meta.last_page < 1 || c->meta.last_page > 2 * c->file_pages + 1024)
        return bad(c, "its size does not fit its description");
    c->used = calloc(1, (size_t)(c->meta.last_page / 8 + 1));
    return c->used ? HSM_OK : HSM_E_NOMEM;
}

/* ---- pages ---- */

struct node {
    uint16_t flags;
    struct bytes key;
    uint64_t size;       /* leaf: of the data */
    uint64_t child;      /* branch */
    const uint8_t *data; /* leaf: inline data, or the page number of the overflow page */
};

static size_t node_inline(const struct node *n, bool leaf)
{
    if (!leaf)
        return 0;
    return n->flags & NODE_BIG ? 8 : (size_t)n->size;
}

static hsm_err node_of(struct walk *w, const uint8_t *page, size_t i, bool leaf, struct node *ret)
{
    struct check *c = w->c;
    uint32_t psize = c->meta.psize;
    uint16_t upper = get16(page + 14);
    uint16_t at = get16(page + PAGE_HEAD + 2 * i);
    if (at < upper || (at & 1) || at + NODE_HEAD > psize)
        return bad(c, "an entry lies outside its page");
    const uint8_t *p = page + at;
    uint64_t low = get16(p) | (uint64_t)get16(p + 2) << 16;
    struct node n = {.flags = get16(p + 4), .key = bytes_of(p + NODE_HEAD, get16(p + 6))};
    if (leaf)
        n.size = low;
    else
        n.child = low | (uint64_t)n.flags << 32;
    if (leaf && (n.flags & ~(NODE_BIG | NODE_TABLE)) != 0)
        return bad(c, "an entry has unknown flags");
    if (leaf && ((n.flags & NODE_TABLE) != 0) != (w->kind == KIND_MAIN))
        return bad(c, "an entry has wrong flags");
    if (n.key.n > psize || node_inline(&n, leaf) > psize ||
        at + NODE_HEAD + n.key.n + node_inline(&n, leaf) > psize)
        return bad(c, "an entry does not fit its page");
    n.data = n.key.p + n.key.n;
    *ret = n;
    return HSM_OK;
}

/* -1, 0, 1 like memcmp; a key without bytes stands for "no bound" at the callers. */
static int key_compare(enum kind kind, struct bytes a, struct bytes b)
{
    if (kind == KIND_FREE) {
        uint64_t x = get64(a.p), y = get64(b.p);
        return x < y ? -1 : x > y;
    }
    int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    if (r != 0)
        return r;
    return a.n < b.n ? -1 : a.n > b.n;
}

static hsm_err key_check(struct walk *w, struct bytes key, struct bytes prev, struct bytes low,
                         struct bytes high)
{
    if (key.n == 0 || (w->kind == KIND_FREE && key.n != 8))
        return bad(w->c, "a key has a wrong length");
    if ((prev.n > 0 && key_compare(w->kind, prev, key) >= 0) ||
        (low.n > 0 && key_compare(w->kind, low, key) > 0) ||
        (high.n > 0 && key_compare(w->kind, key, high) >= 0))
        return bad(w->c, "keys are out of order");
    return HSM_OK;
}

static hsm_err walk_table(struct check *c, const struct table *t, enum kind kind);

/* The ids of free pages in one record of the free list. */
static hsm_err free_ids(struct check *c, const uint8_t *data, uint64_t size)
{
    if (size < 8 || size % 8 != 0 || get64(data) > size / 8 - 1)
        return bad(c, "the list of free pages is damaged");
    for (uint64_t i = 1; i <= get64(data); i++)
        TRY(use_page(c, get64(data + 8 * i)));
    return HSM_OK;
}

static hsm_err overflow_ids(struct check *c, uint64_t first, uint64_t size)
{
    uint8_t *data = malloc((size_t)size + 1);
    if (!data)
        return HSM_E_NOMEM;
    hsm_err err = read_at(c, data, (size_t)size, first * c->meta.psize + PAGE_HEAD);
    if (err == HSM_OK)
        err = free_ids(c, data, size);
    free(data);
    return err;
}

static hsm_err check_overflow(struct walk *w, const struct node *n)
{
    struct check *c = w->c;
    uint8_t head[PAGE_HEAD];
    uint64_t first = get64(n->data);
    uint64_t want = (PAGE_HEAD - 1 + n->size) / c->meta.psize + 1;
    if (first > c->meta.last_page || first + want > c->file_pages)
        return bad(c, "a page number is out of range");
    TRY(read_at(c, head, sizeof head, first * c->meta.psize));
    if (get64(head) != first || get16(head + 10) != PAGE_OVERFLOW || get32(head + 12) != want)
        return bad(c, "a page is not what its parent says");
    for (uint64_t i = 0; i < want; i++)
        TRY(use_page(c, first + i));
    w->seen.overflows += want;
    return HSM_OK;
}

static hsm_err check_leaf(struct walk *w, const struct node *n)
{
    if (n->flags & NODE_BIG)
        TRY(check_overflow(w, n));
    w->seen.entries++;
    if (w->kind != KIND_MAIN)
        return HSM_OK;
    if (n->size != TABLE_LEN || (n->flags & NODE_BIG))
        return bad(w->c, "a table is damaged");
    struct table t = table_of(n->data);
    if (t.flags != 0)
        return bad(w->c, "a table is damaged");
    return walk_table(w->c, &t, KIND_PLAIN);
}

/* The header of a page and that its entries fill it exactly. */
static hsm_err check_page(struct walk *w, const uint8_t *page, uint64_t number, bool leaf)
{
    struct check *c = w->c;
    uint16_t lower = get16(page + 12), upper = get16(page + 14);
    if (get64(page) != number || get16(page + 10) != (leaf ? PAGE_LEAF : PAGE_BRANCH))
        return bad(c, "a page is not what its parent says");
    if (lower < PAGE_HEAD + 2 || (lower & 1) || upper < lower || upper > c->meta.psize)
        return bad(c, "the head of a page is damaged");
    size_t n = (lower - PAGE_HEAD) / 2, sum = 0;
    if (!leaf && n < 2)
        return bad(c, "the head of a page is damaged");
    for (size_t i = 0; i < n; i++) {
        struct node node;
        TRY(node_of(w, page, i, leaf, &node));
        sum += (NODE_HEAD + node.key.n + node_inline(&node, leaf) + 1) & ~(size_t)1;
    }
    return sum == c->meta.psize - upper ? HSM_OK : bad(c, "entries overlap");
}

static hsm_err walk_page(struct walk *w, uint64_t number, unsigned level, struct bytes low,
                         struct bytes high);

static hsm_err walk_nodes(struct walk *w, const uint8_t *page, unsigned level, struct bytes low,
                          struct bytes high)
{
    bool leaf = level == 1;
    size_t n = (size_t)(get16(page + 12) - PAGE_HEAD) / 2;
    struct bytes prev = {0};
    for (size_t i = 0; i < n; i++) {
        struct node node, next;
        struct bytes upto = high;
        TRY(node_of(w, page, i, leaf, &node));
        if (leaf || i > 0) { /* the first key of a branch page is not used */
            TRY(key_check(w, node.key, prev, low, high));
            prev = node.key;
        }
        if (leaf) {
            TRY(check_leaf(w, &node));
            continue;
        }
        if (i + 1 < n) {
            TRY(node_of(w, page, i + 1, leaf, &next));
            TRY(key_check(w, next.key, prev, low, high));
            upto = next.key;
        }
        TRY(walk_page(w, node.child, level - 1, i > 0 ? node.key : low, upto));
    }
    return HSM_OK;
}

static hsm_err walk_page(struct walk *w, uint64_t number, unsigned level, struct bytes low,
                         struct bytes high)
{
    struct check *c = w->c;
    bool leaf = level == 1;
    TRY(use_page(c, number));
    uint8_t *page = malloc(c->meta.psize);
    if (!page)
        return HSM_E_NOMEM;
    hsm_err err = read_at(c, page, c->meta.psize, number * c->meta.psize);
    if (err == HSM_OK)
        err = check_page(w, page, number, leaf);
    if (err == HSM_OK)
        err = walk_nodes(w, page, level, low, high);
    if (leaf)
        w->seen.leaves++;
    else
        w->seen.branches++;
    free(page);
    return err;
}

static hsm_err walk_table(struct check *c, const struct table *t, enum kind kind)
{
    struct walk w = {.c = c, .kind = kind};
    struct bytes none = {0};
    if (t->depth > DEPTH_MAX || (t->root == NO_PAGE) != (t->depth == 0))
        return bad(c, "a table is damaged");
    if (t->depth > 0)
        TRY(walk_page(&w, t->root, t->depth, none, none));
    if (w.seen.branches != t->branches || w.seen.leaves != t->leaves ||
        w.seen.overflows != t->overflows || w.seen.entries != t->entries)
        return bad(c, "the counters of a table are wrong");
    return HSM_OK;
}

/* ---- free list ---- */

/* After the trees are marked: walk the leaves of the free list once more for their contents. */
static hsm_err free_page_ids(struct check *c, uint64_t number, unsigned level)
{
    struct walk w = {.c = c, .kind = KIND_FREE};
    uint8_t *page = malloc(c->meta.psize);
    if (!page)
        return HSM_E_NOMEM;
    hsm_err err = read_at(c, page, c->meta.psize, number * c->meta.psize);
    size_t n = err == HSM_OK ? (size_t)(get16(page + 12) - PAGE_HEAD) / 2 : 0;
    for (size_t i = 0; i < n && err == HSM_OK; i++) {
        struct node node;
        err = node_of(&w, page, i, level == 1, &node);
        if (err != HSM_OK)
            break;
        if (level > 1)
            err = free_page_ids(c, node.child, level - 1);
        else if (node.flags & NODE_BIG)
            err = overflow_ids(c, get64(node.data), node.size);
        else
            err = free_ids(c, node.data, node.size);
    }
    free(page);
    return err;
}

static hsm_err check_all(struct check *c, uint64_t file_size)
{
    TRY(load_meta(c, file_size));
    TRY(walk_table(c, &c->meta.main, KIND_MAIN));
    TRY(walk_table(c, &c->meta.free_list, KIND_FREE));
    if (c->meta.free_list.depth > 0)
        TRY(free_page_ids(c, c->meta.free_list.root, c->meta.free_list.depth));
    return HSM_OK;
}

hsm_err db_check_file(const char *path, char *text, size_t cap)
{
    struct stat st;
    struct check c = {.what = "out of memory"};
    c.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (c.fd < 0 && errno == ENOENT)
        return HSM_OK;
    if (c.fd < 0 || fstat(c.fd, &st) != 0) {
        snprintf(text, cap, "%s: %s", path, strerror(errno));
        if (c.fd >= 0)
            close(c.fd);
        return HSM_E_IO;
    }
    hsm_err err = st.st_size == 0 ? HSM_OK : check_all(&c, (uint64_t)st.st_size);
    close(c.fd);
    free(c.used);
    if (err == HSM_E_CORRUPT)
        snprintf(text, cap,
                 "%s: %s. The file is damaged: restore this store from a backup or from another "
                 "node.",
                 path, c.what);
    else if (err != HSM_OK)
        snprintf(text, cap, "%s: %s", path, c.what);
    return err;
}
