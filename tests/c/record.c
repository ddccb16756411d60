/* Records: one per attempt, on the thread that calls, with no lock held.
 * Usage: record BASE_URL  (of a simulator) */
#include "check.h"
#include "elkapi.h"

#include <pthread.h>

#define REQUEST "{\"model\":\"m-1\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"

struct kept {
    int count;
    pthread_t thread;
    char last[4096];
    const elk_client *asked; /* what take itself asks, when it is not NULL */
};

static void take(void *user, const char *json, size_t len) {
    struct kept *kept = user;
    CHECK(strlen(json) == len && len < sizeof kept->last, "%zu bytes", len);
    kept->count++;
    kept->thread = pthread_self();
    memcpy(kept->last, json, len + 1);
    if (kept->asked != NULL) {
        elk_result *models = elk_get(kept->asked, "/models", NULL);
        CHECK(elk_result_status(models) == ELK_OK, "%s", elk_result_message(models));
        elk_result_free(models);
    }
}

static void call(const elk_client *client, elk_status wanted) {
    elk_result *answer = elk_chat_completions(client, REQUEST, ELK_NUL, NULL);
    CHECK(elk_result_status(answer) == wanted, "%s", elk_result_message(answer));
    elk_result_free(answer);
}

int main(int count, char **words) {
    CHECK(count == 2, "usage: record BASE_URL");
    char config[512];
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"sk-secret-of-record\",\"max_retries\":0}", words[1]);
    elk_client *client = elk_client_new(config, ELK_NUL), *quiet = elk_client_with(client, NULL, 0);
    struct kept kept = {0};

    elk_client_on_record(client, ELK_RECORD_ALL, take, &kept);
    kept.asked = quiet;
    call(client, ELK_OK);
    CHECK(kept.count == 1 && pthread_equal(kept.thread, pthread_self()), "%d records", kept.count);
    CHECK(strstr(kept.last, "\"gen_ai.request.model\":\"m-1\"") != NULL, "%s", kept.last);
    CHECK(strstr(kept.last, "sk-secret") == NULL, "%s", kept.last);

    elk_client *heir = elk_client_with(client, "{\"total_timeout_ms\":5000}", ELK_NUL);
    call(heir, ELK_OK);
    CHECK(kept.count == 2, "a client made of it inherits the hook: %d", kept.count);
    elk_client_free(heir);

    elk_client_on_record(client, ELK_RECORD_FAILURES, take, &kept);
    call(client, ELK_OK);
    CHECK(kept.count == 2, "a success was recorded: %s", kept.last);
    elk_result *missing = elk_get(client, "/nowhere", NULL);
    CHECK(elk_result_status(missing) == ELK_E_NOT_FOUND && kept.count == 3, "%d", kept.count);
    CHECK(strstr(kept.last, "\"error.type\":\"not_found\"") != NULL, "%s", kept.last);
    elk_result_free(missing);

    elk_client_on_record(client, ELK_RECORD_NONE, take, &kept);
    call(client, ELK_OK);
    elk_client_on_record(client, ELK_RECORD_ALL, NULL, NULL);
    call(client, ELK_OK);
    CHECK(kept.count == 3, "%d records after it was taken away", kept.count);
    elk_client_on_record(NULL, ELK_RECORD_ALL, take, &kept);

    elk_client_free(quiet);
    elk_client_free(client);
    return 0;
}
