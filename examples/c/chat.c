/* A chat in the terminal: Ctrl-C stops an answer, Ctrl-D ends. The key comes from ELKAPI_API_KEY.
 *
 *     cc chat.c -lelkapi && ./a.out
 */
#include <elkapi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The token of the answer that is being written; a stopped token stays stopped, so each gets its own. */
static elk_cancel *volatile stop;

static void on_ctrl_c(int number) {
    signal(number, on_ctrl_c);
    elk_cancel_signal(stop); /* of no effect on NULL */
}

/* Adds a message to the conversation, which is a whole request at any time. */
static char *say(char *request, const char *role, const char *text, size_t length) {
    size_t old = request ? strlen(request) - 2 : 0, quoted = elk_json_quote(NULL, 0, text, length);
    char *longer = realloc(request, old + quoted + 64);
    if (longer == NULL) abort();
    const char *before = old ? "," : "{\"messages\":[";
    old += (size_t)sprintf(longer + old, "%s{\"role\":\"%s\",\"content\":", before, role);
    elk_json_quote(longer + old, quoted + 1, text, length);
    strcpy(longer + old + quoted, "}]}");
    return longer;
}

int main(void) {
    elk_client *client = elk_client_new(NULL, 0);
    char line[4096], *request = NULL;
    signal(SIGINT, on_ctrl_c);
    while (printf("> "), fflush(stdout), fgets(line, sizeof line, stdin) != NULL) {
        request = say(request, "user", line, strcspn(line, "\n"));
        elk_cancel *token = stop = elk_cancel_new();
        elk_stream *stream = elk_chat_completions_stream(client, request, ELK_NUL, token);
        while (elk_stream_next(stream, -1) == ELK_OK) {
            fputs(elk_stream_text(stream, NULL), stdout);
            fflush(stdout);
        }
        stop = NULL; /* before the token is gone */
        elk_result *answer = elk_stream_finish(stream);
        if (elk_result_status(answer) < 0) fprintf(stderr, "\n%s", elk_result_message(answer));
        puts("");
        size_t length;
        const char *text = elk_result_text(answer, &length); /* of a stopped answer what had arrived */
        request = say(request, "assistant", length ? text : "(no answer)", length ? length : ELK_NUL);
        elk_result_free(answer);
        elk_stream_free(stream);
        elk_cancel_free(token);
    }
    free(request);
    elk_client_free(client);
    return 0;
}
