/* The limit: one write, reads until the announced length is there, nothing understood. */
#define _GNU_SOURCE
#include "bench.h"
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct raw {
    int socket;
    char *request, *reply;
    size_t request_length, capacity;
};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void call(struct bench *b, void *state) {
    struct raw *raw = state;
    size_t have = 0, need = 0;
    (void)b;
    if (send(raw->socket, raw->request, raw->request_length, MSG_NOSIGNAL) < 0) fail("send");
    while (need == 0 || have < need) {
        ssize_t got = recv(raw->socket, raw->reply + have, raw->capacity - have - 1, 0);
        if (got <= 0) fail("recv");
        have += (size_t)got;
        if (need == 0) {
            char *end, *length;
            raw->reply[have] = 0;
            if ((end = strstr(raw->reply, "\r\n\r\n")) && (length = strcasestr(raw->reply, "content-length:")))
                need = (size_t)(end + 4 - raw->reply) + strtoul(length + 15, NULL, 10);
        }
    }
}

int main(int argc, char **argv) {
    struct bench b = bench_from(argc, argv);
    struct raw raw = {.capacity = b.bytes + (1 << 16)};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *address;
    int one = 1;
    if (getaddrinfo(b.host, b.port, &hints, &address) != 0) fail("getaddrinfo");
    raw.socket = socket(address->ai_family, SOCK_STREAM, 0);
    if (connect(raw.socket, address->ai_addr, address->ai_addrlen) != 0) fail("connect");
    setsockopt(raw.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    raw.reply = malloc(raw.capacity);
    raw.request = malloc(1024);
    raw.request_length = (size_t)snprintf(raw.request, 1024,
                                          "POST /v1/chat/completions HTTP/1.1\r\nHost: %s:%s\r\n"
                                          "Authorization: Bearer " KEY "\r\nContent-Type: application/json\r\n"
                                          "Content-Length: %zu\r\n\r\n%s",
                                          b.host, b.port, b.body_length, b.body);
    bench_run(&b, call, &raw);
    return 0;
}
