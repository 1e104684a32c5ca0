#include "gateway/pool_state.h"

#include <errno.h>
#include "base/file.h"
#include "base/log.h"

const char *pool_state_name(unsigned state)
{
    switch (state) {
    case POOL_NEW:
        return "New";
    case POOL_NOT_ACTIVATED:
        return "NotActivated";
    case POOL_ACTIVE:
        return "Active";
    default:
        return "Unknown";
    }
}

static hsm_err write_state(const char *path, unsigned state)
{
    char word[32];
    struct wr w = wr_of((uint8_t *)word, sizeof word);
    wr_str(&w, pool_state_name(state));
    wr_str(&w, "\n");
    return file_replace(path, wr_view(&w), 0600);
}

void pool_state_take(struct pool_state_file *f, const struct wire_status *m)
{
    if (f->path == NULL || m == NULL ||
        (m->pool_state != POOL_NOT_ACTIVATED && m->pool_state != POOL_ACTIVE))
        return;
    f->seen_index = m->applied;
    if (m->pool_state == f->written)
        return;
    if (write_state(f->path, m->pool_state) == HSM_OK) {
        f->written = m->pool_state;
        return;
    }
    f->seen_index = 0; /* again at the next look */
    if (!f->has_failed)
        log_warn("cannot write %s: %s; the control origin does not show the pool's state", f->path,
                 strerror(errno));
    f->has_failed = true;
}

static void on_status(void *ctx, const struct wire_status *m)
{
    struct pool_state_file *f = ctx;
    f->is_asking = false;
    pool_state_take(f, m);
}

void pool_state_look(struct pool_state_file *f, uint64_t committed)
{
    if (f->path == NULL || f->is_asking || f->written == POOL_ACTIVE || committed == f->seen_index)
        return;
    f->is_asking = true;
    control_status(f->control, on_status, f);
}
