/* What the parts of the framework for types of resources share. */
#ifndef FABRIC_ARM_INTERNAL_H
#define FABRIC_ARM_INTERNAL_H

#include "fabric/arm_type.h"

#define ARM_DOCUMENT_MAX 98304
#define ARM_PAGE_MAX     1000 /* entries of a list */
#define ARM_PAGE_BYTES   (ANSWER_BODY_MAX / 2)

extern const struct arm_type *const arm_types[];
extern const size_t arm_types_n;

/* What a path names. */
enum arm_what {
    ARM_NOTHING,    /* not of a known type */
    ARM_RESOURCE,   /* id */
    ARM_COLLECTION, /* id: that of the parent, scope, group or subscription */
    ARM_ACTION,     /* id: of the resource it is done with */
};
struct arm_path {
    enum arm_what what;
    const struct arm_type *type;
    const struct arm_action *action;
    struct bytes subscription, group; /* p is NULL when not in the path */
    struct bytes space, type_word;    /* of what is not known, for the error text */
    char id[ARM_ID_MAX + 1];          /* as in the request, without a trailing '/' */
    char name[ARM_NAME_MAX + 1];      /* last segment of id */
    char parent[ARM_ID_MAX + 1];      /* of the resource: parent or scope */
    bool child;                       /* parent is a resource of the same namespace */
};
/* Pure. HSM_E_RANGE: too long for an id. */
HSM_MUST_USE hsm_err arm_path_of(const struct url_target *url, struct arm_path *ret);
/* NULL: none of that name (any case). */
const struct arm_type *arm_type_named(struct bytes name);
/* The type of the resource with that id. */
const struct arm_type *arm_type_of_id(struct bytes id);

/* Lower case into dst; false when it is too long for a key. */
bool arm_key(struct bytes id, char dst[STATE_KEY_MAX + 1]);
/* "/subscriptions/S" and "/subscriptions/S/resourceGroups/G" of an id; empty when it has none. */
struct bytes arm_id_subscription(struct bytes id);
struct bytes arm_id_group(struct bytes id);
struct bytes arm_last_segment(struct bytes id);

/* Parse a resource's document; false when it is none. */
bool arm_read(const struct document *d, struct arm_resource *ret);
bool arm_read_json(struct bytes key, struct bytes json, struct arm_resource *ret);
/* The resource as its clients see it. */
void arm_render(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                struct json_wr *j);
/* 400 InvalidRequestContent and false when the body is no JSON object. */
bool arm_body(const struct request *rq, struct json_tok tok[ARM_TOKENS_MAX], struct json_doc *ret,
              struct answer *a);

/* 400 when there are tags and they are none. */
bool arm_tags_ready(const struct json_doc *body, struct answer *a);
/* "East US 2" becomes "eastus2", in place. */
void arm_normal_location(char *text);
/* 405. False. */
bool arm_wrong_method(const char *what, struct answer *a);
/* The caller's right, or 403. false: answered. */
bool arm_need(struct fabric *f, const struct request *rq, const struct arm_type *type,
              const char *right, const char *scope, struct answer *a);
/* May the caller see anything below scope? For lists, whose entries are then asked one by one. */
bool arm_may_below(struct fabric *f, const struct request *rq, struct bytes scope);
/* Subscription and group of the path exist, and nobody disabled or is deleting what is to be
 * written to. false: answered. */
bool arm_subscription_ready(struct fabric *f, struct bytes subscription, bool write,
                            struct answer *a);
bool arm_group_ready(struct fabric *f, struct bytes subscription, struct bytes group, bool write,
                     struct answer *a);
const struct document *arm_group_document(struct fabric *f, struct bytes subscription,
                                          struct bytes group);

/* Methods on what a path of a known type names. */
void arm_get(struct fabric *f, const struct request *rq, const struct arm_path *p,
             struct answer *a);
void arm_put_resource(struct fabric *f, const struct request *rq, const struct arm_path *p,
                      bool patch, struct answer *a);
void arm_delete_resource(struct fabric *f, const struct request *rq, const struct arm_path *p,
                         struct answer *a);
void arm_list(struct fabric *f, const struct request *rq, const struct arm_path *p,
              struct answer *a);
void arm_act(struct fabric *f, const struct request *rq, const struct arm_path *p,
             struct answer *a);

/* Lists: open, one resource after the other, close with a nextLink when there was no room. */
struct arm_lister {
    struct fabric *fabric;
    const struct request *rq;
    struct answer *answer;
    struct json_wr j;
    struct bytes after; /* $skiptoken: key of the last one shown */
    size_t shown, most;
    bool full;                    /* more follows */
    char next[STATE_KEY_MAX + 1]; /* "": all shown */
};
/* false: a bad $top; answered. */
bool arm_lister_open(struct arm_lister *l, struct fabric *f, const struct request *rq,
                     struct answer *a);
/* May the entry with that key be written now? full is set when it had no room any more. */
bool arm_lister_takes(struct arm_lister *l, struct bytes key);
void arm_lister_close(struct arm_lister *l);

/* Stage the end of everything below an id ("ID/..."). */
void arm_stage_delete_below(struct fabric *f, const struct request *rq, const char *id);
/* "https://ARM/subscriptions/S/providers/NS/locations/L/WORD/ID?api-version=V" into a header; with
 * Retry-After. */
void arm_operation_headers(const struct request *rq, const struct arm_type *type, const char *id,
                           const char *location, const char *operation, struct answer *a);
/* The request's own URL with kv-operation=..., for watching the resource itself; Retry-After. The
 * path must be plain: names of the resources that do this are. */
void arm_watch_headers(const struct request *rq, const char *header, struct answer *a);
/* GET of such a URL, style by its word, and of .../operationresults/ID. */
fabric_handler arm_operation_result;
/* An operation that has nothing left to do. */
#define ARM_DONE_KIND "arm.done"

/* Every path of Resource Manager that has no route of its own: one of the above. */
fabric_handler arm_dispatch;
void arm_list_open(struct json_wr *j);
void arm_list_close(struct json_wr *j);
/* The api-version of the request, or 400. */
bool arm_version(const struct request *rq, struct answer *a);

/* "createdBy"... of a new or changed resource. */
void arm_put_system_data(struct json_wr *j, const struct request *rq, const struct json_doc *old);
void arm_put_time(struct json_wr *j, const char *name, uint64_t ms);

#endif
