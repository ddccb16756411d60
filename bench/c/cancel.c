/* From elk_cancel_signal on another thread to the return of the call that it stops.
 * Usage: cancel BASE_URL BYTES COUNT  (BYTES: size of the request) */
#define _GNU_SOURCE
#include "../../tests/c/waiting.h"

#include <elkapi.h>
#include <pthread.h>

static elk_cancel *token;
static pid_t caller;
static double signalled_at;

static void *stop_it(void *unused) {
    wait_until_asleep(caller, 15);
    signalled_at = seconds();
    elk_cancel_signal(token);
    return unused;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    char config[512];
    if (argc != 4) return 2;
    size_t length = strtoul(argv[2], NULL, 10), count = strtoul(argv[3], NULL, 10);
    double *took = calloc(count, sizeof *took);
    char *request = malloc(length + 64);
    size_t head = (size_t)sprintf(request, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    memset(request + head, 'x', length);
    strcpy(request + head + length, "\"}]}");
    snprintf(config, sizeof config,
             "{\"base_url\":\"%s\",\"api_key\":\"sk-bench-0123456789abcdefghijklmnopqrstuvwxyz01234567\",\"environment\":false,\"connect_timeout_ms\":60000}", argv[1]);
    elk_client *client = elk_client_new(config, ELK_NUL);
    caller = thread_id();
    for (size_t i = 0; i < count; i++) {
        pthread_t thread;
        token = elk_cancel_new();
        pthread_create(&thread, NULL, stop_it, NULL);
        elk_result *result = elk_chat_completions(client, request, ELK_NUL, token);
        took[i] = seconds() - signalled_at;
        pthread_join(thread, NULL);
        if (elk_result_status(result) != ELK_E_CANCELLED) {
            fprintf(stderr, "elkapi: %s\n", elk_result_message(result));
            return 1;
        }
        /* So that the table says what it measured. */
        if (i == 0) printf("%s ", elk_result_get(result, "/error/phase", NULL));
        elk_result_free(result);
        elk_cancel_free(token);
    }
    qsort(took, count, sizeof *took, by_size);
    printf("%.1f %.1f\n", took[count / 2] * 1e6, took[count * 99 / 100] * 1e6);
    elk_client_free(client);
    return 0;
}
