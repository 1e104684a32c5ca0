#include "cli/plan_ask.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_ 256

static const struct question {
    const char *option, *text, *standard; /* standard: taken for an empty line; NULL: none is */
    bool several_regions;                 /* only then */
} questions[] = {
    {"--regions", "Which regions? Primary first, names with blanks between", NULL, false},
    {"--relation", "How do they relate: primary-dr, active-active or independent?", "primary-dr",
     true},
    {"--redundancy-required", "Must keys outlive the loss of a region (true, false)?", "false",
     true},
    {"--domain-controllers", "Domain controllers: self-hosted, managed or none?", "none", false},
    {"--sql-mi", "SQL managed instances in each region, in that order?", "0", false},
    {"--services", "Further services: sql-db storage cosmos disks data-lake aks m365 aip, or none?",
     "none", false},
    {"--rotation", "How often are keys rotated (P90D, P1Y, none)?", "none", false},
    {"--network", "Are the networks peered, separate or undecided?", "undecided", true},
    {"--pilot", "Is there a non-production environment to begin with (true, false)?", "false",
     false},
};
#define QUESTIONS (sizeof questions / sizeof *questions)

/* One line without its end; texts live as long as the program. */
static char *ask(const struct question *q, char *line)
{
    do {
        if (q->standard != NULL)
            (void)fprintf(stderr, "%s [%s] ", q->text, q->standard);
        else
            (void)fprintf(stderr, "%s: ", q->text);
        (void)fflush(stderr);
        if (fgets(line, LINE_MAX_, stdin) == NULL)
            return NULL;
        line[strcspn(line, "\r\n")] = '\0';
        if (line[strspn(line, " ,")] == '\0' && q->standard != NULL)
            (void)snprintf(line, LINE_MAX_, "%s", q->standard);
    } while (line[strspn(line, " ,")] == '\0');
    return line;
}

static void split(struct arg *a, char *line)
{
    while (a->list_n < ARGS_LIST_MAX) {
        line += strspn(line, " ,");
        if (*line == '\0')
            return;
        a->list[a->list_n++] = line;
        line += strcspn(line, " ,");
        if (*line != '\0')
            *line++ = '\0';
    }
}

bool plan_ask(struct arg *args)
{
    static char line[QUESTIONS][LINE_MAX_];
    if (isatty(STDIN_FILENO) == 0)
        return false;
    for (size_t i = 0; i < QUESTIONS; i++) {
        struct arg *a = args_get(args, questions[i].option);
        if (a->given || (questions[i].several_regions && args_get(args, "--regions")->list_n < 2))
            continue;
        if (ask(&questions[i], line[i]) == NULL)
            return false;
        a->given = true;
        if (a->kind == ARG_LIST)
            split(a, line[i]);
        else
            a->value = line[i];
    }
    return true;
}
