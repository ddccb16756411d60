/* Checks for the test programs: each tells what it saw, and main returns CHECK_RESULT(). */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

static int check_failures = 0;

/* The condition must hold; the rest, printf-style, tells what was seen. */
#define CHECK(condition, ...)                                                                              \
    do {                                                                                                   \
        if (!(condition)) {                                                                                \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                \
            fprintf(stderr, __VA_ARGS__);                                                                  \
            fputc('\n', stderr);                                                                           \
            check_failures++;                                                                              \
        }                                                                                                  \
    } while (0)

/* Two texts must be equal; NULL equals only NULL. */
#define CHECK_TEXT(seen, wanted) check_text(__FILE__, __LINE__, #seen, (seen), (wanted))

#define CHECK_RESULT() (check_failures == 0 ? 0 : 1)

static inline void check_text(const char *file, int line, const char *what, const char *seen,
                              const char *wanted) {
    if (seen == wanted || (seen && wanted && strcmp(seen, wanted) == 0)) return;
    fprintf(stderr, "%s:%d: %s: is %s%s%s, not %s%s%s\n", file, line, what, seen ? "\"" : "",
            seen ? seen : "NULL", seen ? "\"" : "", wanted ? "\"" : "", wanted ? wanted : "NULL",
            wanted ? "\"" : "");
    check_failures++;
}

#endif
