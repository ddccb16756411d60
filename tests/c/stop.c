/* A call that stalls in one phase is stopped in one way; it must return at once, tell the truth about
 * it, leak nothing, and leave the program and its clients usable.
 *
 * Usage: stop PHASE WAY STALLED_BASE_URL GOOD_BASE_URL
 * WAY: thread (a token, from another thread), handler (a token, from a signal handler on the calling
 * thread), elsewhere (the same on another thread), hook (the second time it is asked), total (limit) */
#define _GNU_SOURCE
#include "check.h"
#include "elkapi.h"
#include "waiting.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define SMALL "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"
#define LONG_TEXT (12 << 20)

/* Usual: well below a millisecond. What is not stopped takes at least ten seconds. */
static const double AT_ONCE = 0.5;
static const int TOTAL_MS = 300;

static const char *phase, *way;
static elk_client *client, *good;
static elk_cancel *token;
static pthread_t caller;
static pid_t caller_id;
static double stopped_at;
static atomic_int asked;

static int is(const char *text, const char *wanted) { return strcmp(text, wanted) == 0; }

static void on_signal(int number) {
    (void)number;
    if (is(way, "handler") || is(way, "elsewhere")) elk_cancel_signal(token);
}

/* Goes on when first asked, after calls of its own: on another client and on the very one that asks. */
static int32_t ask(void *user) {
    CHECK(user == &asked && pthread_equal(pthread_self(), caller), "asked on another thread");
    if (asked == 0) {
        elk_result *inner = elk_get(good, "/models", NULL);
        CHECK(elk_result_status(inner) == ELK_OK, "%s", elk_result_message(inner));
        elk_result_free(inner);
        elk_client *brief = elk_client_with(client, "{\"total_timeout_ms\":50,\"max_retries\":0}", ELK_NUL);
        inner = elk_get(brief, "/models", NULL);
        CHECK(elk_result_status(inner) == (is(phase, "pause") ? ELK_E_RATE_LIMIT : ELK_E_TIMEOUT), "%s",
              elk_result_message(inner));
        elk_result_free(inner);
        elk_client_free(brief);
    }
    return ++asked == 2;
}

/* Runs beside the call and stops it once it waits. */
static void *stopper(void *unused) {
    wait_until_asleep(caller_id, 150);
    if (is(way, "hook")) {
        pthread_kill(caller, SIGUSR1);
        for (int ms = 0; asked == 0 && ms < 60000; ms++) nap_ms(1);
        wait_until_asleep(caller_id, 150);
    }
    stopped_at = seconds();
    if (is(way, "thread"))
        elk_cancel_signal(token);
    else
        pthread_kill(is(way, "elsewhere") ? pthread_self() : caller, SIGUSR1);
    return unused;
}

static void check_facts(const elk_result *result) {
    const int sent_whole = is(phase, "wait") || is(phase, "read");
    const char *message = elk_result_message(result);
    if (is(way, "total") && is(phase, "pause")) {
        /* The pause that the server asks for ends after the limit: not worth beginning. */
        CHECK(elk_result_status(result) == ELK_E_RATE_LIMIT, "%s", message);
        CHECK(elk_result_int(result, "/error/retry_after_ms", 0) == 60000, "%s", message);
        CHECK_TEXT(elk_result_get(result, "/error/billed", NULL), "no");
        return;
    }
    const int total = is(way, "total");
    CHECK(elk_result_status(result) == (total ? ELK_E_TIMEOUT : ELK_E_CANCELLED), "%s", message);
    CHECK_TEXT(elk_result_get(result, "/error/kind", NULL), total ? "timeout" : "cancelled");
    CHECK_TEXT(elk_result_get(result, "/error/phase", NULL), phase);
    CHECK_TEXT(elk_result_get(result, "/error/limit", NULL), total ? "total" : NULL);
    CHECK_TEXT(elk_result_verdict(result), total ? "failed" : "cancelled");
    /* A server that had begun its reply when the limit expired had done the work. */
    CHECK_TEXT(elk_result_get(result, "/error/billed", NULL),
               total && is(phase, "read") ? "yes" : sent_whole ? "maybe" : "no");
    CHECK_TEXT(elk_result_get(result, "/error/retryable", NULL), "false");
    CHECK(elk_result_count(result, "/call/attempts") == 1, "%s", elk_result_error(result, NULL));
    if (is(phase, "dns") || is(phase, "connect") || is(phase, "tls"))
        CHECK(elk_result_int(result, "/error/bytes_sent", -1) == 0, "%s", elk_result_error(result, NULL));
    if (is(phase, "send")) {
        const int64_t sent = elk_result_int(result, "/error/bytes_sent", -1);
        CHECK(sent > 0 && sent < LONG_TEXT, "%ld bytes are told as sent", (long)sent);
    }
}

static void stop_once(const char *request) {
    pthread_t thread;
    const double started = seconds();
    const int total = is(way, "total");
    asked = 0;
    token = elk_cancel_new();
    if (!total) pthread_create(&thread, NULL, stopper, NULL);
    elk_result *result = elk_chat_completions(client, request, ELK_NUL, is(way, "hook") ? NULL : token);
    const double returned = seconds();
    if (!total) pthread_join(thread, NULL);
    check_facts(result);
    if (total)
        CHECK((is(phase, "pause") || returned - started >= TOTAL_MS / 1e3) && returned - started < TOTAL_MS / 1e2,
              "after %.3f s", returned - started);
    else
        CHECK(returned - stopped_at < AT_ONCE, "after %.3f s", returned - stopped_at);
    CHECK(asked == (is(way, "hook") ? 2 : 0), "asked %d times", asked);
    elk_result_free(result);
    elk_cancel_free(token);
}

int main(int argc, char **argv) {
    char config[512];
    if (argc != 5) return 2;
    phase = argv[1];
    way = argv[2];
    caller = pthread_self();
    caller_id = thread_id();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);

    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"sk-test\",\"total_timeout_ms\":%d}", argv[3],
             is(way, "total") ? TOTAL_MS : 90000);
    client = elk_client_new(config, ELK_NUL);
    CHECK(elk_client_error(client) == NULL, "%s", elk_result_message(elk_client_error(client)));
    if (is(way, "hook")) elk_client_on_interrupt(client, ask, &asked);
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"sk-test\"}", argv[4]);
    good = elk_client_new(config, ELK_NUL);

    size_t length = is(phase, "send") ? LONG_TEXT : 1;
    char *request = malloc(length + 64);
    size_t head = (size_t)sprintf(request, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    memset(request + head, 'x', length);
    strcpy(request + head + length, "\"}]}");

    /* What is made once and kept is made in the first two rounds. */
    struct held before = {0, 0, 0}, after;
    for (int round = 0; round < 4 && check_failures == 0; round++) {
        stop_once(request);
        if (round == 1) before = held();
    }
    after = held();
    CHECK(after.bytes <= before.bytes, "%ld bytes more after two rounds", (long)(after.bytes - before.bytes));
    CHECK(after.descriptors == before.descriptors, "%ld descriptors more after two rounds",
          (long)(after.descriptors - before.descriptors));
    CHECK(after.threads == before.threads, "%ld threads more after two rounds", (long)(after.threads - before.threads));

    elk_result *answer = elk_chat_completions(good, SMALL, ELK_NUL, NULL);
    CHECK(elk_result_status(answer) == ELK_OK, "%s", elk_result_message(answer));
    elk_result_free(answer);
    free(request);
    elk_client_free(client);
    elk_client_free(good);
    return CHECK_RESULT();
}
