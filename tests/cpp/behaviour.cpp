// Calls, streams, failures and ways to stop, through the C++ interface. Usage: behaviour BASE_URL FOLDER
#include "cpp.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <pthread.h>
#include <thread>
#if defined(__cpp_lib_ranges)
#include <ranges>
static_assert(std::ranges::input_range<elk::stream &>);
#endif
#if defined(__cpp_lib_span)
#include <span>
static_assert(std::is_convertible_v<elk::bytes_view, std::span<const std::uint8_t>>);
#endif

template <class T>
constexpr bool move_only = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                           !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(move_only<elk::client> && move_only<elk::answer> && move_only<elk::stream> && move_only<elk::cancel>);
static_assert(std::is_nothrow_copy_constructible_v<elk::error> && std::is_base_of_v<std::runtime_error, elk::error>);
static_assert(noexcept(std::declval<const elk::cancel &>().signal()));
#if defined(WANT_STD_EXPECTED)
static_assert(std::is_same_v<elk::expected<int>, std::expected<int, elk::error>>);
#endif

namespace {

void an_answer_is_read(const elk::client &client) {
    const elk::answer answer = client.chat_completions(hello);
    CHECK(!answer.text().empty() && answer.text() == answer.get("/choices/0/message/content"), "text");
    CHECK(answer.verdict() == "complete", "%s", answer.verdict().data());
    CHECK(answer.json() == answer.body() && answer.json().front() == '{', "json");
    CHECK(answer.integer("/usage/total_tokens") > 0 && answer.integer("/nothing", -3) == -3, "integer");
    CHECK(answer.count("/choices") == 1 && answer.type("/choices") == "array", "count and type");
    CHECK(answer.type(std::string("/nothing")).empty() && !answer.get("/nothing"), "nothing");
    CHECK(answer.request_id() && answer.request_id() == answer.header("x-oneapi-request-id"), "request id");
    CHECK(!answer.header("x-nothing") && answer.images().empty() && answer.tool_calls().empty(), "nothing");
    const std::string_view longer = "/usage/total_tokens/and/more";
    CHECK(answer.integer(longer.substr(0, 19)) > 0, "a pointer that no NUL ends");
}

void pictures_are_a_range(const elk::client &client, const std::string &base, const std::string &folder) {
    elk::request request;
    request.user("A cat").model("gemini-3-pro-image-preview").image_config("16:9", "1K");
    const elk::answer answer = client.chat_completions(request);
    std::size_t number = 0;
    for (const elk::image picture : answer.images()) {
        CHECK(picture.media_type() == "image/png" && !picture.url(), "media type");
        const std::filesystem::path path = std::filesystem::path(folder) / (std::to_string(number++) + ".png");
        picture.save(path);
        std::ifstream file(path, std::ios::binary);
        const std::vector<char> saved{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
        const elk::bytes_view bytes = picture.bytes();
        CHECK(saved.size() == bytes.size() && !bytes.empty(), "%zu bytes", saved.size());
        CHECK(std::memcmp(saved.data(), bytes.data(), bytes.size()) == 0 && *bytes.begin() == 0x89, "bytes");
    }
    CHECK(number == 1 && answer.images().size() == 1, "%zu pictures", number);
    CHECK(answer.images().back().bytes().data() == answer.images()[0].bytes().data(), "a copy");
    const elk::error error = thrown([&] { answer.images()[0].save(folder + "/not/there.png"); });
    CHECK(error.status() == ELK_E_FILE && error.kind() == "file", "%s", error.what());
    CHECK(error.document().empty() && error.http_status() == 0 && !error.request_id(), "facts of no call");
    CHECK(error.message() == error.what() && error.billed() == "no" && error.partial().text().empty(), "%s", error.what());

    const elk::answer remote = elk::client(at(base, "/wire/unary_image_markdown_url")).chat_completions(hello);
    const elk::image elsewhere = remote.images().at(0);
    CHECK(elsewhere.url() && elsewhere.bytes().empty() && !elsewhere.media_type(), "remote");
    const elk::error unsaved = thrown([&] { elsewhere.save(folder + "/x"); });
    CHECK(unsaved.kind() == "invalid_argument" && std::strstr(unsaved.what(), "url()"), "%s", unsaved.what());
}

void a_failure_is_thrown_with_all_its_facts(const elk::client &client, const std::string &base) {
    const elk::client refused(at(base, "").set("api_key", "sk-invalid"));
    const elk::error error = thrown([&] { (void)refused.chat_completions(hello); });
    CHECK(error.status() == ELK_E_AUTHENTICATION && error.kind() == "authentication", "%s", error.what());
    CHECK(error.http_status() == 401 && error.request_id() && error.billed() == "no", "%s", error.what());
    CHECK(!error.retryable() && error.verdict() == "failed" && !error.limit(), "%s", error.what());
    CHECK(error.message() == error.get("/error/message") && error.message() != error.what(), "%s", error.what());
    CHECK(error.document().find("\"kind\":\"authentication\"") != std::string_view::npos, "document");
    CHECK(!error.body().empty() && error.get("/error/status") == "401", "body");
    CHECK(!error.retry_after(), "a pause");

    const elk::client pauses(at(base, "/wire/error_429_retry_after_seconds").set("max_retries", 0));
    const elk::error later = thrown([&] { (void)pauses.chat_completions(hello); });
    CHECK(later.kind() == "rate_limit" && later.retryable(), "%s", later.what());
    CHECK(later.retry_after() && *later.retry_after() >= std::chrono::seconds(1), "no pause: %s", later.what());

    const elk::client waits(at(base, "/fault/stall-before-headers").set("timeout_ms", 200));
    const elk::error late = thrown([&] { (void)waits.chat_completions(hello); });
    CHECK(late.kind() == "timeout" && late.limit() == "total" && late.phase() == "wait", "%s", late.what());
    CHECK(late.billed() == "maybe", "%s", late.what());

    CHECK(thrown([&] { (void)client.get("models"); }).kind() == "invalid_argument", "path");
    CHECK(thrown([&] { (void)client.chat_completions(std::string_view()); }).kind() == "invalid_argument", "empty");
    CHECK(client.get(std::string("/models")).count("/data") > 0, "models");
}

void a_failure_is_returned_by_try(const elk::client &client, const std::string &base) {
    const elk::client refused(at(base, "").set("api_key", "sk-invalid"));
    elk::expected<elk::answer> failure = refused.try_chat_completions(hello);
    CHECK(!failure && !failure.has_value(), "an answer");
    CHECK(failure.error().kind() == "authentication" && failure.error().request_id(), "%s", failure.error().what());
    bool told = false;
    try {
        (void)failure.value();
    } catch (const elk::bad_expected_access &access) {
        told = access.error().kind() == "authentication" && std::strstr(access.what(), "expected");
    }
    CHECK(told, "value() of a failure");
    elk::error kept = failure.error();
    const elk::error moved = std::move(kept);
    CHECK(kept.request_id() == moved.request_id() && kept.partial().text().empty(), "an error that was moved from");
    CHECK(thrown([&] { (void)elk::or_throw(std::move(failure)); }).what() == std::string(kept.what()), "or_throw");

    elk::expected<elk::answer> answer = client.try_chat_completions(hello);
    CHECK(answer && answer.has_value() && answer->text() == (*answer).text(), "no answer");
    CHECK(answer.value().verdict() == "complete" && &answer.value() == &*answer, "value");
    const elk::answer taken = *std::move(answer);
    CHECK(!taken.text().empty() && elk::or_throw(client.try_get("/models")).count("/data") > 0, "taken");
    CHECK(elk::expected<int>(elk::unexpected(kept)).value_or(3) == 3 && elk::expected<int>(2).value_or(3) == 2, "or");

    CHECK(!client.try_get("models") && client.try_get("/models"), "try_get");
    CHECK(elk::client::try_make(R"({"nothing":1})").error().kind() == "config", "try_make");
    CHECK(elk::client::try_make(at(base, "")).value().try_chat_completions(hello), "try_make");
    CHECK(client.try_with(R"({"api_key":"sk"})").error().kind() == "config", "try_with");
}

void configurations_are_checked_at_once(const elk::client &client) {
    const elk::error unknown = thrown([] { elk::client(R"({"nothing":1})"); });
    CHECK(unknown.kind() == "config" && unknown.get("/error/param") == "nothing", "%s", unknown.what());
    CHECK(thrown([] { elk::client{std::string_view()}; }).kind() == "config", "empty configuration");
    CHECK(thrown([&] { (void)client.with(R"({"api_key":"sk"})"); }).kind() == "config", "not per call");
    (void)client.with(elk::options().set("timeout_ms", 20000)).chat_completions(hello);
    const std::string written = elk::options().set("a\"", "\n").set("b", true).set("c", -5).raw("d", "[1]").set("b", 0.5).json();
    CHECK(written == R"({"a\"":"\n","b":0.5,"c":-5,"d":[1]})", "%s", written.c_str());
}

void a_client_moves_and_serves_many_threads(elk::client from) {
    const elk::client client = std::move(from);
    CHECK(!from.try_chat_completions(hello), "a client that was moved away still answers");
    std::vector<std::thread> threads;
    std::vector<int> good(4);
    for (int &mine : good) {
        threads.emplace_back([&client, &mine] {
            for (int i = 0; i < 5; i++) mine += bool(client.try_chat_completions(hello));
        });
    }
    for (std::thread &thread : threads) thread.join();
    for (int mine : good) CHECK(mine == 5, "%d of 5", mine);
}

void a_stream_is_a_range(const elk::client &client) {
    std::string texts;
    elk::stream stream = client.chat_completions_stream(hello);
    for (const elk::chunk chunk : stream) {
        texts += chunk.text();
        CHECK(chunk.get("/object") == "chat.completion.chunk" && chunk.json().front() == '{', "a chunk");
    }
    CHECK(!stream.next() && stream.try_next() == elk::step::done, "done stays done");
    const elk::answer answer = stream.finish();
    CHECK(answer.text() == texts && !texts.empty() && answer.verdict() == "complete", "%s", texts.c_str());
    CHECK(stream.try_finish().error().kind() == "closed" && !stream.try_finish(), "finished twice");

    std::string again;
    for (const elk::chunk chunk : client.chat_completions_stream(hello)) again += chunk.text();
    CHECK(again == texts, "%s", again.c_str());
    const elk::answer unread = client.chat_completions_stream(hello).finish();
    CHECK(unread.text() == texts, "unread");

    elk::stream moved = std::move(stream);
    CHECK(stream.try_next() == elk::step::failed, "a stream that was moved away still goes on");
}

void a_stream_is_pushed(const elk::client &client) {
    int taken = 0;
    const bool whole = client.chat_completions_stream(hello).for_each([&taken](elk::chunk) { return ++taken < 2; });
    CHECK(taken == 2 && !whole, "%d", taken);
    std::string texts;
    elk::stream stream = client.chat_completions_stream(hello);
    CHECK(stream.for_each([&texts](elk::chunk chunk) { texts += chunk.text(); }), "no end");
    const elk::answer answer = stream.finish();
    CHECK(answer.text() == texts, "%s", texts.c_str());
    bool passed = false;
    try {
        client.chat_completions_stream(hello).for_each([](elk::chunk) { throw 7; });
    } catch (int seven) {
        passed = seven == 7;
    }
    CHECK(passed, "what the function throws does not arrive");
}

void a_stream_is_polled(const elk::client &client) {
    const char *slow = R"({"messages":[{"role":"user","content":"Hi"}],"sim":{"chunks":3,"chunk_delay_us":50000}})";
    elk::stream stream = client.chat_completions_stream(slow);
    int pending = 0;
    std::string texts;
    for (elk::step step = elk::step::pending; step != elk::step::done; step = stream.try_next(std::chrono::milliseconds(0))) {
        if (step == elk::step::failed) break;
        if (step == elk::step::chunk) texts += stream.current().text();
        pending += step == elk::step::pending;
    }
    const elk::answer answer = stream.finish();
    CHECK(pending > 1 && answer.text() == texts && !texts.empty(), "%d, %s", pending, texts.c_str());
}

void a_failed_stream_tells_what_had_arrived(const std::string &base) {
    const elk::client broken(at(base, "/fault/truncate"));
    elk::stream cut = broken.chat_completions_stream(hello);
    std::string texts;
    for (int i = 0; i < 2; i++) {
        const elk::error error = thrown([&] {
            for (const elk::chunk chunk : cut) texts += chunk.text();
        });
        CHECK(error.kind() == "stream_truncated" && error.billed() == "yes", "%s", error.what());
        CHECK(error.verdict() == "truncated" && error.partial().text() == texts && !texts.empty(), "%s", texts.c_str());
    }
    CHECK(cut.try_next() == elk::step::failed, "it went on");
    const elk::error after = thrown([&] { (void)cut.finish(); });
    CHECK(after.partial().text() == texts, "finish after a failure");
    const elk::expected<elk::answer> whole = broken.chat_completions_stream(hello).try_finish();
    CHECK(!whole && whole.error().partial().json().front() == '{', "what arrived is kept");

    const elk::client refused(at(base, "").set("api_key", "sk-invalid"));
    elk::stream refusal = refused.chat_completions_stream(hello);
    CHECK(refusal.try_next() == elk::step::failed, "not refused");
    const elk::error error = thrown([&] { (void)refusal.next(); });
    CHECK(error.kind() == "authentication" && error.partial().text().empty(), "%s", error.what());
}

// Waits until the simulator has that many requests in hand.
void wait_for_requests(const std::string &base, const std::string &scope, std::int64_t number) {
    while (seen(base, scope, "/in_flight") < number) std::this_thread::yield();
}

void shared_tokens_stop_the_same_calls(const std::string &base) {
    const std::string scope = "/s/cpp-token";
    const elk::client stalls(at(base, scope + "/fault/stall-before-headers"));
    elk::cancel first;
    elk::cancel other = first.share();
    auto call = std::async(std::launch::async, [&] { return stalls.try_chat_completions(hello, first); });
    wait_for_requests(base, scope, 1);
    other.signal();
    const elk::expected<elk::answer> stopped = call.get();
    CHECK(!stopped && stopped.error().kind() == "cancelled" && stopped.error().verdict() == "cancelled", "not cancelled");

    const elk::cancel moved = std::move(other);
    other.signal(); // of nothing any more
    CHECK(other.raw() == nullptr && moved.raw() != nullptr, "moved");
    CHECK(thrown([&] { (void)stalls.chat_completions(hello, moved); }).kind() == "cancelled", "chat");
    CHECK(thrown([&] { (void)stalls.get("/models", moved); }).kind() == "cancelled", "get");
    CHECK(stalls.try_get("/models", moved).error().status() == ELK_E_CANCELLED, "try_get");
    elk::stream stream = stalls.chat_completions_stream(hello, moved);
    CHECK(stream.try_next() == elk::step::failed && stream.try_finish().error().kind() == "cancelled", "stream");
}

void a_stream_is_stopped_from_elsewhere(const std::string &base) {
    const elk::client stalls(at(base, "/fault/stall-mid-body"));
    elk::stream stream = stalls.chat_completions_stream(hello);
    CHECK(stream.next(), "no chunk");
    std::thread other([&stream] { stream.cancel(); });
    const elk::error error = thrown([&] { stream.for_each([](elk::chunk) {}); });
    other.join();
    CHECK(error.kind() == "cancelled" && error.billed() == "yes", "%s", error.what());
}

void stop_tokens_stop_calls(const elk::client &client, const std::string &base) {
#if defined(__cpp_lib_jthread)
    const std::string scope = "/s/cpp-stop-token" + std::to_string(__cplusplus);
    const elk::client stalls(at(base, scope + "/fault/stall-before-headers"));
    elk::expected<elk::answer> outcome = elk::unexpected(elk::error(ELK_OK, "never called"));
    {
        const std::jthread caller([&](std::stop_token stop) { outcome = stalls.try_chat_completions(hello, stop); });
        wait_for_requests(base, scope, 1);
    }
    CHECK(!outcome && outcome.error().kind() == "cancelled", "%s", outcome.error().what());

    std::stop_source source;
    elk::stream stream = client.chat_completions_stream(hello, source.get_token());
    CHECK(stream.next(), "no chunk");
    elk::stream moved = std::move(stream);
    source.request_stop();
    CHECK(thrown([&] { moved.for_each([](elk::chunk) {}); }).kind() == "cancelled", "a stream goes on");
    CHECK(client.try_get("/models", source.get_token()).error().kind() == "cancelled", "stopped before");
    { const elk::stream dropped = client.chat_completions_stream(hello, std::stop_source().get_token()); }
    (void)client.chat_completions(hello, std::stop_token());
#else
    (void)client, (void)base;
#endif
}

void a_hook_is_asked_about_signals(const std::string &base) {
    std::signal(SIGUSR1, [](int) {});
    elk::client stalls(at(base, "/fault/stall-before-headers"));
    std::atomic<int> asked{0};
    stalls.on_interrupt(
        [](void *user) noexcept { return std::int32_t(++*static_cast<std::atomic<int> *>(user) == 2); }, &asked);
    const pthread_t caller = pthread_self();
    std::atomic<bool> over{false};
    std::thread signals([&] {
        // Some may come before the wait and are not asked about.
        while (!over) {
            pthread_kill(caller, SIGUSR1);
            std::this_thread::yield();
        }
    });
    const elk::expected<elk::answer> stopped = stalls.try_chat_completions(hello);
    over = true;
    signals.join();
    CHECK(!stopped && stopped.error().kind() == "cancelled" && asked == 2, "asked %d times", asked.load());
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
    elk::client client(at(base, ""));
    an_answer_is_read(client);
    pictures_are_a_range(client, base, argv[2]);
    a_failure_is_thrown_with_all_its_facts(client, base);
    a_failure_is_returned_by_try(client, base);
    configurations_are_checked_at_once(client);
    a_stream_is_a_range(client);
    a_stream_is_pushed(client);
    a_stream_is_polled(client);
    a_failed_stream_tells_what_had_arrived(base);
    shared_tokens_stop_the_same_calls(base);
    a_stream_is_stopped_from_elsewhere(base);
    stop_tokens_stop_calls(client, base);
    a_hook_is_asked_about_signals(base);
    quoting_fits_every_text();
    a_client_moves_and_serves_many_threads(std::move(client));
    return CHECK_RESULT();
}
