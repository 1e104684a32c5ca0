/* IS_SANITIZED: built with a sanitizer that needs its own memory and system calls: tests that look
 * at all memory of a process, or run under the real sandbox, are left out. */
#ifndef BASE_SANITIZED_TESTING_H
#define BASE_SANITIZED_TESTING_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

#endif
