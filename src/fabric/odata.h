/* The part of OData's $filter that az and the SDKs send: comparisons joined by "and".
 *   FIELD eq 'VALUE'    FIELD/any(x:x eq 'VALUE')    startswith(FIELD,'VALUE')
 * Pure. */
#ifndef FABRIC_ODATA_H
#define FABRIC_ODATA_H

#include "base/bytes.h"

#define ODATA_CLAUSES_MAX 4
#define ODATA_VALUE_MAX   256

struct odata_clause {
    struct bytes field;
    bool prefix; /* startswith */
    char value[ODATA_VALUE_MAX + 1];
};
struct odata_filter {
    struct odata_clause clause[ODATA_CLAUSES_MAX];
    size_t n;
};

/* fields point into text. HSM_E_MALFORMED for everything else. */
HSM_MUST_USE hsm_err odata_parse(struct bytes text, struct odata_filter *ret);
/* Compare as the directory does: ASCII letters in any case. */
bool odata_value_fits(const struct odata_clause *c, const char *actual);

#endif
