/* What a caller can do wrong is told by status, kind and a sentence that names the argument or the
 * byte, sends nothing, and leaks nothing. The runner checks that the simulator saw no request.
 * Usage: arguments BASE_URL */
#include "check.h"
#include "elkapi.h"

#include <malloc.h>
#include <stdlib.h>

#define GOOD "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"

/* A result that must be a failure of that status whose sentence has `says` in it. */
static void refused(int line, elk_result *result, elk_status status, const char *says, const char *param) {
    const char *kind = elk_status_name(status);
    size_t length = 7;
    const char *document = elk_result_error(result, &length);
    if (elk_result_status(result) != status || !strstr(elk_result_message(result), says)) {
        fprintf(stderr, "line %d: %s: %s\n", line, elk_status_name(elk_result_status(result)),
                elk_result_message(result));
        check_failures++;
    }
    CHECK_TEXT(elk_result_get(result, "/error/kind", NULL), kind);
    CHECK_TEXT(elk_result_get(result, "/error/billed", NULL), "no");
    CHECK_TEXT(elk_result_get(result, "/error/retryable", NULL), "false");
    CHECK_TEXT(elk_result_get(result, "/error/param", NULL), param);
    CHECK(elk_result_int(result, "/error/bytes_sent", -1) == 0, "line %d: bytes were sent", line);
    CHECK_TEXT(elk_result_verdict(result), "failed");
    CHECK_TEXT(elk_result_text(result, NULL), "");
    CHECK_TEXT(elk_result_json(result, NULL), "");
    CHECK(document && strlen(document) == length, "line %d: the error document's length is %lu", line,
          (unsigned long)length);
    elk_result_free(result);
}

#define REFUSED(result, status, says, param) refused(__LINE__, (result), (status), (says), (param))

static elk_result *ask(const elk_client *client, const char *text, size_t len) {
    return elk_chat_completions(client, text, len, NULL);
}

static void requests(const elk_client *client) {
    const elk_status bad = ELK_E_INVALID_ARGUMENT;
    REFUSED(ask(NULL, GOOD, ELK_NUL), bad, "argument \"client\" is NULL", "client");
    REFUSED(ask(client, NULL, 0), bad, "argument \"request_json\" is NULL", "request_json");
    REFUSED(ask(client, NULL, ELK_NUL), bad, "argument \"request_json\" is NULL", "request_json");
    REFUSED(ask(client, NULL, 5), bad, "\"request_json\" is NULL but its length is 5", "request_json");
    REFUSED(ask(client, GOOD, (size_t)-2), bad, "\"request_json\" is impossible", "request_json");
    REFUSED(ask(client, "", ELK_NUL), bad, "empty", "request_json");
    REFUSED(ask(client, GOOD, 0), bad, "empty", "request_json");
    REFUSED(ask(client, "{\"messages\":[\"\xff\"]}", ELK_NUL), bad, "byte 14 (0xff)", "request_json");
    REFUSED(ask(client, "{\"messages\":[\"\xc3\"]}", 15), bad, "byte 14 (0xc3)", "request_json");
    REFUSED(ask(client, "{\"messages\":}", ELK_NUL), bad, "byte 12", "request_json");
    REFUSED(ask(client, GOOD, sizeof GOOD - 2), bad, "at byte 44", "request_json");
    REFUSED(ask(client, GOOD, sizeof GOOD), bad, "at byte 45", "request_json"); /* with its NUL */
    REFUSED(ask(client, "[]", ELK_NUL), bad, "must be a JSON object, but it is an array", "request_json");
    REFUSED(ask(client, "\"text\"", ELK_NUL), bad, "must be a JSON object", "request_json");
    REFUSED(ask(client, "{}", ELK_NUL), bad, "neither \"messages\" nor \"contents\"", "messages");
    REFUSED(ask(client, "{\"messages\":\"Hi\"}", ELK_NUL), bad, "\"messages\" in the request (byte 12)",
            "messages");
    REFUSED(ask(client, "{\"model\":5,\"messages\":[]}", ELK_NUL), bad, "\"model\" in the request (byte 9)",
            "model");
    REFUSED(ask(client, "{\"messages\":[],\"messages\":[]}", ELK_NUL), bad, "\"messages\" twice", "messages");
    REFUSED(ask(client, "{\"stream\":true,\"messages\":[]}", ELK_NUL), bad, "\"stream\" is true", "stream");
    REFUSED(ask(client, "{\"stream\":1,\"messages\":[]}", ELK_NUL), bad, "\"stream\" in the request", "stream");
}

static void paths(const elk_client *client) {
    const elk_status bad = ELK_E_INVALID_ARGUMENT;
    REFUSED(elk_get(NULL, "/models", NULL), bad, "argument \"client\" is NULL", "client");
    REFUSED(elk_get(client, NULL, NULL), bad, "argument \"path\" is NULL", "path");
    REFUSED(elk_get(client, "models", NULL), bad, "must begin with a slash", "path");
    REFUSED(elk_get(client, "", NULL), bad, "must begin with a slash", "path");
    REFUSED(elk_get(client, "/a b", NULL), bad, "at byte 2", "path");
    REFUSED(elk_get(client, "/a\r\nX: y", NULL), bad, "at byte 2", "path");
    REFUSED(elk_get(client, "/\xff", NULL), bad, "\"path\" is not UTF-8: byte 1", "path");
}

/* Every function answers for a broken client with what is wrong with it. */
static void broken(int line, elk_client *client, elk_status status, const char *says, const char *param) {
    const elk_result *error = elk_client_error(client);
    CHECK(error != NULL, "line %d: the client is usable", line);
    CHECK(error && strstr(elk_result_message(error), says), "line %d: %s", line, elk_result_message(error));
    refused(line, ask(client, GOOD, ELK_NUL), status, says, param);
    refused(line, elk_get(client, "/models", NULL), status, says, param);
    elk_client *more = elk_client_with(client, NULL, 0);
    refused(line, ask(more, GOOD, ELK_NUL), status, says, param);
    elk_client_free(more);
    elk_client_free(client);
}

#define BROKEN(config, len, status, says, param)                                                           \
    broken(__LINE__, elk_client_new((config), (len)), (status), (says), (param))

static void configurations(const elk_client *client) {
    const elk_status bad = ELK_E_CONFIG;
    BROKEN(NULL, 3, ELK_E_INVALID_ARGUMENT, "\"config_json\" is NULL but its length is 3", "config_json");
    BROKEN("{\"api_key\":\"\xff\"}", ELK_NUL, ELK_E_INVALID_ARGUMENT, "\"config_json\" is not UTF-8: byte 12",
           "config_json");
    BROKEN("", ELK_NUL, bad, "not JSON", NULL);
    BROKEN("{\"api_key\":}", ELK_NUL, bad, "byte 11", NULL);
    BROKEN("[]", ELK_NUL, bad, "must be a JSON object", NULL);
    BROKEN("{\"environment\":false}", ELK_NUL, bad, "There is no API key", "api_key");
    BROKEN("{\"api_key\":\"\"}", ELK_NUL, bad, "empty", "api_key");
    BROKEN("{\"api_key\":\"sk-a\\nX-Evil: 1\"}", ELK_NUL, bad, "a line end at byte 4", "api_key");
    BROKEN("{\"api_key\":5}", ELK_NUL, bad, "\"api_key\" must be a string", "api_key");
    BROKEN("{\"api_key\":\"sk\",\"base_url\":\"nonsense\"}", ELK_NUL, bad, "\"nonsense\" must begin with https://", "base_url");
    BROKEN("{\"api_key\":\"sk\",\"base_url\":\"https://\"}", ELK_NUL, bad, "is not a URL",
           "base_url");
    BROKEN("{\"api_key\":\"sk\",\"base_url\":\"http://example.com/v1\"}", ELK_NUL, bad, "unencrypted",
           "base_url");
    BROKEN("{\"api_key\":\"sk\",\"timeout_ms\":\"1\"}", ELK_NUL, bad, "\"timeout_ms\" must be", "timeout_ms");
    BROKEN("{\"api_key\":\"sk\",\"timeout\":1}", ELK_NUL, bad, "did you mean \"timeout_ms\"?", "timeout");

    broken(__LINE__, elk_client_with(NULL, NULL, 0), ELK_E_INVALID_ARGUMENT, "argument \"client\" is NULL", "client");
    broken(__LINE__, elk_client_with(client, NULL, 9), ELK_E_INVALID_ARGUMENT, "\"changes_json\" is NULL",
           "changes_json");
    broken(__LINE__, elk_client_with(client, "{\"a\":\"\xff\"}", ELK_NUL), ELK_E_INVALID_ARGUMENT,
           "\"changes_json\" is not UTF-8: byte 6", "changes_json");
    broken(__LINE__, elk_client_with(client, "{\"api_key\":\"sk\"}", ELK_NUL), bad, "cannot change per call", "api_key");
}

static void null_results(void) {
    size_t length = 7;
    CHECK(elk_result_status(NULL) == ELK_E_INVALID_ARGUMENT, "%d", (int)elk_result_status(NULL));
    CHECK_TEXT(elk_result_verdict(NULL), "failed");
    CHECK_TEXT(elk_result_message(NULL), "The result is NULL.");
    CHECK_TEXT(elk_result_text(NULL, &length), "");
    CHECK(length == 0, "%lu", (unsigned long)length);
    CHECK_TEXT(elk_result_json(NULL, NULL), "");
    CHECK_TEXT(elk_result_body(NULL, NULL), "");
    length = 7;
    CHECK_TEXT(elk_result_error(NULL, &length), NULL);
    CHECK(length == 0, "%lu", (unsigned long)length);
    CHECK_TEXT(elk_result_header(NULL, "date"), NULL);
    CHECK_TEXT(elk_result_get(NULL, "/a", NULL), NULL);
    CHECK_TEXT(elk_result_type(NULL, "/a"), "");
    CHECK(elk_result_int(NULL, "/a", 5) == 5, "not the fallback");
    CHECK(elk_result_count(NULL, "/a") == 0, "not 0");
    CHECK(elk_result_image_count(NULL) == 0, "not 0");
    CHECK(elk_result_image_bytes(NULL, 0, &length) == NULL, "not NULL");
    CHECK_TEXT(elk_result_image_media_type(NULL, 0), NULL);
    CHECK_TEXT(elk_result_image_url(NULL, 0), NULL);
    CHECK(elk_result_image_save(NULL, 0, "/tmp/never") == ELK_E_INVALID_ARGUMENT, "saved");
    CHECK(elk_client_error(NULL) != NULL, "a NULL client is usable");
    CHECK_TEXT(elk_result_get(elk_client_error(NULL), "/error/param", NULL), "client");
    elk_result_free(NULL);
    elk_client_free(NULL);
}

static void null_names(const elk_client *client) {
    elk_result *result = ask(client, "{}", ELK_NUL);
    const char *bad[] = {NULL, "error/kind", "/error/\xff", "\xff", "/errors", "/error/kind/x", "/call/nothing"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t length = 7;
        CHECK_TEXT(elk_result_get(result, bad[i], &length), NULL);
        CHECK(length == 0, "%lu", (unsigned long)length);
        CHECK_TEXT(elk_result_type(result, bad[i]), "");
        CHECK(elk_result_int(result, bad[i], 5) == 5, "not the fallback");
        CHECK(elk_result_count(result, bad[i]) == 0, "not 0");
    }
    CHECK_TEXT(elk_result_type(result, "/error/status"), "null");
    CHECK_TEXT(elk_result_get(result, "/error/status", NULL), NULL);
    CHECK_TEXT(elk_result_header(result, NULL), NULL);
    CHECK_TEXT(elk_result_header(result, "\xff"), NULL);
    CHECK(elk_result_image_save(result, 0, NULL) == ELK_E_INVALID_ARGUMENT, "saved");
    elk_result_free(result);
}

static void everything(const elk_client *client) {
    requests(client);
    paths(client);
    configurations(client);
    null_results();
    null_names(client);
}

int main(int argc, char **argv) {
    char config[512];
    if (argc != 2) return 2;
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"sk-test\"}", argv[1]);
    elk_client *client = elk_client_new(config, ELK_NUL);
    CHECK(elk_client_error(client) == NULL, "%s", elk_result_message(elk_client_error(client)));

    /* What is made once and kept is made in the first rounds; after them nothing may grow by even one
     * block a round. The runner switches malloc's cache of freed blocks off, which counts as in use. */
    for (int round = 0; round < 10 && check_failures == 0; round++) everything(client);
    size_t before = mallinfo2().uordblks;
    for (int round = 0; round < 2000 && check_failures == 0; round++) everything(client);
    size_t after = mallinfo2().uordblks;
    CHECK(after < before + 2000, "2000 rounds took %ld bytes that nobody gave back", (long)(after - before));

    elk_client_free(client);
    return CHECK_RESULT();
}
