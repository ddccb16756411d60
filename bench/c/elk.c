/* elkapi with its default limits; the text is read from every answer. */
#include "bench.h"
#include <elkapi.h>

static char config[1024];

static void call(struct bench *b, void *state) {
    size_t length = 0;
    elk_client *own = b->connections == COLD ? elk_client_new(config, ELK_NUL) : NULL;
    elk_result *answer = elk_chat_completions(own ? own : state, b->body, b->body_length, NULL);
    elk_result_text(answer, &length);
    if (elk_result_status(answer) != ELK_OK || length < b->bytes) {
        fprintf(stderr, "elkapi: %s\n", elk_result_message(answer));
        exit(1);
    }
    elk_result_free(answer);
    elk_client_free(own);
}

int main(int argc, char **argv) {
    struct bench b = bench_from(argc, argv);
    char trust[512] = "";
    elk_client *client;
    if (b.ca_file) snprintf(trust, sizeof trust, ",\"ca_file\":\"%s\"", b.ca_file);
    snprintf(config, sizeof config,
             "{\"base_url\":\"%s://%s:%s/v1\",\"api_key\":\"" KEY "\",\"environment\":false%s%s}", b.scheme,
             b.host, b.port, trust, b.connections == RESUMED ? ",\"max_idle_connections\":0" : "");
    client = elk_client_new(config, ELK_NUL);
    bench_run(&b, call, client);
    elk_client_free(client);
    return 0;
}
