// What must not compile. The runner compiles this file as it is, which works, and once with REFUSED
// defined: then each CASE must be refused at the line above its comment, for its own reason, and nothing
// else. `CASE name: regular expression`
#include "elkapi.hpp"

#include <vector>

#if defined(REFUSED)
namespace {

using text = std::string_view;

// A view of a temporary would dangle.
void text_of_temporary(const elk::client &client) {
    text view = client.chat_completions("{}").text();
} // CASE text_of_temporary: deleted.*text
void json_of_temporary(const elk::client &client) {
    text view = client.chat_completions("{}").json();
} // CASE json_of_temporary: deleted.*json
void body_of_temporary(elk::answer &answer) {
    text view = std::move(answer).body();
} // CASE body_of_temporary: deleted.*body
void verdict_of_temporary(const elk::client &client) {
    text view = client.chat_completions("{}").verdict();
} // CASE verdict_of_temporary: deleted.*verdict
void member_of_temporary(const elk::client &client) {
    auto view = client.chat_completions("{}").get("/id");
} // CASE member_of_temporary: deleted.*get
void header_of_temporary(const elk::client &client) {
    auto view = client.chat_completions("{}").header("date");
} // CASE header_of_temporary: deleted.*header
void id_of_temporary(const elk::client &client) {
    auto view = client.chat_completions("{}").request_id();
} // CASE id_of_temporary: deleted.*request_id
void tools_of_temporary(const elk::client &client) {
    auto view = client.chat_completions("{}").tool_calls();
} // CASE tools_of_temporary: deleted.*tool_calls
void images_of_temporary(const elk::client &client) {
    for (const elk::image view : client.chat_completions("{}").images()) view.bytes();
} // CASE images_of_temporary: deleted.*images
void chunk_of_temporary(const elk::client &client) {
    elk::chunk view = client.chat_completions_stream("{}").current();
} // CASE chunk_of_temporary: discards qualifiers|expects an lvalue|passing .* as .this
void begin_of_temporary(const elk::client &client) {
    auto view = client.chat_completions_stream("{}").begin();
} // CASE begin_of_temporary: discards qualifiers|expects an lvalue|passing .* as .this
void facts_of_temporary(const elk::error &error) {
    text view = elk::error(error).billed();
} // CASE facts_of_temporary: deleted.*billed
void partial_of_temporary(const elk::client &client) {
    const elk::answer &view = client.try_get("/").error().partial();
} // CASE partial_of_temporary: deleted.*partial

// Owners are not copied.
void client_copied(const elk::client &client) {
    elk::client copy = client;
} // CASE client_copied: (deleted|deleted copy).*client
void answer_copied(elk::answer &answer) {
    elk::answer copy = answer;
} // CASE answer_copied: (deleted|deleted copy).*answer
void stream_copied(elk::stream &stream) {
    elk::stream copy = stream;
} // CASE stream_copied: (deleted|deleted copy).*stream
void cancel_copied(elk::cancel &stop) {
    elk::cancel copy = stop;
} // CASE cancel_copied: (deleted|deleted copy).*cancel
void cancel_assigned(elk::cancel &stop) {
    elk::cancel other;
    other = stop;
} // CASE cancel_assigned: deleted.*cancel
void queue_copied(const elk::queue &queue) {
    elk::queue copy = queue;
} // CASE queue_copied: (deleted|deleted copy).*queue

// Of a queue: a chunk's view, a future that nobody takes, a function that takes something else.
void queued_chunk_of_temporary() {
    text view = elk::queued_chunk(nullptr).text();
} // CASE queued_chunk_of_temporary: deleted.*text
void future_ignored(elk::queue &queue) {
    queue.submit("{}");
} // CASE future_ignored: nodiscard
void no_callback(elk::queue &queue) {
    queue.submit("{}", [](int) {});
} // CASE no_callback: no matching

// A text that is not there, a hook that may throw, and an answer that nobody takes.
void no_text(const elk::client &client) {
    elk::answer none = client.chat_completions(nullptr);
} // CASE no_text: deleted.*nullptr_t
void hook_throws() {
    elk::client().on_interrupt([](void *) { return std::int32_t(1); });
} // CASE hook_throws: conversion.*question|no viable conversion
void answer_ignored(const elk::client &client) {
    client.chat_completions("{}");
} // CASE answer_ignored: nodiscard
void failure_ignored(const elk::client &client) {
    client.try_chat_completions("{}");
} // CASE failure_ignored: nodiscard
void stream_ignored(const elk::client &client) {
    client.chat_completions_stream("{}");
} // CASE stream_ignored: nodiscard

} // namespace
#endif
