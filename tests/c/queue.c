/* The queue: what it takes, what it gives back and when, its threads and its memory, and its end amid
 * work: freed, forked, exited. The runner asks the simulator what it saw.
 * Usage: queue CASE SIMULATOR SCOPE TIMES  (the simulator's URL without a path, and /s/NAME) */
#define _GNU_SOURCE
#include "check.h"
#include "elkapi.h"
#include "waiting.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#define HELLO "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"
#define WISHING(wishes) "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{" wishes "}}"

static const char *simulator, *scope;
static int times;

static elk_client *client_of(const char *path) {
    char config[512];
    snprintf(config, sizeof config,
             "{\"base_url\":\"%s%s%s/v1\",\"api_key\":\"sk-test\",\"environment\":false,\"max_retries\":0}", simulator,
             scope, path);
    elk_client *client = elk_client_new(config, ELK_NUL);
    CHECK(elk_client_error(client) == NULL, "%s", elk_result_message(elk_client_error(client)));
    return client;
}

/* A number of the simulator's, such as "/in_flight". */
static long long stats(const char *pointer) {
    char config[512];
    snprintf(config, sizeof config, "{\"base_url\":\"%s%s\",\"api_key\":\"sk-test\",\"environment\":false}", simulator,
             scope);
    elk_client *client = elk_client_new(config, ELK_NUL);
    elk_result *page = elk_get(client, "/__stats", NULL);
    const long long number = (long long)elk_result_int(page, pointer, -1);
    CHECK(number >= 0, "%s", elk_result_message(page));
    elk_result_free(page);
    elk_client_free(client);
    return number;
}

static void wait_for(const char *pointer, long long number) {
    const double give_up = seconds() + 60;
    long long now;
    while ((now = stats(pointer)) != number && seconds() < give_up) nap_ms(2);
    CHECK(now == number, "%s is %lld, not %lld", pointer, now, number);
}

static void submit(const elk_queue *queue, uint64_t tag, const elk_cancel *cancel) {
    const elk_status status = elk_queue_submit(queue, HELLO, ELK_NUL, tag, cancel);
    CHECK(status == ELK_OK, "%s", elk_status_name(status));
}

static void submit_stream(const elk_queue *queue, const char *request, uint64_t tag, const elk_cancel *cancel) {
    const elk_status status = elk_queue_submit_stream(queue, request, ELK_NUL, tag, cancel);
    CHECK(status == ELK_OK, "%s", elk_status_name(status));
}

/* The next result, chunks left out; NULL when there is none. */
static elk_result *next_result(const elk_queue *queue, uint64_t *tag) {
    elk_result *result;
    elk_status status;
    while ((status = elk_queue_next(queue, 60000, tag, &result)) == ELK_CHUNK) elk_result_free(result);
    CHECK(status == ELK_OK || status == ELK_DONE, "%s", elk_status_name(status));
    return result;
}

/* All results have this status; there are that many. */
static void all_end(const elk_queue *queue, int count, elk_status wanted) {
    elk_result *result;
    int ended = 0;
    while ((result = next_result(queue, NULL)) != NULL) {
        CHECK(elk_result_status(result) == wanted, "%s: %s", elk_result_verdict(result), elk_result_message(result));
        elk_result_free(result);
        ended++;
    }
    CHECK(ended == count, "%d results, not %d", ended, count);
}

static int threads_named(const char *wanted) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    while (tasks && (task = readdir(tasks)) != NULL) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL) continue;
        if (fscanf(file, "%31s", name) == 1 && strcmp(name, wanted) == 0) count++;
        fclose(file);
    }
    if (tasks) closedir(tasks);
    return count;
}

static void threads_are_at_most(int workers) {
    const int seen = threads_named("elkapi-queue"), keepers = threads_named("elkapi-keeper");
    CHECK(seen <= workers, "%d workers, more than %d", seen, workers);
    CHECK(keepers <= 1, "%d keepers", keepers);
}

/* Arguments */

static void of_nothing(const elk_queue *queue, elk_status wanted) {
    elk_result *result = (elk_result *)&wanted;
    uint64_t tag = 7;
    CHECK(elk_queue_submit(queue, HELLO, ELK_NUL, 1, NULL) == wanted, "submit");
    CHECK(elk_queue_submit_stream(queue, HELLO, ELK_NUL, 1, NULL) == wanted, "submit_stream");
    CHECK(elk_queue_next(queue, 0, &tag, &result) == wanted, "next");
    CHECK(result == NULL && tag == 7, "something was written");
    CHECK(elk_queue_next(queue, -1, NULL, &result) == wanted, "next waits");
    elk_queue_cancel_all(queue);
}

static void bad_arguments(void) {
    elk_result *result;
    of_nothing(NULL, ELK_E_INVALID_ARGUMENT);
    CHECK(elk_queue_handle(NULL) == -1, "a handle of NULL");
    elk_queue_free(NULL);

    elk_queue *queue = elk_queue_new(NULL, 1, 1);
    of_nothing(queue, ELK_E_INVALID_ARGUMENT);
    CHECK(elk_queue_handle(queue) == -1, "a handle of no client's");
    elk_queue_free(queue);

    elk_client *broken = elk_client_new("{\"nothing\":1}", ELK_NUL);
    queue = elk_queue_new(broken, 1, 1);
    elk_client_free(broken);
    of_nothing(queue, ELK_E_CONFIG);
    CHECK(elk_queue_handle(queue) == -1, "a handle of a broken client's");
    elk_queue_free(queue);

    elk_client *client = client_of("");
    queue = elk_queue_new(client, 0, 0);
    elk_client_free(client);
    CHECK(elk_queue_handle(queue) >= 0, "no handle");
    CHECK(elk_queue_submit(queue, NULL, 0, 1, NULL) == ELK_E_INVALID_ARGUMENT, "no request");
    CHECK(elk_queue_submit(queue, NULL, 5, 1, NULL) == ELK_E_INVALID_ARGUMENT, "a length without a text");
    CHECK(elk_queue_submit_stream(queue, NULL, ELK_NUL, 1, NULL) == ELK_E_INVALID_ARGUMENT, "no request");
    CHECK(elk_queue_next(queue, 0, NULL, NULL) == ELK_E_INVALID_ARGUMENT, "nowhere to write");
    CHECK(elk_queue_next(queue, -1, NULL, &result) == ELK_DONE && result == NULL, "an empty queue waits");
    CHECK(threads_named("elkapi-queue") == 0, "a thread was started for nothing");

    /* Bad requests arrive as results, also an empty one, and by their tags. */
    uint64_t seen = 0, tag;
    CHECK(elk_queue_submit(queue, "{", 1, UINT64_MAX, NULL) == ELK_OK, "not taken");
    CHECK(elk_queue_submit_stream(queue, "", 0, 1, NULL) == ELK_OK, "not taken");
    while ((result = next_result(queue, &tag)) != NULL) {
        CHECK(elk_result_status(result) == ELK_E_INVALID_ARGUMENT, "%s", elk_result_message(result));
        CHECK_TEXT(elk_result_get(result, "/error/param", NULL), "request_json");
        elk_result_free(result);
        seen += tag;
    }
    CHECK(seen == 0, "the tags are others"); /* their sum, which wraps */
    elk_queue_free(queue);
}

static void full(void) {
    elk_client *client = client_of("");
    elk_queue *queue = elk_queue_new(client, 1, 2);
    uint64_t tag;
    submit(queue, 1, NULL);
    submit(queue, 2, NULL);
    CHECK(elk_queue_submit(queue, HELLO, ELK_NUL, 3, NULL) == ELK_E_QUEUE_FULL, "more than its capacity");
    CHECK(elk_queue_submit_stream(queue, HELLO, ELK_NUL, 3, NULL) == ELK_E_QUEUE_FULL, "more than its capacity");
    elk_result *result = next_result(queue, &tag);
    CHECK(tag == 1 && elk_result_status(result) == ELK_OK, "%s", elk_result_message(result));
    elk_result_free(result);
    submit(queue, 3, NULL);
    all_end(queue, 2, ELK_OK);
    elk_client_free(client);
    elk_queue_free(queue);
}

static void chunks_are_results(void) {
    elk_client *client = client_of("");
    elk_queue *queue = elk_queue_new(client, 1, 1);
    elk_result *result, *kept = NULL;
    char texts[4096] = "";
    int chunks = 0;
    elk_status status;
    uint64_t tag = 0;
    submit_stream(queue, HELLO, 42, NULL);
    while ((status = elk_queue_next(queue, -1, &tag, &result)) == ELK_CHUNK) {
        size_t length = 0, json_length = 0;
        const char *text = elk_result_text(result, &length), *json = elk_result_json(result, &json_length);
        CHECK(tag == 42, "%d", (int)tag);
        CHECK(strlen(text) == length && strlen(json) == json_length, "%s %s", text, json);
        strcat(texts, text);
        CHECK(elk_result_status(result) == ELK_OK, "%s", elk_result_message(result));
        CHECK_TEXT(elk_result_message(result), "");
        CHECK_TEXT(elk_result_verdict(result), "");
        CHECK(elk_result_error(result, NULL) == NULL, "an error document");
        CHECK_TEXT(elk_result_get(result, "/object", NULL), "chat.completion.chunk");
        CHECK_TEXT(elk_result_type(result, "/choices"), "array");
        CHECK_TEXT(elk_result_get(result, "/nothing", NULL), NULL);
        CHECK_TEXT(elk_result_get(result, "/error/kind", NULL), NULL);
        CHECK_TEXT(elk_result_type(result, "/error"), "");
        CHECK_TEXT(elk_result_get(result, "/call/attempts", NULL), NULL);
        CHECK(elk_result_int(result, "/call/status", -5) == -5, "a fact of the call");
        /* The last one has the token counts and no choice. */
        const int64_t index = elk_result_count(result, "/choices") ? 0 : -5;
        CHECK(elk_result_int(result, "/choices/0/index", -5) == index, "another index");
        CHECK_TEXT(elk_result_body(result, NULL), "");
        CHECK_TEXT(elk_result_header(result, "content-type"), NULL);
        CHECK(elk_result_image_count(result) == 0, "pictures");
        elk_result_free(kept);
        kept = result;
        chunks++;
    }
    CHECK(chunks > 3 && status == ELK_OK && tag == 42, "%d chunks, then %s", chunks, elk_status_name(status));
    CHECK_TEXT(elk_result_text(result, NULL), texts);
    CHECK_TEXT(elk_result_verdict(result), "complete");
    CHECK_TEXT(elk_result_get(result, "/call/saw_done", NULL), "true");
    elk_client_free(client);
    elk_queue_free(queue);
    /* They outlive the queue. */
    CHECK(elk_result_json(kept, NULL)[0] == '{' && elk_result_int(result, "/usage/total_tokens", 0) > 0, "gone");
    elk_result_free(kept);
    elk_result_free(result);
}

static void arguments(void) {
    bad_arguments();
    full();
    chunks_are_results();
}

/* Many at once */

static int epoll_of(const elk_queue *queue) {
    struct epoll_event event = {.events = EPOLLIN};
    const int loop = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll_ctl(loop, EPOLL_CTL_ADD, (int)elk_queue_handle(queue), &event) == 0, "%s", strerror(errno));
    return loop;
}

/* Whether something waits; level-triggered. */
static int waits(int loop, int ms) {
    struct epoll_event event;
    int ready;
    while ((ready = epoll_wait(loop, &event, 1, ms)) < 0 && errno == EINTR) continue;
    return ready;
}

static void calls(void) {
    enum { CALLS = 1000, WORKERS = 64 };
    static char seen[CALLS];
    elk_client *client = client_of("");
    elk_queue *queue = elk_queue_new(client, WORKERS, CALLS);
    const int loop = epoll_of(queue);
    elk_result *result;
    elk_status status = ELK_PENDING;
    int taken = 0;
    CHECK(waits(loop, 0) == 0, "an empty queue is readable");
    for (uint64_t tag = 0; tag < CALLS; tag++) {
        status = elk_queue_submit(queue, WISHING("\"delay_ms\":20"), ELK_NUL, tag, NULL);
        CHECK(status == ELK_OK, "%s", elk_status_name(status));
    }
    while (status != ELK_DONE) {
        uint64_t tag = CALLS;
        if (waits(loop, 60000) != 1) break;
        while ((status = elk_queue_next(queue, 0, &tag, &result)) == ELK_OK) {
            CHECK(tag < CALLS && !seen[tag], "the call %d came again", (int)tag);
            CHECK(elk_result_status(result) == ELK_OK, "%s", elk_result_message(result));
            if (tag < CALLS) seen[tag] = 1;
            elk_result_free(result);
            taken++;
        }
        if (taken % 100 == 0) threads_are_at_most(WORKERS);
    }
    CHECK(taken == CALLS && status == ELK_DONE, "%d calls, then %s", taken, elk_status_name(status));
    CHECK(waits(loop, 0) == 0, "it is readable after all was taken");
    close(loop);
    elk_queue_free(queue);
    elk_client_free(client);
}

static void streams(void) {
    enum { STREAMS = 256, PARTS = 20 };
    static char wanted[STREAMS][400], texts[STREAMS][400];
    static int ended[STREAMS];
    elk_client *client = client_of("");
    elk_queue *queue = elk_queue_new(client, STREAMS, STREAMS);
    const int loop = epoll_of(queue);
    elk_result *result;
    elk_status status = ELK_PENDING;
    uint64_t tag = 0;
    int chunks = 0;
    for (int i = 0; i < STREAMS; i++) {
        char request[1200];
        for (int part = 0; part < PARTS; part++)
            sprintf(wanted[i] + strlen(wanted[i]), "%d.%d ", i, part);
        snprintf(request, sizeof request,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{\"text\":\"%.399s\",\"delay_ms\":500,"
                 "\"chunks\":20,\"chunk_delay_us\":20000}}",
                 wanted[i]);
        submit_stream(queue, request, (uint64_t)i, NULL);
    }
    while (status != ELK_DONE && waits(loop, 60000) == 1) {
        while ((status = elk_queue_next(queue, 0, &tag, &result)) == ELK_OK || status == ELK_CHUNK) {
            CHECK(!ended[tag], "something comes after the end of %d", (int)tag);
            if (status == ELK_CHUNK) {
                strncat(texts[tag], elk_result_text(result, NULL), sizeof texts[tag] - strlen(texts[tag]) - 1);
                if (chunks++ % 1000 == 0) threads_are_at_most(STREAMS);
            } else {
                CHECK(elk_result_status(result) == ELK_OK, "%s", elk_result_message(result));
                CHECK_TEXT(elk_result_text(result, NULL), wanted[tag]);
                ended[tag] = 1;
            }
            elk_result_free(result);
        }
    }
    CHECK(status == ELK_DONE && chunks >= STREAMS * PARTS, "%d chunks, then %s", chunks, elk_status_name(status));
    for (int i = 0; i < STREAMS; i++) {
        CHECK_TEXT(texts[i], wanted[i]);
        CHECK(ended[i], "%d has not ended", i);
    }
    close(loop);
    elk_queue_free(queue);
    elk_client_free(client);
}

/* In MiB, what this process holds. */
static double resident(void) {
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &size, &pages) == 2, "no statm");
    if (file) fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

/* Prints what 256 streams of 8 MiB, whose chunks nobody takes, hold. */
static void paused(void) {
    enum { STREAMS = 256, BOUND = 320 };
    elk_client *client = client_of("");
    elk_queue *queue = elk_queue_new(client, STREAMS, STREAMS);
    const double before = resident();
    for (uint64_t tag = 0; tag < STREAMS; tag++)
        submit_stream(queue, WISHING("\"bytes\":8388608,\"chunks\":2000"), tag, NULL);
    wait_for("/requests", STREAMS);
    /* Until it has not grown for a second. */
    double most = resident(), since = seconds();
    const double give_up = seconds() + 120;
    while (seconds() - since < 1 && seconds() < give_up) {
        const double now = resident();
        if (now > most + 0.5) {
            most = now;
            since = seconds();
        }
        nap_ms(20);
    }
    printf("%.1f MiB in %d paused streams\n", most - before, STREAMS);
    CHECK(most - before < BOUND, "%.1f MiB", most - before);
    CHECK(stats("/in_flight") == STREAMS, "not all are open");
    const double start = seconds();
    elk_queue_free(queue);
    CHECK(seconds() - start < 5, "freeing took %.1f s", seconds() - start);
    wait_for("/in_flight", 0);
    elk_client_free(client);
}

/* Stopping */

static void stop(void) {
    elk_client *client = client_of("/fault/stall-mid-body");
    elk_queue *queue = elk_queue_new(client, 4, 0);
    elk_cancel *one = elk_cancel_new();
    uint64_t tag = 0;
    elk_result *result;
    /* Four are under way, two wait; one token stops one of each. */
    submit(queue, 1, NULL);
    submit_stream(queue, HELLO, 2, one);
    submit(queue, 3, NULL);
    submit_stream(queue, HELLO, 4, NULL);
    wait_for("/in_flight", 4);
    submit(queue, 5, one);
    submit(queue, 6, NULL);
    elk_cancel_signal(one);
    elk_cancel_free(one); /* the calls hold it */
    int sum = 0;
    for (int i = 0; i < 2; i++) {
        result = next_result(queue, &tag);
        CHECK(elk_result_status(result) == ELK_E_CANCELLED, "%s", elk_result_message(result));
        CHECK_TEXT(elk_result_verdict(result), "cancelled");
        CHECK_TEXT(elk_result_get(result, "/error/billed", NULL), tag == 2 ? "yes" : "no");
        elk_result_free(result);
        sum += (int)tag;
    }
    CHECK(sum == 7, "others were stopped: %d", sum);
    wait_for("/requests", 5); /* the sixth has its turn */
    CHECK(elk_queue_next(queue, 0, NULL, &result) != ELK_OK, "more was stopped");
    elk_result_free(result);

    elk_queue_cancel_all(queue);
    all_end(queue, 4, ELK_E_CANCELLED);
    wait_for("/in_flight", 0);
    CHECK(stats("/closed_by_client") == 5, "%lld sockets were closed", stats("/closed_by_client"));
    CHECK(stats("/requests") == 5, "a call was sent that had been stopped");
    elk_queue_free(queue);
    elk_client_free(client);
}

static atomic_int asked;
static pthread_t main_thread;

static void on_signal(int number) { (void)number; }

static int32_t ask(void *user) {
    CHECK(user == &asked, "another pointer");
    CHECK(pthread_equal(pthread_self(), main_thread), "asked on another thread");
    return ++asked == 2;
}

static atomic_int is_over;

static void *send_signals(void *user) {
    (void)user;
    /* Some may come before the wait and are not asked about. */
    while (!is_over) {
        pthread_kill(main_thread, SIGUSR1);
        nap_ms(1);
    }
    return NULL;
}

static void hook(void) {
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t signals;
    elk_result *result;
    main_thread = pthread_self();
    sigaction(SIGUSR1, &action, NULL);
    elk_client *client = client_of("/delay/1500");
    elk_client_on_interrupt(client, ask, &asked);
    elk_queue *queue = elk_queue_new(client, 1, 1);
    submit(queue, 1, NULL);
    pthread_create(&signals, NULL, send_signals, NULL);
    const elk_status status = elk_queue_next(queue, -1, NULL, &result);
    is_over = 1;
    pthread_join(signals, NULL);
    CHECK(status == ELK_E_CANCELLED && result == NULL, "%s", elk_status_name(status));
    CHECK(asked == 2, "asked %d times", (int)asked);
    all_end(queue, 1, ELK_OK); /* the call went on */
    elk_queue_free(queue);
    elk_client_free(client);
}

static int records;

static void take_record(void *user, const char *json, size_t len) {
    CHECK(pthread_equal(pthread_self(), main_thread), "taken on another thread");
    CHECK(strlen(json) == len && json[0] == '{', "%s", json);
    if (strstr(json, user)) records++;
}

static void record(void) {
    elk_result *result;
    main_thread = pthread_self();
    elk_client *client = client_of("");
    elk_client_on_record(client, ELK_RECORD_ALL, take_record, "\"complete\"");
    elk_queue *queue = elk_queue_new(client, 2, 0);
    elk_client_free(client);
    for (uint64_t tag = 0; tag < 10; tag++) {
        if (tag % 2 == 0) submit(queue, tag, NULL);
        else submit_stream(queue, HELLO, tag, NULL);
    }
    int ended = 0;
    while ((result = next_result(queue, NULL)) != NULL) {
        elk_result_free(result);
        CHECK(records >= ++ended, "%d records of %d calls", records, ended);
    }
    CHECK(records == 10 && ended == 10, "%d records of %d calls", records, ended);
    elk_queue_free(queue);
}

/* The end amid work */

/* Calls and streams that never end; those the workers have are with the simulator. */
static elk_queue *busy(const elk_client *stalls, uint32_t workers, long long requests_before) {
    elk_queue *queue = elk_queue_new(stalls, workers, 0);
    for (uint64_t tag = 0; tag < 2 * workers; tag++) {
        if (tag % 2 == 0) submit(queue, tag, NULL);
        else submit_stream(queue, HELLO, tag, NULL);
    }
    wait_for("/requests", requests_before + workers);
    return queue;
}

static void freed(void) {
    elk_client *client = client_of("/fault/stall-mid-body");
    for (int i = 0; i < times; i++) {
        elk_queue *queue = busy(client, 3, 3 * i);
        const double start = seconds();
        elk_queue_free(queue);
        CHECK(seconds() - start < 5, "freeing took %.2f s", seconds() - start);
    }
    wait_for("/in_flight", 0);
    CHECK(stats("/closed_by_client") == 3 * times, "%lld sockets were closed", stats("/closed_by_client"));
    CHECK(stats("/requests") == 3 * times, "%lld requests", stats("/requests"));
    elk_client_free(client);
}

static void ends_well(pid_t child) {
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with 0x%x", status);
}

static void forked(void) {
    elk_client *client = client_of("/delay/5");
    elk_queue *queue = elk_queue_new(client, 4, 0);
    for (int i = 0; i < times && check_failures == 0; i++) {
        for (uint64_t tag = 0; tag < 6; tag++) {
            if (tag % 2 == 0) submit(queue, tag, NULL);
            else submit_stream(queue, HELLO, tag, NULL);
        }
        const pid_t child = fork();
        if (child == 0) {
            alarm(60); /* what hangs is ended, and seen by its parent */
            of_nothing(queue, ELK_E_FORKED);
            elk_queue_free(queue);
            elk_queue *own = elk_queue_new(client, 2, 0);
            submit(own, 1, NULL);
            submit_stream(own, HELLO, 2, NULL);
            all_end(own, 2, ELK_OK);
            elk_queue_free(own);
            elk_client_free(client);
            _exit(CHECK_RESULT());
        }
        all_end(queue, 6, ELK_OK);
        ends_well(child);
    }
    elk_queue_free(queue);
    elk_client_free(client);
}

static elk_client *left_behind;
static elk_queue *to_be_freed;

static void free_at_exit(void) {
    elk_queue_free(to_be_freed);
    elk_client_free(left_behind);
}

static void *wait_for_ever(void *queue) {
    elk_result *result;
    while (elk_queue_next(queue, -1, NULL, &result) >= 0) elk_result_free(result);
    return NULL;
}

enum ending { BY_EXIT, BY_RETURN, QUICKLY, IN_A_HANDLER };

/* Children that end amid work. In each this returns 1 where main is to return. */
static int left(enum ending ending) {
    for (int i = 0; i < times && check_failures == 0; i++) {
        const pid_t child = fork();
        if (child == 0) {
            pthread_t taker;
            alarm(60);
            /* The handlers of the program run before those of what it loaded. */
            if (ending == IN_A_HANDLER) atexit(free_at_exit);
            left_behind = client_of("/fault/stall-mid-body");
            to_be_freed = busy(left_behind, 3, 3 * i);
            if (ending != IN_A_HANDLER) pthread_create(&taker, NULL, wait_for_ever, to_be_freed);
            if (check_failures) _exit(1);
            if (ending == BY_RETURN) return 1;
            if (ending == QUICKLY) quick_exit(0);
            exit(0);
        }
        ends_well(child);
    }
    wait_for("/in_flight", 0);
    CHECK(stats("/closed_by_client") == 3 * times, "%lld sockets were closed", stats("/closed_by_client"));
    return 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"arguments", arguments}, {"calls", calls}, {"streams", streams}, {"paused", paused}, {"stop", stop},
                 {"hook", hook},           {"record", record}, {"freed", freed},   {"forked", forked}};
    static const char *const endings[] = {"exit", "return", "quick-exit", "exit-handler"};
    if (argc != 5) return 2;
    simulator = argv[2];
    scope = argv[3];
    times = atoi(argv[4]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            return CHECK_RESULT();
        }
    }
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (strcmp(endings[i], argv[1]) == 0) {
            left((enum ending)i);
            return CHECK_RESULT();
        }
    }
    return 2;
}
