// What the C++ tests share.
#ifndef CPP_H
#define CPP_H

#include "../c/check.h"
#include "elkapi.hpp"

#include <string>

// In a program's second unit: the header serves several translation units.
std::string quoted_elsewhere(std::string_view text);

inline const char *const hello = R"({"messages":[{"role":"user","content":"Hi"}]})";

// What the call throws; a failed check if it throws nothing.
template <class Call> elk::error thrown(Call call) {
    try {
        call();
    } catch (const elk::error &error) {
        return error;
    }
    CHECK(false, "nothing was thrown");
    return elk::error(ELK_OK, "nothing");
}

// The simulator's ordinary gateway, a fault or a scope, such as "/fault/truncate".
inline elk::options at(const std::string &base, const std::string &path) {
    return elk::options().set("base_url", base.substr(0, base.rfind("/v1")) + path + "/v1").set("api_key", "sk-test");
}

// A number of the simulator's, such as "/in_flight", of what it saw under "/s/SCOPE".
inline std::int64_t seen(const std::string &base, const std::string &scope, const std::string &pointer) {
    const std::string root = base.substr(0, base.rfind("/v1")) + scope;
    return elk::client(elk::options().set("base_url", root).set("api_key", "sk-test")).get("/__stats").integer(pointer);
}

#endif
