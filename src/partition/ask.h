/* One question over a Unix socket: a line there, a line back. Never blocks. */
#ifndef PARTITION_ASK_H
#define PARTITION_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask {
    int fd; /* -1: nothing is asked */
    uint64_t deadline;
    char line[512]; /* the answer so far */
    size_t n;
};

enum ask_result {
    ASK_WAITS,
    ASK_ANSWERED, /* line holds it, without its end */
    ASK_FAILED    /* nobody answers */
};

void ask_init(struct ask *a);
/* false: nobody listens at path. line comes without its end. */
bool ask_start(struct ask *a, const char *path, const char *line, unsigned timeout_ms);
enum ask_result ask_step(struct ask *a);
void ask_end(struct ask *a);

#endif
