// A chat in the terminal: Ctrl-C stops an answer, Ctrl-D ends. The key comes from ELKAPI_API_KEY.
//
//     c++ -std=c++17 chat.cpp -lelkapi && ./a.out

#include <csignal>
#include <elkapi.hpp>
#include <iostream>
#include <string>

// The token of the answer that is being written; a stopped token stays stopped, so each answer gets its own.
static const elk::cancel *volatile stop = nullptr;

static void on_ctrl_c(int number) {
    std::signal(number, on_ctrl_c);
    if (const elk::cancel *token = stop) token->signal();
}

int main() try {
    std::signal(SIGINT, on_ctrl_c);
    const elk::client client;
    elk::request request;
    std::string line;
    while (std::cout << "> " << std::flush && std::getline(std::cin, line)) {
        request.user(line);
        const elk::cancel token;
        stop = &token;
        try {
            elk::stream stream = client.chat_completions_stream(request, token);
            for (const elk::chunk chunk : stream)
                std::cout << chunk.text() << std::flush;
            request.assistant(stream.finish());
        } catch (const elk::error &error) {
            std::cerr << '\n' << error.kind() << ": " << error.what();
            const std::string_view arrived = error.partial().text();
            request.assistant(arrived.empty() ? "(no answer)" : arrived);
        }
        stop = nullptr; // before the token is gone
        std::cout << std::endl;
    }
} catch (const elk::error &error) {
    std::cerr << error.kind() << ": " << error.what() << '\n';
    return 1;
}
