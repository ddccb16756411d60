/* A forked child has connections and wake-ups of its own and leaves its parent's alone. The runner
 * counts the connections.
 * Usage: fork CASE SIMULATOR SCOPE  (the simulator's URL without a path, and /s/NAME) */
#define _GNU_SOURCE
#include "check.h"
#include "elkapi.h"
#include "waiting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define REQUEST "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"

static const char *simulator, *scope;

static elk_client *client_of(const char *path) {
    char config[512];
    snprintf(config, sizeof config, "{\"base_url\":\"%s%s%s/v1\",\"api_key\":\"sk-test\",\"max_retries\":0}",
             simulator, scope, path);
    elk_client *client = elk_client_new(config, ELK_NUL);
    CHECK(elk_client_error(client) == NULL, "%s", elk_result_message(elk_client_error(client)));
    return client;
}

static void calls(const elk_client *client, int count, const elk_cancel *cancel, elk_status wanted) {
    for (int i = 0; i < count; i++) {
        elk_result *result = elk_chat_completions(client, REQUEST, ELK_NUL, cancel);
        CHECK(elk_result_status(result) == wanted, "%s", elk_result_message(result));
        elk_result_free(result);
    }
}

/* Begins a child, which must end with _exit. */
static pid_t fork_once(void) {
    const pid_t child = fork();
    /* What hangs is ended, and seen by its parent. */
    if (child == 0) alarm(60);
    return child;
}

static void ends_well(pid_t child) {
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with 0x%x", status);
}

/* The child also frees what it inherited. */
static void used_before(void) {
    elk_client *client = client_of("");
    calls(client, 1, NULL, ELK_OK);
    const pid_t child = fork_once();
    if (child == 0) {
        calls(client, 2, NULL, ELK_OK);
        elk_client_free(client);
        _exit(CHECK_RESULT());
    }
    ends_well(child);
    calls(client, 3, NULL, ELK_OK);
    elk_client_free(client);
}

static void grandchild(void) {
    elk_client *client = client_of("");
    calls(client, 1, NULL, ELK_OK);
    const pid_t child = fork_once();
    if (child == 0) {
        calls(client, 1, NULL, ELK_OK);
        const pid_t its_child = fork_once();
        if (its_child == 0) {
            calls(client, 1, NULL, ELK_OK);
            _exit(CHECK_RESULT());
        }
        ends_well(its_child);
        calls(client, 1, NULL, ELK_OK);
        _exit(CHECK_RESULT());
    }
    ends_well(child);
    elk_client_free(client);
}

static void twenty(void) {
    pid_t children[20];
    elk_client *client = client_of("/delay/100");
    calls(client, 1, NULL, ELK_OK);
    for (int i = 0; i < 20; i++) {
        if ((children[i] = fork_once()) == 0) {
            calls(client, 3, NULL, ELK_OK);
            _exit(CHECK_RESULT());
        }
    }
    for (int i = 0; i < 20; i++) ends_well(children[i]);
    calls(client, 1, NULL, ELK_OK);
    elk_client_free(client);
}

static atomic_int stop;

static void *hammer(void *client) {
    while (!stop) calls(client, 1, NULL, ELK_OK);
    return NULL;
}

static void amid_calls(void) {
    pthread_t threads[4];
    elk_client *client = client_of("");
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, hammer, client);
    for (int i = 0; i < 50 && check_failures == 0; i++) {
        const pid_t child = fork_once();
        if (child == 0) {
            calls(client, 1, NULL, ELK_OK);
            _exit(CHECK_RESULT());
        }
        ends_well(child);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    elk_client_free(client);
}

struct waiting {
    elk_client *client;
    elk_cancel *cancel;
    elk_status ends_as;
    atomic_int thread_id;
};

static void *wait_in_call(void *argument) {
    struct waiting *waiting = argument;
    waiting->thread_id = thread_id();
    calls(waiting->client, 1, waiting->cancel, waiting->ends_as);
    return NULL;
}

static pthread_t begin(struct waiting *waiting) {
    pthread_t thread;
    pthread_create(&thread, NULL, wait_in_call, waiting);
    while (waiting->thread_id == 0) nap_ms(1);
    wait_until_asleep(waiting->thread_id, 100);
    return thread;
}

/* The token's descriptor is the parent's, which waits on it while the child signals and frees. */
static void cancel(void) {
    struct waiting parent = {client_of("/delay/2500"), elk_cancel_new(), ELK_OK, 0};
    elk_client *stalls = client_of("/fault/stall-before-headers");
    pthread_t thread = begin(&parent);
    const pid_t child = fork_once();
    if (child == 0) {
        struct waiting own = {stalls, parent.cancel, ELK_E_CANCELLED, 0};
        thread = begin(&own);
        elk_cancel_signal(parent.cancel);
        pthread_join(thread, NULL);
        calls(parent.client, 1, parent.cancel, ELK_E_CANCELLED);
        elk_cancel_free(parent.cancel);
        elk_client_free(parent.client);
        elk_client_free(stalls);
        _exit(CHECK_RESULT());
    }
    ends_well(child);
    pthread_join(thread, NULL);

    /* Of use as before: not signalled here, until it is. */
    struct waiting again = {stalls, parent.cancel, ELK_E_CANCELLED, 0};
    thread = begin(&again);
    elk_cancel_signal(parent.cancel);
    pthread_join(thread, NULL);
    elk_cancel_free(parent.cancel);
    elk_client_free(parent.client);
    elk_client_free(stalls);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"used-before", used_before}, {"grandchild", grandchild}, {"twenty", twenty},
                 {"amid-calls", amid_calls}, {"cancel", cancel}};
    if (argc != 4) return 2;
    simulator = argv[2];
    scope = argv[3];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            return CHECK_RESULT();
        }
    }
    return 2;
}
