/* Let the model call a function of this program. The key comes from ELKAPI_API_KEY.
 *
 *     cc tools.c -lelkapi && ./a.out
 */
#include <elkapi.h>
#include <stdio.h>

#define QUESTION "{\"role\":\"user\",\"content\":\"Do I need a coat in Oslo today?\"}"
#define TOOLS                                                                                              \
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\","  \
    "\"properties\":{\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]}}}]"
#define CALLS "/choices/0/message/tool_calls"

int main(void) {
    elk_client *client = elk_client_new(NULL, 0);
    elk_result *asks = elk_chat_completions(client, "{\"tools\":" TOOLS ",\"messages\":[" QUESTION "]}", ELK_NUL, NULL);
    elk_result *answer = NULL;
    const char *id = elk_result_get(asks, CALLS "/0/id", NULL);

    if (elk_result_status(asks) == ELK_OK && id != NULL) {
        /* The arguments are JSON that the model wrote: read them with your JSON library, and check them. */
        const char *arguments = elk_result_get(asks, CALLS "/0/function/arguments", NULL);
        printf("%s %s\n", elk_result_get(asks, CALLS "/0/function/name", NULL), arguments);
        const char *outcome = "{\"sky\":\"clear\",\"celsius\":-4}";

        /* The call goes back as it came, and what the function gave as a text, quoted. Of several calls
         * this answers the first alone. */
        char request[8192], quoted_id[256], quoted_outcome[256];
        elk_json_quote(quoted_id, sizeof quoted_id, id, ELK_NUL);
        elk_json_quote(quoted_outcome, sizeof quoted_outcome, outcome, ELK_NUL);
        int length = snprintf(request, sizeof request,
                              "{\"tools\":" TOOLS ",\"messages\":[" QUESTION ","
                              "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[%s]},"
                              "{\"role\":\"tool\",\"tool_call_id\":%s,\"content\":%s}]}",
                              elk_result_get(asks, CALLS "/0", NULL), quoted_id, quoted_outcome);
        if (length >= (int)sizeof request) return fprintf(stderr, "The calls are too long.\n"), 1;
        answer = elk_chat_completions(client, request, (size_t)length, NULL);
    }
    const elk_result *last = answer ? answer : asks;
    int failed = elk_result_status(last) < 0;
    if (failed)
        fprintf(stderr, "%s: %s\n", elk_status_name(elk_result_status(last)), elk_result_message(last));
    else
        puts(elk_result_text(last, NULL));
    elk_result_free(answer);
    elk_result_free(asks);
    elk_client_free(client);
    return failed;
}
