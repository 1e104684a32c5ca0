/* Values of command-line options. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, 0 to max. */
bool text_number(const char *text, long max, long *ret);
/* "ADDR:PORT" or "[v6]:PORT": the last colon divides, brackets are taken off; addr[cap] gets the
 * text of the address, which is not checked further. */
bool text_listen(const char *text, char *addr, size_t cap, uint16_t *ret_port);

#endif
