/* Print an answer while it is written; Ctrl-C stops it. The key comes from ELKAPI_API_KEY.
 *
 *     cc stream.c -lelkapi && ./a.out
 */
#include <elkapi.h>
#include <signal.h>
#include <stdio.h>

static elk_cancel *stop;

static void on_ctrl_c(int number) {
    (void)number;
    elk_cancel_signal(stop);
}

int main(void) {
    const char *request = "{\"messages\":[{\"role\":\"user\",\"content\":\"Tell me a short story.\"}]}";
    elk_client *client = elk_client_new(NULL, 0);
    elk_status status;
    stop = elk_cancel_new();
    signal(SIGINT, on_ctrl_c);

    elk_stream *stream = elk_chat_completions_stream(client, request, ELK_NUL, stop);
    while ((status = elk_stream_next(stream, -1)) == ELK_OK) {
        fputs(elk_stream_text(stream, NULL), stdout);
        fflush(stdout);
    }
    elk_result *answer = elk_stream_finish(stream);
    if (status < 0)
        fprintf(stderr, "\n%s\n", elk_result_message(answer));
    else
        printf("\n%s, %lld tokens\n", elk_result_verdict(answer),
               (long long)elk_result_int(answer, "/usage/total_tokens", 0));

    elk_result_free(answer);
    elk_stream_free(stream);
    elk_client_free(client);

    signal(SIGINT, SIG_DFL); /* before what the handler uses is gone */
    elk_cancel_free(stop);
    return status < 0;
}
