/* One epoll loop that serves a clock, the keyboard and 20 answers that are being written. Enter asks
 * again, Ctrl-D ends the typing. The key comes from ELKAPI_API_KEY.
 *
 *     cc epoll.c -lelkapi && ./a.out
 */
#include <elkapi.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { STREAMS = 20, EVENTS = 3 };

static void watch(int loop, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

int main(void) {
    const char *request = "{\"messages\":[{\"role\":\"user\",\"content\":\"Name three seas.\"}]}";
    elk_client *client = elk_client_new(NULL, 0);
    elk_queue *queue = elk_queue_new(client, STREAMS, 0);
    const struct itimerspec each_second = {{1, 0}, {1, 0}};
    const int loop = epoll_create1(0), clock = timerfd_create(CLOCK_MONOTONIC, 0), answers = (int)elk_queue_handle(queue);
    int failed = 0, chunks = 0, asked = 0;
    elk_status status = ELK_PENDING;
    timerfd_settime(clock, 0, &each_second, NULL);
    watch(loop, clock), watch(loop, answers), watch(loop, STDIN_FILENO); /* a file is no event source */
    while (asked < STREAMS && elk_queue_submit_stream(queue, request, ELK_NUL, (uint64_t)asked, NULL) == ELK_OK) asked++;

    while (asked > 0 && status != ELK_DONE) {
        struct epoll_event events[EVENTS];
        const int ready = epoll_wait(loop, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            char line[256];
            uint64_t number;
            if (events[i].data.fd == clock && read(clock, &number, sizeof number) > 0)
                printf("%d chunks until now\n", chunks);
            if (events[i].data.fd != STDIN_FILENO) continue;
            if (read(STDIN_FILENO, line, sizeof line) <= 0)
                epoll_ctl(loop, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            else
                asked += elk_queue_submit_stream(queue, request, ELK_NUL, (uint64_t)asked, NULL) == ELK_OK;
        }
        elk_result *result;
        while ((status = elk_queue_next(queue, 0, NULL, &result)) == ELK_CHUNK || status == ELK_OK) {
            chunks += status == ELK_CHUNK;
            if (elk_result_status(result) < 0) failed++, fprintf(stderr, "%s\n", elk_result_message(result));
            elk_result_free(result);
        }
        if (status < 0) break;
    }
    printf("%d answers in %d chunks, %d failed\n", asked - failed, chunks, failed);
    elk_queue_free(queue);
    elk_client_free(client);
    return failed > 0 || asked == 0;
}
