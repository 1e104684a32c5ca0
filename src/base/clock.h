/* Clocks. Pure code takes time as a parameter; only process loops call these. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_now_ms(void);  /* wall clock, Unix milliseconds */
uint64_t clock_mono_us(void); /* monotonic microseconds */
uint64_t clock_boot_us(void); /* the same, and goes on while the machine sleeps */
/* "2020-08-31T19:52:39.763Z" and a terminator into dst; what cap has no room for is cut off. */
#define CLOCK_TEXT_LEN 24
void clock_format_ms(uint64_t unix_ms, char *dst, size_t cap);

#endif
