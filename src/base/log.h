/* One line per event on standard error: time, level, program, text. Libraries do not log; programs
 * and process loops do, each failure once. Never key bytes, tokens, bodies or key names. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level {
    LOG_ERROR_L,
    LOG_WARN_L,
    LOG_INFO_L,
    LOG_DEBUG_L
};

void log_init(const char *program, enum log_level max);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR_L, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN_L, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO_L, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG_L, __VA_ARGS__)

#endif
