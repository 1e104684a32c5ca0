/* Shared by the tests of sd*.c: the vectors of tests/vectors/security-domain. */
#ifndef BOUNDARY_SD_TESTING_H
#define BOUNDARY_SD_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/uuid.h"
#include "codec/json.h"

#define VECTOR_TEXT_MAX 200000u
#define VECTOR_TOKENS   20000u

struct vectors {
    char text[VECTOR_TEXT_MAX];
    struct json_tok tok[VECTOR_TOKENS];
    struct json_doc doc;
};

static inline struct vectors *vectors_load(const char *name)
{
    char path[512];
    struct vectors *v = (struct vectors *)calloc(1, sizeof *v);
    assert_non_null(v);
    snprintf(path, sizeof path, "%s/tests/vectors/security-domain/%s", KEYHOLD_SOURCE_DIR, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("cannot open %s", path);
    size_t n = 0;
    for (;;) {
        ssize_t got = read(fd, v->text + n, sizeof v->text - n);
        assert_true(got >= 0);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    close(fd);
    assert_true(n < sizeof v->text);
    assert_int_equal(json_parse(bytes_of(v->text, n), v->tok, VECTOR_TOKENS, &v->doc), HSM_OK);
    return v;
}

static inline uint32_t vec_get(const struct vectors *v, uint32_t obj, const char *name)
{
    uint32_t at = json_get(&v->doc, obj, name);
    if (at == JSON_NONE)
        fail_msg("no member %s", name);
    return at;
}

static inline unsigned vec_int(const struct vectors *v, uint32_t obj, const char *name)
{
    int64_t n = 0;
    assert_int_equal(json_int(&v->doc, vec_get(v, obj, name), &n), HSM_OK);
    return (unsigned)n;
}

/* Terminated text. */
static inline size_t vec_text(const struct vectors *v, uint32_t at, char *dst, size_t cap)
{
    size_t n = 0;
    assert_int_equal(json_string(&v->doc, at, dst, cap - 1, &n), HSM_OK);
    dst[n] = '\0';
    return n;
}

static inline size_t vec_hex(const struct vectors *v, uint32_t at, uint8_t *dst, size_t cap)
{
    struct bytes hex;
    assert_int_equal(json_plain(&v->doc, at, &hex), HSM_OK);
    assert_true(hex.n / 2 <= cap);
    assert_int_equal(hex_decode(dst, hex.n / 2, hex), HSM_OK);
    return hex.n / 2;
}

#endif
