/* The limit: a prepared request over a bare socket, and the least that has to be understood of the reply.
 * Nothing is checked, no time is limited, nothing can be stopped: what no client can go below. */
#include "bench.h"
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../tests/c/waiting.h"

struct reply {
    int socket;
    char *data;
    size_t have, need, head, room;
};

static char *request;
static size_t request_length;

static void prepare(const struct bench *b) {
    request = malloc(b->body_length + 1024);
    request_length = (size_t)sprintf(request,
                                     "POST %s/chat/completions HTTP/1.1\r\nHost: %s:%s\r\n"
                                     "Authorization: Bearer " KEY "\r\nContent-Type: application/json\r\n"
                                     "Content-Length: %zu\r\n\r\n",
                                     b->path, b->host, b->port, b->body_length);
    memcpy(request + request_length, b->body, b->body_length);
    request_length += b->body_length;
}

static struct reply connected(const struct bench *b, size_t room) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *address;
    const int one = 1;
    if (getaddrinfo(b->host, b->port, &hints, &address) != 0) fail("getaddrinfo");
    const int fd = socket(address->ai_family, SOCK_STREAM, 0);
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    freeaddrinfo(address);
    return (struct reply){.socket = fd, .data = malloc(room), .room = room};
}

static void send_request(struct reply *r) {
    for (size_t sent = 0; sent < request_length;) {
        const ssize_t took = send(r->socket, request + sent, request_length - sent, MSG_NOSIGNAL);
        if (took < 0) fail("send");
        sent += (size_t)took;
    }
    r->have = r->need = r->head = 0;
}

/* One read; says whether the reply is whole. */
static bool receive(struct reply *r) {
    const ssize_t got = recv(r->socket, r->data + r->have, r->room - r->have, 0);
    if (got <= 0) fail("recv");
    r->have += (size_t)got;
    if (r->need == 0) {
        char *end = memmem(r->data, r->have, "\r\n\r\n", 4), *length;
        if (end == NULL) return false;
        *end = 0;
        if (memcmp(r->data, "HTTP/1.1 200", 12) != 0 || (length = strcasestr(r->data, "content-length:")) == NULL)
            fail("not the reply");
        r->head = (size_t)(end + 4 - r->data);
        r->need = r->head + strtoul(length + 15, NULL, 10);
        if (r->need > r->room) r->data = realloc(r->data, r->room = r->need);
    }
    return r->have >= r->need;
}

static size_t whole(struct bench *b, void *state) {
    struct reply *r = state;
    send_request(r);
    while (!receive(r)) continue;
    return read_reply(b, r->data + r->head, r->need - r->head);
}

static size_t streamed(struct bench *b, void *state) {
    struct reply *r = state;
    struct lines lines = {0};
    send_request(r);
    while (!lines.done) {
        const ssize_t got = recv(r->socket, r->data + r->have, r->room - r->have, 0);
        if (got <= 0) fail("recv");
        r->have += (size_t)got;
        const size_t taken = take_lines(b, &lines, r->data, r->have);
        memmove(r->data, r->data + taken, r->have -= taken);
    }
    return lines.read;
}

static size_t at_once_by_epoll(struct bench *b, int calls) {
    static struct reply replies[AT_ONCE];
    static int loop;
    size_t read = 0;
    int begun = 0, ended = 0;
    if (loop == 0) {
        loop = epoll_create1(EPOLL_CLOEXEC);
        for (int i = 0; i < AT_ONCE; i++) {
            replies[i] = connected(b, 1 << 16);
            struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &replies[i]}};
            if (epoll_ctl(loop, EPOLL_CTL_ADD, replies[i].socket, &event) != 0) fail("epoll_ctl");
        }
    }
    for (; begun < AT_ONCE && begun < calls; begun++) send_request(&replies[begun]);
    while (ended < calls) {
        struct epoll_event events[AT_ONCE];
        const int ready = epoll_wait(loop, events, AT_ONCE, -1);
        for (int i = 0; i < ready; i++) {
            struct reply *r = events[i].data.ptr;
            if (!receive(r)) continue;
            read += read_reply(b, r->data + r->head, r->need - r->head);
            ended++;
            if (begun < calls) begun++, send_request(r);
        }
    }
    return read / (size_t)calls;
}

/* Stopping: the socket is shut down under the call that waits on it. */
static struct reply waiting;
static pid_t caller;
static double stopped_at;

static void *stop(void *unused) {
    wait_until_asleep(caller, 15);
    stopped_at = now_us();
    shutdown(waiting.socket, SHUT_RDWR);
    return unused;
}

static void cancel(struct bench *b) {
    double cpu = 0;
    caller = thread_id();
    for (int i = 0; i < b->calls; i++) {
        pthread_t thread;
        char byte;
        waiting = connected(b, 1);
        send_request(&waiting);
        pthread_create(&thread, NULL, stop, NULL);
        if (recv(waiting.socket, &byte, 1, 0) > 0) fail("a reply came");
        timed(b, now_us() - stopped_at);
        pthread_join(thread, NULL);
        close(waiting.socket);
        free(waiting.data);
    }
    report(b, cpu, 0);
}

int main(int argc, char **argv) {
    struct bench b = bench_from(argc, argv, true);
    prepare(&b);
    if (is(b.scenario, "many")) {
        at_once(&b, at_once_by_epoll);
    } else if (is(b.scenario, "cancel")) {
        cancel(&b);
    } else {
        struct reply reply = connected(&b, 1 << 18);
        one_by_one(&b, b.stream ? streamed : whole, &reply);
    }
    return 0;
}
