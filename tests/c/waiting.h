/* Facts to wait for instead of guessing how long something takes. Linux. */
#ifndef WAITING_H
#define WAITING_H

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline void nap_ms(long ms) {
    struct timespec nap = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&nap, NULL);
}

static inline pid_t thread_id(void) { return (pid_t)syscall(SYS_gettid); }

/* How often the thread gave up the processor; -1 while it runs. */
static inline long sleeps(pid_t thread) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    text[got > 0 ? got : 0] = 0;
    const char *count = strstr(text, "\nvoluntary_ctxt_switches:");
    if (count == NULL || strstr(text, "State:\tS") == NULL) return -1;
    return strtol(count + sizeof "\nvoluntary_ctxt_switches:", NULL, 10);
}

/* Waits until the thread has slept that long without waking: whatever it did before is over, and
 * it waits for something that does not come. */
static inline void wait_until_asleep(pid_t thread, long ms) {
    const double give_up = seconds() + 60;
    double since = seconds();
    long before = -1;
    for (;;) {
        const long now = sleeps(thread);
        if (now < 0 || now != before) since = seconds();
        /* Seen again after that long: this thread may have been the one that did not run. */
        else if (seconds() - since >= (double)ms / 1000) return;
        before = now;
        if (seconds() > give_up) {
            fprintf(stderr, "the thread never waited\n");
            exit(1);
        }
        nap_ms(ms / 20 + 1);
    }
}

static inline size_t entries(const char *folder) {
    size_t count = 0;
    DIR *open = opendir(folder);
    while (open && readdir(open)) count++;
    if (open) closedir(open);
    return count;
}

/* What a process can leak. */
struct held {
    size_t bytes, descriptors, threads;
};

static inline struct held held(void) {
    const struct mallinfo2 memory = mallinfo2();
    const struct held now = {memory.uordblks + memory.hblkhd, entries("/proc/self/fd"), entries("/proc/self/task")};
    return now;
}

#endif
