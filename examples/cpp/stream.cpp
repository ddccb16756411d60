// Print an answer while it is written; Ctrl-C stops it. The key comes from ELKAPI_API_KEY.
//
//     c++ -std=c++17 stream.cpp -lelkapi && ./a.out

#include <csignal>
#include <elkapi.hpp>
#include <iostream>

static const elk::cancel stop;

int main() try {
    std::signal(SIGINT, [](int) { stop.signal(); });

    const elk::client client;
    elk::request request;
    request.user("Tell me a short story.");
    elk::stream stream = client.chat_completions_stream(request, stop);
    for (const elk::chunk chunk : stream)
        std::cout << chunk.text() << std::flush;

    const elk::answer answer = stream.finish();
    std::cout << '\n' << answer.verdict() << ", " << answer.integer("/usage/total_tokens") << " tokens\n";
} catch (const elk::error &error) {
    std::cerr << '\n' << error.kind() << ": " << error.what() << '\n'
              << error.partial().text().size() << " bytes of text had arrived. Billed: " << error.billed() << ".\n";
    return 1;
}
