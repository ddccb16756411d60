/* elkapi with its default limits; the text is read from every answer. */
#include "bench.h"
#include <elkapi.h>

static void call(struct bench *b, void *state) {
    size_t length = 0;
    elk_result *answer = elk_chat_completions(state, b->body, b->body_length, NULL);
    elk_result_text(answer, &length);
    if (elk_result_status(answer) != ELK_OK || length < b->bytes) {
        fprintf(stderr, "elkapi: %s\n", elk_result_message(answer));
        exit(1);
    }
    elk_result_free(answer);
}

int main(int argc, char **argv) {
    struct bench b = bench_from(argc, argv);
    char config[256];
    elk_client *client;
    snprintf(config, sizeof config, "{\"base_url\":\"http://%s:%s/v1\",\"api_key\":\"sk-bench-0123456789abcdefghijklmnopqrstuvwxyz01234567\",\"environment\":false}",
             b.host, b.port);
    client = elk_client_new(config, ELK_NUL);
    bench_run(&b, call, client);
    elk_client_free(client);
    return 0;
}
