/* Preloaded: a name service that never answers for names ending in ".slow". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    size_t length = name ? strlen(name) : 0;
    if (length > 5 && strcmp(name + length - 5, ".slow") == 0)
        for (;;) pause();
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, found);
}
