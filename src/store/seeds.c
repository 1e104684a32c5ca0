#include "store/seeds.h"

#include <stdio.h>
#include <stdlib.h>

static bool take_one(struct seeds *s, const char *text, size_t n)
{
    char *end;
    if (n == 0 || text[0] < '1' || text[0] > '9' || s->n == SEEDS_MAX)
        return false;
    uint64_t id = strtoull(text, &end, 10);
    size_t used = (size_t)(end - text);
    if (used > 6 || *end != '=' || used + 1 >= n || n - used - 1 >= sizeof s->seed[0].address)
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (s->seed[i].id == id)
            return false;
    struct seed *d = &s->seed[s->n++];
    d->id = id;
    snprintf(d->address, sizeof d->address, "%.*s", (int)(n - used - 1), end + 1);
    return true;
}

hsm_err seeds_parse(const char *text, struct seeds *ret)
{
    struct seeds s = {.n = 0};
    while (text && *text != '\0') {
        size_t n = strcspn(text, ",");
        if (!take_one(&s, text, n) || (text[n] == ',' && text[n + 1] == '\0'))
            return HSM_E_BAD_PARAMETER;
        text += text[n] == ',' ? n + 1 : n;
    }
    *ret = s;
    return HSM_OK;
}
