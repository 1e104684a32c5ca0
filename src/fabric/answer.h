/* An HTTP answer under construction, and the few shapes of JSON that occur often. */
#ifndef FABRIC_ANSWER_H
#define FABRIC_ANSWER_H

#include "base/bytes.h"
#include "codec/json.h"

#define ANSWER_HEADERS_MAX 4096
#define ANSWER_BODY_MAX    (1 << 20)

struct answer {
    unsigned status;
    struct wr headers; /* complete lines */
    struct wr body;    /* JSON */
    bool secret;       /* body holds tokens */
};

/* value must be free of line ends. */
void answer_header(struct answer *a, const char *name, const char *value);
/* {"error":{"code":code,"message":message}}: the form of Resource Manager and of Graph. */
void answer_error(struct answer *a, unsigned status, const char *code, const char *message);

void put_str(struct json_wr *j, const char *name, const char *value);
void put_bool(struct json_wr *j, const char *name, bool value);
void put_int(struct json_wr *j, const char *name, int64_t value);
/* name: the concatenation of a and b */
void put_join(struct json_wr *j, const char *name, const char *a, const char *b);

#endif
