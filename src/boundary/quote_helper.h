/* The process that asks a TPM for a quote: as with a seal (seal_helper.h) it is forked before the
 * boundary has secret memory, threads or rings mapped, and ends with all that the libraries keep.
 * What is to be quoted is known later, and is sent to it then. */
#ifndef BOUNDARY_QUOTE_HELPER_H
#define BOUNDARY_QUOTE_HELPER_H

#include <sys/types.h>
#include "boundary/peer_cert.h"
#include "boundary/quote_tpm2.h"

struct quote_page;

struct quote_helper {
    pid_t pid;   /* 0: none, or waited for */
    int pipe[2]; /* to it; its end stays open here too, so that writing never raises a signal */
    struct quote_page *page;
    uint32_t pcrs;  /* to be set before the question */
    char text[512]; /* what went wrong with it */
};
/* HSM_E_IO, HSM_E_NOMEM: h->text. */
HSM_MUST_USE hsm_err quote_helper_start(const char *tcti, struct quote_helper *h);
/* A peer_voucher, once; ctx: a struct quote_helper. */
hsm_err quote_helper_vouch(void *ctx, const uint8_t spki[32], struct evidence *e);
/* Ends it if nothing was asked. */
void quote_helper_done(struct quote_helper *h);

#endif
