/* Many calls at once from one epoll loop: elkapi's queue or libcurl-multi, at most 64 under way.
 * Usage: many elk|curl HOST PORT CALLS WORKERS DELAY_MS; prints "wall_ms cpu_us_per_call switches_per_call" */
#define _GNU_SOURCE
#include "bench.h"
#include <curl/curl.h>
#include <elkapi.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static const char *host, *port;
static int calls, workers, delay;
static char body[256];

static void fail(const char *what) {
    fprintf(stderr, "many: %s\n", what);
    exit(1);
}

static void watch(int loop, int operation, int fd, unsigned events) {
    struct epoll_event event = {.events = events, .data = {.fd = fd}};
    if (epoll_ctl(loop, operation, fd, &event) != 0 && operation != EPOLL_CTL_DEL) fail("epoll_ctl");
}

/* elkapi */

static elk_queue *queue;

static void elk_round(int count) {
    const int loop = epoll_create1(EPOLL_CLOEXEC);
    elk_status status = ELK_PENDING;
    int taken = 0;
    watch(loop, EPOLL_CTL_ADD, (int)elk_queue_handle(queue), EPOLLIN);
    for (int i = 0; i < count; i++)
        if (elk_queue_submit(queue, body, strlen(body), (uint64_t)i, NULL) != ELK_OK) fail("submit");
    while (status != ELK_DONE) {
        struct epoll_event event;
        elk_result *answer;
        epoll_wait(loop, &event, 1, -1);
        while ((status = elk_queue_next(queue, 0, NULL, &answer)) == ELK_OK) {
            size_t length = 0;
            elk_result_text(answer, &length);
            if (elk_result_status(answer) != ELK_OK || length == 0) fail(elk_result_message(answer));
            elk_result_free(answer);
            taken++;
        }
    }
    if (taken != count) fail("answers are missing");
    close(loop);
}

static void elk_prepare(void) {
    char config[512];
    snprintf(config, sizeof config, "{\"base_url\":\"http://%s:%s/v1\",\"api_key\":\"" KEY "\",\"environment\":false}",
             host, port);
    elk_client *client = elk_client_new(config, ELK_NUL);
    queue = elk_queue_new(client, (uint32_t)workers, (uint32_t)calls);
    elk_client_free(client);
}

/* libcurl: the socket interface of a multi handle, as its manual shows it for epoll */

struct reply {
    CURL *curl;
    char *data;
    size_t length, capacity;
};

static CURLM *multi;
static struct reply *replies;
static int multi_loop, timer;

static size_t take(char *data, size_t size, size_t count, void *user) {
    struct reply *reply = user;
    const size_t more = size * count;
    if (reply->length + more + 1 > reply->capacity) {
        reply->capacity = (reply->length + more + 1) * 2;
        reply->data = realloc(reply->data, reply->capacity);
    }
    memcpy(reply->data + reply->length, data, more);
    reply->length += more;
    return more;
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *user, void *known) {
    static int anything;
    (void)curl, (void)user;
    if (what == CURL_POLL_REMOVE) {
        watch(multi_loop, EPOLL_CTL_DEL, fd, 0);
        return 0;
    }
    const unsigned events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    watch(multi_loop, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events);
    if (!known) curl_multi_assign(multi, fd, &anything);
    return 0;
}

static int on_timer(CURLM *handle, long ms, void *user) {
    (void)handle, (void)user;
    struct itimerspec when = {.it_value = {ms / 1000, ms % 1000 * 1000000}};
    if (ms == 0) when.it_value.tv_nsec = 1;
    if (ms < 0) when.it_value = (struct timespec){0, 0};
    timerfd_settime(timer, 0, &when, NULL);
    return 0;
}

static void curl_prepare(void) {
    static char url[256];
    struct curl_slist *fields = curl_slist_append(NULL, "Authorization: Bearer " KEY);
    fields = curl_slist_append(fields, "Content-Type: application/json");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    snprintf(url, sizeof url, "http://%s:%s/v1/chat/completions", host, port);
    multi = curl_multi_init();
    multi_loop = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    watch(multi_loop, EPOLL_CTL_ADD, timer, EPOLLIN);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)workers);
    replies = calloc((size_t)workers, sizeof *replies);
    for (int i = 0; i < workers; i++) {
        CURL *curl = replies[i].curl = curl_easy_init();
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, 600L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &replies[i]);
        curl_easy_setopt(curl, CURLOPT_PRIVATE, &replies[i]);
    }
}

static void curl_round(int count) {
    int begun = 0, taken = 0, running;
    for (; begun < workers && begun < count; begun++) {
        replies[begun].length = 0;
        curl_multi_add_handle(multi, replies[begun].curl);
    }
    while (taken < count) {
        struct epoll_event events[64];
        const int ready = epoll_wait(multi_loop, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            uint64_t ticks;
            if (events[i].data.fd == timer) {
                if (read(timer, &ticks, sizeof ticks) > 0) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
            } else {
                const int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                                 (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
                curl_multi_socket_action(multi, events[i].data.fd, what, &running);
            }
        }
        CURLMsg *message;
        int left;
        while ((message = curl_multi_info_read(multi, &left)) != NULL) {
            CURL *curl = message->easy_handle;
            struct reply *reply;
            curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&reply);
            if (message->data.result != CURLE_OK || reply->length == 0) fail(curl_easy_strerror(message->data.result));
            curl_multi_remove_handle(multi, curl);
            taken++;
            if (begun++ < count) {
                reply->length = 0;
                curl_multi_add_handle(multi, curl);
            }
        }
    }
}

/* How often a thread of this process gave up its core or lost it. */
static double switches(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_nvcsw + use.ru_nivcsw);
}

int main(int argc, char **argv) {
    if (argc != 7) fail("usage: many elk|curl HOST PORT CALLS WORKERS DELAY_MS");
    const int is_elk = argv[1][0] == 'e';
    host = argv[2], port = argv[3];
    calls = atoi(argv[4]), workers = atoi(argv[5]), delay = atoi(argv[6]);
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],"
             "\"contents\":[\"Hi\"],\"sim\":{\"delay_ms\":%d}}",
             delay);
    if (is_elk) elk_prepare();
    else curl_prepare();
    /* Threads and connections are there. */
    if (is_elk) elk_round(workers);
    else curl_round(workers);
    const double before = switches(), cpu = cpu_seconds(), start = seconds();
    if (is_elk) elk_round(calls);
    else curl_round(calls);
    const double wall = seconds() - start;
    const double spent = cpu_seconds() - cpu;
    printf("%.3f %.3f %.3f\n", wall * 1e3, spent / calls * 1e6, (switches() - before) / calls);
    return 0;
}
