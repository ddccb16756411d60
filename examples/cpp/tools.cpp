// Let the model call a function of this program. The key comes from ELKAPI_API_KEY.
//
//     c++ -std=c++17 tools.cpp -lelkapi && ./a.out

#include <elkapi.hpp>
#include <iostream>
#include <string>

// `arguments` is what the model wrote, such as {"city":"Oslo"}: read it with your JSON library, and check it.
static std::string get_weather(std::string_view arguments) {
    return R"({"asked":)" + std::string(arguments) + R"(,"sky":"clear","celsius":-4})";
}

int main() try {
    const elk::client client;
    elk::request request;
    request.user("Do I need a coat in Oslo today?").tools(R"([{"type": "function", "function": {
        "name": "get_weather",
        "description": "The weather in a city now",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    }}])");

    for (int turn = 0; turn < 5; ++turn) {
        const elk::answer answer = client.chat_completions(request);
        if (answer.tool_calls().empty()) {
            std::cout << answer.text() << '\n';
            return 0;
        }
        request.assistant(answer);
        for (const elk::tool_call &call : answer.tool_calls()) {
            std::cout << call.name << ' ' << call.arguments << '\n';
            const bool known = call.name == "get_weather";
            request.tool(call.id, known ? get_weather(call.arguments) : "There is no such function.");
        }
    }
    std::cerr << "The model does nothing but call functions.\n";
    return 1;
} catch (const elk::error &error) {
    std::cerr << error.kind() << ": " << error.what() << '\n';
    return 1;
}
