/* libcurl as its manual shows it: one easy handle that is reused, the reply collected in a growing buffer or, of a
 * stream, taken line by line; for many calls a multi handle over epoll; for stopping curl_multi_wakeup. */
#include "bench.h"
#include <curl/curl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../../tests/c/waiting.h"

struct reply {
    CURL *curl;
    struct bench *bench;
    char *data;
    size_t length, capacity;
    struct lines lines;
};

static void append(struct reply *reply, const char *data, size_t more) {
    if (reply->length + more > reply->capacity) {
        reply->capacity = (reply->length + more) * 2;
        reply->data = realloc(reply->data, reply->capacity);
    }
    memcpy(reply->data + reply->length, data, more);
    reply->length += more;
}

static size_t take_whole(char *data, size_t size, size_t count, void *user) {
    append(user, data, size * count);
    return size * count;
}

/* Lines are taken where they lie, unless one began in the piece before. */
static size_t take_stream(char *data, size_t size, size_t count, void *user) {
    struct reply *reply = user;
    const size_t length = size * count;
    if (reply->length == 0) {
        const size_t taken = take_lines(reply->bench, &reply->lines, data, length);
        append(reply, data + taken, length - taken);
    } else {
        append(reply, data, length);
        const size_t taken = take_lines(reply->bench, &reply->lines, reply->data, reply->length);
        memmove(reply->data, reply->data + taken, reply->length -= taken);
    }
    return length;
}

static void prepare(struct bench *b, struct reply *reply) {
    static struct curl_slist *fields;
    static char url[256];
    if (fields == NULL) {
        snprintf(url, sizeof url, "%s/chat/completions", b->base_url);
        fields = curl_slist_append(fields, "Authorization: Bearer " KEY);
        fields = curl_slist_append(fields, "Content-Type: application/json");
        /* A request beyond 1 MiB would wait for the server's consent first. */
        fields = curl_slist_append(fields, "Expect:");
    }
    reply->bench = b;
    reply->curl = curl_easy_init();
    curl_easy_setopt(reply->curl, CURLOPT_URL, url);
    curl_easy_setopt(reply->curl, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(reply->curl, CURLOPT_POSTFIELDS, b->body);
    curl_easy_setopt(reply->curl, CURLOPT_POSTFIELDSIZE, (long)b->body_length);
    curl_easy_setopt(reply->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(reply->curl, CURLOPT_TIMEOUT, 600L);
    curl_easy_setopt(reply->curl, CURLOPT_WRITEFUNCTION, b->stream ? take_stream : take_whole);
    curl_easy_setopt(reply->curl, CURLOPT_WRITEDATA, reply);
    curl_easy_setopt(reply->curl, CURLOPT_PRIVATE, reply);
    if (b->ca_file) curl_easy_setopt(reply->curl, CURLOPT_CAINFO, b->ca_file);
    /* The handle remembers sessions by itself: CURLOPT_SSL_SESSIONID_CACHE. */
    if (is(b->scenario, "resumed")) curl_easy_setopt(reply->curl, CURLOPT_FORBID_REUSE, 1L);
}

static void begin(struct reply *reply) {
    reply->length = 0;
    reply->lines = (struct lines){0};
}

static size_t result(struct bench *b, struct reply *reply, CURLcode code) {
    long status = 0;
    curl_easy_getinfo(reply->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) fail(curl_easy_strerror(code));
    if (status != 200) fail("not status 200");
    return b->stream ? reply->lines.read : read_reply(b, reply->data, reply->length);
}

static size_t call(struct bench *b, void *state) {
    struct reply *reply = state;
    const bool cold = is(b->scenario, "cold");
    if (cold) prepare(b, reply);
    begin(reply);
    const size_t read = result(b, reply, curl_easy_perform(reply->curl));
    if (cold) curl_easy_cleanup(reply->curl);
    return read;
}

/* Many at once: the socket interface of a multi handle, as its manual shows it for epoll. */

static CURLM *multi;
static int loop, timer;

static void watch(int operation, int fd, unsigned events) {
    struct epoll_event event = {.events = events, .data = {.fd = fd}};
    if (epoll_ctl(loop, operation, fd, &event) != 0 && operation != EPOLL_CTL_DEL) fail("epoll_ctl");
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *user, void *known) {
    static int anything;
    (void)curl, (void)user;
    if (what == CURL_POLL_REMOVE) {
        watch(EPOLL_CTL_DEL, fd, 0);
        return 0;
    }
    const unsigned events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    watch(known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events);
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

static size_t at_once_by_multi(struct bench *b, int calls) {
    static struct reply replies[AT_ONCE];
    size_t taken = 0;
    int begun = 0, ended = 0, running;
    if (multi == NULL) {
        multi = curl_multi_init();
        loop = epoll_create1(EPOLL_CLOEXEC);
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        watch(EPOLL_CTL_ADD, timer, EPOLLIN);
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)AT_ONCE);
        for (int i = 0; i < AT_ONCE; i++) prepare(b, &replies[i]);
    }
    for (; begun < AT_ONCE && begun < calls; begun++) {
        begin(&replies[begun]);
        curl_multi_add_handle(multi, replies[begun].curl);
    }
    while (ended < calls) {
        struct epoll_event events[AT_ONCE];
        CURLMsg *message;
        uint64_t ticks;
        int left;
        const int ready = epoll_wait(loop, events, AT_ONCE, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == timer) {
                if (read(timer, &ticks, sizeof ticks) > 0) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
            } else {
                const int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                                 (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
                curl_multi_socket_action(multi, events[i].data.fd, what, &running);
            }
        }
        while ((message = curl_multi_info_read(multi, &left)) != NULL) {
            CURL *curl = message->easy_handle;
            struct reply *reply;
            curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&reply);
            taken += result(b, reply, message->data.result);
            curl_multi_remove_handle(multi, curl);
            ended++;
            if (begun < calls) {
                begun++;
                begin(reply);
                curl_multi_add_handle(multi, curl);
            }
        }
    }
    return taken / (size_t)calls;
}

/* Stopping: a flag, and a wake-up of the thread that polls the multi handle. */
static pid_t caller;
static volatile bool stopped;
static double stopped_at;

static void *stop(void *unused) {
    wait_until_asleep(caller, 15);
    stopped_at = now_us();
    stopped = true;
    curl_multi_wakeup(multi);
    return unused;
}

static void cancel(struct bench *b) {
    struct reply reply = {0};
    int running = 1;
    multi = curl_multi_init();
    prepare(b, &reply);
    caller = thread_id();
    for (int i = 0; i < b->calls; i++) {
        pthread_t thread;
        stopped = false;
        begin(&reply);
        curl_multi_add_handle(multi, reply.curl);
        curl_multi_perform(multi, &running);
        pthread_create(&thread, NULL, stop, NULL);
        while (!stopped && running) {
            curl_multi_poll(multi, NULL, 0, 60000, NULL);
            if (!stopped) curl_multi_perform(multi, &running);
        }
        curl_multi_remove_handle(multi, reply.curl);
        timed(b, now_us() - stopped_at);
        pthread_join(thread, NULL);
        if (reply.length) fail("a reply came");
    }
    report(b, 0, 0);
}

int main(int argc, char **argv) {
    struct bench b = bench_from(argc, argv, true);
    struct reply reply = {0};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (is(b.scenario, "many")) {
        at_once(&b, at_once_by_multi);
    } else if (is(b.scenario, "cancel")) {
        cancel(&b);
    } else {
        if (!is(b.scenario, "cold")) prepare(&b, &reply);
        one_by_one(&b, call, &reply);
    }
    return 0;
}
