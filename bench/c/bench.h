/* What all C programs of the bench share: arguments, clocks, the request, naive readers, one line of results.
 *
 * Usage: PROGRAM SCENARIO READ BASE_URL CALLS [CA_FILE]
 *   SCENARIO: small, picture, upload: whole replies, one call after the other
 *             warm, resumed, cold: small over TLS, on the kept connection, on a new one that resumes the session of
 *             the one before, on a new one of a client that knows no session
 *             burst, paced: streams; many: 64 calls at once; first: one call of a fresh process;
 *             cancel: calls that are stopped from another thread
 *   READ:     what is read of a reply, and for upload which contract the request keeps: ../scenarios.py
 * Prints "median_us p99_us cpu_us peak_kib read": wall time of a call (paced: age of an event; many: the time of all
 * calls divided by their number; first: since exec; cancel: from the signal to the return), CPU time of the process
 * per call (paced: per event), its peak of resident memory, and how many bytes every call read. */
#ifndef BENCH_H
#define BENCH_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* As long as gateways give them out: elkapi looks for an echo of it, and a short one would be looked for in vain. */
#define KEY "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz01234567"
#define MODEL "gemini-3.1-pro-preview"
/* Calls before the clock starts. */
#define WARM_UP 3
#define AT_ONCE 64
#define UPLOAD (1u << 20)

struct bench {
    const char *scenario, *read, *base_url, *ca_file;
    char host[64], port[8], path[128];
    int calls;
    bool bytes, pointer, stream;
    double *times;
    size_t timed, room;
    char *body;
    size_t body_length;
};

static inline void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline bool is(const char *word, const char *other) { return strcmp(word, other) == 0; }

static inline double clock_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static inline double now_us(void) { return clock_us(CLOCK_MONOTONIC); }

static inline double cpu_us(void) { return clock_us(CLOCK_PROCESS_CPUTIME_ID); }

static inline void timed(struct bench *b, double us) {
    if (b->timed == b->room) b->times = realloc(b->times, (b->room = b->room * 2 + 4096) * sizeof *b->times);
    b->times[b->timed++] = us;
}

/* Appends the prompt: lines of text that JSON has to escape. */
static inline char *prompt(char *at, size_t length) {
    static const char line[] = "She said \\\"jump\\\", and 13 lazy dogs jumped over it, twice a day.\\n";
    for (; length >= sizeof line - 1; length -= sizeof line - 1) at = mempcpy(at, line, sizeof line - 1);
    return (char *)memset(at, '.', length) + length;
}

/* The request as a user writes it. For upload one of exactly UPLOAD bytes; as `elkapi` libcurl and the limit get it
 * with what elkapi's contract adds, while elkapi is given the one without and adds it. */
static inline void write_request(struct bench *b, bool completed) {
    const bool upload = is(b->scenario, "upload");
    const char *stream = b->stream ? "true" : "false";
    char head[256];
    const int head_length = snprintf(head, sizeof head,
                                     "{\"model\":\"" MODEL "\",\"stream\":%s,"
                                     "\"messages\":[{\"role\":\"user\",\"content\":\"",
                                     stream);
    const size_t text = upload ? UPLOAD - (size_t)head_length - strlen("\"}]}") : strlen("Hello");
    char *at = b->body = malloc(2 * text + 1024);
    at = mempcpy(at, head, (size_t)head_length);
    at = upload ? prompt(at, text) : mempcpy(at, "Hello", text);
    at = mempcpy(at, "\"}]", 3);
    if (completed && upload && is(b->read, "elkapi")) {
        at = stpcpy(at, ",\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"");
        at = stpcpy(prompt(at, text), "\"}]}]");
    }
    at = stpcpy(at, "}");
    b->body_length = (size_t)(at - b->body);
}

/* `completed`: the request is sent as it is, so it already holds what elkapi would add. */
static inline struct bench bench_from(int argc, char **argv, bool completed) {
    struct bench b = {0};
    if (argc != 5 && argc != 6) fail("usage: PROGRAM SCENARIO READ BASE_URL CALLS [CA_FILE]");
    b.scenario = argv[1];
    b.read = argv[2];
    b.base_url = argv[3];
    b.calls = atoi(argv[4]);
    b.ca_file = argc == 6 ? argv[5] : NULL;
    /* Only the limit takes it apart; without a port it stays empty. */
    sscanf(strstr(b.base_url, "//"), "//%63[^:/]:%7[0-9]%127s", b.host, b.port, b.path);
    b.bytes = is(b.read, "bytes");
    b.pointer = is(b.read, "path");
    b.stream = is(b.scenario, "burst") || is(b.scenario, "paced");
    write_request(&b, completed);
    return b;
}

static inline int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static inline void report(struct bench *b, double cpu, size_t read) {
    char line[256];
    long peak = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %ld", &peak);
    qsort(b->times, b->timed, sizeof *b->times, by_size);
    printf("%.3f %.3f %.3f %ld %zu\n", b->times[b->timed / 2], b->times[b->timed * 99 / 100], cpu, peak, read);
}

/* One call; returns how many bytes of what is asked for it read. */
typedef size_t (*call_function)(struct bench *, void *);

/* Scenarios of one call after the other. */
static inline void one_by_one(struct bench *b, call_function call, void *state) {
    if (is(b->scenario, "first")) {
        const size_t read = call(b, state);
        timed(b, now_us() - strtod(getenv("BENCH_STARTED"), NULL) / 1e3);
        return report(b, cpu_us(), read);
    }
    const bool paced = is(b->scenario, "paced");
    size_t read = 0;
    if (!paced)
        for (int i = 0; i < WARM_UP; i++) read = call(b, state);
    b->room = paced ? 0 : (size_t)b->calls;
    b->times = malloc(b->room * sizeof *b->times + 1);
    const double cpu = cpu_us();
    for (int i = 0; i < b->calls; i++) {
        const double start = now_us();
        const size_t now = call(b, state);
        if (!paced) timed(b, now_us() - start);
        if (i > 0 || !paced) {
            if (now != read) fail("calls read different amounts");
        }
        read = now;
    }
    const double spent = cpu_us() - cpu;
    report(b, spent / (paced ? (double)b->timed : b->calls), read);
}

/* AT_ONCE calls at once: `all` makes that many calls; connections and threads are there before the clock starts. */
static inline void at_once(struct bench *b, size_t (*all)(struct bench *, int)) {
    all(b, AT_ONCE);
    const double cpu = cpu_us(), start = now_us();
    const size_t read = all(b, b->calls);
    const double wall = now_us() - start, spent = cpu_us() - cpu;
    timed(b, wall / b->calls);
    report(b, spent / b->calls, read);
}

/* The naive readers, for those who are handed bytes. */

/* The first text that a reply calls content, its escapes kept. */
static inline size_t content(const char *text, size_t length, const char **start) {
    static const char name[] = "\"content\":\"";
    const char *found = memmem(text, length, name, sizeof name - 1);
    if (found == NULL) return 0;
    *start = found += sizeof name - 1;
    const char *end = memchr(found, '"', length - (size_t)(found - text));
    return end ? (size_t)(end - found) : 0;
}

/* The bytes of the picture in a content: base64 between a comma and whatever is not base64. */
static inline size_t decoded(const char *text, size_t length, uint8_t *into) {
    static int8_t values[256];
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (values['B'] == 0) {
        memset(values, -1, sizeof values);
        for (int i = 0; i < 64; i++) values[(uint8_t)alphabet[i]] = (int8_t)i;
    }
    const uint8_t *from = memchr(text, ',', length), *end = (const uint8_t *)text + length;
    uint8_t *to = into;
    if (from++ == NULL) return 0;
    while (end - from >= 4) {
        const int a = values[from[0]], b = values[from[1]], c = values[from[2]], d = values[from[3]];
        if ((a | b | c | d) < 0) break;
        const uint32_t three = (uint32_t)(a << 18 | b << 12 | c << 6 | d);
        *to++ = (uint8_t)(three >> 16);
        *to++ = (uint8_t)(three >> 8);
        *to++ = (uint8_t)three;
        from += 4;
    }
    /* One or two bytes are left where `=` follows. */
    if (end - from >= 3 && values[from[0]] >= 0 && values[from[1]] >= 0) {
        *to++ = (uint8_t)(values[from[0]] << 2 | values[from[1]] >> 4);
        if (values[from[2]] >= 0) *to++ = (uint8_t)(values[from[1]] << 4 | values[from[2]] >> 2);
    }
    return (size_t)(to - into);
}

/* What a call of a whole reply reads, given its body. */
static inline size_t read_reply(const struct bench *b, const char *body, size_t length) {
    static uint8_t *picture;
    const char *text = body;
    const size_t found = content(body, length, &text);
    if (!b->bytes) return found;
    if (picture == NULL) picture = malloc(length);
    return decoded(text, found, picture);
}

/* An event's text: counted, or where it is the time of its sending, its age noted. */
static inline size_t take_text(struct bench *b, const char *text, size_t length) {
    if (b->scenario[0] == 'p' && length > 10) timed(b, now_us() - strtod(text, NULL) / 1e3);
    return length;
}

struct lines {
    size_t read;
    /* Of a reply in chunks, chunk sizes and all: the last one, and the empty line behind it, were there. */
    bool last, done;
};

/* Takes whole lines of an event stream; returns how many bytes they were. */
static inline size_t take_lines(struct bench *b, struct lines *l, const char *data, size_t length) {
    const char *line = data, *rest = data + length, *end, *text;
    while (!l->done && (end = memchr(line, '\n', (size_t)(rest - line))) != NULL) {
        const size_t size = (size_t)(end - line);
        if (size > 8 && memcmp(line, "data: {", 7) == 0) {
            const size_t found = content(line, size, &text);
            if (found) l->read += take_text(b, text, found);
        } else if (size == 2 && line[0] == '0') {
            l->last = true;
        } else if (size == 1 && l->last) {
            l->done = true;
        }
        line = end + 1;
    }
    return (size_t)(line - data);
}
#endif
