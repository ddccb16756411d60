// Several questions at once, one of them answered bit by bit, from one thread that could do other things.
// The key comes from ELKAPI_API_KEY.
//
//     c++ -std=c++17 queue.cpp -lelkapi && ./a.out

#include <elkapi.hpp>
#include <iostream>

int main() try {
    const elk::client client;
    elk::queue queue(client, 8); // at most eight under way at once
    int failed = 0;

    for (const std::string sea : {"Baltic Sea", "Red Sea", "Sea of Japan"}) {
        queue.submit(elk::request().user("How deep is the " + sea + "?"), [sea, &failed](elk::expected<elk::answer> answer) {
            if (answer) std::cout << sea << ": " << answer->text() << '\n';
            else ++failed, std::cerr << sea << ": " << answer.error().what() << '\n';
        });
    }

    std::string story;
    queue.submit_stream(
        elk::request().user("Tell a short story of an elk."),
        [&story](const elk::queued_chunk &chunk) { story += chunk.text(); },
        [&story, &failed](elk::expected<elk::answer> whole) {
            if (whole) std::cout << "The story: " << story << '\n' << whole->integer("/usage/total_tokens") << " tokens\n";
            else ++failed, std::cerr << whole.error().what() << '\n';
        });

    // An event loop would watch queue.handle() and call drain() when it is readable.
    while (!queue.empty()) queue.drain(std::chrono::milliseconds(100));
    return failed;
} catch (const elk::error &error) {
    std::cerr << error.kind() << ": " << error.what() << '\n';
    return 1;
}
