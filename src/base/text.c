#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool text_number(const char *text, long max, long *ret)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || v > max)
        return false;
    *ret = v;
    return true;
}

bool text_listen(const char *text, char *addr, size_t cap, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    long port;
    if (colon == NULL || !text_number(colon + 1, UINT16_MAX, &port))
        return false;
    size_t n = (size_t)(colon - text);
    if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    if (n == 0 || n >= cap)
        return false;
    memcpy(addr, text, n);
    addr[n] = '\0';
    *ret_port = (uint16_t)port;
    return true;
}
