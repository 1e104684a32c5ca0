/* Settings of the pool: handlers, and the form of their records. */
#ifndef BOUNDARY_SETTINGS_H
#define BOUNDARY_SETTINGS_H

#include "boundary/handler.h"
#include "model/setting.h"

hsm_err settings_handle_list(struct request *rq);
hsm_err settings_handle_get(struct request *rq);
hsm_err settings_handle_update(struct request *rq);

/* Body of a REC_SETTING record; the record's name is the setting's. */
void setting_body_encode(bool value, struct wr *w);
HSM_MUST_USE hsm_err setting_body_decode(struct bytes body, bool *ret);

#endif
