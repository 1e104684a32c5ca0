#include "boundary/seal_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define PAGE        4096u
#define TIMEOUT_S   60u /* a TPM may need seconds for its primary key */
#define SECRET_SIZE ((size_t)2 << 20)

struct seal_page {
    uint8_t kek[KEK_LEN];
    hsm_err err;
    bool finished;
    char text[512];
};
_Static_assert(sizeof(struct seal_page) <= PAGE, "one page");

static struct seal_page *page_new(void)
{
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (mlock(p, PAGE) == 0 && madvise(p, PAGE, MADV_DONTDUMP) == 0)
        return (struct seal_page *)p;
    (void)munmap(p, PAGE);
    return NULL;
}

static void page_free(struct seal_page *p)
{
    if (p == NULL)
        return;
    secret_wipe(p, PAGE);
    (void)munmap(p, PAGE);
}

/* Two helpers of one seal would make two keys. The lock is inherited, so it holds as long as this
 * start or what is left of it is at work, which is not long. */
static int lock_directory(const char *path)
{
    char dir[SEAL_PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(dir, sizeof dir, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
                   slash == NULL ? "." : path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const struct timespec pause = {.tv_nsec = 20000000};
    for (unsigned i = 0; i < (TIMEOUT_S + 5) * 50; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        (void)nanosleep(&pause, NULL);
    }
    (void)close(fd);
    errno = EWOULDBLOCK;
    return -1;
}

/* It finishes what it began, whatever happens to the boundary: a token may not survive a write that
 * was cut off. */
void seal_helper_be_private(int keep)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        _exit(1);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    if (dup2(keep, STDERR_FILENO + 1) < 0)
        _exit(1);
    if (syscall(SYS_close_range, STDERR_FILENO + 2, ~0u, 0) != 0)
        for (int fd = STDERR_FILENO + 2; fd < 1024; fd++)
            (void)close(fd);
}

/* The TPM libraries compute with libcrypto: on secret memory of this process. A program that has
 * used libcrypto before (a test) cannot have that any more. */
static void helper_main(seal_kek_fn *work, const struct seal_spec *spec, const char *path,
                        bool make, struct seal_page *page, int lock)
{
    seal_helper_be_private(lock);
    (void)alarm(TIMEOUT_S);
    (void)setenv("TSS2_LOG", "all+NONE", 0);
    hsm_err err = secret_init(SECRET_SIZE);
    if (err != HSM_OK) {
        page->err = seal_say(err, page->text, sizeof page->text,
                             "no locked memory: raise RLIMIT_MEMLOCK (at least 2 MiB and a page)");
    } else {
        (void)!secret_take_over_openssl();
        page->err = work(spec, path, make, page->kek, page->text, sizeof page->text);
    }
    page->finished = true;
    _exit(0);
}

hsm_err seal_helper_start(seal_kek_fn *work, const struct seal_spec *spec, const char *path,
                          struct seal_helper *ret, char *text, size_t cap)
{
    struct seal_page *page = page_new();
    if (page == NULL)
        return seal_say(HSM_E_NOMEM, text, cap, "no locked memory: raise RLIMIT_MEMLOCK");
    int lock = lock_directory(path);
    if (lock < 0) {
        page_free(page);
        return seal_say(HSM_E_IO, text, cap, "cannot lock the directory of %s: %s", path,
                        strerror(errno));
    }
    (void)fflush(NULL);
    bool make = access(path, F_OK) != 0 && errno == ENOENT;
    pid_t pid = fork();
    if (pid == 0)
        helper_main(work, spec, path, make, page, lock);
    if (pid < 0) {
        page_free(page);
        (void)close(lock);
        return seal_say(HSM_E_IO, text, cap, "fork: %s", strerror(errno));
    }
    *ret = (struct seal_helper){.pid = pid, .lock = lock, .page = page};
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

hsm_err seal_helper_wait(struct seal_helper *h, uint8_t *kek, char *text, size_t cap)
{
    if (h->pid == 0)
        return seal_say(HSM_E_INTERNAL, text, cap, "the device was asked twice");
    int status = wait_for(h->pid);
    hsm_err err = HSM_E_UNAVAILABLE;
    h->pid = 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        (void)seal_say(err, text, cap, "the device that protects the seal did not answer in %u s",
                       TIMEOUT_S);
    else if (!h->page->finished)
        (void)seal_say(err, text, cap, "the process that opens the seal ended with status 0x%x",
                       (unsigned)status);
    else
        err = h->page->err;
    if (h->page->finished && err != HSM_OK)
        (void)seal_say(err, text, cap, "%.*s", (int)sizeof h->page->text - 1, h->page->text);
    if (err == HSM_OK)
        memcpy(kek, h->page->kek, KEK_LEN);
    page_free(h->page);
    h->page = NULL;
    return err;
}

void seal_helper_done(struct seal_helper *h)
{
    if (h->pid != 0)
        (void)wait_for(h->pid);
    page_free(h->page);
    if (h->lock > 0)
        (void)close(h->lock);
    *h = (struct seal_helper){0};
}
