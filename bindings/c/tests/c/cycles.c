/* A relay and an agent are started and stopped many times: no thread, no descriptor and no memory is left behind. */

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "support.h"

#define CYCLES 100

static int descriptors(void) {
    DIR *entries = opendir("/proc/self/fd");
    int found = 0;
    CHECK(entries != NULL);
    while (readdir(entries) != NULL) {
        found++;
    }
    closedir(entries);
    return found;
}

/* Threads without those of the pool for blocking calls, which idle until the process ends. */
static int threads(void) {
    DIR *entries = opendir("/proc/self/task");
    struct dirent *entry;
    int found = 0;
    CHECK(entries != NULL);
    while ((entry = readdir(entries)) != NULL) {
        char path[512], name[64] = "";
        FILE *comm;
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        comm = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (comm == NULL) {
            continue;
        }
        found += fgets(name, sizeof name, comm) != NULL && strncmp(name, "blocking-", 9) != 0;
        fclose(comm);
    }
    closedir(entries);
    return found;
}

/* The signals that a thread has blocked, or all if it has ended. */
static unsigned long long blocked_signals(const char *path) {
    char line[256];
    unsigned long long blocked = ~0ull;
    FILE *status = fopen(path, "r");
    if (status == NULL) {
        return blocked;
    }
    while (fgets(line, sizeof line, status) != NULL) {
        sscanf(line, "SigBlk: %llx", &blocked);
    }
    fclose(status);
    return blocked;
}

/* The threads of the library leave the signals of the process to its program: SIGPIPE most of all, which would end it. */
static void threads_leave_signals_alone(void) {
    DIR *entries = opendir("/proc/self/task");
    struct dirent *entry;
    int others = 0;
    CHECK(entries != NULL);
    while ((entry = readdir(entries)) != NULL) {
        char path[512];
        unsigned long long blocked;
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid()) {
            continue;
        }
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        /* libc blocks all signals of a thread until it has started it; the alarm ends what waits for one that goes on so. */
        while (((blocked = blocked_signals(path)) & (1ull << (SIGSEGV - 1))) != 0 && access(path, F_OK) == 0) {
            sched_yield();
        }
        if (access(path, F_OK) != 0) {
            continue;
        }
        CHECK((blocked & (1ull << (SIGPIPE - 1))) != 0 && (blocked & (1ull << (SIGINT - 1))) != 0);
        CHECK((blocked & (1ull << (SIGSEGV - 1))) == 0);
        others++;
    }
    closedir(entries);
    CHECK(others >= 4);
}

static void cycle(bool is_first) {
    unsigned short port;
    char *agent_url;
    hvym_tunnel_relay *relay = start_relay(&port, &agent_url);
    hvym_tunnel_agent *agent = start_agent(agent_url, 1);
    hvym_tunnel_string_free(await_event(agent, "online"));
    if (is_first) {
        sigset_t mine;
        threads_leave_signals_alone();
        CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mine) == 0 && !sigismember(&mine, SIGPIPE));
    }
    OK(hvym_tunnel_agent_drain(agent, 10));
    OK(hvym_tunnel_agent_wait(agent, LIMIT));
    hvym_tunnel_agent_free(agent);
    hvym_tunnel_relay_free(relay);
    hvym_tunnel_string_free(agent_url);
}

int main(void) {
    int before, number;
    alarm(LIMIT);
    cycle(true);
    before = descriptors();
    for (number = 1; number < CYCLES; number++) {
        cycle(false);
    }
    /* The kernel lists a thread for a moment after it was joined. */
    while (threads() > 1) {
        sched_yield();
    }
    CHECK(descriptors() <= before);
    return 0;
}
