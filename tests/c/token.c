/* What a token and an interrupt hook promise beside stopping one call; see stop.c for the phases.
 * Usage: token SIMULATOR  (its URL without a path) */
#define _GNU_SOURCE
#include "check.h"
#include "elkapi.h"
#include "waiting.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define REQUEST "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"
#define STALLS "/fault/stall-before-headers"
#define THREADS 16

static const char *simulator;

static elk_client *client_of(const char *path) {
    char config[512];
    snprintf(config, sizeof config, "{\"base_url\":\"%s%s/v1\",\"api_key\":\"sk-test\",\"total_timeout_ms\":60000}",
             simulator, path);
    elk_client *client = elk_client_new(config, ELK_NUL);
    CHECK(elk_client_error(client) == NULL, "%s", elk_result_message(elk_client_error(client)));
    return client;
}

/* One call on a thread of its own. */
struct call {
    const elk_client *client;
    const elk_cancel *cancel;
    pthread_t thread;
    atomic_int thread_id;
    elk_result *result;
};

static void *make_call(void *argument) {
    struct call *call = argument;
    call->thread_id = thread_id();
    call->result = elk_chat_completions(call->client, REQUEST, ELK_NUL, call->cancel);
    return NULL;
}

static void start(struct call *call, const elk_client *client, const elk_cancel *cancel) {
    call->client = client;
    call->cancel = cancel;
    call->thread_id = 0;
    pthread_create(&call->thread, NULL, make_call, call);
    while (call->thread_id == 0) nap_ms(1);
    wait_until_asleep(call->thread_id, 100);
}

static void ends_as(struct call *call, elk_status status) {
    pthread_join(call->thread, NULL);
    CHECK(elk_result_status(call->result) == status, "%s", elk_result_message(call->result));
    elk_result_free(call->result);
}

static void a_signalled_token_stops_a_call_before_anything_is_sent(void) {
    elk_client *client = client_of("/s/never");
    elk_cancel *cancel = elk_cancel_new();
    elk_cancel_signal(cancel);
    elk_cancel_signal(cancel);
    for (int round = 0; round < 2; round++) {
        elk_result *result = round == 0 ? elk_chat_completions(client, REQUEST, ELK_NUL, cancel)
                                        : elk_get(client, "/models", cancel);
        CHECK(elk_result_status(result) == ELK_E_CANCELLED, "%s", elk_result_message(result));
        CHECK_TEXT(elk_result_verdict(result), "cancelled");
        CHECK_TEXT(elk_result_get(result, "/error/billed", NULL), "no");
        CHECK(elk_result_int(result, "/error/bytes_sent", -1) == 0, "%s", elk_result_error(result, NULL));
        elk_result_free(result);
    }
    elk_cancel_free(cancel);
    elk_client_free(client);
}

static void one_token_stops_many_calls(void) {
    elk_client *client = client_of(STALLS);
    elk_cancel *cancel = elk_cancel_new();
    struct call calls[THREADS];
    for (int i = 0; i < THREADS; i++) start(&calls[i], client, cancel);
    elk_cancel_signal(cancel);
    for (int i = 0; i < THREADS; i++) ends_as(&calls[i], ELK_E_CANCELLED);
    elk_cancel_free(cancel);
    elk_client_free(client);
}

static void a_token_stops_the_calls_that_have_it_and_no_others(void) {
    elk_client *client = client_of("/delay/700");
    elk_cancel *cancel = elk_cancel_new();
    struct call other, without, mine;
    elk_cancel *unused = elk_cancel_new();
    start(&other, client, unused);
    start(&without, client, NULL);
    start(&mine, client, cancel);
    elk_cancel_signal(cancel);
    ends_as(&mine, ELK_E_CANCELLED);
    ends_as(&other, ELK_OK);
    ends_as(&without, ELK_OK);
    elk_cancel_free(cancel);
    elk_cancel_free(unused);
    elk_client_free(client);
}

static void a_call_keeps_its_token_and_every_reference_signals_it(void) {
    elk_client *client = client_of(STALLS);
    elk_cancel *first = elk_cancel_new(), *second = elk_cancel_ref(first);
    struct call call;
    start(&call, client, first);
    elk_cancel_free(first);
    elk_cancel_signal(second);
    ends_as(&call, ELK_E_CANCELLED);
    elk_cancel_free(second);

    CHECK(elk_cancel_ref(NULL) == NULL, "a reference to nothing");
    elk_cancel_signal(NULL);
    elk_cancel_free(NULL);
    elk_client_free(client);
}

static void ignored(int number) { (void)number; }

/* The descriptor that wakes is exchanged for one that cannot be written. */
static void errno_is_preserved_and_the_flag_is_the_truth(void) {
    elk_client *client = client_of(STALLS);
    elk_cancel *cancel = elk_cancel_new();
    errno = 4711;
    elk_cancel_signal(NULL);
    CHECK(errno == 4711, "%d", errno);
    struct call call;
    start(&call, client, cancel);
    const int unwritable = open("/dev/null", O_RDONLY);
    int exchanged = 0;
    for (int descriptor = 3; descriptor < 256; descriptor++) {
        char path[64], target[64] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
        if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, "[eventfd]"))
            exchanged += dup2(unwritable, descriptor) == descriptor;
    }
    CHECK(exchanged > 0, "no descriptor to wake the call");
    errno = 4711;
    elk_cancel_signal(cancel);
    CHECK(errno == 4711, "%d", errno);
    /* Whatever else wakes the call, it sees the flag. */
    pthread_kill(call.thread, SIGUSR1);
    ends_as(&call, ELK_E_CANCELLED);
    close(unwritable);
    elk_cancel_free(cancel);
    elk_client_free(client);
}

static int32_t count(void *user) { return ++*(atomic_int *)user < 0; }

static void signals_are_ignored_without_a_hook_and_asked_about_with_one(void) {
    atomic_int asked = 0;
    elk_client *client = client_of("/delay/900"), *before = elk_client_with(client, NULL, 0);
    elk_client_on_interrupt(client, count, &asked);
    elk_client *after = elk_client_with(client, "{\"max_retries\":1}", ELK_NUL);
    elk_client *none = elk_client_with(client, NULL, 0);
    elk_client_on_interrupt(none, NULL, NULL);
    const elk_client *clients[] = {before, client, after, none};
    for (int i = 0; i < 4; i++) {
        struct call call;
        asked = 0;
        start(&call, clients[i], NULL);
        for (int signals = 0; signals < 3; signals++) {
            pthread_kill(call.thread, SIGUSR1);
            wait_until_asleep(call.thread_id, 40);
        }
        ends_as(&call, ELK_OK);
        CHECK(asked == (i == 1 || i == 2 ? 3 : 0), "client %d was asked %d times", i, asked);
    }
    elk_client_free(before);
    elk_client_free(client);
    elk_client_free(after);
    elk_client_free(none);

    elk_client *broken = elk_client_new("{\"nothing\":1}", ELK_NUL);
    elk_client_on_interrupt(broken, count, &asked);
    elk_client_on_interrupt(NULL, count, &asked);
    CHECK(elk_client_error(broken) != NULL, "a broken client was mended");
    elk_client_free(broken);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    simulator = argv[1];
    struct sigaction action = {.sa_handler = ignored};
    sigaction(SIGUSR1, &action, NULL);
    a_signalled_token_stops_a_call_before_anything_is_sent();
    one_token_stops_many_calls();
    a_token_stops_the_calls_that_have_it_and_no_others();
    a_call_keeps_its_token_and_every_reference_signals_it();
    errno_is_preserved_and_the_flag_is_the_truth();
    signals_are_ignored_without_a_hook_and_asked_about_with_one();
    return CHECK_RESULT();
}
