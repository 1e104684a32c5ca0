/* Hooks of the test build of the boundary (keyhold-boundary-test, never installed). In the program
 * itself they are empty. */
#ifndef BOUNDARY_TEST_HOOKS_H
#define BOUNDARY_TEST_HOOKS_H

#include "base/bytes.h"

#ifdef KEYHOLD_TEST_HOOKS
/* KEYHOLD_TEST_KEYLOG_FD: inherited descriptor that gets every new private part as a hex line. */
int test_keylog_fd(void);
void test_keylog(struct bytes secret_private);
/* KEYHOLD_TEST_SYSCALL: try a forbidden system call after the sandbox closed. */
void test_forbidden_call(void);
#else
static inline int test_keylog_fd(void)
{
    return -1;
}
static inline void test_keylog(struct bytes secret_private)
{
    (void)secret_private;
}
static inline void test_forbidden_call(void)
{
}
#endif

#endif
