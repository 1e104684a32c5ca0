/* The directory: users, service principals, managed identities (STATE_PRINCIPAL), applications
 * (STATE_APPLICATION) and groups (STATE_DIRECTORY_GROUP), all keyed by object id. One document:
 *   {"type":"user|servicePrincipal|managedIdentity|application|group",
 *    "object":{ what Graph shows of it },
 *    "secret":{ what it does not: "password", "secrets":{KEYID:HASH}, "certificates":{KEYID:DER} },
 *    "resourceId":..., "systemAssigned":bool      managed identities }
 * The principals of directory.json are in it from the beginning, as if they had such documents; a
 * change of one makes its document.
 *
 * STATE_DIRECTORY_NAME finds by what is unique besides: "upn/NAME", "app/CLIENTID" (applications),
 * "sp/CLIENTID" (service principals and managed identities), "res/ARM id", all lower case; its
 * document is {"id":OBJECTID}. STATE_MEMBER has "g/GROUP/MEMBER" and "m/MEMBER/GROUP", both {}. */
#ifndef FABRIC_PEOPLE_H
#define FABRIC_PEOPLE_H

#include "codec/json.h"
#include "fabric/fabric.h"

#define PEOPLE_TOKENS_MAX 4096
#define PEOPLE_DOC_MAX    65536
/* Groups of one object that are looked at; more are cut off. */
#define PEOPLE_GROUPS_MAX 2046

enum people_type {
    PEOPLE_USER,
    PEOPLE_SP,
    PEOPLE_MANAGED,
    PEOPLE_APPLICATION,
    PEOPLE_GROUP,
    PEOPLE__TYPES
};
extern const char *const people_type_name[PEOPLE__TYPES];
enum state_kind people_kind(enum people_type t);

/* A document, parsed. Borrows; valid until the handler returns or the next people_get() of the same
 * struct. */
struct people_object {
    enum people_type type;
    bool built_in; /* of directory.json */
    struct json_doc d;
    uint32_t object, secret; /* members; secret may be JSON_NONE */
    struct json_tok tok[PEOPLE_TOKENS_MAX];
    uint8_t text[4096]; /* of a built-in one that has no document */
};
HSM_MUST_USE bool people_get(const struct fabric *f, enum state_kind kind, struct bytes oid,
                             struct people_object *ret);
/* All objects of a kind, the built-in ones first. */
typedef bool (*people_each_fn)(void *ctx, const struct people_object *o);
void people_each(const struct fabric *f, enum state_kind kind, people_each_fn fn, void *ctx);
/* A text member of "object" without escapes or with, "" when absent; dst is terminated. */
void people_text(const struct people_object *o, const char *name, char *dst, size_t cap);
bool people_principal(const struct people_object *o, struct principal *ret);

/* What the directory's name index says. *ret: an object id. c: with what is staged there already
 * done; NULL: as it is. */
HSM_MUST_USE bool people_find_staged(const struct fabric *f, const struct changes *c,
                                     const char *space, struct bytes name,
                                     char ret[UUID_TEXT_LEN + 1]);
HSM_MUST_USE bool people_find(const struct fabric *f, const char *space, struct bytes name,
                              char ret[UUID_TEXT_LEN + 1]);
void people_stage_name(struct changes *c, const char *space, struct bytes name, const char *oid);
void people_unstage_name(struct changes *c, const char *space, struct bytes name);

bool people_is_member(const struct fabric *f, struct bytes group, struct bytes member);
void people_stage_member(struct changes *c, struct bytes group, struct bytes member);
void people_unstage_member(struct changes *c, struct bytes group, struct bytes member);
/* Object ids of direct members of a group, or of groups that an object is directly in. */
typedef bool (*people_id_fn)(void *ctx, struct bytes oid);
void people_members(const struct fabric *f, struct bytes group, people_id_fn fn, void *ctx);
void people_groups_direct(const struct fabric *f, struct bytes member, people_id_fn fn, void *ctx);
/* All groups, also through groups; at most max of them, and max + 1 when there are more. */
size_t people_groups(const struct fabric *f, struct bytes member, char (*dst)[UUID_TEXT_LEN + 1],
                     size_t max);
/* Takes an object out of all groups, and everybody out of it. */
void people_unstage_all(const struct fabric *f, struct changes *c, struct bytes oid);

/* Whether a principal may change the directory: the user and the administrator of
 * directory.json. */
bool people_may_write(const struct fabric *f, const struct principal *who);

/* The provider of tokens finds them here from now on (a part of fabric_open). */
hsm_err people_open(struct fabric *f);

/* people_builtin.c: the text of a built-in object, if that id is one's. */
#define PEOPLE_BUILTIN_MAX 8
HSM_MUST_USE bool people_builtin(const struct fabric *f, enum state_kind kind, struct bytes oid,
                                 struct wr *out);
/* The i-th id of a kind; false: there are no more. */
HSM_MUST_USE bool people_builtin_id(const struct fabric *f, enum state_kind kind, size_t i,
                                    char ret[UUID_TEXT_LEN + 1]);
HSM_MUST_USE bool people_builtin_find(const struct fabric *f, const char *space, struct bytes name,
                                      char ret[UUID_TEXT_LEN + 1]);
/* The object id of the application of a built-in service principal. */
void people_builtin_application(const struct principal *p, char ret[UUID_TEXT_LEN + 1]);

/* people_credential.c: struct people's secret and certificate, and the dates in them. */
enum token_fault people_check_secret(void *ctx, const struct principal *app, struct bytes given,
                                     uint64_t now_s);
enum token_fault people_check_certificate(void *ctx, const struct principal *app,
                                          const struct assertion *a, uint64_t now_s);
/* "2026-11-28T04:00:00.000Z"; an offset other than Z or +00:00 is refused. */
HSM_MUST_USE hsm_err people_time_parse(struct bytes text, uint64_t *ret_s);

#endif
