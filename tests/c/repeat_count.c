/* A number of small calls with every limit set; run under strace.
 * Usage: repeat_count BASE_URL CALLS */
#include "elkapi.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    char config[512];
    if (argc != 3) return 2;
    snprintf(config, sizeof config,
             "{\"base_url\":\"%s\",\"api_key\":\"sk-test\",\"connect_timeout_ms\":5000,\"write_timeout_ms\":5000,"
             "\"first_byte_timeout_ms\":5000,\"idle_timeout_ms\":5000,\"total_timeout_ms\":9000}",
             argv[1]);
    elk_client *client = elk_client_new(config, ELK_NUL);
    for (long i = strtol(argv[2], NULL, 10); i > 0; i--) {
        elk_result *answer =
            elk_chat_completions(client, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", ELK_NUL, NULL);
        if (elk_result_status(answer) != ELK_OK) {
            fprintf(stderr, "%s\n", elk_result_message(answer));
            return 1;
        }
        elk_result_free(answer);
    }
    elk_client_free(client);
    return 0;
}
