/* Streams: pulled with and without a wait, cancelled from another thread, left early, finished once.
 * Usage: stream SIMULATOR_ROOT */
#include "check.h"
#include "elkapi.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static const char *root;

static elk_client *client_of(const char *path) {
    char config[512];
    snprintf(config, sizeof config,
             "{\"base_url\":\"%s%s\",\"api_key\":\"sk-test\",\"environment\":false,\"max_retries\":0}", root, path);
    return elk_client_new(config, ELK_NUL);
}

static elk_stream *open_stream(const elk_client *client, const char *wishes) {
    char request[256];
    snprintf(request, sizeof request, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]%s}", wishes);
    return elk_chat_completions_stream(client, request, ELK_NUL, NULL);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void pulled_to_the_end(void) {
    elk_client *client = client_of("/v1");
    elk_stream *stream = open_stream(client, "");
    char texts[4096] = "";
    int chunks = 0;
    CHECK_TEXT(elk_stream_text(stream, NULL), "");
    CHECK_TEXT(elk_stream_json(stream, NULL), "");
    while (elk_stream_next(stream, -1) == ELK_OK) {
        size_t length = 0;
        const char *text = elk_stream_text(stream, &length);
        CHECK(strlen(text) == length, "%lu", (unsigned long)length);
        strcat(texts, text);
        const char *json = elk_stream_json(stream, &length);
        CHECK(json[0] == '{' && strlen(json) == length, "%s", json);
        CHECK_TEXT(elk_stream_get(stream, "/object", NULL), "chat.completion.chunk");
        CHECK_TEXT(elk_stream_get(stream, "/object", NULL), "chat.completion.chunk");
        CHECK_TEXT(elk_stream_get(stream, "/nothing", NULL), NULL);
        chunks++;
    }
    CHECK(chunks > 3, "%d", chunks);
    CHECK(elk_stream_next(stream, -1) == ELK_DONE, "done stays done");
    elk_client_free(client);
    elk_result *answer = elk_stream_finish(stream);
    elk_result *again = elk_stream_finish(stream);
    elk_stream_free(stream);
    CHECK(elk_result_status(answer) == ELK_OK, "%s", elk_result_message(answer));
    CHECK_TEXT(elk_result_text(answer, NULL), texts);
    CHECK_TEXT(elk_result_verdict(answer), "complete");
    CHECK_TEXT(elk_result_get(answer, "/call/saw_done", NULL), "true");
    CHECK_TEXT(elk_result_body(answer, NULL), "");
    CHECK(elk_result_int(answer, "/usage/total_tokens", 0) > 0, "no tokens");
    CHECK(elk_result_status(again) == ELK_E_CLOSED, "%s", elk_result_message(again));
    elk_result_free(answer);
    elk_result_free(again);
}

static void polled_without_a_wait(void) {
    elk_client *client = client_of("/v1");
    elk_stream *stream = open_stream(client, ",\"sim\":{\"chunks\":4,\"chunk_delay_us\":30000}");
    int pending = 0, chunks = 0;
    elk_status status;
    while ((status = elk_stream_next(stream, chunks % 2 ? 0 : 2)) >= 0 && status != ELK_DONE) {
        if (status == ELK_PENDING) {
            struct timespec pause = {0, 1000000};
            nanosleep(&pause, NULL);
            pending++;
            CHECK_TEXT(elk_stream_text(stream, NULL), "");
        } else {
            chunks++;
        }
    }
    CHECK(status == ELK_DONE && pending > 5 && chunks > 3, "%d pending, %d chunks", pending, chunks);
    elk_stream_free(stream);
    elk_client_free(client);
}

static void *cancel_soon(void *stream) {
    struct timespec pause = {0, 150000000};
    nanosleep(&pause, NULL);
    elk_stream_cancel(stream);
    return NULL;
}

static void cancelled_from_another_thread(void) {
    elk_client *client = client_of("/fault/stall-mid-body/v1");
    elk_stream *stream = open_stream(client, "");
    pthread_t thread;
    elk_status status;
    const double start = seconds();
    pthread_create(&thread, NULL, cancel_soon, stream);
    while ((status = elk_stream_next(stream, -1)) == ELK_OK) {
    }
    CHECK(status == ELK_E_CANCELLED, "%s", elk_status_name(status));
    CHECK(seconds() - start < 2, "it took %.1f s", seconds() - start);
    pthread_join(thread, NULL);
    elk_result *result = elk_stream_finish(stream);
    CHECK_TEXT(elk_result_verdict(result), "cancelled");
    CHECK(elk_result_status(result) == ELK_E_CANCELLED, "%s", elk_result_message(result));
    elk_result_free(result);
    elk_stream_free(stream);
    elk_client_free(client);
}

static void left_early(void) {
    elk_client *client = client_of("/v1");
    for (int chunks = 0; chunks < 5; chunks++) {
        elk_stream *stream = open_stream(client, ",\"sim\":{\"chunks\":100,\"chunk_delay_us\":20000}");
        for (int i = 0; i < chunks; i++)
            CHECK(elk_stream_next(stream, -1) == ELK_OK, "no chunk %d", i);
        const double start = seconds();
        elk_stream_free(stream);
        CHECK(seconds() - start < 0.1, "freeing took %.2f s", seconds() - start);
    }
    elk_stream *stream = open_stream(client, "");
    elk_result *answer = elk_stream_finish(stream);
    CHECK(elk_result_status(answer) == ELK_OK, "the client is usable: %s", elk_result_message(answer));
    elk_result_free(answer);
    elk_stream_free(stream);
    elk_client_free(client);
}

static void what_arrived_is_kept(void) {
    elk_client *client = client_of("/fault/truncate/v1");
    elk_stream *stream = open_stream(client, "");
    elk_result *result = elk_stream_finish(stream);
    CHECK(elk_result_status(result) == ELK_E_STREAM_TRUNCATED, "%s", elk_result_message(result));
    CHECK_TEXT(elk_result_verdict(result), "truncated");
    CHECK_TEXT(elk_result_get(result, "/error/billed", NULL), "yes");
    CHECK(elk_result_json(result, NULL)[0] == '{', "nothing is kept");
    elk_result_free(result);
    elk_stream_free(stream);
    elk_client_free(client);
}

static void refusals_and_bad_arguments(void) {
    elk_client *client = client_of("/v1");
    elk_stream *stream = elk_chat_completions_stream(client, "{\"messages\":[],\"stream\":false}", ELK_NUL, NULL);
    CHECK(elk_stream_next(stream, -1) == ELK_E_INVALID_ARGUMENT, "not refused");
    CHECK(elk_stream_next(stream, 0) == ELK_E_INVALID_ARGUMENT, "refused once only");
    CHECK_TEXT(elk_stream_text(stream, NULL), "");
    CHECK_TEXT(elk_stream_get(stream, "/x", NULL), NULL);
    elk_result *result = elk_stream_finish(stream);
    CHECK_TEXT(elk_result_get(result, "/error/param", NULL), "stream");
    elk_result_free(result);
    elk_stream_free(stream);

    stream = elk_chat_completions_stream(NULL, "{}", ELK_NUL, NULL);
    CHECK(elk_stream_next(stream, -1) == ELK_E_INVALID_ARGUMENT, "a NULL client");
    elk_stream_free(stream);
    stream = elk_chat_completions_stream(client, NULL, 5, NULL);
    CHECK(elk_stream_next(stream, -1) == ELK_E_INVALID_ARGUMENT, "a length without text");
    elk_stream_free(stream);
    elk_client_free(client);

    client = client_of("/wire/error_429_no_retry_after/v1");
    stream = open_stream(client, "");
    CHECK(elk_stream_next(stream, -1) == ELK_E_RATE_LIMIT, "no refusal");
    elk_stream_free(stream);
    elk_client_free(client);

    CHECK(elk_stream_next(NULL, 0) == ELK_E_INVALID_ARGUMENT, "NULL");
    CHECK_TEXT(elk_stream_text(NULL, NULL), "");
    CHECK_TEXT(elk_stream_json(NULL, NULL), "");
    CHECK_TEXT(elk_stream_get(NULL, "/x", NULL), NULL);
    elk_stream_cancel(NULL);
    elk_stream_free(NULL);
    result = elk_stream_finish(NULL);
    CHECK(elk_result_status(result) == ELK_E_INVALID_ARGUMENT, "%s", elk_result_message(result));
    elk_result_free(result);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    root = argv[1];
    pulled_to_the_end();
    polled_without_a_wait();
    cancelled_from_another_thread();
    left_early();
    what_arrived_is_kept();
    refusals_and_bad_arguments();
    return CHECK_RESULT();
}
