/* A loop of 60 frames a second that asks all the time and never waits for an answer. It tells the
 * longest time that a frame spent in the library. The key comes from ELKAPI_API_KEY.
 *
 *     cc frames.c -lelkapi && ./a.out [SECONDS]
 */
#include <elkapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FRAMES_PER_SECOND = 60, AT_ONCE = 8, CHUNKS_PER_FRAME = 32 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    const char *request = "{\"messages\":[{\"role\":\"user\",\"content\":\"What does the elk say?\"}]}";
    const long frames = (long)((argc > 1 ? atof(argv[1]) : 10) * FRAMES_PER_SECOND);
    elk_client *client = elk_client_new(NULL, 0);
    elk_queue *queue = elk_queue_new(client, AT_ONCE, AT_ONCE);
    long answers = 0, chunks = 0, failed = 0;
    double longest = 0;
    for (long frame = 0; frame < frames && !failed; frame++) {
        const double begin = now();

        while (elk_queue_submit_stream(queue, request, ELK_NUL, (uint64_t)frame, NULL) == ELK_OK) continue;
        elk_result *result;
        for (int i = 0; i < CHUNKS_PER_FRAME; i++) {
            const elk_status status = elk_queue_next(queue, 0, NULL, &result);
            if (status == ELK_CHUNK) chunks++; /* show elk_result_text(result, NULL) */
            else if (status != ELK_OK) break;
            else if (elk_result_status(result) == ELK_OK) answers++;
            else failed++, fprintf(stderr, "%s\n", elk_result_message(result));
            elk_result_free(result);
        }

        const double spent = now() - begin, left = 1.0 / FRAMES_PER_SECOND - spent;
        if (spent > longest) longest = spent;
        /* Here a game would draw. */
        const struct timespec rest = {0, left > 0 ? (long)(left * 1e9) : 0};
        nanosleep(&rest, NULL);
    }
    printf("%ld frames, %ld answers, %ld chunks, longest time in the library %.3f ms\n", frames, answers, chunks,
           longest * 1000);
    elk_queue_free(queue);
    elk_client_free(client);
    return failed > 0 || answers == 0;
}
