/* libcurl as its manual shows it: one easy handle, reused; without a session to resume, a new one. */
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

static void prepare(struct bench *b, struct reply *reply) {
    static struct curl_slist *fields;
    static char url[256];
    if (fields == NULL) {
        snprintf(url, sizeof url, "%s://%s:%s/v1/chat/completions", b->scheme, b->host, b->port);
        fields = curl_slist_append(fields, "Authorization: Bearer " KEY);
        fields = curl_slist_append(fields, "Content-Type: application/json");
    }
    reply->curl = curl_easy_init();
    curl_easy_setopt(reply->curl, CURLOPT_URL, url);
    curl_easy_setopt(reply->curl, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(reply->curl, CURLOPT_POSTFIELDS, b->body);
    curl_easy_setopt(reply->curl, CURLOPT_POSTFIELDSIZE, (long)b->body_length);
    curl_easy_setopt(reply->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(reply->curl, CURLOPT_TIMEOUT, 600L);
    curl_easy_setopt(reply->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(reply->curl, CURLOPT_WRITEDATA, reply);
    if (b->ca_file) curl_easy_setopt(reply->curl, CURLOPT_CAINFO, b->ca_file);
    /* The handle remembers sessions by itself: CURLOPT_SSL_SESSIONID_CACHE. */
    if (b->connections == RESUMED) curl_easy_setopt(reply->curl, CURLOPT_FORBID_REUSE, 1L);
}

static void call(struct bench *b, void *state) {
    struct reply *reply = state;
    CURLcode code;
    if (b->connections == COLD) prepare(b, reply);
    reply->length = 0;
    if ((code = curl_easy_perform(reply->curl)) != CURLE_OK || reply->length < b->bytes) {
        fprintf(stderr, "curl: %s\n", curl_easy_strerror(code));
        exit(1);
    }
    if (b->connections == COLD) curl_easy_cleanup(reply->curl);
}

int main(int argc, char **argv) {
    struct bench b = bench_from(argc, argv);
    struct reply reply = {0};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (b.connections != COLD) prepare(&b, &reply);
    bench_run(&b, call, &reply);
    return 0;
}
