/* How far an operation is, in the two forms that clients ask for. */
#include <stdio.h>
#include "fabric/arm_internal.h"

static unsigned status_of(const struct operation *op)
{
    /* Some codes of the provider are the status itself. */
    if (strlen(op->error_code) == 3 && op->error_code[0] >= '4' && op->error_code[0] <= '5')
        return (unsigned)((op->error_code[0] - '0') * 100 + (op->error_code[1] - '0') * 10 +
                          (op->error_code[2] - '0'));
    return strcmp(op->error_code, "ConflictError") == 0 ? 409 : 500;
}

/* 202 until the end; then the resource, or nothing when it is gone. */
static void answer_location(struct fabric *f, const struct request *rq, const struct operation *op,
                            struct answer *a)
{
    struct arm_resource r;
    char url[FACE_URL_MAX + HTTP1_HEAD_MAX / 4];
    struct json_wr j = json_wr_of(&a->body);
    switch (op->state) {
    case OPERATION_RUNNING:
        snprintf(url, sizeof url, "%s%.*s", rq->face.arm, (int)rq->http->head->target.n,
                 (const char *)rq->http->head->target.p);
        answer_header(a, "Location", url);
        answer_header(a, "Retry-After", "1");
        a->status = 202;
        return;
    case OPERATION_FAILED:
        answer_error(a, status_of(op), op->error_code, op->error_text);
        return;
    case OPERATION_SUCCEEDED:
        if (arm_find(f, bytes_str(op->target), &r))
            arm_render(f, rq, &r, &j);
        return;
    }
}

/* What compute's operations say when they have succeeded: the resource, when it is still there. */
static void put_output(struct fabric *f, const struct request *rq, const struct operation *op,
                       struct json_wr *j)
{
    struct arm_resource r;
    json_name(j, "properties");
    if (op->state != OPERATION_SUCCEEDED || !arm_find(f, bytes_str(op->target), &r) ||
        r.type == NULL || r.type->style != ARM_ACCEPTED || r.type->upsert != NULL) {
        json_put_null(j);
        return;
    }
    json_obj_open(j);
    json_name(j, "output");
    arm_render(f, rq, &r, j);
    json_obj_close(j);
}

static void answer_status(struct fabric *f, const struct request *rq, const struct operation *op,
                          struct answer *a)
{
    static const char *const word[] = {[OPERATION_RUNNING] = "InProgress",
                                       [OPERATION_SUCCEEDED] = "Succeeded",
                                       [OPERATION_FAILED] = "Failed"};
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    json_name(&j, "id");
    json_put_bytes(&j, rq->url.path);
    put_str(&j, "name", op->id);
    put_str(&j, "status", word[op->state]);
    arm_put_time(&j, "startTime", op->created_ms);
    if (op->state != OPERATION_RUNNING)
        arm_put_time(&j, "endTime", op->ended_ms);
    if (op->state == OPERATION_FAILED) {
        json_name(&j, "error");
        json_obj_open(&j);
        put_str(&j, "code", op->error_code);
        put_str(&j, "message", op->error_text);
        json_obj_close(&j);
    } else {
        put_output(f, rq, op, &j);
    }
    json_obj_close(&j);
    if (op->state == OPERATION_RUNNING)
        answer_header(a, "Retry-After", "1");
}

void arm_operation_result(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct operation op;
    char id[UUID_TEXT_LEN + 1];
    struct uuid u;
    size_t n = rq->url.seg_n;
    struct bytes word = rq->url.seg[n - 2];
    if (uuid_parse(rq->url.seg[n - 1], &u) != HSM_OK) {
        arm_dispatch(f, rq, a);
        return;
    }
    uuid_format(&u, id);
    if (operation_find(f->state, bytes_str(id), &op) != HSM_OK) {
        arm_error(a, 404, "OperationNotFound", "The operation '%s' could not be found.", id);
        return;
    }
    /* Who may see any of what it is about may see how far it is. */
    struct bytes target = bytes_str(op.target);
    if (!arm_may_below(f, rq, target)) {
        arm_forbid(rq, "Microsoft.Resources/subscriptions/operationresults/read", target, a);
        return;
    }
    static const char results[] = "results";
    const size_t k = sizeof results - 1;
    if (url_param_get(&rq->url, "monitor").n > 0 ||
        (word.n >= k && bytes_ieq(bytes_of(word.p + word.n - k, k), bytes_str(results))))
        answer_location(f, rq, &op, a);
    else
        answer_status(f, rq, &op, a);
}
