// The C++ interface: owners, views, exceptions. Usage: behaviour BASE_URL FOLDER
#include "../c/check.h"
#include "elkapi.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <future>
#include <iterator>
#include <pthread.h>
#include <thread>
#include <type_traits>
#include <vector>

// In second_unit.cpp: the header serves two translation units of one program.
std::string quoted_elsewhere(std::string_view text);

static_assert(!std::is_copy_constructible_v<elk::client> && std::is_nothrow_move_constructible_v<elk::client>);
static_assert(!std::is_copy_constructible_v<elk::result> && std::is_nothrow_move_constructible_v<elk::result>);
static_assert(std::is_nothrow_copy_constructible_v<elk::error>);
static_assert(std::is_nothrow_copy_constructible_v<elk::cancel> && std::is_nothrow_move_constructible_v<elk::cancel>);
static_assert(noexcept(std::declval<const elk::cancel &>().signal()));

// A view of a temporary would dangle: it must not compile.
#define REFUSES_TEMPORARY(type, call)                                                                      \
    template <class T, class = void> struct type##_##call##_on_temporary : std::false_type {};             \
    template <class T>                                                                                     \
    struct type##_##call##_on_temporary<T, std::void_t<decltype(std::declval<T>().call())>> : std::true_type {}; \
    static_assert(!type##_##call##_on_temporary<elk::type>::value && type##_##call##_on_temporary<elk::type &>::value)

REFUSES_TEMPORARY(result, text);
REFUSES_TEMPORARY(result, json);
REFUSES_TEMPORARY(result, body);
REFUSES_TEMPORARY(result, verdict);
REFUSES_TEMPORARY(result, message);
REFUSES_TEMPORARY(result, request_id);
REFUSES_TEMPORARY(result, images);
REFUSES_TEMPORARY(error, document);
REFUSES_TEMPORARY(error, request_id);

namespace {

const char *const request = R"({"messages":[{"role":"user","content":"Hi"}]})";

// What the call throws; a failed check if it throws nothing.
template <class Call> elk::error thrown(Call call) {
    try {
        call();
    } catch (const elk::error &error) {
        return error;
    }
    CHECK(false, "nothing was thrown");
    return elk::error(ELK_OK, "nothing");
}

void an_answer_is_read(const elk::client &client) {
    const elk::result answer = client.chat_completions(request);
    CHECK(bool(answer) && answer.status() == ELK_OK, "%s", answer.message().data());
    CHECK(!answer.text().empty() && answer.text() == answer.get("/choices/0/message/content"), "text");
    CHECK(answer.verdict() == "complete", "%s", answer.verdict().data());
    CHECK(answer.json() == answer.body() && answer.json().front() == '{', "json");
    CHECK(answer.integer("/usage/total_tokens") > 0 && answer.integer("/nothing", -3) == -3, "integer");
    CHECK(answer.count("/choices") == 1 && answer.type("/choices") == "array", "count and type");
    CHECK(answer.type(std::string("/nothing")).empty() && !answer.get("/nothing"), "nothing");
    CHECK(answer.request_id() && answer.request_id() == answer.header("x-oneapi-request-id"), "request id");
    CHECK(!answer.header("x-nothing") && answer.images().empty(), "nothing");
}

void pictures_are_a_range(const elk::client &client, const std::string &folder) {
    const elk::result answer = client.chat_completions(
        R"({"model":"gemini-3-pro-image-preview","messages":[{"role":"user","content":"A cat"}]})");
    std::size_t number = 0;
    for (const elk::image picture : answer.images()) {
        CHECK(picture.media_type() == "image/png" && !picture.url(), "media type");
        const std::string path = folder + "/" + std::to_string(number++) + ".png";
        picture.save(path);
        std::ifstream file(path, std::ios::binary);
        const std::vector<char> saved{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
        CHECK(saved.size() == picture.bytes().size() && !saved.empty(), "%zu bytes", saved.size());
        CHECK(std::equal(saved.begin(), saved.end(), reinterpret_cast<const char *>(picture.bytes().data())), "bytes");
    }
    CHECK(number == 1 && answer.images().size() == 1, "%zu pictures", number);
    const elk::error error = thrown([&] { answer.images()[0].save(folder + "/not/there.png"); });
    CHECK(error.status() == ELK_E_FILE && error.kind() == "file", "%s", error.what());
    CHECK(error.document().empty() && error.http_status() == 0 && !error.request_id(), "facts of no call");
    CHECK(thrown([&] { answer.images()[1].save(folder + "/x"); }).status() == ELK_E_INVALID_ARGUMENT, "range");
}

void a_failure_is_thrown_with_all_its_facts(const elk::client &client, const std::string &base) {
    const elk::client refused("{\"base_url\":" + elk::quote(base) + R"(,"api_key":"sk-invalid"})");
    const elk::error error = thrown([&] { (void)refused.chat_completions(request); });
    CHECK(error.status() == ELK_E_AUTHENTICATION && error.kind() == "authentication", "%s", error.what());
    CHECK(error.http_status() == 401 && error.request_id() && error.billed() == "no", "%s", error.what());
    CHECK(!error.retryable() && error.verdict() == "failed", "%s", error.what());
    CHECK(error.document().find("\"kind\":\"authentication\"") != std::string_view::npos, "document");
    CHECK(!error.body().empty() && error.get("/error/status") == "401", "body");

    const elk::result failure = refused.try_chat_completions(request);
    CHECK(!failure && failure.status() == ELK_E_AUTHENTICATION, "status");
    CHECK(!failure.message().empty() && failure.text().empty() && failure.json().empty(), "views");
    CHECK(thrown([&] { (void)client.get("models"); }).kind() == "invalid_argument", "path");
    CHECK(thrown([&] { (void)client.chat_completions({}); }).kind() == "invalid_argument", "empty request");
    CHECK(client.try_get(std::string("/models")).count("/data") > 0, "models");
}

void configurations_are_checked_at_once(const elk::client &client) {
    CHECK(thrown([] { elk::client("{\"nothing\":1}"); }).kind() == "config", "unknown option");
    CHECK(thrown([] { elk::client(std::string_view()); }).kind() == "config", "empty configuration");
    CHECK(thrown([&] { (void)client.with(R"({"api_key":"sk"})"); }).kind() == "config", "not per call");
    CHECK(bool(client.with(R"({"timeout_ms":20000})").try_chat_completions(request)), "with");
}

void a_client_moves_and_serves_many_threads(elk::client from) {
    const elk::client client = std::move(from);
    CHECK(!from.try_chat_completions(request), "a client that was moved away still answers");
    std::vector<std::thread> threads;
    std::vector<int> good(4);
    for (int &mine : good) {
        threads.emplace_back([&client, &mine] {
            for (int i = 0; i < 5; i++) mine += bool(client.try_chat_completions(request));
        });
    }
    for (std::thread &thread : threads) thread.join();
    for (int mine : good) CHECK(mine == 5, "%d of 5", mine);
}

void a_stream_is_a_range_and_its_failures_are_thrown(const elk::client &client, const std::string &base) {
    std::string texts;
    elk::stream stream = client.chat_completions_stream(request);
    for (const elk::chunk chunk : stream) {
        texts += chunk.text();
        CHECK(chunk.get("/object") == "chat.completion.chunk" && chunk.json().front() == '{', "a chunk");
    }
    CHECK(!stream.next(), "done stays done");
    const elk::result answer = stream.finish();
    CHECK(answer.text() == texts && !texts.empty() && answer.verdict() == "complete", "%s", texts.c_str());

    int taken = 0;
    client.chat_completions_stream(request).each([&taken](const elk::chunk &) { return ++taken < 2; });
    CHECK(taken == 2, "%d", taken);

    const std::string root = base.substr(0, base.size() - 3);
    const elk::client broken("{\"base_url\":" + elk::quote(root + "/fault/truncate/v1") + R"(,"api_key":"sk-test"})");
    elk::stream cut = broken.chat_completions_stream(request);
    for (int i = 0; i < 2; i++) {
        try {
            while (cut.next()) {
            }
            CHECK(false, "a truncated stream ended well");
        } catch (const elk::error &error) {
            CHECK(error.status() == ELK_E_STREAM_TRUNCATED && error.billed() == "yes", "%s", error.what());
        }
    }
    elk::stream again = broken.chat_completions_stream(request);
    const elk::result failed = again.try_finish();
    CHECK(!failed && failed.verdict() == "truncated" && !failed.json().empty(), "what arrived is kept");

    const elk::cancel stop;
    stop.signal();
    elk::stream stopped = client.chat_completions_stream(request, stop);
    CHECK(stopped.try_next() == ELK_E_CANCELLED, "not cancelled");
}

// That path of the simulator's.
elk::client client_at(const std::string &base, const std::string &path) {
    const std::string at = base.substr(0, base.rfind("/v1")) + path + "/v1";
    return elk::client("{\"base_url\":" + elk::quote(at) + R"(,"api_key":"sk-test"})");
}

void copies_of_a_token_stop_the_same_calls(const std::string &base) {
    const elk::client stalls = client_at(base, "/fault/stall-before-headers");
    elk::cancel first;
    elk::cancel copy = first;
    elk::cancel other;
    other = copy;
    auto call = std::async(std::launch::async, [&] { return stalls.try_chat_completions(request, first); });
    CHECK(call.wait_for(std::chrono::milliseconds(100)) == std::future_status::timeout, "did not stall");
    other.signal();
    const elk::result stopped = call.get();
    CHECK(stopped.status() == ELK_E_CANCELLED && stopped.verdict() == "cancelled", "%s", stopped.message().data());

    const elk::cancel moved = std::move(copy);
    copy.signal(); // of nothing any more
    CHECK(copy.get() == nullptr && moved.get() != nullptr, "moved");
    CHECK(thrown([&] { (void)stalls.chat_completions(request, moved); }).kind() == "cancelled", "chat");
    CHECK(thrown([&] { (void)stalls.get("/models", moved); }).kind() == "cancelled", "get");
    CHECK(stalls.try_get("/models", moved).status() == ELK_E_CANCELLED, "try_get");
}

void a_hook_is_asked_about_signals(const std::string &base) {
    std::signal(SIGUSR1, [](int) {});
    elk::client stalls = client_at(base, "/fault/stall-before-headers");
    std::atomic<int> asked{0};
    stalls.on_interrupt([](void *user) { return std::int32_t(++*static_cast<std::atomic<int> *>(user) == 2); }, &asked);
    const pthread_t caller = pthread_self();
    std::atomic<bool> over{false};
    std::thread signals([&] {
        // Some may come before the wait and are not asked about.
        while (!over) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            pthread_kill(caller, SIGUSR1);
        }
    });
    const elk::result stopped = stalls.try_chat_completions(request);
    over = true;
    signals.join();
    CHECK(stopped.status() == ELK_E_CANCELLED && asked == 2, "asked %d times", asked.load());
}

void quoting_fits_every_text() {
    CHECK(elk::quote("a\"b") == "\"a\\\"b\"" && elk::quote({}) == "\"\"", "short");
    const std::string controls(1000, '\x01');
    CHECK(elk::quote(controls).size() == 6002, "%zu", elk::quote(controls).size());
    CHECK(quoted_elsewhere("\n") == "\"\\n\"", "second unit");
    CHECK(!elk::version().empty(), "version");
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const std::string base = argv[1];
    elk::client client("{\"base_url\":" + elk::quote(base) + R"(,"api_key":"sk-test"})");
    an_answer_is_read(client);
    pictures_are_a_range(client, argv[2]);
    a_failure_is_thrown_with_all_its_facts(client, base);
    configurations_are_checked_at_once(client);
    a_stream_is_a_range_and_its_failures_are_thrown(client, base);
    copies_of_a_token_stop_the_same_calls(base);
    a_hook_is_asked_about_signals(base);
    quoting_fits_every_text();
    a_client_moves_and_serves_many_threads(std::move(client));
    return CHECK_RESULT();
}
