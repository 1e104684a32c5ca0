#include "fabric/identity/guess_limit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define PROBES     8u
#define NAME_BYTES 256u

enum what {
    BOTH,
    ADDRESS,
    NAME
};
static const unsigned limits[] = {
    [BOTH] = GUESS_PER_NAME, [ADDRESS] = GUESS_PER_ADDR, [NAME] = GUESS_NAME_ALL};

hsm_err guess_limit_init(struct guess_limit *g)
{
    *g = (struct guess_limit){0};
    return RAND_bytes(g->key, sizeof g->key) == 1 ? HSM_OK : HSM_E_INTERNAL;
}

static uint64_t id_of(const struct guess_limit *g, enum what what, struct bytes name,
                      const char *address)
{
    uint8_t text[1 + NAME_BYTES + 1 + 64], mac[32] = {0};
    unsigned n = 0;
    struct wr w = wr_of(text, sizeof text);
    wr_u8(&w, (uint8_t)what);
    for (size_t i = 0; what != ADDRESS && i < name.n && i < NAME_BYTES; i++) {
        uint8_t c = name.p[i];
        wr_u8(&w, c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c);
    }
    wr_u8(&w, 0);
    if (what != NAME)
        wr_bytes(&w, address, strnlen(address, 64));
    if (HMAC(EVP_sha256(), g->key, sizeof g->key, w.p, w.n, mac, &n) == NULL)
        return 1;
    uint64_t id = be64_get(mac);
    return id == 0 ? 1 : id;
}

static bool is_over(const struct guess_entry *e, uint64_t now_s)
{
    return e->id == 0 || now_s < e->since || now_s - e->since >= GUESS_SPAN_S;
}

/* Its entry; add: a free one, or the oldest of the few that it may have. */
static struct guess_entry *find(struct guess_limit *g, uint64_t id, bool add, uint64_t now_s)
{
    struct guess_entry *oldest = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        struct guess_entry *e = &g->entry[(id + i) % GUESS_ENTRIES];
        if (e->id == id)
            return e;
        if (oldest == NULL || (is_over(e, now_s) && !is_over(oldest, now_s)) ||
            (is_over(e, now_s) == is_over(oldest, now_s) && e->failures < oldest->failures))
            oldest = e;
    }
    if (!add)
        return NULL;
    *oldest = (struct guess_entry){.id = id, .since = now_s};
    return oldest;
}

bool guess_allowed(struct guess_limit *g, struct bytes name, const char *address, uint64_t now_s)
{
    bool allowed = true;
    for (enum what w = BOTH; w <= NAME; w++) {
        const struct guess_entry *e = find(g, id_of(g, w, name, address), false, now_s);
        allowed = allowed && (e == NULL || is_over(e, now_s) || e->failures < limits[w]);
    }
    return allowed;
}

void guess_note(struct guess_limit *g, struct bytes name, const char *address, bool good,
                uint64_t now_s)
{
    for (enum what w = BOTH; w <= NAME; w++) {
        struct guess_entry *e = find(g, id_of(g, w, name, address), !good, now_s);
        if (e == NULL || (good && w != BOTH))
            continue;
        if (good || is_over(e, now_s))
            *e = (struct guess_entry){.id = e->id, .since = now_s};
        e->failures += good ? 0 : 1;
    }
}
