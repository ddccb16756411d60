// Print an answer while it is written. The key comes from ELKAPI_API_KEY.
//
//     c++ -std=c++17 stream.cpp -lelkapi && ./a.out

#include <elkapi.hpp>
#include <iostream>

int main() try {
    const elk::client client;
    elk::stream stream = client.chat_completions_stream(
        R"({"messages":[{"role":"user","content":"Tell me a short story."}]})");

    for (const elk::chunk chunk : stream)
        std::cout << chunk.text() << std::flush;

    const elk::result answer = stream.finish();
    std::cout << '\n' << answer.verdict() << ", " << answer.integer("/usage/total_tokens") << " tokens\n";
} catch (const elk::error &error) {
    std::cerr << '\n' << error.kind() << ": " << error.what() << '\n';
    return 1;
}
