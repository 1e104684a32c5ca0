#include "fabric/subscription.h"

#include <stdio.h>

static const struct {
    const char *name;
    bool read_only;
} states[] = {{"Enabled", false},
              {"Disabled", true},
              {"Warned", false},
              {"PastDue", false},
              {"Deleted", true}};
#define STATES (sizeof states / sizeof *states)

static size_t index_of(struct bytes name)
{
    size_t i = 0;
    while (i < STATES && !bytes_eq_str(name, states[i].name))
        i++;
    return i;
}

static size_t current(const struct fabric *f)
{
    struct json_tok tok[16];
    struct json_doc d;
    struct bytes name;
    const struct document *at =
        f->state != NULL
            ? state_get(f->state, STATE_SUBSCRIPTION, bytes_str(f->provider.dir.subscription))
            : NULL;
    if (at == NULL || json_parse(at->json, tok, sizeof tok / sizeof *tok, &d) != HSM_OK)
        return 0;
    uint32_t v = json_get(&d, 0, "state");
    size_t i = v != JSON_NONE && json_plain(&d, v, &name) == HSM_OK ? index_of(name) : 0;
    return i < STATES ? i : 0;
}

const char *subscription_state(const struct fabric *f)
{
    return states[current(f)].name;
}

bool subscription_is_read_only(const struct fabric *f)
{
    return states[current(f)].read_only;
}

bool subscription_may_write(const struct fabric *f, struct answer *a)
{
    char text[320];
    if (!subscription_is_read_only(f))
        return true;
    (void)snprintf(
        text, sizeof text,
        "The subscription '%s' is disabled and therefore marked as read only. You cannot "
        "perform any write actions on this subscription until it is re-enabled.",
        f->provider.dir.subscription);
    answer_error(a, 409, "ReadOnlyDisabledSubscription", text);
    return false;
}

bool subscription_may_list(const struct fabric *f, const char *collection, struct answer *a)
{
    char text[200];
    if (!subscription_is_read_only(f))
        return true;
    (void)snprintf(
        text, sizeof text,
        "Resource provider 'Microsoft.KeyVault' failed to return collection response for "
        "type '%s'.",
        collection);
    answer_error(a, 409, "ProviderError", text);
    return false;
}

hsm_err subscription_set(struct fabric *f, struct changes *c, struct bytes name)
{
    uint8_t buf[64];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    size_t i = index_of(name);
    if (i == STATES)
        return HSM_E_BAD_PARAMETER;
    json_obj_open(&j);
    put_str(&j, "state", states[i].name);
    json_obj_close(&j);
    changes_put(c, STATE_SUBSCRIPTION, bytes_str(f->provider.dir.subscription), wr_view(&w));
    return HSM_OK;
}
