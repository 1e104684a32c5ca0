/* State of the subscription, as a cloud's billing would set it: a document of state, changed by
 * `keyhold subscription set-state`. Disabled and Deleted are read-only; the others change nothing
 * but what is shown. */
#ifndef FABRIC_SUBSCRIPTION_H
#define FABRIC_SUBSCRIPTION_H

#include "fabric/fabric.h"

/* "Enabled", "Disabled", "Warned", "PastDue" or "Deleted". Static. */
const char *subscription_state(const struct fabric *f);
bool subscription_is_read_only(const struct fabric *f);
/* 409 ReadOnlyDisabledSubscription when it is read-only. false: answered. */
bool subscription_may_write(const struct fabric *f, struct answer *a);
/* Lists that the provider cannot make then: 409 ProviderError. collection: "deletedManagedHSMs".
 * false: answered. */
bool subscription_may_list(const struct fabric *f, const char *collection, struct answer *a);

/* Stages another state; HSM_E_BAD_PARAMETER when there is none of that name (exact case). */
HSM_MUST_USE hsm_err subscription_set(struct fabric *f, struct changes *c, struct bytes name);

#endif
