/* What all bench programs share: arguments, clocks, and one line of results.
 * Usage: PROGRAM HOST PORT BYTES CALLS [CA_FILE warm|resumed|cold]
 *   BYTES: size of the answer's text; 0 = a short one
 *   CA_FILE: speaks TLS and trusts this authority; each call on the connection that is kept, on a new
 *   one that resumes the session of the one before, or on a new one of a client that knows no session */
#ifndef BENCH_H
#define BENCH_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* As long as gateways give them out. */
#define KEY "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz01234567"

struct bench {
    const char *host, *port;
    size_t bytes;
    int calls;
    const char *scheme, *ca_file;
    enum { WARM, RESUMED, COLD } connections;
    double *wall;
    char body[256];
    size_t body_length;
};

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

__attribute__((unused)) static double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

__attribute__((unused)) static struct bench bench_from(int argc, char **argv) {
    struct bench b = {0};
    if (argc != 5 && argc != 7) {
        fprintf(stderr, "usage: %s HOST PORT BYTES CALLS [CA_FILE warm|resumed|cold]\n", argv[0]);
        exit(2);
    }
    b.host = argv[1];
    b.port = argv[2];
    b.bytes = strtoul(argv[3], NULL, 10);
    b.calls = atoi(argv[4]);
    b.scheme = argc == 7 ? "https" : "http";
    b.ca_file = argc == 7 ? argv[5] : NULL;
    b.connections = argc != 7 || argv[6][0] == 'w' ? WARM : argv[6][0] == 'r' ? RESUMED : COLD;
    b.wall = calloc((size_t)b.calls, sizeof *b.wall);
    b.body_length = (size_t)snprintf(
        b.body, sizeof b.body,
        b.bytes ? "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],"
                  "\"contents\":[\"Hi\"],\"sim\":{\"bytes\":%zu}}"
                : "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],"
                  "\"contents\":[\"Hi\"]}",
        b.bytes);
    return b;
}

/* Calls once to warm up, then the asked number of times; prints "median_us cpu_us". */
__attribute__((unused)) static void bench_run(struct bench *b, void (*call)(struct bench *, void *), void *state) {
    double cpu;
    call(b, state);
    cpu = cpu_seconds();
    for (int i = 0; i < b->calls; i++) {
        double start = seconds();
        call(b, state);
        b->wall[i] = seconds() - start;
    }
    cpu = cpu_seconds() - cpu;
    qsort(b->wall, (size_t)b->calls, sizeof *b->wall, by_size);
    printf("%.3f %.3f\n", b->wall[b->calls / 2] * 1e6, cpu / b->calls * 1e6);
}
#endif
