/* Mistakes that the tools must see: without that, their silence about the other programs means nothing.
 * Usage: faulty leak | read | undefined */
#include "elkapi.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    if (strcmp(argv[1], "leak") == 0) {
        /* A client that nobody frees, and nobody knows any more. */
        elk_client *volatile client = elk_client_new("{\"api_key\":\"sk-test\"}", ELK_NUL);
        client = NULL;
        (void)client;
    } else if (strcmp(argv[1], "read") == 0) {
        /* The library is told more bytes than there are, and reads them. */
        char out[64], *text = malloc(4);
        memcpy(text, "elk", 4);
        printf("%lu\n", (unsigned long)elk_json_quote(out, sizeof out, text, 5));
        free(text);
    } else {
        volatile int most = INT_MAX;
        printf("%d\n", most + argc);
    }
    return 0;
}
