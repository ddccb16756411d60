// A program that was compiled for another binary interface is told so at once.
#include "elkapi.h"
#undef ELK_ABI_VERSION
#define ELK_ABI_VERSION 4711
#include "cpp.h"

int main() {
    const elk::error error = thrown([] { elk::client(); });
    CHECK(error.kind() == "config" && std::string(error.what()).find("4711") != std::string::npos, "%s", error.what());
    CHECK(elk::client::try_make().error().what() == std::string(error.what()), "try_make");
    CHECK(thrown([] { elk::client("{}"); }).kind() == "config", "with options");
    return CHECK_RESULT();
}
