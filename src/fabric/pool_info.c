#include "fabric/pool_info.h"

#include <dirent.h>
#include <stdio.h>
#include "base/file.h"

#define POOL_PATH_MAX 4096
#define STATE_FILE    "pool-state"

static void read_state(const char *run, const char *name, struct pool_info *p)
{
    char path[POOL_PATH_MAX], word[32];
    size_t n = 0;
    if (path_join(path, sizeof path, run, name) != HSM_OK ||
        file_read(path, (uint8_t *)word, sizeof word, &n) != HSM_OK)
        return;
    while (n > 0 && word[n - 1] == '\n')
        n--;
    p->active = p->active || bytes_ieq(bytes_of(word, n), bytes_str("Active"));
    p->has_state =
        p->has_state || p->active || bytes_ieq(bytes_of(word, n), bytes_str("NotActivated"));
}

/* Every partition writes its own file. What one knows holds for all: an active pool stays so. */
static void read_states(const char *run, struct pool_info *p)
{
    DIR *d = opendir(run);
    const struct dirent *e;
    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL)
        if (strncmp(e->d_name, STATE_FILE, sizeof STATE_FILE - 1) == 0 &&
            strchr(e->d_name, '.') == NULL)
            read_state(run, e->d_name, p);
    (void)closedir(d);
}

void pool_info_read(const char *home, struct pool_info *ret)
{
    char path[POOL_PATH_MAX];
    struct pool_info p = {0};
    p.has_settings = path_join(path, sizeof path, home, "../pool.json") == HSM_OK &&
                     pool_settings_read(path, &p.settings) == HSM_OK;
    if (path_join(path, sizeof path, home, "../run") == HSM_OK)
        read_states(path, &p);
    *ret = p;
}

void pool_info_read_pool(const char *home, const char *name, struct pool_info *ret)
{
    char path[POOL_PATH_MAX];
    struct pool_info p = {0};
    if (name == NULL) {
        pool_info_read(home, ret);
        return;
    }
    int n = snprintf(path, sizeof path, "%s/../pools/%s/run", home, name);
    if (n > 0 && (size_t)n < sizeof path)
        read_states(path, &p);
    *ret = p;
}
