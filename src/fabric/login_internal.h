/* Internal to login*.c. */
#ifndef FABRIC_LOGIN_INTERNAL_H
#define FABRIC_LOGIN_INTERNAL_H

#include "fabric/people.h"

#define LOGIN_PARAM_MAX 512

/* Device codes (RFC 8628): the document "d/USERCODE" of STATE_LOGIN has the digest of the device
 * code, what was asked for, and who approved it. A request that names no scope gets that one. */
enum token_fault device_redeem(struct fabric *f, const struct request *rq, struct token_request *q,
                               const struct token_context *c, struct principal *ret_who);
/* false: there is no such code, or its time is over. approve: false declines. */
bool device_decide(struct fabric *f, const struct request *rq, struct bytes user_code,
                   const char *oid, bool approve);

/* Authorization codes (RFC 6749 §4.1, RFC 7636): they carry their content under a MAC; the document
 * "c/DIGEST" says that one was used. */
enum token_fault code_redeem(struct fabric *f, const struct request *rq,
                             const struct token_request *q, const struct token_context *c,
                             struct principal *ret_who);

/* Ended logins go when new ones come. */
void login_sweep(struct fabric *f, struct changes *c, uint64_t now_s);
/* MAC with the key of refresh tokens under a purpose of its own. */
HSM_MUST_USE hsm_err login_mac(const struct fabric *f, const char *purpose, struct bytes data,
                               uint8_t mac[32]);
HSM_MUST_USE bool login_form(struct fabric *f, const struct request *rq, struct url_param *params,
                             size_t max, size_t *ret_n);
struct bytes login_param(const struct url_param *params, size_t n, const char *name);
/* Pages: text/html, nothing loaded from elsewhere, not to be framed. */
void login_page(struct answer *a, unsigned status, const char *title, struct bytes inner);
void html_add(struct wr *w, struct bytes text); /* escaped */

#endif
