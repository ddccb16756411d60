// Many calls at once, through the C++ interface. Usage: queue BASE_URL FOLDER
#include "cpp.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <poll.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

static_assert(std::is_nothrow_move_constructible_v<elk::queue> && std::is_nothrow_move_assignable_v<elk::queue> &&
              !std::is_copy_constructible_v<elk::queue> && !std::is_copy_assignable_v<elk::queue>);
static_assert(std::is_nothrow_move_constructible_v<elk::queued_chunk> &&
              !std::is_copy_constructible_v<elk::queued_chunk>);

namespace {

using std::chrono::milliseconds;
using outcome = elk::expected<elk::answer>;

bool is_readable(const elk::queue &queue) {
    pollfd one = {static_cast<int>(queue.handle()), POLLIN, 0};
    return poll(&one, 1, 0) == 1;
}

void answers_come_to_their_callbacks_on_the_draining_thread(const elk::client &client) {
    elk::queue queue(client, 4);
    const std::thread::id here = std::this_thread::get_id();
    std::vector<std::uint64_t> numbers;
    int answered = 0;
    CHECK(queue.empty() && queue.drain() == 0 && queue.handle() >= 0 && !is_readable(queue), "an empty queue");
    for (int i = 0; i < 20; ++i) {
        // What only moves may be captured.
        numbers.push_back(queue.submit(hello, [&answered, here, own = std::make_unique<int>(i)](outcome came) {
            CHECK(came.has_value() && !came->text().empty(), "no answer");
            CHECK(std::this_thread::get_id() == here && *own < 20, "another thread");
            ++answered;
        }));
    }
    CHECK(queue.in_flight() == 20 && answered == 0, "%zu in flight", queue.in_flight());
    while (!queue.empty()) queue.drain(milliseconds(60000));
    CHECK(answered == 20 && queue.drain(milliseconds(60000)) == 0, "%d answered", answered);
    std::sort(numbers.begin(), numbers.end());
    CHECK(std::unique(numbers.begin(), numbers.end()) == numbers.end(), "a number came twice");
    CHECK(!is_readable(queue), "readable after all was drained");
}

void a_failure_comes_to_its_callback_too(const elk::client &client, const std::string &base) {
    elk::queue queue(client);
    elk::client refused(at(base, "").set("api_key", "sk-invalid"));
    elk::queue others(refused);
    std::string kinds;
    const auto keep = [&kinds](outcome came) { kinds += came.has_value() ? "none" : came.error().kind(); };
    queue.submit("{", keep);
    queue.drain_all();
    others.submit(hello, keep);
    others.drain_all();
    CHECK(kinds == "invalid_argumentauthentication", "%s", kinds.c_str());
}

void a_stream_gives_its_chunks_and_then_its_end(const elk::client &client) {
    elk::queue queue(client, 8);
    std::vector<std::string> texts(8);
    std::vector<elk::queued_chunk> kept;
    int ended = 0;
    for (std::string &text : texts) {
        queue.submit_stream(
            hello,
            [&text, &kept](elk::queued_chunk chunk) {
                text += chunk.text();
                CHECK(chunk.get("/object") == "chat.completion.chunk" && chunk.json().front() == '{', "a chunk");
                if (kept.empty()) kept.push_back(std::move(chunk));
            },
            [&text, &ended](const outcome &came) {
                CHECK(came.has_value() && came->text() == text && !text.empty(), "%s", text.c_str());
                CHECK(came.has_value() && came->verdict() == "complete", "not complete");
                ++ended;
            });
    }
    queue.drain_all();
    CHECK(ended == 8 && kept.size() == 1 && kept[0].json().front() == '{', "%d ended", ended);
}

void a_future_is_made_ready_by_draining(const elk::client &client) {
    elk::queue queue(client);
    std::future<elk::answer> good = queue.submit(hello), bad = queue.submit("[]");
    CHECK(good.wait_for(milliseconds(0)) == std::future_status::timeout, "ready before it was drained");
    queue.drain_all();
    const elk::answer answer = good.get();
    CHECK(!answer.text().empty(), "no text");
    CHECK(thrown([&] { (void)bad.get(); }).kind() == "invalid_argument", "not thrown");

    // Who waits for it is another thread.
    elk::expected<std::future<elk::answer>> other = queue.try_submit(hello);
    std::atomic<bool> over{false};
    std::thread waits([&] {
        const elk::answer its = other->get();
        over = !its.text().empty();
    });
    while (!over) queue.drain(milliseconds(10));
    waits.join();
}

void what_a_callback_throws_leaves_drain_and_loses_nothing(const elk::client &client) {
    elk::queue queue(client, 1);
    int ends = 0, chunks = 0, thrown_out = 0;
    std::string text, whole;
    for (int i = 0; i < 3; ++i) {
        queue.submit(hello, [&ends](const outcome &) {
            ++ends;
            throw 7;
        });
    }
    queue.submit_stream(
        hello,
        [&](const elk::queued_chunk &chunk) {
            text += chunk.text();
            if (++chunks % 2 == 1) throw 8;
        },
        [&](const outcome &came) { whole = came->text(); });
    while (!queue.empty()) {
        try {
            queue.drain(milliseconds(60000));
        } catch (int) {
            ++thrown_out;
        }
    }
    CHECK(ends == 3 && chunks > 3 && thrown_out == 3 + (chunks + 1) / 2, "%d thrown, %d chunks", thrown_out, chunks);
    CHECK(text == whole && !whole.empty(), "%s", text.c_str());
}

void a_callback_may_hand_over_and_drain(const elk::client &client) {
    elk::queue queue(client, 2);
    int answered = 0;
    queue.submit(hello, [&](const outcome &) {
        queue.submit(hello, [&](const outcome &) { ++answered; });
        ++answered;
    });
    queue.submit_stream(hello, [&](elk::queued_chunk) { queue.drain(); }, [&](const outcome &) { ++answered; });
    queue.drain_all();
    CHECK(answered == 3, "%d answered", answered);
}

void no_more_is_handed_out_than_was_asked_for(const elk::client &client) {
    elk::queue queue(client, 1);
    int answered = 0;
    for (int i = 0; i < 3; ++i) queue.submit(hello, [&answered](const outcome &) { ++answered; });
    CHECK(queue.drain(milliseconds(60000), 1) == 1 && answered == 1, "%d answered", answered);
    CHECK(queue.drain(0) == 0 && queue.in_flight() == 2, "%zu in flight", queue.in_flight());
    queue.drain_all();
}

void a_full_queue_says_so(const elk::client &client) {
    elk::queue queue(client, 1, 1);
    const auto nothing = [](const outcome &) {};
    queue.submit(hello, nothing);
    const elk::error full = thrown([&] { queue.submit(hello, nothing); });
    CHECK(full.kind() == "queue_full" && full.status() == ELK_E_QUEUE_FULL, "%s", full.what());
    CHECK(queue.try_submit(hello, nothing).error().kind() == "queue_full", "try_submit");
    CHECK(queue.try_submit(hello).error().kind() == "queue_full", "a future");
    CHECK(queue.try_submit_stream(hello, [](const elk::queued_chunk &) {}, nothing).error().kind() == "queue_full",
          "a stream");
    CHECK(queue.in_flight() == 1, "%zu in flight", queue.in_flight());
    queue.drain_all();
    CHECK(queue.try_submit(hello, nothing).has_value(), "no room after it was drained");
    queue.drain_all();
}

void calls_are_stopped_one_by_one_and_together(const std::string &base) {
    const std::string scope = "/s/cpp-queue" + std::to_string(getpid());
    const elk::client stalls(at(base, scope + "/fault/stall-mid-body"));
    elk::queue queue(stalls, 3);
    std::vector<std::string> ends;
    const auto keep = [&ends](const char *name) {
        return [&ends, name](const outcome &came) {
            ends.push_back(std::string(name) + ' ' + std::string(came.has_value() ? "" : came.error().kind()));
        };
    };
    {
        const elk::cancel token;
        queue.submit(hello, keep("one"), token);
        queue.submit(hello, keep("two"));
        queue.submit_stream(hello, [](const elk::queued_chunk &) {}, keep("three"));
        while (seen(base, scope, "/in_flight") != 3) std::this_thread::yield();
        token.signal();
    } // the call keeps the token
    while (ends.empty()) queue.drain(milliseconds(60000));
    CHECK(ends.size() == 1 && ends[0] == "one cancelled", "%s", ends[0].c_str());
#if defined(__cpp_lib_jthread)
    {
        // A stop_token is heard as long as the call lasts, and not only while it is handed over.
        const auto source = std::make_unique<std::stop_source>();
        queue.submit(hello, keep("token"), source->get_token());
        while (seen(base, scope, "/requests") != 4) std::this_thread::yield();
        queue.drain();
        source->request_stop();
        while (ends.size() < 2) queue.drain(milliseconds(60000));
        CHECK(ends.back() == "token cancelled", "%s", ends.back().c_str());
        ends.pop_back();
        const auto before = std::make_unique<std::stop_source>();
        before->request_stop();
        queue.submit(hello, keep("before"), before->get_token());
        while (ends.size() < 2) queue.drain(milliseconds(60000));
        CHECK(ends.back() == "before cancelled", "%s", ends.back().c_str());
        ends.pop_back();
    }
#endif
    queue.cancel_all();
    queue.drain_all();
    std::sort(ends.begin(), ends.end());
    CHECK(ends.size() == 3 && ends[1] == "three cancelled" && ends[2] == "two cancelled", "%zu ends", ends.size());
    while (seen(base, scope, "/in_flight") != 0) std::this_thread::yield();
}

void a_queue_that_is_given_up_breaks_its_futures_clearly(const std::string &base) {
    const elk::client stalls(at(base, "/fault/stall-before-headers"));
    std::future<elk::answer> under_way, waiting;
    std::atomic<int> called{0};
    {
        elk::queue queue(stalls, 1);
        under_way = queue.submit(hello);
        waiting = queue.submit(hello);
        queue.submit(hello, [&called](const outcome &) { ++called; });
    }
    for (std::future<elk::answer> *one : {&under_way, &waiting}) {
        CHECK(one->wait_for(milliseconds(0)) == std::future_status::ready, "not ready");
        const elk::error error = thrown([&] { (void)one->get(); });
        CHECK(error.kind() == "cancelled" && std::string(error.what()).find("given up") != std::string::npos, "%s",
              error.what());
    }
    CHECK(called == 0, "a callback was called");
}

void a_queue_moves(const elk::client &client) {
    elk::queue first(client);
    int answered = 0;
    const auto count = [&answered](const outcome &) { ++answered; };
    first.submit(hello, count);
    elk::queue queue = std::move(first);
    CHECK(first.handle() == -1 && first.empty() && first.raw() == nullptr, "moved away");
    CHECK(first.try_submit(hello, count).error().kind() == "invalid_argument", "it still takes calls");
    CHECK(thrown([&] { first.drain(); }).kind() == "invalid_argument", "it is still drained");
    first.cancel_all();
    queue.drain_all();
    CHECK(answered == 1, "%d answered", answered);
    elk::client gone(at("http://127.0.0.1:9/v1", ""));
    { const elk::client taken = std::move(gone); }
    CHECK(elk::queue::try_make(gone).error().kind() == "invalid_argument", "of a client that was moved away");
    CHECK(thrown([&] { const elk::queue none(gone); }).kind() == "invalid_argument", "thrown");
}

void any_thread_hands_over(const elk::client &client) {
    elk::queue queue(client, 8);
    std::atomic<int> handed{0};
    int answered = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int j = 0; j < 25; ++j, ++handed) queue.submit(hello, [&answered](const outcome &) { ++answered; });
        });
    }
    while (handed < 100 || !queue.empty()) queue.drain(milliseconds(1));
    for (std::thread &thread : threads) thread.join();
    CHECK(answered == 100, "%d answered", answered);
}

void a_child_process_is_told(const elk::client &client) {
    elk::queue queue(client);
    queue.submit(hello, [](const outcome &) {});
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        const bool told = thrown([&] { queue.drain(); }).kind() == "forked" &&
                          queue.try_submit(hello).error().kind() == "forked";
        // Not by exit: to a tool that looks for leaks then, what threads of the parent held is lost.
        execl(told && check_failures == 0 ? "/bin/true" : "/bin/false", "told", nullptr);
        _exit(2);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with 0x%x", static_cast<unsigned>(status));
    queue.drain_all();
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const std::string base = argv[1];
    const elk::client client(at(base, ""));
    answers_come_to_their_callbacks_on_the_draining_thread(client);
    a_failure_comes_to_its_callback_too(client, base);
    a_stream_gives_its_chunks_and_then_its_end(client);
    a_future_is_made_ready_by_draining(client);
    what_a_callback_throws_leaves_drain_and_loses_nothing(client);
    a_callback_may_hand_over_and_drain(client);
    no_more_is_handed_out_than_was_asked_for(client);
    a_full_queue_says_so(client);
    calls_are_stopped_one_by_one_and_together(base);
    a_queue_that_is_given_up_breaks_its_futures_clearly(base);
    a_queue_moves(client);
    any_thread_hands_over(client);
    a_child_process_is_told(client);
    return CHECK_RESULT();
}
