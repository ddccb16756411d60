/* Makes one call and prints all that the library tells about its result, as one JSON object; the
 * runner compares it with what a wire fixture expects.
 *
 * Usage: drive CONFIG_JSON chat|stream FOLDER <REQUEST, or: drive CONFIG_JSON PATH FOLDER
 * Pictures, the answer document and the reply's body are written into FOLDER. */
#include "elkapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *separator = "{";

static void put_name(const char *name) {
    printf("%s\"%s\":", separator, name);
    separator = ",\n ";
}

static void put_text(const char *text, size_t len) {
    if (text == NULL) {
        printf("null");
        return;
    }
    size_t needed = elk_json_quote(NULL, 0, text, len);
    char *quoted = malloc(needed + 1);
    elk_json_quote(quoted, needed + 1, text, len);
    fputs(quoted, stdout);
    free(quoted);
}

/* What stands at a pointer, as JSON. */
static void put_place(const elk_result *result, const char *pointer) {
    size_t len = 0;
    const char *value = elk_result_get(result, pointer, &len);
    if (strcmp(elk_result_type(result, pointer), "string") == 0)
        put_text(value, len);
    else
        fputs(value ? value : "null", stdout);
}

static void put_member(const elk_result *result, const char *name, const char *pointer) {
    put_name(name);
    put_place(result, pointer);
}

static void put_whole_number(const elk_result *result, const char *pointer) {
    const int64_t number = elk_result_int(result, pointer, INT64_MIN);
    if (number == INT64_MIN)
        printf("null");
    else
        printf("%lld", (long long)number);
}

static void write_file(const char *folder, const char *name, const void *bytes, size_t len) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0) {
        fprintf(stderr, "%s cannot be written\n", path);
        exit(2);
    }
}

static void put_choices(const elk_result *result) {
    char pointer[64];
    put_name("choices");
    printf("[");
    for (size_t i = 0; i < elk_result_count(result, "/call/choices"); i++) {
        printf("%s{\"index\":", i ? "," : "");
        snprintf(pointer, sizeof pointer, "/call/choices/%lu/index", (unsigned long)i);
        put_place(result, pointer);
        printf(",\"text\":");
        snprintf(pointer, sizeof pointer, "/call/choices/%lu/text", (unsigned long)i);
        put_place(result, pointer);
        printf(",\"finish_reason\":");
        snprintf(pointer, sizeof pointer, "/call/choices/%lu/finish_reason", (unsigned long)i);
        put_place(result, pointer);
        printf("}");
    }
    printf("]");
}

static void put_images(const elk_result *result, const char *folder) {
    char pointer[64], path[1024];
    put_name("images");
    printf("[");
    for (size_t i = 0; i < elk_result_image_count(result); i++) {
        size_t len = 0;
        const uint8_t *bytes = elk_result_image_bytes(result, i, &len);
        printf("%s{\"media_type\":", i ? "," : "");
        put_text(elk_result_image_media_type(result, i), ELK_NUL);
        printf(",\"url\":");
        put_text(elk_result_image_url(result, i), ELK_NUL);
        printf(",\"bytes\":%lu,\"source\":", (unsigned long)len);
        snprintf(pointer, sizeof pointer, "/call/images/%lu/source", (unsigned long)i);
        put_place(result, pointer);
        printf("}");
        snprintf(path, sizeof path, "%s/image-%lu", folder, (unsigned long)i);
        if (bytes != NULL && elk_result_image_save(result, i, path) != ELK_OK) exit(2);
    }
    printf("]");
}

/* Members of the message whose choice the text comes from. */
static void put_message(const elk_result *result) {
    char pointer[64];
    size_t place = 0;
    const int64_t wanted = elk_result_int(result, "/call/choice", 0);
    for (size_t i = 0; i < elk_result_count(result, "/choices"); i++) {
        snprintf(pointer, sizeof pointer, "/choices/%lu/index", (unsigned long)i);
        if (elk_result_int(result, pointer, (int64_t)i) == wanted) place = i;
    }
    snprintf(pointer, sizeof pointer, "/choices/%lu/message/tool_calls", (unsigned long)place);
    put_member(result, "tool_calls", pointer);
    snprintf(pointer, sizeof pointer, "/choices/%lu/message/role", (unsigned long)place);
    put_member(result, "role", pointer);
}

static void put_usage(const elk_result *result) {
    put_name("usage");
    if (strcmp(elk_result_type(result, "/usage"), "object") != 0) {
        printf("null");
        return;
    }
    printf("{\"prompt_tokens\":");
    put_whole_number(result, "/usage/prompt_tokens");
    printf(",\"completion_tokens\":");
    put_whole_number(result, "/usage/completion_tokens");
    printf(",\"total_tokens\":");
    put_whole_number(result, "/usage/total_tokens");
    printf("}");
}

static void put_model_ids(const elk_result *result) {
    char pointer[64];
    put_name("model_ids");
    printf("[");
    for (size_t i = 0; i < elk_result_count(result, "/data"); i++) {
        if (i) printf(",");
        snprintf(pointer, sizeof pointer, "/data/%lu/id", (unsigned long)i);
        put_place(result, pointer);
    }
    printf("]");
}

static void put_result(const elk_result *result, const char *folder) {
    size_t len = 0;
    const char *bytes;
    const int failed = elk_result_status(result) < 0;

    put_name("outcome");
    put_text(failed ? "error" : "ok", ELK_NUL);
    put_name("status_name");
    put_text(elk_status_name(elk_result_status(result)), ELK_NUL);
    put_name("sentence");
    put_text(elk_result_message(result), ELK_NUL);
    put_name("verdict");
    put_text(elk_result_verdict(result), ELK_NUL);
    put_name("text");
    bytes = elk_result_text(result, &len);
    put_text(bytes, len);
    put_name("attempts");
    printf("%lu", (unsigned long)elk_result_count(result, "/call/attempts"));
    put_member(result, "request_id", "/call/request_id");
    put_member(result, "saw_done", "/call/saw_done");

    if (failed) {
        put_member(result, "kind", "/error/kind");
        put_name("status");
        printf("%lld", (long long)elk_result_int(result, "/error/status", 0));
        put_member(result, "code", "/error/code");
        put_member(result, "type", "/error/type");
        put_member(result, "message", "/error/message");
        put_member(result, "retryable", "/error/retryable");
        put_member(result, "billed", "/error/billed");
        put_member(result, "retry_after_ms", "/error/retry_after_ms");
        put_member(result, "hint", "/error/hint");
        put_member(result, "error_request_id", "/error/request_id");
    } else {
        put_member(result, "text_without_images", "/call/text_without_images");
        put_member(result, "reasoning", "/call/reasoning");
        put_member(result, "finish_reason", "/call/finish_reason");
        put_choices(result);
        put_images(result, folder);
        put_member(result, "image_errors", "/call/image_errors");
        put_message(result);
        put_usage(result);
        put_model_ids(result);
        put_member(result, "id", "/id");
        put_member(result, "model", "/model");
        put_member(result, "system_fingerprint", "/system_fingerprint");
        put_member(result, "reasoning_tokens", "/usage/completion_tokens_details/reasoning_tokens");
    }
    printf("}\n");

    bytes = elk_result_json(result, &len);
    write_file(folder, "json", bytes, len);
    bytes = elk_result_body(result, &len);
    write_file(folder, "body", bytes, len);
}

/* The chunks of a stream: how many, their texts joined, and what the end was. */
static elk_result *put_stream(elk_stream *stream) {
    size_t room = 65536, have = 0, len = 0, events = 0;
    char *texts = malloc(room);
    elk_status status;
    while ((status = elk_stream_next(stream, -1)) == ELK_OK) {
        const char *text = elk_stream_text(stream, &len);
        while (have + len > room) texts = realloc(texts, room *= 2);
        memcpy(texts + have, text, len);
        have += len;
        events++;
        if (strlen(elk_stream_json(stream, &len)) != len || len == 0) exit(3);
        if (text[0] != 0 && elk_stream_get(stream, "/choices", NULL) == NULL) exit(4);
    }
    put_name("events");
    printf("%lu", (unsigned long)events);
    put_name("stream_texts");
    put_text(texts, have);
    put_name("stream_end");
    put_text(elk_status_name(status), ELK_NUL);
    free(texts);
    return elk_stream_finish(stream);
}

/* All of standard input. */
static char *standard_input(size_t *len) {
    size_t room = 65536;
    char *text = malloc(room);
    *len = 0;
    for (;;) {
        size_t got = fread(text + *len, 1, room - *len, stdin);
        if (got == 0) return text;
        *len += got;
        if (*len == room) text = realloc(text, room *= 2);
    }
}

int main(int argc, char **argv) {
    elk_result *result;
    if (argc != 4) return 2;
    elk_client *client = elk_client_new(argv[1], ELK_NUL);
    if (argv[2][0] != '/') {
        size_t len = 0;
        char *request = standard_input(&len);
        if (strcmp(argv[2], "stream") == 0) {
            elk_stream *stream = elk_chat_completions_stream(client, request, len, NULL);
            result = put_stream(stream);
            elk_stream_free(stream);
        } else {
            result = elk_chat_completions(client, request, len, NULL);
        }
        free(request);
    } else {
        result = elk_get(client, argv[2], NULL);
    }
    elk_client_free(client);
    put_result(result, argv[3]);
    elk_result_free(result);
    return 0;
}
