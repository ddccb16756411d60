// Ask one question. The key comes from ELKAPI_API_KEY.
//
//     c++ -std=c++17 hello.cpp -lelkapi && ./a.out "Name three seas."

#include <elkapi.hpp>
#include <iostream>

int main(int argc, char **argv) try {
    elk::request request;
    // "Hello, please introduce yourself."
    request.user(argc > 1 ? argv[1] : "こんにちは、自己紹介してください");

    const elk::client client;
    const elk::answer answer = client.chat_completions(request);

    std::cout << answer.text() << '\n'
              << answer.integer("/usage/total_tokens") << " tokens, request "
              << answer.request_id().value_or("without id") << '\n';
} catch (const elk::error &error) {
    std::cerr << error.kind() << ": " << error.what() << '\n';
    return 1;
}
