#include "fabric/answer.h"

void answer_header(struct answer *a, const char *name, const char *value)
{
    wr_str(&a->headers, name);
    wr_str(&a->headers, ": ");
    wr_str(&a->headers, value);
    wr_str(&a->headers, "\r\n");
}

void answer_error(struct answer *a, unsigned status, const char *code, const char *message)
{
    a->status = status;
    a->body.n = 0;
    a->body.overflow = false;
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    json_name(&j, "error");
    json_obj_open(&j);
    put_str(&j, "code", code);
    put_str(&j, "message", message);
    json_obj_close(&j);
    json_obj_close(&j);
}

void put_str(struct json_wr *j, const char *name, const char *value)
{
    json_name(j, name);
    json_put_str(j, value);
}

void put_bool(struct json_wr *j, const char *name, bool value)
{
    json_name(j, name);
    json_put_bool(j, value);
}

void put_int(struct json_wr *j, const char *name, int64_t value)
{
    json_name(j, name);
    json_put_int(j, value);
}

void put_join(struct json_wr *j, const char *name, const char *a, const char *b)
{
    json_name(j, name);
    json_str_open(j);
    json_str_add_s(j, a);
    json_str_add_s(j, b);
    json_str_close(j);
}
