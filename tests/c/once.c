/* One call by a client of any configuration; prints the answer's text, or the kind and the message.
 * Usage: once CONFIG_JSON */
#include "elkapi.h"
#include <stdio.h>

int main(int argc, char **argv) {
    const char *request = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{\"text\":\"Moss\"}}";
    if (argc != 2) return 2;
    elk_client *client = elk_client_new(argv[1], ELK_NUL);
    elk_result *answer = elk_chat_completions(client, request, ELK_NUL, NULL);
    elk_status status = elk_result_status(answer);
    if (status == ELK_OK)
        printf("%s\n", elk_result_text(answer, NULL));
    else
        printf("%s: %s\n", elk_status_name(status), elk_result_message(answer));
    elk_result_free(answer);
    elk_client_free(client);
    return 0;
}
