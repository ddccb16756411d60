/* A panic behind the boundary is a failure with an error document, prints nothing, and the program
 * and its clients go on. Built against a library with the feature test-panic. Usage: panic BASE_URL */
#include "check.h"
#include "elkapi.h"

extern elk_result *elk_test_panic(void);

int main(int argc, char **argv) {
    char config[512];
    if (argc != 2) return 2;
    snprintf(config, sizeof config, "{\"base_url\":\"%s\",\"api_key\":\"sk-test\"}", argv[1]);
    elk_client *client = elk_client_new(config, ELK_NUL);
    for (int round = 0; round < 3; round++) {
        elk_result *result = elk_test_panic();
        CHECK(elk_result_status(result) == ELK_E_INTERNAL, "%d", (int)elk_result_status(result));
        CHECK_TEXT(elk_result_get(result, "/error/kind", NULL), "internal");
        CHECK(strstr(elk_result_message(result), "on purpose"), "%s", elk_result_message(result));
        CHECK(strstr(elk_result_message(result), "test_panic.rs"), "%s", elk_result_message(result));
        elk_result_free(result);

        result = elk_get(client, "/models", NULL);
        CHECK(elk_result_status(result) == ELK_OK, "%s", elk_result_message(result));
        elk_result_free(result);
    }
    elk_client_free(client);
    return CHECK_RESULT();
}
