/* Reading an answer: what is lent stays where it is until the result is freed, from any thread, and
 * also after its client is gone. Usage: answer BASE_URL FOLDER */
#include "check.h"
#include "elkapi.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

static elk_result *ask(const elk_client *client, const char *request) {
    return elk_chat_completions(client, request, ELK_NUL, NULL);
}

static void views(const elk_result *answer) {
    size_t length = 0, again = 0;
    CHECK(elk_result_status(answer) == ELK_OK, "%s", elk_result_message(answer));
    CHECK_TEXT(elk_result_message(answer), "");
    CHECK_TEXT(elk_result_error(answer, NULL), NULL);
    CHECK_TEXT(elk_result_get(answer, "/error", NULL), NULL);
    CHECK_TEXT(elk_result_verdict(answer), "complete");

    const char *text = elk_result_text(answer, &length);
    CHECK(strlen(text) == length && length > 0, "%lu", (unsigned long)length);
    CHECK_TEXT(elk_result_get(answer, "/choices/0/message/content", NULL), text);
    CHECK_TEXT(elk_result_get(answer, "/call/choices/0/text", NULL), text);

    const char *json = elk_result_json(answer, &length);
    CHECK(json == elk_result_body(answer, &again) && length == again, "the document is not the reply's body");
    CHECK(json[0] == '{' && strlen(json) == length, "%s", json);
    CHECK_TEXT(elk_result_get(answer, "", NULL), json);

    CHECK_TEXT(elk_result_type(answer, ""), "object");
    CHECK_TEXT(elk_result_type(answer, "/choices"), "array");
    CHECK_TEXT(elk_result_type(answer, "/choices/0/message/content"), "string");
    CHECK_TEXT(elk_result_type(answer, "/usage/total_tokens"), "number");
    CHECK_TEXT(elk_result_type(answer, "/nothing"), "");
    CHECK(elk_result_count(answer, "/choices") == 1, "%lu", (unsigned long)elk_result_count(answer, "/choices"));
    CHECK(elk_result_count(answer, "/usage") >= 3, "%lu", (unsigned long)elk_result_count(answer, "/usage"));
    CHECK(elk_result_int(answer, "/usage/total_tokens", -1) > 0, "no tokens");
    CHECK(elk_result_int(answer, "/choices/0/message/content", -7) == -7, "text is no number");

    CHECK(elk_result_int(answer, "/call/status", 0) == 200, "not 200");
    CHECK(elk_result_count(answer, "/call/attempts") == 1, "not one attempt");
    CHECK(elk_result_int(answer, "/call/elapsed_ms", -1) >= 0, "no time");
    const char *id = elk_result_header(answer, "X-ONEAPI-REQUEST-ID");
    CHECK(id != NULL, "no request id");
    CHECK_TEXT(elk_result_get(answer, "/call/request_id", NULL), id);
    CHECK_TEXT(elk_result_header(answer, "content-type"), "application/json; charset=utf-8");
    CHECK_TEXT(elk_result_header(answer, "x-nothing"), NULL);
    CHECK_TEXT(elk_result_header(answer, "not a name"), NULL);
}

/* What each thread saw of one result. */
struct seen {
    const elk_result *answer;
    const char *lent[6];
};

static void *read_all(void *argument) {
    struct seen *seen = argument;
    char pointer[32];
    seen->lent[0] = elk_result_text(seen->answer, NULL);
    seen->lent[1] = elk_result_get(seen->answer, "/id", NULL);
    seen->lent[2] = elk_result_get(seen->answer, "/usage", NULL);
    seen->lent[3] = elk_result_header(seen->answer, "Date");
    seen->lent[4] = elk_result_verdict(seen->answer);
    seen->lent[5] = elk_result_get(seen->answer, "/call/attempts", NULL);
    for (int i = 0; i < 2000; i++) {
        snprintf(pointer, sizeof pointer, "/missing/%d", i);
        if (elk_result_get(seen->answer, pointer, NULL)) return argument;
        if (elk_result_text(seen->answer, NULL) != seen->lent[0]) return argument;
    }
    return NULL;
}

static void threads(const elk_result *answer) {
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    struct seen seen[THREADS];
    for (int i = 0; i < THREADS; i++) {
        seen[i].answer = answer;
        pthread_create(&thread[i], NULL, read_all, &seen[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(thread[i], &wrong);
        CHECK(wrong == NULL, "thread %d saw something else", i);
        for (int j = 0; j < 6; j++)
            CHECK(seen[i].lent[j] && seen[i].lent[j] == seen[0].lent[j], "thread %d was lent another copy", i);
    }
}

static void pictures(const elk_client *client, const char *folder) {
    elk_result *answer = ask(client, "{\"model\":\"gemini-3-pro-image-preview\",\"messages\":[{\"role\":\"user\","
                                     "\"content\":\"A cat\"}],\"extra_body\":{\"google\":{\"image_config\":{"
                                     "\"aspect_ratio\":\"1:1\",\"image_size\":\"1K\"}}}}");
    size_t length = 0, missing = 7;
    char path[512];
    CHECK(elk_result_image_count(answer) == 1, "%s", elk_result_message(answer));
    const uint8_t *bytes = elk_result_image_bytes(answer, 0, &length);
    CHECK(bytes && length > 8 && memcmp(bytes, "\x89PNG", 4) == 0, "no PNG");
    CHECK(bytes == elk_result_image_bytes(answer, 0, NULL), "decoded twice");
    CHECK_TEXT(elk_result_image_media_type(answer, 0), "image/png");
    CHECK_TEXT(elk_result_image_url(answer, 0), NULL);
    CHECK(elk_result_image_bytes(answer, 1, &missing) == NULL && missing == 0, "a second picture");
    CHECK_TEXT(elk_result_image_media_type(answer, (size_t)-1), NULL);

    snprintf(path, sizeof path, "%s/cat.png", folder);
    CHECK(elk_result_image_save(answer, 0, path) == ELK_OK, "not saved");
    FILE *file = fopen(path, "rb");
    uint8_t *read = malloc(length + 1);
    CHECK(file && fread(read, 1, length + 1, file) == length && memcmp(read, bytes, length) == 0,
          "the file has other bytes");
    free(read);
    if (file) fclose(file);
    snprintf(path, sizeof path, "%s/not/there/cat.png", folder);
    CHECK(elk_result_image_save(answer, 0, path) == ELK_E_FILE, "saved into a folder that is not there");
    CHECK(elk_result_image_save(answer, 1, path) == ELK_E_INVALID_ARGUMENT, "saved a picture out of range");
    elk_result_free(answer);
}

int main(int argc, char **argv) {
    char config[512];
    const char *request = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";
    if (argc != 3) return 2;
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"sk-test\"}", argv[1]);
    elk_client *client = elk_client_new(config, ELK_NUL);
    elk_client *quick = elk_client_with(client, "{\"timeout_ms\":20000}", ELK_NUL);
    pictures(client, argv[2]);
    elk_client_free(client);
    elk_result *answer = ask(quick, request);

    /* As in arguments.c: less than one byte a call, once what is made once has been made. */
    for (int round = 0; round < 10; round++) {
        elk_result *one = ask(quick, request);
        views(one);
        elk_result_free(one);
    }
    size_t before = mallinfo2().uordblks;
    for (int round = 0; round < 2000; round++) {
        elk_result *one = ask(quick, request);
        views(one);
        elk_result_free(one);
    }
    size_t after = mallinfo2().uordblks;
    CHECK(after < before + 2000, "2000 calls took %ld bytes that nobody gave back", (long)(after - before));

    /* A long text is lent where it stands in the reply, which then reads as it was sent all the same. */
    elk_result *long_one = ask(quick, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{\"bytes\":300000}}");

    elk_client_free(quick);
    views(answer);
    threads(answer);
    elk_result_free(answer);
    size_t length = 0;
    elk_result_text(long_one, &length);
    CHECK(length >= 300000, "a text of %lu bytes", (unsigned long)length);
    threads(long_one);
    views(long_one);
    elk_result_free(long_one);
    return CHECK_RESULT();
}
