/* elkapi through its C interface, with its default limits. */
#include "bench.h"
#include <elkapi.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../../tests/c/waiting.h"

static char config[1024];

static size_t read_answer(const struct bench *b, elk_result *answer) {
    size_t length = 0;
    if (elk_result_status(answer) != ELK_OK) fail(elk_result_message(answer));
    if (b->bytes) elk_result_image_bytes(answer, 0, &length);
    else elk_result_text(answer, &length);
    elk_result_free(answer);
    return length;
}

static size_t whole(struct bench *b, void *client) {
    return read_answer(b, elk_chat_completions(client, b->body, b->body_length, NULL));
}

static size_t whole_of_a_new_client(struct bench *b, void *unused) {
    (void)unused;
    elk_client *client = elk_client_new(config, ELK_NUL);
    const size_t read = whole(b, client);
    elk_client_free(client);
    return read;
}

static size_t streamed(struct bench *b, void *client) {
    elk_stream *stream = elk_chat_completions_stream(client, b->body, b->body_length, NULL);
    elk_status status;
    size_t read = 0;
    while ((status = elk_stream_next(stream, -1)) == ELK_OK) {
        size_t length = 0;
        const char *text = b->pointer ? elk_stream_get(stream, "/choices/0/delta/content", &length)
                                      : elk_stream_text(stream, &length);
        if (text) read += take_text(b, text, length);
    }
    if (status != ELK_DONE) fail(elk_status_name(status));
    elk_stream_free(stream);
    return read;
}

static elk_client *client;

static size_t at_once_by_queue(struct bench *b, int calls) {
    static elk_queue *queue;
    elk_status status = ELK_PENDING;
    size_t read = 0;
    int taken = 0;
    if (queue == NULL) queue = elk_queue_new(client, AT_ONCE, (uint32_t)b->calls);
    const int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, (int)elk_queue_handle(queue), &event) != 0) fail("epoll_ctl");
    for (int i = 0; i < calls; i++)
        if (elk_queue_submit(queue, b->body, b->body_length, (uint64_t)i, NULL) != ELK_OK) fail("submit");
    while (status != ELK_DONE) {
        elk_result *answer;
        epoll_wait(loop, &event, 1, -1);
        while ((status = elk_queue_next(queue, 0, NULL, &answer)) == ELK_OK) {
            read += read_answer(b, answer);
            taken++;
        }
    }
    close(loop);
    if (taken != calls) fail("answers are missing");
    return read / (size_t)calls;
}

/* Stopping. */
static elk_cancel *token;
static pid_t caller;
static double stopped_at;

static void *stop(void *unused) {
    wait_until_asleep(caller, 15);
    stopped_at = now_us();
    elk_cancel_signal(token);
    return unused;
}

/* READ names the phase in which the call stalls; a request of 12 MiB is one that does so while it is sent. */
static void cancel(struct bench *b) {
    const size_t length = is(b->read, "send") ? 12 << 20 : 1;
    char *request = malloc(length + 64), *at = stpcpy(request, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    strcpy((char *)memset(at, 'x', length) + length, "\"}]}");
    caller = thread_id();
    for (int tries = 0; b->timed < (size_t)b->calls; tries++) {
        pthread_t thread;
        if (tries == 10 * b->calls) fail("hardly any call was stopped in its phase");
        token = elk_cancel_new();
        pthread_create(&thread, NULL, stop, NULL);
        elk_result *result = elk_chat_completions(client, request, ELK_NUL, token);
        const double took = now_us() - stopped_at;
        pthread_join(thread, NULL);
        if (elk_result_status(result) != ELK_E_CANCELLED) fail(elk_result_message(result));
        /* A busy machine may have let it wait in another phase before. */
        const char *phase = elk_result_get(result, "/error/phase", NULL);
        if (phase && is(phase, b->read)) timed(b, took);
        elk_result_free(result);
        elk_cancel_free(token);
    }
    report(b, 0, 0);
}

int main(int argc, char **argv) {
    struct bench b = bench_from(argc, argv, false);
    char more[600] = "";
    if (b.ca_file) snprintf(more, sizeof more, ",\"ca_file\":\"%s\"", b.ca_file);
    if (is(b.scenario, "resumed")) strcat(more, ",\"max_idle_connections\":0");
    if (is(b.scenario, "cancel")) strcat(more, ",\"connect_timeout_ms\":60000");
    if (is(b.read, "openai")) strcat(more, ",\"contract\":\"openai\"");
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"" KEY "\",\"environment\":false%s}", b.base_url,
             more);
    client = elk_client_new(config, ELK_NUL);
    if (is(b.scenario, "many")) at_once(&b, at_once_by_queue);
    else if (is(b.scenario, "cancel")) cancel(&b);
    else one_by_one(&b, is(b.scenario, "cold") ? whole_of_a_new_client : b.stream ? streamed : whole, client);
    elk_client_free(client);
    return 0;
}
