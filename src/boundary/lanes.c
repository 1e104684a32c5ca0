#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/slice.h"
#include "boundary/commands.h"

#define BATCH_MAX      64u
#define BATCH_US       4000u /* answers wait no longer for the rest of their batch */
#define ROOM_STEP_MS   250
#define ROOM_STEPS     120u /* 30 s without a reader: give up */
#define SLOW_NICENESS  10
#define MAKER_NICENESS 15 /* so operations go first */

bool ring_put(struct boundary *b, struct ring *r, const struct ring_frame *f)
{
    hsm_err err = ring_write_quiet(r, f, 0);
    for (unsigned i = 0; err == HSM_E_AGAIN && i < ROOM_STEPS; i++) {
        if (boundary_has_ended(b) || atomic_load(&b->stop))
            return false;
        ring_flush(r);
        err = ring_write_quiet(r, f, ROOM_STEP_MS);
    }
    if (err == HSM_OK)
        return true;
    if (err == HSM_E_AGAIN)
        boundary_end(b, EXIT_RESOURCES, "the gateway does not read its ring any more");
    else
        boundary_end(b, EXIT_PROTOCOL, "a ring to the gateway: %s", hsm_err_name(err));
    return false;
}

bool lane_frame(struct worker *w, const struct ring_frame *f)
{
    struct boundary *b = w->b;
    const struct command *cmd = command_find(f->type);
    if (cmd == NULL || cmd->lane != LANE_REQUEST || (cmd->phases & boundary_phase(b)) == 0) {
        boundary_end(b, EXIT_PROTOCOL, "message %s (%u) is not allowed on lane %u in phase %u",
                     wire_type_name(f->type), f->type, w->lane, (unsigned)boundary_phase(b));
        return false;
    }
    if (!job_begin(w, &w->job, f)) {
        boundary_end(b, EXIT_PROTOCOL, "message %s does not decode", wire_type_name(f->type));
        return false;
    }
    job_run(w, &w->job);
    return !boundary_has_ended(b);
}

/* Threads hold still until the sandbox is closed around all of them. */
static void wait_at_gate(struct boundary *b)
{
    (void)pthread_mutex_lock(&b->gate_lock);
    b->gate_waiting++;
    (void)pthread_cond_broadcast(&b->gate_changed);
    while (!b->gate_open)
        (void)pthread_cond_wait(&b->gate_changed, &b->gate_lock);
    (void)pthread_mutex_unlock(&b->gate_lock);
}

static void pin(const struct worker *w)
{
    int cpu = w->b->cpu[w->lane];
    cpu_set_t set;
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        log_warn("lane %u cannot be pinned to processor %d", w->lane, cpu);
}

/* What other threads gave back to this lane. */
static unsigned run_inbox(struct worker *w)
{
    unsigned n = 0;
    for (; n < BATCH_MAX; n++) {
        struct job *j = job_queue_get(&w->b->inbox[w->lane]);
        if (j == NULL)
            break;
        job_run(w, j);
    }
    return n;
}

/* Frames until the lane is empty or the batch is old enough. false: ended. */
static bool run_frames(struct worker *w, unsigned *ret_n)
{
    uint64_t until = clock_mono_us() + BATCH_US;
    unsigned n = 0;
    while (n < BATCH_MAX) {
        struct ring_frame f;
        hsm_err err = lane_read(w, &f);
        if (err == HSM_E_AGAIN)
            break;
        if (err != HSM_OK) {
            boundary_end(w->b, EXIT_PROTOCOL, "the ring of lane %u is damaged", w->lane);
            return false;
        }
        bool alive = lane_frame(w, &f);
        lane_release(w, &f);
        if (!alive)
            return false;
        n++;
        if (clock_mono_us() > until)
            break;
    }
    *ret_n = n;
    return true;
}

static void drain_event(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

static void sleep_until_work(struct worker *w)
{
    struct ring *in = w->b->rings.in[w->lane];
    ring_turn_over(w->b->rings.out[w->lane]); /* frames for other threads brought no answer yet */
    int event = w->b->inbox[w->lane].event;
    if (!ring_sleep(in))
        return;
    struct pollfd p[] = {{.fd = ring_fd(in), .events = POLLIN}, {.fd = event, .events = POLLIN}};
    (void)poll(p, 2, -1);
    ring_awake(in);
    if ((p[1].revents & POLLIN) != 0)
        drain_event(event);
}

void *lane_main(void *worker)
{
    struct worker *w = (struct worker *)worker;
    pin(w);
    slice_short();
    wait_at_gate(w->b);
    while (!atomic_load(&w->b->stop)) {
        unsigned n = 0;
        unsigned again = run_inbox(w);
        if (!run_frames(w, &n))
            break;
        worker_flush(w);
        if (n + again == 0)
            sleep_until_work(w);
    }
    return NULL;
}

/* On Linux the niceness of thread 0 is that of the calling thread. */
static void be_nice(int niceness)
{
    if (setpriority(PRIO_PROCESS, 0, niceness) != 0)
        log_warn("a thread for slow work keeps its priority");
}

static void *serve_queue(struct worker *w)
{
    uint64_t until = 0; /* answers that were not sent yet wait no longer */
    wait_at_gate(w->b);
    for (;;) {
        struct job *j = job_queue_get(w->serves);
        if (j == NULL) {
            worker_flush(w);
            until = 0;
            j = job_queue_wait(w->serves);
        }
        if (j == NULL || boundary_has_ended(w->b) || atomic_load(&w->b->stop)) {
            if (j != NULL)
                job_end(j);
            break;
        }
        if (until == 0)
            until = clock_mono_us() + BATCH_US;
        job_run(w, j);
        if (clock_mono_us() > until) {
            worker_flush(w);
            until = 0;
        }
    }
    return NULL;
}

void *slow_main(void *worker)
{
    be_nice(SLOW_NICENESS);
    return serve_queue((struct worker *)worker);
}

void *maker_main(void *worker)
{
    be_nice(MAKER_NICENESS);
    return serve_queue((struct worker *)worker);
}

void *stock_main(void *boundary)
{
    struct boundary *b = (struct boundary *)boundary;
    const struct sched_param none = {0};
    /* Only what no other thread of the machine wants, and preempted at once. */
    if (sched_setscheduler(0, SCHED_IDLE, &none) != 0)
        be_nice(19);
    wait_at_gate(b);
    stock_run(b->stock);
    return NULL;
}
