/* The server of the bench: replies made beforehand, so that it is never what is measured.
 *
 * Usage: server FOLDER. Prints its address, ends when standard input does. A request is answered by the first name in
 * its path (/small/v1/chat/completions): the file FOLDER/small, sent as it is, with the twists of the table below.
 * One thread per connection, kept alive; a request's body is thrown away in the kernel. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A request of 1 MiB; which other members it has is the client's. */
#define UPLOAD ((1 << 20) - 1024)
#define EVENTS 2500
#define EVENT_NS 200000
#define STAMP "00000000000000000000"

struct bytes {
    char *data;
    size_t length;
};

static struct place {
    const char *name, *file;
    /* Before the reply. */
    long delay_ms;
    /* What a request has at least. */
    size_t least;
    /* EVENTS times the event between the file's head and its end, one every EVENT_NS, its STAMP the time of sending. */
    bool paced;
    struct bytes reply;
} places[] = {
    {.name = "small", .file = "small"},      {.name = "picture", .file = "picture"},
    {.name = "burst", .file = "burst"},      {.name = "paced", .file = "paced", .paced = true},
    {.name = "late", .file = "small", .delay_ms = 20}, {.name = "upload", .file = "small", .least = UPLOAD},
};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static struct bytes contents(const char *folder, const char *name) {
    char path[4096];
    struct bytes all = {malloc(1 << 24), 0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail(path);
    all.length = fread(all.data, 1, 1 << 24, file);
    fclose(file);
    all.data[all.length] = 0;
    return all;
}

static bool sent(int fd, const char *data, size_t length) {
    while (length > 0) {
        const ssize_t took = send(fd, data, length, MSG_NOSIGNAL);
        if (took <= 0) return false;
        data += took;
        length -= (size_t)took;
    }
    return true;
}

static bool sent_paced(int fd, const struct place *place) {
    /* The file's event is the line with the stamp, with the size of its chunk before it. */
    char event[1024];
    const char *whole = place->reply.data, *stamp = strstr(whole, STAMP), *from = stamp, *to = strstr(stamp, "\r\n") + 2;
    while (memcmp(from - 2, "\r\n", 2) != 0) from--;
    for (from -= 2; memcmp(from - 2, "\r\n", 2) != 0;) from--;
    const size_t length = (size_t)(to - from);
    memcpy(event, from, length);
    struct timespec next, now;
    if (!sent(fd, whole, (size_t)(from - whole))) return false;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (int i = 0; i < EVENTS; i++) {
        char digits[sizeof STAMP];
        if ((next.tv_nsec += EVENT_NS) >= 1000000000) next.tv_sec++, next.tv_nsec -= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(digits, sizeof digits, "%020lld", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
        memcpy(event + (stamp - from), digits, sizeof digits - 1);
        if (!sent(fd, event, length)) return false;
    }
    return sent(fd, to, place->reply.length - (size_t)(to - whole));
}

static bool answered(int fd, const char *head, size_t body) {
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct place *place = &places[i];
        const size_t length = strlen(place->name);
        if (strncmp(head, "POST /", 6) != 0 || strncmp(head + 6, place->name, length) != 0 || head[6 + length] != '/')
            continue;
        if (body < place->least) break;
        if (place->delay_ms) nanosleep(&(struct timespec){0, place->delay_ms * 1000000}, NULL);
        return place->paced ? sent_paced(fd, place) : sent(fd, place->reply.data, place->reply.length);
    }
    const char *refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    return sent(fd, refusal, strlen(refusal));
}

static void *served(void *argument) {
    const int fd = (int)(long)argument, one = 1;
    char head[1 << 14];
    size_t have = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    prctl(PR_SET_TIMERSLACK, 1);
    for (;;) {
        char *end, *field;
        head[have] = 0;
        if ((end = strstr(head, "\r\n\r\n")) == NULL) {
            const ssize_t got = recv(fd, head + have, sizeof head - 1 - have, 0);
            if (got <= 0) break;
            have += (size_t)got;
            continue;
        }
        *end = 0;
        const size_t start = (size_t)(end + 4 - head), body = (field = strcasestr(head, "\r\ncontent-length:")) == NULL
                                                                  ? 0
                                                                  : strtoul(field + 17, NULL, 10);
        size_t rest = body;
        if (strcasestr(head, "\r\nexpect: 100") && !sent(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25)) break;
        const size_t here = have - start < rest ? have - start : rest;
        rest -= here;
        while (rest > 0) {
            const ssize_t got = recv(fd, NULL, rest, MSG_TRUNC);
            if (got <= 0) break;
            rest -= (size_t)got;
        }
        if (rest > 0 || !answered(fd, head, body)) break;
        memmove(head, head + start + here, have -= start + here);
    }
    close(fd);
    return NULL;
}

__attribute__((noreturn)) static void *accepting(void *argument) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&small, 1 << 17);
    for (;;) {
        pthread_t thread;
        const int fd = accept4((int)(long)argument, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && pthread_create(&thread, &small, served, (void *)(long)fd) != 0) fail("pthread_create");
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    pthread_t thread;
    char byte;
    if (argc != 2) return 2;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) places[i].reply = contents(argv[1], places[i].file);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 512) != 0) fail("listen");
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    pthread_create(&thread, NULL, accepting, (void *)(long)fd);
    while (read(0, &byte, 1) > 0) continue;
    return 0;
}
