/* Streams are stopped at 50 points each, between two events and inside one: their connections end at
 * once, nothing stays behind, and the client goes on.
 *
 * Usage: stop_points BASE_URL, that of tests/points.py */
#define _GNU_SOURCE
#include "check.h"
#include "elkapi.h"
#include "waiting.h"

#include <pthread.h>
#include <signal.h>

#define POINTS 50
#define EVENTS 40
/* Less than the shortest event has, its chunk framing included. */
#define BYTES 60

/* Usual: well below a millisecond; under valgrind some. */
static const double AT_ONCE = 1;

static const char *const WAYS[] = {"free", "cancel before", "cancel while", "token while", "SIGINT"};
enum way { FREE, CANCEL_BEFORE, CANCEL_WHILE, TOKEN_WHILE, INTERRUPT };

static elk_client *client;
static elk_cancel *token;
static elk_stream *stream;
static pthread_t caller;
static long wait_us;
static double begun;
static uint64_t state = 0x2545F4914F6CDD1D;

static unsigned below(unsigned bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % bound);
}

static void on_interrupt(int number) {
    (void)number;
    elk_cancel_signal(token);
}

static void *stopper(void *way) {
    const struct timespec nap = {0, wait_us * 1000};
    nanosleep(&nap, NULL);
    begun = seconds();
    switch (*(enum way *)way) {
    case CANCEL_WHILE: elk_stream_cancel(stream); break;
    case TOKEN_WHILE: elk_cancel_signal(token); break;
    default: pthread_kill(caller, SIGINT);
    }
    return NULL;
}

static void stop(enum way way) {
    pthread_t thread;
    elk_status status;
    if (way == FREE) {
        begun = seconds();
        elk_stream_free(stream);
        return;
    }
    if (way == CANCEL_BEFORE) {
        begun = seconds();
        elk_stream_cancel(stream);
        status = elk_stream_next(stream, -1);
    } else {
        pthread_create(&thread, NULL, stopper, &way);
        status = elk_stream_next(stream, -1);
        pthread_join(thread, NULL);
    }
    CHECK(status == ELK_E_CANCELLED, "%s: %s", WAYS[way], elk_status_name(status));
    elk_result *result = elk_stream_finish(stream);
    CHECK_TEXT(elk_result_verdict(result), "cancelled");
    elk_result_free(result);
    elk_stream_free(stream);
}

/* How long after the stop the server saw that the connection had ended; the client is used for it. */
static double seen_after(void) {
    elk_result *result = elk_get(client, "/left", NULL);
    CHECK(elk_result_status(result) == ELK_OK, "%s", elk_result_message(result));
    const double at = (double)elk_result_int(result, "/at_ns", 0) / 1e9;
    elk_result_free(result);
    return at - begun;
}

static double stopped_at(enum way way, unsigned events, unsigned bytes) {
    char request[256];
    snprintf(request, sizeof request,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stop\":{\"events\":%u,\"bytes\":%u}}", events,
             bytes);
    token = elk_cancel_new();
    stream = elk_chat_completions_stream(client, request, ELK_NUL, token);
    for (unsigned i = 0; i < events; i++) {
        char wanted[16];
        const elk_status status = elk_stream_next(stream, 10000);
        snprintf(wanted, sizeof wanted, "é%u ", i);
        CHECK(status == ELK_OK, "%s after %u of %u events: %s", WAYS[way], i, events, elk_status_name(status));
        CHECK_TEXT(elk_stream_text(stream, NULL), wanted);
    }
    if (wait_us % 2) CHECK(elk_stream_next(stream, 2) == ELK_PENDING, "%s: event %u has come", WAYS[way], events);
    stop(way);
    elk_cancel_free(token);
    return seen_after();
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    char config[512];
    double took[POINTS];
    if (argc != 2) return 2;
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"sk-test\",\"environment\":false,\"max_retries\":0}",
             argv[1]);
    client = elk_client_new(config, ELK_NUL);
    caller = pthread_self();
    signal(SIGINT, on_interrupt);
    /* What comes with the first use, such as the connection that is kept for `/left`. */
    for (enum way way = FREE; way <= INTERRUPT; way++) stopped_at(way, 1, 1);
    const struct held before = held();
    for (enum way way = FREE; way <= INTERRUPT; way++) {
        for (unsigned turn = 0; turn < POINTS; turn++) {
            wait_us = below(3000);
            took[turn] = stopped_at(way, below(EVENTS), turn % 4 ? below(BYTES) : 0);
            CHECK(took[turn] < AT_ONCE, "%s: the connection ended after %f s", WAYS[way], took[turn]);
        }
        qsort(took, POINTS, sizeof *took, by_size);
        printf("%-14s the server sees the end after %.0f us, at most %.0f us\n", WAYS[way],
               took[POINTS / 2] * 1e6, took[POINTS - 1] * 1e6);
        struct held now = held();
        /* A thread that was joined may be counted a little longer. */
        for (int ms = 0; now.threads != before.threads && ms < 1000; ms++, now = held()) nap_ms(1);
        CHECK(now.descriptors == before.descriptors && now.threads == before.threads,
              "%s: %zu descriptors and %zu threads, before %zu and %zu", WAYS[way], now.descriptors, now.threads,
              before.descriptors, before.threads);
    }
    elk_stream *whole = elk_chat_completions_stream(client, "{\"messages\":[]}", ELK_NUL, NULL);
    elk_result *result = elk_stream_finish(whole);
    CHECK(elk_result_status(result) == ELK_OK, "%s", elk_result_message(result));
    elk_result_free(result);
    elk_stream_free(whole);
    elk_client_free(client);
    return CHECK_RESULT();
}
