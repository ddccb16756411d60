/* A picture of 20 MB, asked for and saved to a file, after a small call.
 * Usage: picture BASE_URL FILE, prints "bytes_of_peak_above_before bytes_of_reply" */
#include "bench.h"
#include <elkapi.h>

#define SMALL "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"
#define PICTURE \
    "{\"model\":\"image\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{\"bytes\":20000000}}"

/* A line of /proc/self/status, in bytes. */
static long status(const char *name) {
    char line[256];
    long kilobytes = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0) kilobytes = strtol(line + strlen(name), NULL, 10);
    if (file) fclose(file);
    return kilobytes * 1024;
}

static elk_result *ask(elk_client *client, const char *request) {
    elk_result *answer = elk_chat_completions(client, request, ELK_NUL, NULL);
    if (elk_result_status(answer) != ELK_OK) {
        fprintf(stderr, "elkapi: %s\n", elk_result_message(answer));
        exit(1);
    }
    return answer;
}

int main(int argc, char **argv) {
    char config[512];
    size_t reply = 0;
    if (argc != 3) return 2;
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"" KEY "\",\"environment\":false}", argv[1]);
    elk_client *client = elk_client_new(config, ELK_NUL);
    elk_result_free(ask(client, SMALL));
    long before = status("VmRSS:");
    elk_result *answer = ask(client, PICTURE);
    if (elk_result_image_save(answer, 0, argv[2]) != ELK_OK) return 1;
    elk_result_json(answer, &reply);
    printf("%ld %zu\n", status("VmHWM:") - before, reply);
    elk_result_free(answer);
    elk_client_free(client);
    return 0;
}
