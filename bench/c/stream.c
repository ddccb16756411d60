/* Streams through elkapi, libcurl's write callback, or a bare socket.
 * Usage: stream elk|curl|raw burst|paced|huge HOST PORT [EVENTS]
 *   burst: streams of 1,000 events as fast as they come: "wall_us cpu_us" per stream, medians of 200
 *   paced: one event every 200 us with its send time inside: "median_age_us p99_age_us" over EVENTS
 *   huge:  one event of 100 MB: "peak_rss_mb event_mb" */
#define _GNU_SOURCE
#include "bench.h"
#include <curl/curl.h>
#include <elkapi.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define BURST 1000

static const char *host, *port, *path = "/v1";
static char body[512];
static size_t events, bytes;
static double *ages;
static size_t aged, ages_room;

static double nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* One event's text: its length counts, and where it is a send time, its age. */
static void take_text(const char *text, size_t length) {
    events++;
    bytes += length;
    if (ages_room && aged < ages_room && length > 10) ages[aged++] = (nanoseconds() - strtod(text, NULL)) / 1000;
}

/* What a careful user of a write callback does: whole events out of pieces, the delta's text cut out. */
struct splitter {
    char *data;
    size_t length, room, done;
};

static void split(struct splitter *s, const char *data, size_t length) {
    if (s->length + length + 1 > s->room) s->data = realloc(s->data, s->room = (s->length + length + 1) * 2);
    memcpy(s->data + s->length, data, length);
    s->length += length;
    for (;;) {
        char *start = s->data + s->done, *end = memmem(start, s->length - s->done, "\n\n", 2), *text;
        if (end == NULL) break;
        *end = 0;
        if ((text = strstr(start, "\"content\":\"")) != NULL) {
            text += 11;
            take_text(text, strcspn(text, "\""));
        }
        s->done = (size_t)(end + 2 - s->data);
    }
    memmove(s->data, s->data + s->done, s->length - s->done);
    s->length -= s->done;
    s->done = 0;
}

static size_t curl_take(char *data, size_t size, size_t count, void *user) {
    split(user, data, size * count);
    return size * count;
}

static void curl_call(void *state) {
    static struct splitter s;
    static CURL *curl;
    static char url[256];
    (void)state;
    if (curl == NULL) {
        struct curl_slist *fields = curl_slist_append(NULL, "Authorization: Bearer " KEY);
        fields = curl_slist_append(fields, "Content-Type: application/json");
        curl = curl_easy_init();
        snprintf(url, sizeof url, "http://%s:%s%s/chat/completions", host, port, path);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, curl_take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &s);
    }
    s.length = s.done = 0;
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    if (curl_easy_perform(curl) != CURLE_OK) exit(1);
}

/* Reads the chunked reply as it comes, chunk sizes and all: the stamps stand in the text. */
static void raw_call(void *state) {
    static int fd = -1;
    static struct splitter s;
    char request[1024], data[65536], tail[7] = "";
    (void)state;
    if (fd < 0) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *address;
        int one = 1;
        if (getaddrinfo(host, port, &hints, &address) != 0) exit(1);
        fd = socket(address->ai_family, SOCK_STREAM, 0);
        if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) exit(1);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    s.length = s.done = 0;
    int length = snprintf(request, sizeof request,
                          "POST %s/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer " KEY "\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          path, host, strlen(body), body);
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) exit(1);
    for (;;) {
        ssize_t got = recv(fd, data, sizeof data, 0);
        if (got <= 0) exit(1);
        split(&s, data, (size_t)got);
        /* The last bytes so far, however the reads cut them. */
        size_t keep = (size_t)got >= sizeof tail ? 0 : sizeof tail - (size_t)got;
        memmove(tail, tail + sizeof tail - keep, keep);
        memcpy(tail + keep, data + (size_t)got - (sizeof tail - keep), sizeof tail - keep);
        if (memcmp(tail, "\r\n0\r\n\r\n", sizeof tail) == 0) return;
    }
}

static void elk_call(void *client) {
    elk_stream *stream = elk_chat_completions_stream(client, body, ELK_NUL, NULL);
    elk_status status;
    while ((status = elk_stream_next(stream, -1)) == ELK_OK) {
        size_t length = 0;
        const char *text = elk_stream_text(stream, &length);
        if (length) take_text(text, length);
    }
    if (status != ELK_DONE) {
        fprintf(stderr, "elkapi: %s\n", elk_status_name(status));
        exit(1);
    }
    elk_stream_free(stream);
}

int main(int argc, char **argv) {
    void (*call)(void *) = argc > 1 && argv[1][0] == 'e' ? elk_call : argc > 1 && argv[1][0] == 'c' ? curl_call : raw_call;
    char config[256];
    void *client;
    if (argc < 5) return 2;
    host = argv[3];
    port = argv[4];
    if (argv[2][0] == 'h') path = "/fault/huge-line-100/v1";
    snprintf(config, sizeof config,
             "{\"base_url\":\"http://%s:%s%s\",\"api_key\":\"" KEY "\",\"environment\":false}", host, port, path);
    client = elk_client_new(config, ELK_NUL);
    const char *wishes = argv[2][0] == 'b' ? "\"chunks\":1000,\"bytes\":20000" : "\"chunks\":1";
    char paced[128];
    if (argv[2][0] == 'p') {
        ages_room = argc > 5 ? strtoul(argv[5], NULL, 10) : 2000;
        ages = calloc(ages_room, sizeof *ages);
        snprintf(paced, sizeof paced, "\"chunks\":%zu,\"chunk_delay_us\":200,\"stamp\":true", ages_room);
        wishes = paced;
    }
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"stream\":true,\"contents\":[\"Hi\"],"
             "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{%s}}",
             wishes);
    if (argv[2][0] == 'b') {
        struct bench b = {.calls = 200, .wall = calloc(200, sizeof(double))};
        call(client);
        if (events < BURST) {
            fprintf(stderr, "%zu events\n", events);
            return 1;
        }
        double cpu = cpu_seconds();
        for (int i = 0; i < b.calls; i++) {
            double start = seconds();
            call(client);
            b.wall[i] = seconds() - start;
        }
        cpu = cpu_seconds() - cpu;
        qsort(b.wall, (size_t)b.calls, sizeof *b.wall, by_size);
        printf("%.1f %.1f\n", b.wall[b.calls / 2] * 1e6, cpu / b.calls * 1e6);
    } else if (argv[2][0] == 'p') {
        call(client);
        qsort(ages, aged, sizeof *ages, by_size);
        printf("%.1f %.1f\n", ages[aged / 2], ages[aged * 99 / 100]);
    } else {
        struct rusage use;
        call(client);
        getrusage(RUSAGE_SELF, &use);
        printf("%.0f %.0f\n", (double)use.ru_maxrss / 1024, (double)bytes / (1 << 20));
    }
    return 0;
}
