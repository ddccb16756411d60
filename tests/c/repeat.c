/* Many calls of different sizes over one client: what stands between must not matter.
 * Usage: repeat BASE_URL HEADERS_JSON */
#include "elkapi.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    char config[512], request[256];
    if (argc != 3) return 2;
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"sk-test\",\"headers\":%s}", argv[1], argv[2]);
    elk_client *client = elk_client_new(config, ELK_NUL);
    int failures = 0;
    for (int i = 0; i < 30; i++) {
        size_t bytes = i % 3 == 0 ? 5 : i % 3 == 1 ? 20000 : 3000000, length = 0;
        snprintf(request, sizeof request,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{\"bytes\":%zu}}", bytes);
        elk_result *answer = elk_chat_completions(client, request, ELK_NUL, NULL);
        elk_result_text(answer, &length);
        if (elk_result_status(answer) != ELK_OK || length < bytes) {
            fprintf(stderr, "call %d: %s (%zu bytes)\n", i, elk_result_message(answer), length);
            failures++;
        }
        elk_result_free(answer);
    }
    elk_result *models = elk_get(client, "/models", NULL);
    if (elk_result_count(models, "/data") == 0) {
        fprintf(stderr, "models: %s\n", elk_result_message(models));
        failures++;
    }
    elk_result_free(models);
    elk_client_free(client);
    return failures != 0;
}
