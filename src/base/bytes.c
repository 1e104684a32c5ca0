#include "base/bytes.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool bytes_ieq(struct bytes a, struct bytes b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (a.p[i] != b.p[i] && lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

size_t wr_lv_open(struct wr *w)
{
    size_t at = w->n;
    wr_u32(w, 0);
    return at;
}

void wr_lv_close(struct wr *w, size_t at)
{
    if (!w->overflow)
        be32_put(w->p + at, (uint32_t)(w->n - at - 4));
}
