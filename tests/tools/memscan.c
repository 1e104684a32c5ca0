/* memscan PATTERNS WINDOW TARGET...: search files and processes for pieces of secrets.
 *
 * PATTERNS holds one byte string per line, in hex. Every WINDOW consecutive bytes of one of them
 * that occur anywhere in a target are a find: "TARGET OFFSET LINE". TARGET is a file or pid:N
 * (every readable mapping of that process). The last line says what was searched: "scanned BYTES
 * unreadable BYTES". Exit status: 0 nothing found, 1 found, 2 failed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_N  65536u
#define CHUNK       (4u << 20)
#define TABLE_BITS  22u
#define FINDS_SHOWN 200u

struct window {
    const uint8_t *p;
    unsigned line;
};

static size_t window_n;
static struct window *table; /* open addressing; p == NULL: free */
static uint8_t chunk[CHUNK];
static uint64_t scanned, unreadable;
static unsigned finds;

static uint32_t slot_of(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return (uint32_t)((v * 0x9e3779b97f4a7c15u) >> (64 - TABLE_BITS));
}

static bool all_one_byte(const uint8_t *p)
{
    for (size_t i = 1; i < window_n; i++)
        if (p[i] != p[0])
            return false;
    return true;
}

static void add_pattern(const uint8_t *p, size_t n, unsigned line)
{
    for (size_t i = 0; i + window_n <= n; i++) {
        if (all_one_byte(p + i))
            continue; /* runs of zeros are everywhere */
        uint32_t s = slot_of(p + i);
        while (table[s].p != NULL)
            s = (s + 1) & ((1u << TABLE_BITS) - 1);
        table[s] = (struct window){.p = p + i, .line = line};
    }
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_patterns(const char *path)
{
    static char text[LINE_MAX_N];
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    for (unsigned line = 1; fgets(text, sizeof text, f) != NULL; line++) {
        size_t n = strcspn(text, "\n") / 2;
        uint8_t *p = malloc(n + 1); /* lives as long as the program */
        for (size_t i = 0; p != NULL && i < n; i++) {
            int hi = nibble(text[2 * i]), lo = nibble(text[2 * i + 1]);
            if (hi < 0 || lo < 0)
                return false;
            p[i] = (uint8_t)(hi << 4 | lo);
        }
        if (p == NULL)
            return false;
        add_pattern(p, n, line);
    }
    (void)fclose(f);
    return true;
}

static void scan(const char *target, uint64_t at, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + window_n <= n; i++) {
        uint32_t s = slot_of(p + i);
        for (; table[s].p != NULL; s = (s + 1) & ((1u << TABLE_BITS) - 1)) {
            if (memcmp(table[s].p, p + i, window_n) != 0)
                continue;
            if (finds++ < FINDS_SHOWN)
                (void)printf("%s 0x%" PRIx64 " %u\n", target, at + i, table[s].line);
            break;
        }
    }
}

/* Bytes from..to of fd; pieces overlap by a window. Unreadable pages are skipped one by one. */
static void scan_range(const char *target, int fd, uint64_t from, uint64_t to)
{
    size_t kept = 0;
    while (from < to) {
        size_t want = to - from < CHUNK - kept ? (size_t)(to - from) : CHUNK - kept;
        ssize_t k = pread(fd, chunk + kept, want, (off_t)from);
        if (k == 0)
            return;
        if (k < 0) {
            uint64_t step = 4096 - (from & 4095);
            unreadable += step;
            from += step;
            kept = 0;
            continue;
        }
        scan(target, from - kept, chunk, kept + (size_t)k);
        scanned += (uint64_t)k;
        from += (uint64_t)k;
        size_t n = kept + (size_t)k;
        kept = n < window_n - 1 ? n : window_n - 1;
        memmove(chunk, chunk + n - kept, kept);
    }
}

static bool scan_process(const char *target, const char *pid)
{
    char path[64], line[512];
    (void)snprintf(path, sizeof path, "/proc/%s/mem", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "/proc/%s/maps", pid);
    FILE *maps = fopen(path, "re");
    while (fd >= 0 && maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        uint64_t from, to;
        char r;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %c", &from, &to, &r) == 3 && r == 'r' &&
            strstr(line, "[v") == NULL)
            scan_range(target, fd, from, to);
    }
    bool ok = fd >= 0 && maps != NULL;
    if (maps != NULL)
        (void)fclose(maps);
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

static bool scan_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    scan_range(path, fd, 0, UINT64_MAX >> 1);
    (void)close(fd);
    return true;
}

int main(int argc, char **argv)
{
    table = calloc((size_t)1 << TABLE_BITS, sizeof *table);
    window_n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 0;
    if (table == NULL || window_n < 8 || window_n > 4096 || !read_patterns(argv[1])) {
        (void)fprintf(stderr, "usage: memscan PATTERNS WINDOW TARGET...\n");
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        bool ok = strncmp(argv[i], "pid:", 4) == 0 ? scan_process(argv[i], argv[i] + 4)
                                                   : scan_file(argv[i]);
        if (!ok) {
            (void)fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            return 2;
        }
    }
    (void)printf("scanned %" PRIu64 " unreadable %" PRIu64 "\n", scanned, unreadable);
    return finds > 0 ? 1 : 0;
}
