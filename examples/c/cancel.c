/* Ask a question; Ctrl-C takes it back. The key comes from ELKAPI_API_KEY.
 *
 *     cc cancel.c -lelkapi && ./a.out
 */
#include <elkapi.h>
#include <signal.h>
#include <stdio.h>

static elk_cancel *stop;

/* One of the few things that a signal handler may do. */
static void on_ctrl_c(int number) {
    (void)number;
    elk_cancel_signal(stop);
}

int main(void) {
    stop = elk_cancel_new();
    signal(SIGINT, on_ctrl_c);

    elk_client *client = elk_client_new(NULL, 0);
    elk_result *answer = elk_chat_completions(
        client, "{\"messages\":[{\"role\":\"user\",\"content\":\"Write a long tale of an elk.\"}]}", ELK_NUL, stop);
    elk_status status = elk_result_status(answer);
    if (status == ELK_E_CANCELLED)
        fprintf(stderr, "Stopped after %lld ms. Billed: %s.\n",
                (long long)elk_result_int(answer, "/error/elapsed_ms", 0),
                elk_result_get(answer, "/error/billed", NULL));
    else if (status < 0)
        fprintf(stderr, "%s: %s\n", elk_status_name(status), elk_result_message(answer));
    else
        puts(elk_result_text(answer, NULL));
    elk_result_free(answer);
    elk_client_free(client);

    signal(SIGINT, SIG_DFL); /* before what the handler uses is gone */
    elk_cancel_free(stop);
    return status < 0;
}
