/* elk_json_quote keeps snprintf's rule and yields JSON for every text. */
#include "check.h"
#include "elkapi.h"

int main(void) {
    char out[64];
    size_t needed = elk_json_quote(out, sizeof out, "a\"b\\\n\x01\t\xc3\xa9", ELK_NUL);
    CHECK_TEXT(out, "\"a\\\"b\\\\\\n\\u0001\\t\xc3\xa9\"");
    CHECK(needed == strlen(out), "%lu", (unsigned long)needed);

    elk_json_quote(out, sizeof out, "a\0b", 3);
    CHECK_TEXT(out, "\"a\\u0000b\"");
    elk_json_quote(out, sizeof out, "a\xff\xfe", ELK_NUL);
    CHECK_TEXT(out, "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    elk_json_quote(out, sizeof out, "abc", 1);
    CHECK_TEXT(out, "\"a\"");

    CHECK(elk_json_quote(out, sizeof out, NULL, 0) == 2, "NULL with 0");
    CHECK_TEXT(out, "\"\"");
    CHECK(elk_json_quote(out, sizeof out, NULL, ELK_NUL) == 2, "NULL with ELK_NUL");
    CHECK(elk_json_quote(out, sizeof out, NULL, 5) == 0, "NULL with a length");
    CHECK_TEXT(out, "");

    CHECK(elk_json_quote(NULL, 0, "abc", ELK_NUL) == 5, "asking for the size");
    memset(out, 'x', sizeof out);
    CHECK(elk_json_quote(out, 0, "abc", ELK_NUL) == 5 && out[0] == 'x', "cap 0 writes nothing");
    CHECK(elk_json_quote(out, 4, "abc", ELK_NUL) == 5, "too small");
    CHECK_TEXT(out, "\"ab");
    CHECK(out[4] == 'x', "wrote past cap");
    CHECK(elk_json_quote(out, 5, "abc", ELK_NUL) == 5, "one too small");
    CHECK_TEXT(out, "\"abc");
    CHECK(elk_json_quote(out, 6, "abc", ELK_NUL) == 5, "exact");
    CHECK_TEXT(out, "\"abc\"");

    CHECK_TEXT(elk_status_name(ELK_OK), "ok");
    CHECK_TEXT(elk_status_name(ELK_E_RATE_LIMIT), "rate_limit");
    CHECK_TEXT(elk_status_name(-9), "unknown");
    CHECK_TEXT(elk_status_name(12345), "unknown");
    CHECK(elk_abi_version() == ELK_ABI_VERSION, "%u", (unsigned)elk_abi_version());
    CHECK(strlen(elk_version()) >= 5, "%s", elk_version());
    return CHECK_RESULT();
}
