/* Ask one question. The key comes from ELKAPI_API_KEY.
 *
 *     cc hello.c -lelkapi && ./a.out "Name three seas."
 */
#include <elkapi.h>
#include <stdio.h>

int main(int argc, char **argv) {
    /* "Hello, please introduce yourself." */
    const char *question = argc > 1 ? argv[1] : "こんにちは、自己紹介してください";
    char quoted[8192], request[8400];
    if (elk_json_quote(quoted, sizeof quoted, question, ELK_NUL) >= sizeof quoted) {
        fprintf(stderr, "The question is too long.\n");
        return 1;
    }
    snprintf(request, sizeof request, "{\"messages\":[{\"role\":\"user\",\"content\":%s}]}", quoted);

    elk_client *client = elk_client_new(NULL, 0);
    elk_result *answer = elk_chat_completions(client, request, ELK_NUL, NULL);
    int failed = elk_result_status(answer) < 0;
    if (failed) {
        const char *kind = elk_status_name(elk_result_status(answer));
        fprintf(stderr, "%s: %s\n", kind, elk_result_message(answer));
    } else {
        const char *id = elk_result_get(answer, "/call/request_id", NULL);
        printf("%s\n", elk_result_text(answer, NULL));
        printf("%lld tokens, %.1f s, request %s\n",
               (long long)elk_result_int(answer, "/usage/total_tokens", 0),
               (double)elk_result_int(answer, "/call/elapsed_ms", 0) / 1000, id ? id : "without id");
    }
    elk_result_free(answer);
    elk_client_free(client);
    return failed;
}
