#include "boundary/quote_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "boundary/seal_helper.h"

#define PAGE      8192u
#define TIMEOUT_S 60u

struct question {
    uint8_t qualifying[QUOTE_DIGEST_LEN];
    uint32_t pcrs;
};

/* Nothing in it is secret. */
struct quote_page {
    hsm_err err;
    bool finished;
    char text[512];
    size_t n;
    uint8_t platform[EVIDENCE_PLATFORM_MAX];
};
_Static_assert(sizeof(struct quote_page) <= PAGE, "two pages");

/* The TPM is not opened before there is a question: some serve one process at a time, and another
 * one opens the seal meanwhile. */
static void helper_main(const char *tcti, int pipe, struct quote_page *page)
{
    struct question q;
    seal_helper_be_private(pipe);
    if (read(STDERR_FILENO + 1, &q, sizeof q) != (ssize_t)sizeof q)
        _exit(0); /* the boundary does not start */
    (void)alarm(TIMEOUT_S);
    (void)setenv("TSS2_LOG", "all+NONE", 0);
    page->err = quote_tpm2_make(tcti, q.qualifying, q.pcrs, page->platform, &page->n, page->text,
                                sizeof page->text);
    page->finished = true;
    _exit(0);
}

hsm_err quote_helper_start(const char *tcti, struct quote_helper *h)
{
    *h = (struct quote_helper){.pipe = {-1, -1}};
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return seal_say(HSM_E_NOMEM, h->text, sizeof h->text, "no memory for a quote");
    h->page = (struct quote_page *)page;
    if (pipe2(h->pipe, O_CLOEXEC) != 0)
        return seal_say(HSM_E_IO, h->text, sizeof h->text, "pipe: %s", strerror(errno));
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        helper_main(tcti, h->pipe[0], h->page);
    if (pid < 0)
        return seal_say(HSM_E_IO, h->text, sizeof h->text, "fork: %s", strerror(errno));
    h->pid = pid;
    return HSM_OK;
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* What it has left behind, after its end. */
static hsm_err answer(struct quote_helper *h, int status, struct evidence *e)
{
    const struct quote_page *p = h->page;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return seal_say(HSM_E_UNAVAILABLE, h->text, sizeof h->text,
                        "the TPM did not answer in %u s", TIMEOUT_S);
    if (!p->finished)
        return seal_say(HSM_E_UNAVAILABLE, h->text, sizeof h->text,
                        "the process that asks the TPM ended with status 0x%x", (unsigned)status);
    if (p->err != HSM_OK || p->n > sizeof e->platform)
        return seal_say(p->err, h->text, sizeof h->text, "%.*s", (int)sizeof p->text - 1, p->text);
    memcpy(e->platform, p->platform, p->n);
    e->platform_n = p->n;
    return HSM_OK;
}

hsm_err quote_helper_vouch(void *ctx, const uint8_t spki[32], struct evidence *e)
{
    struct quote_helper *h = (struct quote_helper *)ctx;
    struct question q = {.pcrs = h->pcrs};
    if (h->pid == 0)
        return seal_say(HSM_E_INTERNAL, h->text, sizeof h->text, "the TPM was asked twice");
    TRY(quote_qualify(e, spki, q.qualifying));
    bool asked = write(h->pipe[1], &q, sizeof q) == (ssize_t)sizeof q;
    int status = wait_for(h->pid);
    h->pid = 0;
    if (!asked)
        return seal_say(HSM_E_IO, h->text, sizeof h->text, "the process that asks the TPM is gone");
    return answer(h, status, e);
}

void quote_helper_done(struct quote_helper *h)
{
    for (unsigned i = 0; i < 2; i++)
        if (h->pipe[i] >= 0)
            (void)close(h->pipe[i]);
    h->pipe[0] = h->pipe[1] = -1;
    if (h->pid != 0)
        (void)wait_for(h->pid);
    h->pid = 0;
    if (h->page != NULL)
        (void)munmap(h->page, PAGE);
    h->page = NULL;
}
