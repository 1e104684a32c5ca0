/* What config.c (the file) and config_partitions.c (its list of partitions) share. */
#ifndef PARTITION_CONFIG_INTERNAL_H
#define PARTITION_CONFIG_INTERNAL_H

#include "codec/json.h"
#include "partition/config.h"

/* A text member of obj into dst[cap]; "" when it is absent and not required. */
HSM_MUST_USE hsm_err config_text(const struct json_doc *d, uint32_t obj, const char *name,
                                 char *dst, size_t cap, bool required);
/* 0 when it is absent. */
HSM_MUST_USE hsm_err config_int(const struct json_doc *d, uint32_t obj, const char *name,
                                int64_t max, int64_t *ret);
HSM_MUST_USE hsm_err config_bool(const struct json_doc *d, uint32_t obj, const char *name,
                                 bool absent, bool *ret);
/* HOST:PORT, port 1 to 65535. */
bool config_address_valid(const char *text);

/* partitions, nextPartition, local. */
HSM_MUST_USE hsm_err config_partitions_parse(const struct json_doc *d, struct partition_config *c);
void config_partitions_write(struct json_wr *j, const struct partition_config *c);

#endif
