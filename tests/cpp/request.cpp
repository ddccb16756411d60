// The request builder: what it writes, and what the gateway gets. Usage: request BASE_URL FOLDER
#include "cpp.h"

#include <clocale>
#include <cmath>
#include <fstream>
#include <limits>
#include <locale>

namespace {

#define CHECK_JSON(request, wanted)                                                                        \
    do {                                                                                                   \
        const std::string written_ = (request).json();                                                     \
        CHECK(written_ == (wanted), "%s", written_.c_str());                                               \
    } while (0)

const std::string png("\x89PNG\r\n\x1a\n\0", 9);

void messages_stand_in_order() {
    elk::request request;
    request.system("Be \"brief\".").user("Hi\n").assistant("Hello").user("\u3053").tool("call_1", "{\"a\":1}");
    CHECK_JSON(request, R"({"messages":[{"role":"system","content":"Be \"brief\"."},)"
                        R"({"role":"user","content":"Hi\n"},{"role":"assistant","content":"Hello"},)"
                        "{\"role\":\"user\",\"content\":\"\u3053\"},"
                        R"({"role":"tool","tool_call_id":"call_1","content":"{\"a\":1}"}]})");
    CHECK_JSON(elk::request().raw_message(R"({"role":"developer","content":"x"})").text("y"),
               R"({"messages":[{"role":"developer","content":"x"},{"role":"user","content":"y"}]})");
    CHECK_JSON(elk::request().user("bad \xff"), "{\"messages\":[{\"role\":\"user\",\"content\":\"bad \uFFFD\"}]}");
}

void members_are_set_once() {
    elk::request request;
    request.model("a").user("x").temperature(0.2).max_tokens(5).model("b").set("stop", "\"").set("n", 1);
    request.set("logprobs", true).raw("tool_choice", R"({"type":"function"})").tools("[]").set("user", std::string("u"));
    CHECK_JSON(request, R"({"model":"b","temperature":0.2,"max_tokens":5,"stop":"\"","n":1,"logprobs":true,)"
                        R"("tool_choice":{"type":"function"},"tools":[],"user":"u","messages":[{"role":"user","content":"x"}]})");
    CHECK_JSON(elk::request().raw("contents", R"(["x"])"), R"({"contents":["x"]})");
    CHECK_JSON(elk::request(), "{}");
    CHECK_JSON(elk::request().image_config("16:9", "2K"),
               R"({"extra_body":{"google":{"image_config":{"aspect_ratio":"16:9","image_size":"2K"}}}})");
    CHECK_JSON(elk::request().image_config("1:1"), R"({"extra_body":{"google":{"image_config":{"aspect_ratio":"1:1"}}}})");
    CHECK_JSON(elk::request().image_config("", "4K"), R"({"extra_body":{"google":{"image_config":{"image_size":"4K"}}}})");
}

// Of a country that writes 0,5 and 10.000.
struct commas : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
};

void numbers_do_not_depend_on_the_locale() {
    const std::locale before = std::locale::global(std::locale(std::locale::classic(), new commas));
    CHECK_JSON(elk::options().set("a", 0.5).set("b", 1234567.25).set("c", 1000000).set("d", 1e-9).set("e", 1e30),
               R"({"a":0.5,"b":1234567.25,"c":1000000,"d":1e-09,"e":1e+30})");
    std::locale::global(before);
    for (const double none : {std::nan(""), std::numeric_limits<double>::infinity()}) {
        CHECK(thrown([none] { elk::request().temperature(none); }).kind() == "invalid_argument", "%f", none);
    }
}

void pictures_tell_their_type_by_their_bytes() {
    const std::pair<std::string, const char *> files[] = {
        {png, "image/png;base64,iVBORw0KGgoA"},
        {"\xff\xd8\xff\xe0", "image/jpeg;base64,/9j/4A=="},
        {"GIF87a", "image/gif;base64,R0lGODdh"},
        {"GIF89a", "image/gif;base64,R0lGODlh"},
        {std::string("RIFF\x04\0\0\0WEBPV", 13), "image/webp;base64,UklGRgQAAABXRUJQVg=="},
    };
    for (const auto &file : files) {
        const std::string part = R"({"type":"image_url","image_url":{"url":"data:)" + std::string(file.second) + "\"}}";
        CHECK_JSON(elk::request().image_bytes(file.first), R"({"messages":[{"role":"user","content":[)" + part + "]}]}");
        CHECK_JSON(elk::request().user("What?").image_bytes(file.first).text("And?").image_url("https://a/b"),
                   R"({"messages":[{"role":"user","content":[{"type":"text","text":"What?"},)" + part +
                       R"(,{"type":"text","text":"And?"},{"type":"image_url","image_url":{"url":"https://a/b"}}]}]})");
    }
    for (const std::string &other : {std::string(), std::string("\x89PN"), std::string("BM6"), std::string("RIFF1234WAVE")}) {
        elk::request request;
        const elk::error error = thrown([&] { request.user("x").image_bytes(other); });
        CHECK(error.kind() == "invalid_argument", "%s", error.what());
        CHECK(std::string(error.what()).find("PNG, JPEG, GIF or WebP") != std::string::npos, "%s", error.what());
        CHECK_JSON(request, R"({"messages":[{"role":"user","content":"x"}]})");
    }
}

void files_are_read_whole(const std::string &folder) {
    std::string content = png;
    // Over several blocks, and with each of the three ends of base64.
    for (std::size_t size : {std::size_t(10), std::size_t(3 << 14), std::size_t((3 << 15) + 1), std::size_t((3 << 14) + 2)}) {
        while (content.size() < size) content += static_cast<char>(content.size() * 7 % 251);
        const std::string path = folder + "/picture";
        std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(size));
        CHECK(elk::request().image_file(path).json() == elk::request().image_bytes(content.substr(0, size)).json(), "%zu", size);
    }
    const elk::error missing = thrown([&] { elk::request().image_file(folder + "/none.png"); });
    CHECK(missing.kind() == "file", "%s", missing.what());
    const std::string says = "Reading the picture " + folder + "/none.png failed: No such file or directory.";
    CHECK(missing.what() == says, "%s", missing.what());
    const elk::error directory = thrown([&] { elk::request().image_file(folder); });
    CHECK(directory.kind() == "file" && std::string(directory.what()).find("directory") != std::string::npos, "%s", directory.what());
    std::ofstream(folder + "/text.png") << "not a picture";
    const elk::error text = thrown([&] { elk::request().image_file(folder + "/text.png"); });
    CHECK(text.kind() == "invalid_argument" && std::string(text.what()).find("text.png") != std::string::npos, "%s", text.what());
}

void what_no_gateway_takes_is_refused(const std::string &folder) {
    std::string half = png;
    half.resize(elk::request::max_bytes * 3 / 8);
    elk::request request;
    request.image_bytes(half);
    CHECK(request.json().size() > elk::request::max_bytes / 2, "smaller");
    request.image_bytes(half);
    CHECK(thrown([&] { (void)request.json(); }).kind() == "payload_too_large", "two halves");
    half.resize(elk::request::max_bytes);
    CHECK(thrown([&] { elk::request().image_bytes(half); }).kind() == "payload_too_large", "bytes");
    const std::string path = folder + "/large.png";
    std::ofstream(path, std::ios::binary).write(half.data(), static_cast<std::streamsize>(half.size()));
    const elk::error error = thrown([&] { elk::request().image_file(path); });
    CHECK(error.kind() == "payload_too_large" && std::string(error.what()).find(path) == 0, "%s", error.what());
    (void)std::remove(path.c_str());
}

void the_gateway_gets_what_was_built(const std::string &base) {
    const elk::client client(at(base, ""));
    elk::request request;
    request.system("You are an elk.").user("What \"is\" this?").image_bytes(png).temperature(0);
    const elk::answer answer = client.chat_completions(request);
    CHECK(answer.text().find("You said \"What \"is\" this?\"") == 0, "%s", answer.text().data());
    CHECK(answer.text().find("(1 attachment received.)") != std::string_view::npos, "%s", answer.text().data());
    std::string texts;
    for (const elk::chunk chunk : client.chat_completions_stream(request)) texts += chunk.text();
    CHECK(texts == answer.text(), "%s", texts.c_str());
    const elk::error empty = thrown([&] { (void)client.chat_completions(elk::request()); });
    CHECK(empty.kind() == "invalid_argument", "%s", empty.what());
    const elk::error broken = thrown([&] { (void)client.chat_completions(elk::request().user("x").raw("a", "")); });
    CHECK(broken.kind() == "invalid_argument", "%s", broken.what());
}

void tools_make_a_round_trip(const std::string &base) {
    const elk::client client(at(base, ""));
    elk::request request;
    request.user("Weather?").tools(R"([{"type":"function","function":{"name":"get_weather",
        "parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}])");
    const elk::answer asks = client.chat_completions(request);
    CHECK(asks.verdict() == "tool_calls" && asks.tool_calls().size() == 1, "%s", asks.json().data());
    const elk::tool_call call = asks.tool_calls().at(0);
    CHECK(call.name == "get_weather" && !call.id.empty() && call.arguments.front() == '{', "%s", call.name.data());
    request.assistant(asks).tool(call.id, "18 degrees");
    CHECK(request.json().find(std::string(*asks.get("/choices/0/message/tool_calls"))) != std::string::npos, "calls");
    const elk::answer answer = client.chat_completions(request);
    CHECK(answer.text() == "The tool answered: 18 degrees", "%s", answer.text().data());
}

void answers_become_messages(const std::string &base) {
    const auto appended = [&base](const std::string &fixture) {
        return elk::request().assistant(elk::client(at(base, "/wire/" + fixture)).chat_completions(hello)).json();
    };
    const std::string start = R"({"messages":[{"role":"assistant","content":)";
    CHECK_TEXT(appended("unary_tool_calls_null_content").substr(0, start.size() + 18).c_str(),
               (start + "null,\"tool_calls\":").c_str());
    const std::string thoughts = appended("unary_reasoning_content");
    CHECK(thoughts.find("reasoning") == std::string::npos && thoughts.find(start + '"') == 0, "%s", thoughts.c_str());
    for (const char *fixture : {"/wire/unary_multiple_choices", "/wire/own_choices_out_of_order"}) {
        const elk::answer several = elk::client(at(base, fixture)).chat_completions(hello);
        CHECK(several.count("/choices") > 1, "%s", several.json().data());
        CHECK_JSON(elk::request().assistant(several), start + elk::quote(several.text()) + "}]}");
    }
    const std::string parts = appended("unary_image_parts_array");
    CHECK(parts.find(start + '[') == 0, "%s", parts.substr(0, 100).c_str());
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const std::string base = argv[1], folder = argv[2];
    messages_stand_in_order();
    members_are_set_once();
    numbers_do_not_depend_on_the_locale();
    pictures_tell_their_type_by_their_bytes();
    files_are_read_whole(folder);
    what_no_gateway_takes_is_refused(folder);
    the_gateway_gets_what_was_built(base);
    tools_make_a_round_trip(base);
    answers_become_messages(base);
    return CHECK_RESULT();
}
