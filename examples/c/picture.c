/* Ask for a picture and save it. The key comes from ELKAPI_API_KEY.
 *
 *     cc picture.c -lelkapi && ./a.out cat.png
 */
#include <elkapi.h>
#include <stdio.h>

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "cat.png";
    const char *request =
        "{\"model\":\"gemini-3-pro-image-preview\","
        "\"messages\":[{\"role\":\"user\",\"content\":\"A cat on a windowsill\"}],"
        "\"extra_body\":{\"google\":{\"image_config\":{\"aspect_ratio\":\"16:9\",\"image_size\":\"1K\"}}}}";
    elk_client *client = elk_client_new(NULL, 0);
    elk_result *answer = elk_chat_completions(client, request, ELK_NUL, NULL);
    size_t count = elk_result_image_count(answer);
    int failed = 1;

    if (elk_result_status(answer) < 0) {
        fprintf(stderr, "%s\n", elk_result_message(answer));
    } else if (count == 0) {
        fprintf(stderr, "There is no picture in the answer: %s\n", elk_result_text(answer, NULL));
    } else if (elk_result_image_save(answer, count - 1, path) != ELK_OK) {
        /* Of several pictures the last is the final one. */
        fprintf(stderr, "%s could not be written.\n", path);
    } else {
        size_t bytes = 0;
        elk_result_image_bytes(answer, count - 1, &bytes);
        printf("%s: %s, %lu bytes\n", path, elk_result_image_media_type(answer, count - 1),
               (unsigned long)bytes);
        failed = 0;
    }
    elk_result_free(answer);
    elk_client_free(client);
    return failed;
}
