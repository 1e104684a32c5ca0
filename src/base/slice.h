/* Scheduling of threads that answer short operations. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

/* The calling thread asks the kernel for short time slices: it loses nothing of its share of the
 * processor, and one that wakes up goes before those with ordinary slices that compute (Linux 6.12
 * and later; sched_setattr(2), sched_runtime of SCHED_OTHER). Earlier kernels take no notice of it;
 * they let a waking thread go first anyway. Before a sandbox without sched_setattr. */
void slice_short(void);

#endif
