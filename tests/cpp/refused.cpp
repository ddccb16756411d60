// What must not compile: the runner compiles this file once as it is, which works, and once for each
// CASE with its name defined, which must fail with that message. `CASE name: regular expression`
#include "elkapi.hpp"

#include <vector>

using text = std::string_view;

void refused(const elk::client &client, elk::answer answer, elk::stream stream, const elk::error &error, elk::cancel stop);

void refused(const elk::client &client, elk::answer answer, elk::stream stream, const elk::error &error, elk::cancel stop) {
// A view of a temporary would dangle.
#if defined(text_of_temporary) // CASE text_of_temporary: deleted.*text
    text view = client.chat_completions("{}").text();
#elif defined(json_of_temporary) // CASE json_of_temporary: deleted.*json
    text view = client.chat_completions("{}").json();
#elif defined(body_of_temporary) // CASE body_of_temporary: deleted.*body
    text view = std::move(answer).body();
#elif defined(verdict_of_temporary) // CASE verdict_of_temporary: deleted.*verdict
    text view = client.chat_completions("{}").verdict();
#elif defined(member_of_temporary) // CASE member_of_temporary: deleted.*get
    auto view = client.chat_completions("{}").get("/id");
#elif defined(header_of_temporary) // CASE header_of_temporary: deleted.*header
    auto view = client.chat_completions("{}").header("date");
#elif defined(id_of_temporary) // CASE id_of_temporary: deleted.*request_id
    auto view = client.chat_completions("{}").request_id();
#elif defined(tools_of_temporary) // CASE tools_of_temporary: deleted.*tool_calls
    auto view = client.chat_completions("{}").tool_calls();
#elif defined(images_of_temporary) // CASE images_of_temporary: deleted.*images
    for (const elk::image view : client.chat_completions("{}").images()) view.bytes();
#elif defined(chunk_of_temporary) // CASE chunk_of_temporary: discards qualifiers|expects an lvalue|passing .* as .this
    elk::chunk view = client.chat_completions_stream("{}").current();
#elif defined(begin_of_temporary) // CASE begin_of_temporary: discards qualifiers|expects an lvalue|passing .* as .this
    auto view = client.chat_completions_stream("{}").begin();
#elif defined(facts_of_temporary) // CASE facts_of_temporary: deleted.*billed
    text view = elk::error(error).billed();
#elif defined(partial_of_temporary) // CASE partial_of_temporary: deleted.*partial
    const elk::answer &view = client.try_get("/").error().partial();
// Owners are not copied.
#elif defined(client_copied) // CASE client_copied: (deleted|deleted copy).*client
    elk::client copy = client;
#elif defined(answer_copied) // CASE answer_copied: (deleted|deleted copy).*answer
    elk::answer copy = answer;
#elif defined(stream_copied) // CASE stream_copied: (deleted|deleted copy).*stream
    elk::stream copy = stream;
#elif defined(cancel_copied) // CASE cancel_copied: (deleted|deleted copy).*cancel
    elk::cancel copy = stop;
#elif defined(cancel_assigned) // CASE cancel_assigned: deleted.*cancel
    elk::cancel other;
    other = stop;
// A text that is not there, a hook that may throw, and an answer that nobody takes.
#elif defined(no_text) // CASE no_text: deleted.*nullptr_t
    elk::answer none = client.chat_completions(nullptr);
#elif defined(hook_throws) // CASE hook_throws: conversion.*question|no viable conversion
    elk::client().on_interrupt([](void *) { return std::int32_t(1); });
#elif defined(answer_ignored) // CASE answer_ignored: nodiscard
    client.chat_completions("{}");
#elif defined(failure_ignored) // CASE failure_ignored: nodiscard
    client.try_chat_completions("{}");
#elif defined(stream_ignored) // CASE stream_ignored: nodiscard
    client.chat_completions_stream("{}");
#endif
    (void)client, (void)answer, (void)stream, (void)error, (void)stop;
}
