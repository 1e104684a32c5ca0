/* A directory with a seal, for the tests of all providers. */
#ifndef BOUNDARY_SEAL_TESTING_H
#define BOUNDARY_SEAL_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "boundary/seal.h"

struct place {
    char dir[64];
    char path[96];
    char key[112]; /* the provider's file */
    char fresh[112];
    const char *provider;
    struct roots roots;
};

static inline void place_make(struct place *p, const char *provider, const char *suffix)
{
    *p = (struct place){.dir = "/tmp/seal_test.XXXXXX", .provider = provider};
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/roots.sealed", p->dir);
    snprintf(p->key, sizeof p->key, "%s%s", p->path, suffix);
    snprintf(p->fresh, sizeof p->fresh, "%s.new", p->path);
}

static inline void place_init(struct place *p, const char *provider, const char *suffix)
{
    place_make(p, provider, suffix);
    assert_int_equal(roots_generate("dev", &p->roots), HSM_OK);
}

/* Fails when a temporary file was left. */
static inline int place_done(struct place *p)
{
    roots_done(&p->roots);
    unlink(p->path);
    unlink(p->key);
    unlink(p->fresh);
    return rmdir(p->dir);
}

static inline size_t slurp(const char *path, uint8_t *dst, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, dst, cap);
    assert_true(n > 0);
    close(fd);
    return (size_t)n;
}

static inline void spill(const char *path, const uint8_t *src, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, src, n), n);
    close(fd);
}

static inline mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static inline bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* One start of a boundary each. */
static inline hsm_err load(const char *provider, const char *path, struct roots *ret, char *text,
                           size_t cap)
{
    struct seal *s;
    TRY(seal_begin(provider, path, &s, text, cap));
    hsm_err err = seal_load(s, ret, text, cap);
    seal_end(s);
    return err;
}

static inline hsm_err store(const char *provider, const char *path, const struct roots *r,
                            char *text, size_t cap)
{
    struct seal *s;
    TRY(seal_begin(provider, path, &s, text, cap));
    hsm_err err = seal_store(s, r, text, cap);
    seal_end(s);
    return err;
}

static inline void must_store(struct place *p)
{
    char text[512] = "";
    if (store(p->provider, p->path, &p->roots, text, sizeof text) != HSM_OK)
        fail_msg("%s", text);
}

static inline void expect_load(struct place *p, hsm_err want, const char *mentions)
{
    struct roots r = {0};
    char text[512] = "";
    hsm_err err = load(p->provider, p->path, &r, text, sizeof text);
    if (err != want)
        fail_msg("%s instead of %s: %s", hsm_err_name(err), hsm_err_name(want), text);
    if (want == HSM_OK) {
        assert_memory_equal(r.dek, p->roots.dek, ROOT_KEY_LEN);
        assert_memory_equal(r.pool.b, p->roots.pool.b, 16);
        roots_done(&r);
        return;
    }
    assert_null(r.dek);
    if (strstr(text, mentions) == NULL)
        fail_msg("\"%s\" does not mention \"%s\"", text, mentions);
}

#endif
