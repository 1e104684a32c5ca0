#include "base/uuid.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* Eight digits at a time, one per byte of a word; without a table or a branch, because callers also
 * print digests of secrets. Every byte stays below 256 in each step, so nothing carries. */
#define EACH(v) (0x0101010101010101u * (v))

/* 1 in the bytes where v >= k, for bytes below 128 and 1 <= k <= 128. */
static inline uint64_t each_ge(uint64_t v, uint64_t k)
{
    return (v + EACH(128 - k)) >> 7 & EACH(1);
}

static inline uint64_t digits_of(uint32_t x)
{
    uint64_t v = x;
    v = (v | v << 16) & 0x0000ffff0000ffffu;
    v = (v | v << 8) & 0x00ff00ff00ff00ffu;
    v = (v | v << 4) & 0x0f0f0f0f0f0f0f0fu;
    return v + EACH('0') + each_ge(v, 10) * ('a' - '0' - 10);
}

/* *bad gets bits where one is no digit. */
static inline uint32_t value_of(uint64_t c, uint64_t *bad)
{
    *bad |= c & EACH(0x80);
    c &= EACH(0x7f);
    uint64_t low = c | EACH(0x20);
    uint64_t number = each_ge(c, '0') & ~each_ge(c, '9' + 1);
    uint64_t letter = each_ge(low, 'a') & ~each_ge(low, 'f' + 1);
    *bad |= (number | letter) ^ EACH(1);
    uint64_t v = (c & EACH(0x0f)) + letter * 9;
    v = (v | v >> 4) & 0x00ff00ff00ff00ffu;
    v = (v | v >> 8) & 0x0000ffff0000ffffu;
    return (uint32_t)(v | v >> 16);
}

void hex_encode(char *dst, const uint8_t *src, size_t n)
{
    size_t i = 0;
    for (; n - i >= 4; i += 4)
        be64_put((uint8_t *)dst + 2 * i, digits_of(be32_get(src + i)));
    for (; i < n; i++) {
        uint64_t two = digits_of(src[i]);
        dst[2 * i] = (char)(two >> 8 & 0xff);
        dst[2 * i + 1] = (char)(two & 0xff);
    }
    dst[2 * n] = '\0';
}

hsm_err hex_decode(uint8_t *dst, size_t n, struct bytes text)
{
    if (text.n / 2 != n || text.n % 2 != 0)
        return HSM_E_MALFORMED;
    uint64_t bad = 0;
    size_t i = 0;
    for (; n - i >= 4; i += 4)
        (void)value_of(be64_get(text.p + 2 * i), &bad);
    for (; i < n; i++)
        (void)value_of(EACH('0') << 16 | be16_get(text.p + 2 * i), &bad);
    if (bad != 0)
        return HSM_E_MALFORMED;
    for (i = 0; n - i >= 4; i += 4)
        be32_put(dst + i, value_of(be64_get(text.p + 2 * i), &bad));
    for (; i < n; i++)
        dst[i] = (uint8_t)value_of(EACH('0') << 16 | be16_get(text.p + 2 * i), &bad);
    return HSM_OK;
}

/* Lengths of the groups in bytes: 8-4-4-4-12 digits. */
static const uint8_t group_len[] = {4, 2, 2, 2, 6};
#define GROUPS (sizeof group_len / sizeof group_len[0])

hsm_err uuid_parse(struct bytes text, struct uuid *ret)
{
    if (text.n != UUID_TEXT_LEN)
        return HSM_E_MALFORMED;
    struct uuid u;
    size_t at = 0;
    size_t out = 0;
    for (size_t g = 0; g < GROUPS; g++) {
        if (g > 0 && text.p[at++] != '-')
            return HSM_E_MALFORMED;
        TRY(hex_decode(u.b + out, group_len[g], bytes_of(text.p + at, 2u * group_len[g])));
        at += 2u * group_len[g];
        out += group_len[g];
    }
    *ret = u;
    return HSM_OK;
}

void uuid_format(const struct uuid *u, char dst[UUID_TEXT_LEN + 1])
{
    char digits[2 * sizeof u->b + 1];
    size_t at = 0;
    size_t in = 0;
    hex_encode(digits, u->b, sizeof u->b);
    for (size_t g = 0; g < GROUPS; g++) {
        if (g > 0)
            dst[at++] = '-';
        memcpy(dst + at, digits + in, 2u * group_len[g]);
        at += 2u * group_len[g];
        in += 2u * group_len[g];
    }
    dst[at] = '\0';
}

static void random_bytes(uint8_t *p, int n)
{
    /* Without randomness no identifier is unique and no key is a key: end the process. */
    HSM_ASSERT(RAND_bytes(p, n) == 1);
}

static void set_version(struct uuid *u, uint8_t version)
{
    u->b[6] = (uint8_t)((u->b[6] & 0x0f) | version << 4);
    u->b[8] = (uint8_t)((u->b[8] & 0x3f) | 0x80);
}

void uuid_new_v4(struct uuid *ret)
{
    random_bytes(ret->b, sizeof ret->b);
    set_version(ret, 4);
}

/* Version 1: a random node and clock sequence per process, and a time that never stands still. */
static pthread_mutex_t v1_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t v1_once = PTHREAD_ONCE_INIT;
static bool v1_ready;
static uint8_t v1_node[8]; /* clock sequence, node */
static uint64_t v1_last;

/* A forked child must not continue the parent's sequence. The lock may be held by a thread that
 * does not exist in the child, so it is made anew. */
static void v1_after_fork(void)
{
    (void)pthread_mutex_init(&v1_lock, NULL);
    v1_ready = false;
}

static void v1_watch_fork(void)
{
    HSM_ASSERT(pthread_atfork(NULL, NULL, v1_after_fork) == 0);
}

/* 100 ns steps between 1582-10-15 and 1970-01-01. */
#define GREGORIAN_OFFSET 0x01b21dd213814000u

void uuid_new_v1(struct uuid *ret)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t t = (uint64_t)now.tv_sec * 10000000 + (uint64_t)now.tv_nsec / 100 + GREGORIAN_OFFSET;
    struct uuid u;
    (void)pthread_once(&v1_once, v1_watch_fork);
    (void)pthread_mutex_lock(&v1_lock);
    if (!v1_ready) {
        random_bytes(v1_node, sizeof v1_node);
        v1_node[2] |= 1; /* multicast bit: no real network card has this node */
        v1_ready = true;
    }
    if (t <= v1_last)
        t = v1_last + 1;
    v1_last = t;
    memcpy(u.b + 8, v1_node, sizeof v1_node);
    (void)pthread_mutex_unlock(&v1_lock);
    struct wr w = wr_of(u.b, 8);
    wr_u32(&w, (uint32_t)t);
    wr_u16(&w, (uint16_t)(t >> 32));
    wr_u16(&w, (uint16_t)(t >> 48));
    set_version(&u, 1);
    *ret = u;
}
