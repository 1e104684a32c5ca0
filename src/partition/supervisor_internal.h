/* What the parts of a pool's supervisor share: supervisor.c (loop), pair.c (boundary and
 * gateway of one partition), operation.c (one change of the pool at a time), healing.c (which
 * change is due), commandd.c (the socket for the commands of `keyhold`). */
#ifndef PARTITION_SUPERVISOR_INTERNAL_H
#define PARTITION_SUPERVISOR_INTERNAL_H

#include "partition/ask.h"
#include "partition/commands.h"
#include "partition/supervisor.h"
#include "partition/unit.h"

#define PAIR_STOP_MS 10000u

enum pair_end {
    PAIR_SERVES,
    PAIR_REPLACE, /* it is of no use any more */
    PAIR_REMOVED  /* it is no member of the pool any more */
};

struct pair {
    unsigned number;
    struct unit boundary, gateway;
    int status[2];       /* how they ended, of the last life */
    bool was_ready;      /* in this life */
    bool hold;           /* not to be started */
    bool is_restarting;  /* it was asked to end, and starts again at once */
    unsigned failures;   /* lives in a row that did not become ready */
    unsigned handovers;  /* starts in a row that only took over something */
    uint64_t waits_from; /* not ready since then; 0: it is */
    struct ask health;   /* of a partition that is ready */
    uint64_t health_at;  /* next question */
    uint64_t alive_at;   /* last answer */
    enum pair_end fate;
    char why[80]; /* it has to be replaced */
};

enum operation_kind {
    OPERATION_NONE,
    OPERATION_ADD,
    OPERATION_REMOVE,
    OPERATION_RESTART,
    OPERATION_REPLACE
};
enum operation_stage {
    STAGE_LINK,    /* the only partition gets a link to peers */
    STAGE_PREPARE, /* directory and certificate of the new one */
    STAGE_JOIN,    /* the new one becomes ready */
    STAGE_EXPEL,   /* the old one leaves the pool */
    STAGE_END,     /* its processes end */
    STAGE_RESTART
};
struct operation {
    enum operation_kind kind;
    enum operation_stage stage;
    unsigned number; /* removed, restarted, replaced */
    unsigned fresh;  /* added */
    bool failed;
    bool links, has_link_certificate;
    char text[200];
    uint64_t deadline, retry_at;
    pid_t helper;
    int helper_status; /* -1: runs */
    struct ask ask;
    bool transfers; /* it asks for that, not for the removal */
    bool leads;     /* the one that shall go does, by the last answer */
    unsigned ask_turn;
    int client; /* waits for the end of it; -1: nobody */
};

#define COMMAND_CLIENTS_MAX 8
struct command_client {
    int fd;
    char line[128];
    size_t n;
};

struct supervisor {
    struct installation in;
    struct pair pair[PARTITIONS_MAX];
    unsigned pair_n;
    struct operation op;
    unsigned heals_failed;
    uint64_t heal_at; /* not before */
    uint64_t slowest; /* start of a partition, so far */
    int command_fd;
    struct command_client client[COMMAND_CLIENTS_MAX];
    int signals;
    int report_fd;
    bool reported, stopping;
    unsigned told, told_of; /* how many serve */
    uint64_t stop_at;
    int status;
};

/* ---- supervisor.c ---- */
/* The start fails: text goes to who waits for readiness. */
void supervisor_give_up(struct supervisor *s, const char *unit_name);
hsm_err supervisor_start_unit(struct supervisor *s, enum program program,
                              const struct partition_entry *p, const struct ring_fds *rings,
                              struct unit *u);

/* ---- pair.c ---- */
struct pair *pair_find(struct supervisor *s, unsigned number);
/* NULL: there are too many. */
struct pair *pair_add(struct supervisor *s, unsigned number);
void pair_drop(struct supervisor *s, unsigned number);
bool pair_is_ready(const struct pair *p);
bool pair_is_down(const struct pair *p);
unsigned pairs_ready(const struct supervisor *s, const struct pair *but);
/* More than half of all partitions, without that one. */
bool pairs_majority(const struct supervisor *s, const struct pair *but);
void pair_start_due(struct supervisor *s, struct pair *p);
/* One of its processes ended. */
void pair_on_exit(struct supervisor *s, struct pair *p, struct unit *u, int status);
/* Notes that it became ready, takes too long for it, or does not answer any more. */
void pair_look(struct supervisor *s, struct pair *p);
/* Gateway first: it drains its clients and lets the boundary finish. */
void pair_stop(struct pair *p);
/* Its gateway reported something: that it is ready, or that it has finished, and takes part in the
 * log only for the others that have not. */
void pair_report(struct supervisor *s, struct pair *p);
/* Those others have finished, too. */
void pair_close(struct pair *p);
void pair_kill(struct pair *p);

/* ---- operation.c ---- */
void operation_init(struct operation *op);
/* false: another one runs, or it makes no sense; text says why. client (-1: none) is answered at
 * the end, and closed. */
bool operation_begin(struct supervisor *s, enum operation_kind kind, unsigned number, int client,
                     char *text, size_t cap);
/* Replacing number by fresh, which was begun before the last stop. */
void operation_resume(struct supervisor *s, unsigned number, unsigned fresh);
void operation_step(struct supervisor *s);
/* Was it the process of an operation that ended? */
bool operation_is_helper(struct supervisor *s, pid_t pid, int status);
void operation_cancel(struct supervisor *s);

/* ---- healing.c ---- */
void healing_step(struct supervisor *s);
void healing_done(struct supervisor *s, bool ok);

/* ---- commandd.c ---- */
bool commandd_open(struct supervisor *s);
void commandd_accept(struct supervisor *s);
void commandd_read(struct supervisor *s, struct command_client *c);
void commandd_close(struct supervisor *s);

#endif
