// Ask for a picture and save it; a second argument is a picture to go by. The key comes from ELKAPI_API_KEY.
//
//     c++ -std=c++17 picture.cpp -lelkapi && ./a.out cat.png [sketch.jpg]

#include <elkapi.hpp>
#include <iostream>
#include <string>

int main(int argc, char **argv) try {
    const std::string path = argc > 1 ? argv[1] : "cat.png";

    elk::request request;
    request.model("gemini-3-pro-image-preview").image_config("16:9", "1K").user("A cat on a windowsill");
    if (argc > 2) request.image_file(argv[2]);

    const elk::client client;
    const elk::answer answer = client.chat_completions(request);
    if (answer.images().empty()) {
        std::cerr << "There is no picture in the answer: " << answer.text() << '\n';
        return 1;
    }
    // Of several pictures the last is the final one.
    const elk::image picture = answer.images().back();
    picture.save(path);
    std::cout << path << ": " << picture.media_type().value_or("a picture") << ", " << picture.bytes().size()
              << " bytes\n";
} catch (const elk::error &error) {
    std::cerr << error.kind() << ": " << error.what() << '\n';
    return 1;
}
