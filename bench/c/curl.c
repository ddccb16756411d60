/* libcurl as its manual shows it: one easy handle, reused. */
#include "bench.h"
#include <curl/curl.h>

struct reply {
    CURL *curl;
    char *data;
    size_t length, capacity;
};

static size_t take(char *data, size_t size, size_t count, void *user) {
    struct reply *reply = user;
    size_t more = size * count;
    if (reply->length + more + 1 > reply->capacity) {
        reply->capacity = (reply->length + more + 1) * 2;
        reply->data = realloc(reply->data, reply->capacity);
    }
    memcpy(reply->data + reply->length, data, more);
    reply->length += more;
    return more;
}

static void call(struct bench *b, void *state) {
    struct reply *reply = state;
    CURLcode code;
    (void)b;
    reply->length = 0;
    if ((code = curl_easy_perform(reply->curl)) != CURLE_OK || reply->length < b->bytes) {
        fprintf(stderr, "curl: %s\n", curl_easy_strerror(code));
        exit(1);
    }
}

int main(int argc, char **argv) {
    struct bench b = bench_from(argc, argv);
    struct reply reply = {0};
    struct curl_slist *fields = NULL;
    char url[256];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    reply.curl = curl_easy_init();
    snprintf(url, sizeof url, "http://%s:%s/v1/chat/completions", b.host, b.port);
    fields = curl_slist_append(fields, "Authorization: Bearer sk-bench-0123456789abcdefghijklmnopqrstuvwxyz01234567");
    fields = curl_slist_append(fields, "Content-Type: application/json");
    curl_easy_setopt(reply.curl, CURLOPT_URL, url);
    curl_easy_setopt(reply.curl, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(reply.curl, CURLOPT_POSTFIELDS, b.body);
    curl_easy_setopt(reply.curl, CURLOPT_POSTFIELDSIZE, (long)b.body_length);
    curl_easy_setopt(reply.curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(reply.curl, CURLOPT_TIMEOUT, 600L);
    curl_easy_setopt(reply.curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(reply.curl, CURLOPT_WRITEDATA, &reply);
    bench_run(&b, call, &reply);
    return 0;
}
