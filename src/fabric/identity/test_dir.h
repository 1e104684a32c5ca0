/* A private directory for a test, removed with everything in it. */
#ifndef FABRIC_IDENTITY_TEST_DIR_H
#define FABRIC_IDENTITY_TEST_DIR_H

#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <unistd.h>
#include <cmocka.h>

struct test_dir {
    char path[128];
};

static inline int test_dir_remove_one(const char *path, const struct stat *st, int type,
                                      struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static inline int test_dir_setup(void **state)
{
    struct test_dir *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -1;
    snprintf(d->path, sizeof d->path, "/tmp/keyhold-fabric-test-XXXXXX");
    *state = d;
    return mkdtemp(d->path) != NULL ? 0 : -1;
}

static inline int test_dir_teardown(void **state)
{
    struct test_dir *d = *state;
    int e = nftw(d->path, test_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(d);
    return e;
}

#define TEST_WITH_DIR(f) cmocka_unit_test_setup_teardown(f, test_dir_setup, test_dir_teardown)

#endif
