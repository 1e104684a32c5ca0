/* Where the frames of a request lane are copied to. */
#include "boundary/boundary.h"

/* Secret memory may be full of keys in use; then one import at a time goes on in the reserve. */
static void take_room(struct worker *w, size_t n)
{
    w->import = (uint8_t *)secret_alloc(n);
    if (w->import != NULL)
        return;
    (void)pthread_mutex_lock(&w->b->import_lock);
    w->import = w->b->import_reserve;
}

static void give_room(struct worker *w, size_t used)
{
    if (w->import == w->b->import_reserve) {
        secret_wipe(w->import, used);
        (void)pthread_mutex_unlock(&w->b->import_lock);
    } else {
        secret_free(w->import);
    }
    w->import = NULL;
}

static hsm_err read_import(struct worker *w, size_t n, struct ring_frame *ret)
{
    if (n > IMPORT_FRAME_MAX)
        return HSM_E_CORRUPT;
    take_room(w, n);
    hsm_err err = ring_read(w->b->rings.in[w->lane], w->import, n, ret);
    if (err != HSM_OK)
        give_room(w, n);
    return err;
}

hsm_err lane_read(struct worker *w, struct ring_frame *ret)
{
    struct ring *in = w->b->rings.in[w->lane];
    struct ring_head head;
    TRY(ring_peek(in, &head));
    if (head.type == OP_KEY_IMPORT)
        return read_import(w, head.n, ret);
    TRY(ring_read(in, w->frame, RING_FRAME_MAX, ret));
    if (ret->type != OP_KEY_IMPORT)
        return HSM_OK;
    /* The gateway changed the head meanwhile. */
    lane_release(w, ret);
    return HSM_E_CORRUPT;
}

void lane_release(struct worker *w, const struct ring_frame *f)
{
    if (w->import != NULL)
        give_room(w, f->payload.n);
    else
        secret_wipe(w->frame, f->payload.n);
}
