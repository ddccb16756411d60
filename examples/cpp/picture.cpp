// Ask for a picture and save it. The key comes from ELKAPI_API_KEY.
//
//     c++ -std=c++17 picture.cpp -lelkapi && ./a.out cat.png

#include <elkapi.hpp>
#include <iostream>
#include <string>

int main(int argc, char **argv) try {
    const std::string path = argc > 1 ? argv[1] : "cat.png";

    const elk::client client;
    const elk::result answer = client.chat_completions(R"({
        "model": "gemini-3-pro-image-preview",
        "messages": [{"role": "user", "content": "A cat on a windowsill"}],
        "extra_body": {"google": {"image_config": {"aspect_ratio": "16:9", "image_size": "1K"}}}
    })");

    const elk::images pictures = answer.images();
    if (pictures.empty()) {
        std::cerr << "There is no picture in the answer: " << answer.text() << '\n';
        return 1;
    }
    // Of several pictures the last is the final one.
    const elk::image picture = pictures[pictures.size() - 1];
    picture.save(path);
    std::cout << path << ": " << picture.media_type().value_or("a picture") << ", " << picture.bytes().size()
              << " bytes\n";
} catch (const elk::error &error) {
    std::cerr << error.kind() << ": " << error.what() << '\n';
    return 1;
}
