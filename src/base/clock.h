/* Clocks. Pure code takes time as a parameter; only process loops call these. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_now_ms(void);  /* wall clock, Unix milliseconds */
uint64_t clock_mono_us(void); /* monotonic microseconds */
/* "2020-08-31T19:52:39.763Z" into dst (at least 25 bytes). */
void clock_format_ms(uint64_t unix_ms, char *dst, size_t cap);

#endif
