/* Results of the boundary to JSON bodies: compact, members in alphabetical order, absent members
 * left out. Pure. */
#ifndef GATEWAY_RENDER_H
#define GATEWAY_RENDER_H

#include "codec/json.h"
#include "gateway/route.h"

/* What an answer shows of its request. Owned copies: the request's views may be gone. */
#define RENDER_AUTHORITY_MAX 264 /* a host name of 253, a colon, a port, a terminator */
struct render_ctx {
    unsigned op;
    char authority[RENDER_AUTHORITY_MAX]; /* host[:port] as the client addressed us, lower case */
    char name[ROUTE_NAME_MAX + 1];
    char api_version[ROUTE_API_VERSION_MAX + 1];
    uint16_t max; /* page size */
};

/* Append the JSON body of a successful result of ctx->op. HSM_E_MALFORMED: the boundary's message
 * does not decode; HSM_E_RANGE: does not fit out. Operations without body append nothing. */
HSM_MUST_USE hsm_err render_result(const struct render_ctx *ctx, struct bytes result,
                                   struct wr *out);

/* The parts. */
HSM_MUST_USE hsm_err render_key(const struct render_ctx *ctx, struct bytes result,
                                struct json_wr *j);
HSM_MUST_USE hsm_err render_key_backup(struct bytes result, struct json_wr *j);
HSM_MUST_USE hsm_err render_key_page(const struct render_ctx *ctx, struct bytes result,
                                     struct json_wr *j);
HSM_MUST_USE hsm_err render_crypto(const struct render_ctx *ctx, struct bytes result,
                                   struct json_wr *j);
HSM_MUST_USE hsm_err render_role_definition(struct bytes result, struct json_wr *j);
HSM_MUST_USE hsm_err render_role_assignment(struct bytes result, struct json_wr *j);
HSM_MUST_USE hsm_err render_role_list(const struct render_ctx *ctx, struct bytes result,
                                      struct json_wr *j);
HSM_MUST_USE hsm_err render_sd_file(struct bytes result, struct json_wr *j);
HSM_MUST_USE hsm_err render_sd_status(struct bytes result, struct json_wr *j);
HSM_MUST_USE hsm_err render_rotation_policy(const struct render_ctx *ctx, struct bytes result,
                                            struct json_wr *j);
HSM_MUST_USE hsm_err render_rng(struct bytes result, struct json_wr *j);
HSM_MUST_USE hsm_err render_setting(struct bytes result, struct json_wr *j);
HSM_MUST_USE hsm_err render_setting_list(struct bytes result, struct json_wr *j);

/* enum sd_status of an answer to a status request, SD_NONE when it does not decode. */
unsigned render_sd_status_of(struct bytes result);

/* {"error":{"code":...,"message":"... (Activity ID: <id>)"}}; detail empty: the table's text. */
void render_error(unsigned err, struct bytes detail, const char *activity, struct wr *out);

#endif
