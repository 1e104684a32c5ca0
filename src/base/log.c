#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"

#define LINE_MAX_LEN 1024

static char program_name[32] = "keyhold";
static enum log_level max_level = LOG_INFO_L;

void log_init(const char *program, enum log_level max)
{
    (void)snprintf(program_name, sizeof program_name, "%s", program);
    max_level = max;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR_L:
        return "error";
    case LOG_WARN_L:
        return "warn";
    case LOG_INFO_L:
        return "info";
    case LOG_DEBUG_L:
        return "debug";
    }
    return "error";
}

/* One event is one line, whatever its text came from. */
static void flatten(char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            s[i] = ' ';
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (level > max_level)
        return;
    char line[LINE_MAX_LEN];
    char now[32];
    clock_format_ms(clock_now_ms(), now, sizeof now);
    int head = snprintf(line, sizeof line, "%s %s %s: ", now, level_name(level), program_name);
    size_t n = head > 0 ? (size_t)head : 0;
    /* One byte stays for the newline, one for the terminator vsnprintf writes. */
    size_t room = sizeof line - 1 - n;
    va_list ap;
    va_start(ap, fmt);
    int text = vsnprintf(line + n, room, fmt, ap);
    va_end(ap);
    if (text > 0)
        n += (size_t)text < room ? (size_t)text : room - 1;
    flatten(line, n);
    line[n++] = '\n';
    /* A log that cannot be written is no reason to fail the work. */
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
}
