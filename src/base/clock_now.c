#include <time.h>
#include "base/clock.h"

/* Alone in its file: programs of the tests are linked with another one (tests/tools/moved_clock.c).
 */
uint64_t clock_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
