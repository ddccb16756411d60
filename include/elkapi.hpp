// elkapi for C++17: the C interface with owners, views and exceptions. Header-only; link -lelkapi.
//
//     elk::client client;                                       // ELKAPI_API_KEY
//     elk::request request;
//     request.system("Be brief.").user("Name three seas.");
//     elk::answer answer = client.chat_completions(request);    // or a std::string of JSON
//     std::cout << answer.text() << '\n';
//
//     for (elk::chunk chunk : client.chat_completions_stream(request))
//         std::cout << chunk.text() << std::flush;
//
// Failures. They are thrown as elk::error, which has all the facts and what had arrived. The try_
// functions return them: elk::expected<T> is std::expected<T, elk::error> where the library has it,
// and otherwise a class with the same members. To use one program's parts compiled for C++23 and
// for less together, define ELKAPI_OWN_EXPECTED in all of them.
//
// Ownership. Objects that own something of the library can be moved and not copied; one that was
// moved from answers every call with a failure. A view (std::string_view, elk::image, elk::chunk)
// belongs to the object that it was asked from; asking a temporary does not compile.
//
// Threads. Any number of threads may call the const members of one object at once.

#ifndef ELKAPI_HPP
#define ELKAPI_HPP

#include "elkapi.h"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <future>
#include <iterator>
#include <locale>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif
#if defined(__cpp_lib_jthread)
#include <stop_token>
#endif
#if defined(__cpp_lib_expected) && !defined(ELKAPI_OWN_EXPECTED)
#include <expected>
#endif

/// @file
/// The C++17 interface of elkapi.

/// Everything of elkapi for C++.
namespace elk {

// Parts that differ in what elk::expected is do not link together, instead of going wrong.
#if defined(__cpp_lib_expected) && !defined(ELKAPI_OWN_EXPECTED)
inline namespace std_expected {
#else
inline namespace own_expected {
#endif

/// @cond
namespace detail {

template <auto Free> struct freed_by {
    template <class T> void operator()(T *object) const noexcept { Free(object); }
};

template <class T, auto Free> using owner = std::unique_ptr<T, freed_by<Free>>;

using lent = std::optional<std::string_view>;

inline lent view(const char *text, std::size_t length) noexcept {
    if (text == nullptr) return std::nullopt;
    return std::string_view(text, length);
}

inline lent view(const char *text) noexcept {
    if (text == nullptr) return std::nullopt;
    return std::string_view(text);
}

// What an accessor of the C interface lends of that object.
template <class Object> std::string_view sized(const char *(*accessor)(Object *, std::size_t *), Object *object) {
    std::size_t length = 0;
    const char *text = accessor(object, &length);
    return view(text, length).value_or("");
}

} // namespace detail
/// @endcond

/// A NUL-terminated argument: a path, a JSON Pointer (RFC 6901) or the name of a header field. It
/// is made from a literal, a string, a view or a std::filesystem::path, and ends at its first NUL.
class name_text {
  public:
    /// Not a copy.
    name_text(const char *text) noexcept : text_(text) {}
    /// Not a copy.
    name_text(const std::string &text) noexcept : text_(text.c_str()) {}
    /// A copy, because a view has no NUL behind it.
    name_text(std::string_view text) : copy_(text), text_(copy_.c_str()) {}
    /// A copy, of what converts to std::string alone, such as std::filesystem::path.
    template <class Path, class = std::enable_if_t<std::is_convertible_v<const Path &, std::string> &&
                                                   !std::is_convertible_v<const Path &, std::string_view>>>
    name_text(const Path &path) : copy_(path), text_(copy_.c_str()) {}
    name_text(const name_text &) = delete; ///< It may point into itself.
    /// It may point into itself.
    name_text &operator=(const name_text &) = delete;

    /// The text.
    const char *c_str() const noexcept { return text_; }

  private:
    std::string copy_;
    const char *text_;
};

// Answers

/// Bytes lent by somebody; C++20 turns it into a std::span.
class bytes_view {
  public:
    /// These bytes.
    bytes_view(const std::uint8_t *data, std::size_t size) noexcept : data_(data), size_(size) {}
    /// Those of a std::vector, std::array or std::string.
    template <class Bytes, class = std::enable_if_t<sizeof(*std::declval<const Bytes &>().data()) == 1>>
    bytes_view(const Bytes &bytes) noexcept
        : bytes_view(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size()) {}

    /// The first byte; may be nullptr where there are none.
    const std::uint8_t *data() const noexcept { return data_; }
    /// How many there are.
    std::size_t size() const noexcept { return size_; }
    /// Whether there are none.
    bool empty() const noexcept { return size_ == 0; }
    /// For a range-based for.
    const std::uint8_t *begin() const noexcept { return data_; }
    /// For a range-based for.
    const std::uint8_t *end() const noexcept { return data_ + size_; }

  private:
    const std::uint8_t *data_;
    std::size_t size_;
};

/// One picture of an answer; valid as long as the answer.
class image {
  public:
    /// The decoded file; empty for a remote picture.
    bytes_view bytes() const noexcept {
        std::size_t size = 0;
        const std::uint8_t *data = elk_result_image_bytes(result_, index_, &size);
        return bytes_view(data, size);
    }
    /// Such as "image/png", told by the bytes; none for a remote picture.
    std::optional<std::string_view> media_type() const {
        return detail::view(elk_result_image_media_type(result_, index_));
    }
    /// The address of a remote picture, which is not fetched; none for one that came with the answer.
    std::optional<std::string_view> url() const { return detail::view(elk_result_image_url(result_, index_)); }
    /// Writes the file, replacing what was there.
    /// @throws elk::error of the kind "file", or "invalid_argument" for a remote picture.
    void save(const name_text &path) const;

  private:
    friend class answer;
    image(const elk_result *result, std::size_t index) noexcept : result_(result), index_(index) {}

    const elk_result *result_;
    std::size_t index_;
};

/// A function that the model wants called; valid as long as the answer.
struct tool_call {
    std::string_view id;        ///< To be given to request::tool with the outcome.
    std::string_view name;      ///< The function's name.
    std::string_view arguments; ///< JSON, as the model wrote it: check it.
};

/// The answer to a call: whole, or (error::partial) what had arrived of one.
class answer {
  public:
    /// Takes over a result of the C interface.
    explicit answer(elk_result *owned) noexcept : result_(owned) {}

    /// The text of the choice with the lowest index.
    std::string_view text() const & noexcept { return detail::sized(elk_result_text, raw()); }
    /// "complete", "length" (cut off by a token limit), "filtered" or "tool_calls".
    std::string_view verdict() const & noexcept { return elk_result_verdict(raw()); }
    /// The pictures; of several drafts the last is the final one.
    std::vector<image> images() const & {
        std::vector<image> all;
        for (std::size_t i = 0; i < elk_result_image_count(raw()); ++i) all.push_back(image(raw(), i));
        return all;
    }
    /// The functions that the model wants called.
    std::vector<tool_call> tool_calls() const & {
        std::vector<tool_call> calls;
        const std::string all = message() + "/tool_calls";
        for (std::size_t i = 0; i < count(all); ++i) {
            const std::string one = all + '/' + std::to_string(i);
            calls.push_back({get(one + "/id").value_or(""), get(one + "/function/name").value_or(""),
                             get(one + "/function/arguments").value_or("")});
        }
        return calls;
    }
    /// The gateway's id of the request.
    std::optional<std::string_view> request_id() const & { return get("/call/request_id"); }
    /// The document as the server sent it, or as a stream's chunks were put together.
    std::string_view json() const & noexcept { return detail::sized(elk_result_json, raw()); }
    /// The bytes of the reply; "" for a stream.
    std::string_view body() const & noexcept { return detail::sized(elk_result_body, raw()); }
    /// What a JSON Pointer names in the document, such as "/usage/total_tokens": a string's text, else
    /// JSON; none for null and what does not exist. "/call/..." names the client's own facts.
    std::optional<std::string_view> get(const name_text &pointer) const & {
        std::size_t length = 0;
        const char *text = elk_result_get(raw(), pointer.c_str(), &length);
        return detail::view(text, length);
    }
    /// The whole number that a JSON Pointer names; `fallback` where there is none.
    std::int64_t integer(const name_text &pointer, std::int64_t fallback = 0) const noexcept {
        return elk_result_int(raw(), pointer.c_str(), fallback);
    }
    /// How many elements or members that has which a JSON Pointer names.
    std::size_t count(const name_text &pointer) const noexcept { return elk_result_count(raw(), pointer.c_str()); }
    /// "null", "boolean", "number", "string", "array" or "object"; "" for what does not exist.
    std::string_view type(const name_text &pointer) const noexcept { return elk_result_type(raw(), pointer.c_str()); }
    /// A header field of the reply.
    std::optional<std::string_view> header(const name_text &name) const & {
        return detail::view(elk_result_header(raw(), name.c_str()));
    }
    /// The result of the C interface, still owned by this object.
    const elk_result *raw() const noexcept { return result_.get(); }

    /// @cond
    std::string_view text() const && = delete;
    std::string_view verdict() const && = delete;
    std::vector<image> images() const && = delete;
    std::vector<tool_call> tool_calls() const && = delete;
    std::optional<std::string_view> request_id() const && = delete;
    std::string_view json() const && = delete;
    std::string_view body() const && = delete;
    std::optional<std::string_view> get(const name_text &) const && = delete;
    std::optional<std::string_view> header(const name_text &) const && = delete;
    /// @endcond

  private:
    friend class request;

    // Points to the message that text() is of.
    std::string message() const {
        const std::int64_t index = integer("/call/choice");
        for (std::size_t i = 0; i < count("/choices"); ++i) {
            const std::string choice = "/choices/" + std::to_string(i);
            if (integer(choice + "/index") == index) return choice + "/message";
        }
        return "/choices/0/message";
    }

    detail::owner<elk_result, elk_result_free> result_;
};

// Failures

/// A failure. what() is one sentence for a person, with the server's words and what to do.
class error : public std::runtime_error {
  public:
    /// A failure that no call had.
    error(elk_status status, const std::string &message)
        : std::runtime_error(message), status_(status), result_(std::make_shared<const answer>(nullptr)) {}
    /// What a result of the C interface tells that is a failure.
    explicit error(answer failed)
        : std::runtime_error(elk_result_message(failed.raw())), status_(elk_result_status(failed.raw())),
          result_(std::make_shared<const answer>(std::move(failed))) {}
    error(const error &) noexcept = default; ///< Shares the facts; so do moves, which leave both whole.
    /// Shares the facts.
    error &operator=(const error &) noexcept = default;

    /// One of the ELK_E_ numbers.
    elk_status status() const noexcept { return status_; }
    /// The status by name, such as "rate_limit".
    std::string_view kind() const noexcept { return elk_status_name(status_); }
    /// HTTP status; 0 if no reply arrived.
    int http_status() const noexcept { return static_cast<int>(result_->integer("/error/status")); }
    /// Whether the same request may be repeated without risk of paying twice, and may help.
    bool retryable() const noexcept { return result_->integer("/error/retryable") != 0; }
    /// The pause that the server asked for.
    std::optional<std::chrono::milliseconds> retry_after() const {
        const std::int64_t pause = result_->integer("/error/retry_after_ms", -1);
        if (pause < 0) return std::nullopt;
        return std::chrono::milliseconds(pause);
    }
    /// Whether it may have been charged: "no", "maybe" or "yes".
    std::string_view billed() const & { return get("/error/billed").value_or("no"); }
    /// The server's own words where there are some, else this library's.
    std::string_view message() const & { return get("/error/message").value_or(what()); }
    /// The server's own code.
    std::optional<std::string_view> code() const & { return get("/error/code"); }
    /// What to quote to the operator.
    std::optional<std::string_view> request_id() const & { return get("/error/request_id"); }
    /// What the call was doing, such as "connect", "wait" or "read".
    std::optional<std::string_view> phase() const & { return get("/error/phase"); }
    /// Which of the client's limits expired, such as "idle" or "total".
    std::optional<std::string_view> limit() const & { return get("/error/limit"); }
    /// How the call ended: "failed", "filtered", "truncated", "stalled" or "cancelled".
    std::string_view verdict() const & { return elk_result_verdict(result_->raw()); }
    /// What had arrived of the answer before a stream failed; empty if nothing had.
    const answer &partial() const & noexcept { return *result_; }
    /// The error document as JSON; "" if there is none.
    std::string_view document() const & { return detail::sized(elk_result_error, result_->raw()); }
    /// The bytes of the reply; "" if none arrived.
    std::string_view body() const & { return result_->body(); }
    /// What a JSON Pointer names, such as "/error/elapsed_ms" or "/call/attempts".
    std::optional<std::string_view> get(const name_text &pointer) const & { return result_->get(pointer); }

    /// @cond
    std::string_view billed() const && = delete;
    std::string_view message() const && = delete;
    std::optional<std::string_view> code() const && = delete;
    std::optional<std::string_view> request_id() const && = delete;
    std::optional<std::string_view> phase() const && = delete;
    std::optional<std::string_view> limit() const && = delete;
    std::string_view verdict() const && = delete;
    const answer &partial() const && = delete;
    std::string_view document() const && = delete;
    std::string_view body() const && = delete;
    std::optional<std::string_view> get(const name_text &) const && = delete;
    /// @endcond

  private:
    elk_status status_;
    // Shared, because exceptions are copied.
    std::shared_ptr<const answer> result_;
};

inline void image::save(const name_text &path) const {
    const elk_status status = elk_result_image_save(result_, index_, path.c_str());
    if (status == ELK_OK) return;
    const char *why = status == ELK_E_FILE ? "the file could not be written"
                                           : "there are no bytes to write; a remote picture has a url()";
    throw error(status, std::string("Saving the picture to ") + path.c_str() + " failed: " + why + ".");
}

#if defined(__cpp_lib_expected) && !defined(ELKAPI_OWN_EXPECTED)
/// A value, or the failure that came in its place.
template <class T> using expected = std::expected<T, error>;
/// Makes an elk::expected that is a failure.
using unexpected = std::unexpected<error>;
/// What elk::expected::value throws; its error() is the failure. elk::or_throw throws the failure itself.
using bad_expected_access = std::bad_expected_access<error>;
#else
/// Makes an elk::expected that is a failure.
class unexpected {
  public:
    /// That failure.
    explicit unexpected(elk::error failure) noexcept : failure_(std::move(failure)) {}
    /// The failure.
    const elk::error &error() const & noexcept { return failure_; }

  private:
    elk::error failure_;
};

/// What elk::expected::value throws; its error() is the failure. elk::or_throw throws the failure itself.
class bad_expected_access : public std::exception {
  public:
    /// For that failure.
    explicit bad_expected_access(elk::error failure) noexcept : failure_(std::move(failure)) {}
    /// What std::expected's says.
    const char *what() const noexcept override { return "bad access to std::expected without expected value"; }
    /// The failure.
    const elk::error &error() const & noexcept { return failure_; }

  private:
    elk::error failure_;
};

/// A value, or the failure that came in its place: the essentials of std::expected<T, elk::error>.
template <class T> class [[nodiscard]] expected {
  public:
    using value_type = T;          ///< What is expected.
    using error_type = elk::error; ///< What comes in its place.

    /// A value.
    expected(T value) : held_(std::in_place_index<0>, std::move(value)) {}
    /// A failure.
    expected(const unexpected &failure) : held_(std::in_place_index<1>, failure.error()) {}

    /// Whether there is a value.
    bool has_value() const noexcept { return held_.index() == 0; }
    /// Whether there is a value.
    explicit operator bool() const noexcept { return has_value(); }
    /// The value, which must be there.
    T &operator*() & noexcept { return *std::get_if<0>(&held_); }
    /// The value, which must be there.
    const T &operator*() const & noexcept { return *std::get_if<0>(&held_); }
    /// The value, which must be there.
    T &&operator*() && noexcept { return std::move(*std::get_if<0>(&held_)); }
    /// The value, which must be there.
    T *operator->() noexcept { return std::get_if<0>(&held_); }
    /// The value, which must be there.
    const T *operator->() const noexcept { return std::get_if<0>(&held_); }
    /// The value; throws bad_expected_access where there is none.
    T &value() & { return check(), **this; }
    /// The value; throws bad_expected_access where there is none.
    const T &value() const & { return check(), **this; }
    /// The value; throws bad_expected_access where there is none.
    T &&value() && { return check(), *std::move(*this); }
    /// The failure, which must be there.
    error_type &error() & noexcept { return *std::get_if<1>(&held_); }
    /// The failure, which must be there.
    const error_type &error() const & noexcept { return *std::get_if<1>(&held_); }
    /// The failure, which must be there.
    error_type &&error() && noexcept { return std::move(*std::get_if<1>(&held_)); }
    /// The value, or this one.
    template <class U> T value_or(U &&other) && {
        return has_value() ? *std::move(*this) : static_cast<T>(std::forward<U>(other));
    }

  private:
    void check() const {
        if (!has_value()) throw bad_expected_access(error());
    }

    std::variant<T, elk::error> held_;
};
#endif

/// The value, or throws the failure as elk::error.
template <class T> T or_throw(expected<T> outcome) {
    if (!outcome.has_value()) throw std::move(outcome).error();
    return *std::move(outcome);
}

/// @cond
namespace detail {
// A result of the C interface as an answer, or as the failure that it is.
inline expected<answer> judged(elk_result *owned) {
    answer whole(owned);
    if (elk_result_status(owned) == ELK_OK) return whole;
    return unexpected(error(std::move(whole)));
}
} // namespace detail
/// @endcond

// Requests

/// A text as a JSON string, quotes and escapes included; bytes that are not UTF-8 become U+FFFD.
inline std::string quote(std::string_view text) {
    // Not NULL, so that an empty text is not taken for an absent one.
    const char *from = text.data() != nullptr ? text.data() : "";
    std::string quoted(text.size() + 16, '\0');
    std::size_t needed = elk_json_quote(&quoted[0], quoted.size() + 1, from, text.size());
    if (needed > quoted.size()) {
        quoted.resize(needed);
        needed = elk_json_quote(&quoted[0], quoted.size() + 1, from, text.size());
    }
    quoted.resize(needed);
    return quoted;
}

/// @cond
namespace detail {

// A value as JSON. A template, because a literal would rather be a bool than a view.
template <class T> std::string json_of(const T &value) {
    if constexpr (std::is_same_v<T, bool>) {
        return value ? "true" : "false";
    } else if constexpr (std::is_integral_v<T>) {
        return std::to_string(value);
    } else if constexpr (std::is_floating_point_v<T>) {
        if (!std::isfinite(value)) throw error(ELK_E_INVALID_ARGUMENT, "JSON has no infinity and no NaN.");
        std::ostringstream digits; // a program's locale may write 0,5
        digits.imbue(std::locale::classic());
        digits.precision(15);
        digits << value;
        return digits.str();
    } else {
        return quote(value);
    }
}

inline void append_base64(std::string &out, const std::uint8_t *bytes, std::size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; size > 0; bytes += 3) {
        const std::uint32_t group = std::uint32_t(bytes[0]) << 16 | (size > 1 ? std::uint32_t(bytes[1]) << 8 : 0) |
                                    (size > 2 ? std::uint32_t(bytes[2]) : 0);
        out += digits[group >> 18];
        out += digits[group >> 12 & 63];
        out += size > 1 ? digits[group >> 6 & 63] : '=';
        out += size > 2 ? digits[group & 63] : '=';
        size -= size > 2 ? 3 : size;
    }
}

// By the first bytes; "" for what the gateway's models do not take.
inline std::string_view media_type(bytes_view file) {
    const std::string_view start(reinterpret_cast<const char *>(file.data()), file.size() < 12 ? file.size() : 12);
    if (start.substr(0, 8) == "\x89PNG\r\n\x1a\n") return "image/png";
    if (start.substr(0, 3) == "\xff\xd8\xff") return "image/jpeg";
    if (start.substr(0, 6) == "GIF87a" || start.substr(0, 6) == "GIF89a") return "image/gif";
    if (start.substr(0, 4) == "RIFF" && start.size() == 12 && start.substr(8) == "WEBP") return "image/webp";
    return "";
}

} // namespace detail
/// @endcond

/// A JSON object without writing JSON by hand, such as a client's options (README.md has the table):
/// `elk::client client(elk::options().set("timeout_ms", 20000));`. What is set again is replaced.
class options {
  public:
    /// Sets a member to a text, a number or a bool.
    template <class T> options &set(std::string_view name, const T &value) {
        return raw(name, detail::json_of(value));
    }
    /// Sets a member to a JSON value, such as an object for "headers".
    options &raw(std::string_view name, std::string json) {
        for (auto &member : members_) {
            if (member.first != name) continue;
            member.second = std::move(json);
            return *this;
        }
        members_.emplace_back(name, std::move(json));
        return *this;
    }
    /// The whole as JSON.
    std::string json() const {
        std::string out = "{";
        for (const auto &member : members_) {
            if (out.size() > 1) out += ',';
            out.append(quote(member.first)).append(1, ':').append(member.second);
        }
        return out += '}';
    }

  private:
    std::vector<std::pair<std::string, std::string>> members_;
};

/// A chat request without writing JSON by hand. What is set again is replaced; messages are added in
/// order. What is absent is completed by the client: a request needs no more than a message.
class request {
  public:
    /// What the gateway takes at most (older versions of it take 32 MiB).
    static constexpr std::size_t max_bytes = std::size_t(128) << 20;

    /// What the model is to keep in mind.
    request &system(std::string_view text) { return message("system", text); }
    /// What the user says; text() and the image_ functions add to it.
    request &user(std::string_view text) {
        messages_.emplace_back();
        return this->text(text);
    }
    /// What the model said, as text.
    request &assistant(std::string_view text) { return message("assistant", text); }
    /// What the model said: the text and the tool calls of an answer, without its thoughts.
    request &assistant(const answer &said) {
        const std::string at = said.message() + '/';
        const std::string_view type = said.type(at + "content");
        const std::string_view content = said.get(at + "content").value_or("null");
        std::string json = R"({"role":"assistant","content":)";
        json += type == "string" ? quote(content) : std::string(content);
        if (said.count(at + "tool_calls") > 0) json.append(",\"tool_calls\":").append(*said.get(at + "tool_calls"));
        return raw_message(json += '}');
    }
    /// What a tool gave: `id` is the call's (tool_call::id).
    request &tool(std::string_view id, std::string_view result) {
        return raw_message(R"({"role":"tool","tool_call_id":)" + quote(id) + ",\"content\":" + quote(result) + '}');
    }
    /// Any message, as JSON.
    request &raw_message(std::string json) {
        messages_.push_back({std::move(json), {}});
        return *this;
    }

    /// Adds a text to the user's message; begins one where the last message is not the user's.
    request &text(std::string_view text) {
        parts().push_back(quote(text));
        return *this;
    }
    /// Adds a picture by its address, which the gateway fetches.
    request &image_url(std::string_view url) {
        parts().push_back(R"({"type":"image_url","image_url":{"url":)" + quote(url) + "}}");
        return *this;
    }
    /// Adds a picture: the bytes of a PNG, JPEG, GIF or WebP file.
    /// @throws elk::error "invalid_argument" for other bytes, "payload_too_large" for too many.
    request &image_bytes(bytes_view file) {
        std::string part = data_url(file, "The bytes");
        if (file.size() / 3 * 4 > max_bytes) throw too_large("The picture");
        part.reserve(part.size() + (file.size() + 2) / 3 * 4 + 3);
        detail::append_base64(part, file.data(), file.size());
        parts().push_back(part += "\"}}");
        return *this;
    }
    /// Adds a picture: a PNG, JPEG, GIF or WebP file.
    /// @throws elk::error "file" where it cannot be read, else as image_bytes.
    request &image_file(const name_text &path) {
        struct close {
            void operator()(std::FILE *file) const noexcept { std::fclose(file); }
        };
        const auto unreadable = [&path] {
            const std::string why = std::generic_category().message(errno);
            return error(ELK_E_FILE, std::string("Reading the picture ") + path.c_str() + " failed: " + why + ".");
        };
        const std::unique_ptr<std::FILE, close> file(std::fopen(path.c_str(), "rb"));
        if (!file) throw unreadable();
        std::vector<std::uint8_t> block(3 << 14); // a multiple of 3: no padding in between
        std::string part;
        for (std::size_t size = block.size(); size == block.size();) {
            size = std::fread(block.data(), 1, block.size(), file.get());
            if (std::ferror(file.get()) != 0) throw unreadable();
            if (part.empty()) part = data_url({block.data(), size}, path.c_str());
            detail::append_base64(part, block.data(), size);
            if (part.size() > max_bytes) throw too_large(path.c_str());
        }
        parts().push_back(part += "\"}}");
        return *this;
    }

    /// The model, such as "gemini-3.1-pro-preview".
    request &model(std::string_view name) { return set("model", name); }
    /// How far the model may stray, from 0.
    request &temperature(double value) { return set("temperature", value); }
    /// How long the answer may be.
    request &max_tokens(std::int64_t tokens) { return set("max_tokens", tokens); }
    /// The functions that the model may call: a JSON array.
    request &tools(std::string json) { return raw("tools", std::move(json)); }
    /// The picture that is asked for, such as ("16:9", "2K"); "" leaves the choice to the model. It
    /// becomes extra_body.google.image_config, in place of what extra_body was.
    request &image_config(std::string_view aspect_ratio, std::string_view image_size = "") {
        options config;
        if (!aspect_ratio.empty()) config.set("aspect_ratio", aspect_ratio);
        if (!image_size.empty()) config.set("image_size", image_size);
        return raw("extra_body", R"({"google":{"image_config":)" + config.json() + "}}");
    }
    /// Any other member: a text, a number or a bool.
    template <class T> request &set(std::string_view name, const T &value) { return raw(name, detail::json_of(value)); }
    /// Any other member, as JSON.
    request &raw(std::string_view name, std::string json) {
        members_.raw(name, std::move(json));
        return *this;
    }

    /// The request as JSON.
    /// @throws elk::error of the kind "payload_too_large".
    std::string json() const {
        std::string out = members_.json();
        if (messages_.empty()) return out;
        out.back() = ','; // in place of the brace
        if (out.size() == 2) out.pop_back();
        out += "\"messages\":[";
        for (const sent &one : messages_) {
            if (&one != &messages_.front()) out += ',';
            one.append_to(out);
        }
        out += "]}";
        if (out.size() > max_bytes) throw too_large("The request");
        return out;
    }

  private:
    // A message as JSON; or, where that is empty, the user's: texts as JSON strings, pictures as objects.
    struct sent {
        std::string json;
        std::vector<std::string> parts;

        void append_to(std::string &out) const {
            if (!json.empty()) {
                out += json;
            } else if (parts.size() == 1 && parts.front().front() == '"') {
                out.append(R"({"role":"user","content":)").append(parts.front()) += '}';
            } else {
                const char *before = R"({"role":"user","content":[)";
                for (const std::string &part : parts) {
                    out += before;
                    if (part.front() == '"') out.append(R"({"type":"text","text":)").append(part) += '}';
                    else out += part;
                    before = ",";
                }
                out += "]}";
            }
        }
    };

    request &message(const char *role, std::string_view text) {
        return raw_message(std::string(R"({"role":")") + role + R"(","content":)" + quote(text) + '}');
    }

    std::vector<std::string> &parts() {
        if (messages_.empty() || !messages_.back().json.empty()) messages_.emplace_back();
        return messages_.back().parts;
    }

    static std::string data_url(bytes_view file, const char *whose) {
        const std::string_view type = detail::media_type(file);
        if (type.empty()) {
            throw error(ELK_E_INVALID_ARGUMENT, std::string(whose) + ": not a PNG, JPEG, GIF or WebP file.");
        }
        return std::string(R"({"type":"image_url","image_url":{"url":"data:)").append(type) + ";base64,";
    }

    static error too_large(const char *what) {
        return error(ELK_E_PAYLOAD_TOO_LARGE,
                     std::string(what) + " is larger than the 128 MiB that the gateway takes.");
    }

    options members_;
    std::vector<sent> messages_;
};

/// A JSON document as an argument: a text, or what options and request write.
class json_text {
  public:
    /// A text, which must outlive the call; not a copy.
    template <class Text, class = std::enable_if_t<std::is_convertible_v<const Text &, std::string_view>>>
    json_text(const Text &text) noexcept(noexcept(std::string_view(text))) : text_(text) {}
    /// What the options write.
    json_text(const options &options) : made_(options.json()), text_(made_) {}
    /// What the request writes.
    json_text(const request &request) : made_(request.json()), text_(made_) {}
    json_text(std::nullptr_t) = delete;    ///< There is no text.
    json_text(const json_text &) = delete; ///< It may point into itself.
    /// It may point into itself.
    json_text &operator=(const json_text &) = delete;

    /// The first byte, never NULL: an empty text is not an absent one.
    const char *data() const noexcept { return text_.data() != nullptr ? text_.data() : ""; }
    /// How many bytes there are.
    std::size_t size() const noexcept { return text_.size(); }

  private:
    std::string made_;
    std::string_view text_;
};

// Calls

/// Stops every call it was given to, now or later; cannot be undone.
class cancel {
  public:
    /// A new one.
    cancel() noexcept : cancel_(elk_cancel_new()) {}

    /// Stops the calls; from any thread and from signal handlers, which it must outlive.
    void signal() const noexcept { elk_cancel_signal(raw()); }
    /// Another owner of the same: signalling one signals all.
    [[nodiscard]] cancel share() const noexcept { return cancel(elk_cancel_ref(raw())); }
    /// The token of the C interface, still owned by this object.
    const elk_cancel *raw() const noexcept { return cancel_.get(); }

  private:
    explicit cancel(elk_cancel *owned) noexcept : cancel_(owned) {}

    detail::owner<elk_cancel, elk_cancel_free> cancel_;
};

/// By what a call can be stopped: nothing, an elk::cancel or, since C++20, a std::stop_token. An argument,
/// not to be kept.
class stopped_by {
  public:
    stopped_by() noexcept = default; ///< Nothing but the client's limits.
    /// That token, which need not outlive the call's begin.
    stopped_by(const cancel &token) noexcept : token_(token.raw()) {}
#if defined(__cpp_lib_jthread)
    /// That token, also where its stop was asked for before.
    stopped_by(std::stop_token token) : stopped_by(std::make_shared<const link>(std::move(token))) {}
#endif

  private:
    friend class client;
    friend class queue;
#if defined(__cpp_lib_jthread)
    struct signaller {
        const elk_cancel *token;
        void operator()() const noexcept { elk_cancel_signal(token); }
    };

    struct link {
        explicit link(std::stop_token asked) : callback(std::move(asked), signaller{token.raw()}) {}

        cancel token;
        std::stop_callback<signaller> callback;
    };

    explicit stopped_by(std::shared_ptr<const link> linked)
        : token_(linked->token.raw()), link_(std::move(linked)) {}
#endif

    const elk_cancel *token_ = nullptr;
    // What must live as long as the call; of no type, so that C++17 and C++20 agree on it.
    std::shared_ptr<const void> link_;
};

/// One chunk of a stream; valid until the stream goes on.
class chunk {
  public:
    /// What it added to the text of the choice with the lowest index.
    std::string_view text() const noexcept { return detail::sized(elk_stream_text, stream_); }
    /// The event's JSON as it came.
    std::string_view json() const noexcept { return detail::sized(elk_stream_json, stream_); }
    /// What a JSON Pointer names in it, such as "/choices/0/delta/content".
    std::optional<std::string_view> get(const name_text &pointer) const {
        std::size_t length = 0;
        const char *text = elk_stream_get(stream_, pointer.c_str(), &length);
        return detail::view(text, length);
    }

  private:
    friend class stream;
    explicit chunk(elk_stream *stream) noexcept : stream_(stream) {}

    elk_stream *stream_;
};

/// What going on to the next chunk came to.
enum class step {
    chunk,   ///< There is one.
    done,    ///< The stream has ended well.
    pending, ///< Nothing came in the time that the caller wanted to wait; nothing is lost.
    failed   ///< The stream has failed; finish and try_finish tell why.
};

/// An answer bit by bit, for a range-based for. One thread at a time uses it; cancel() may be called
/// from others. Given up before its end, it closes its connection at once and never waits.
class stream {
  public:
    /// Goes from chunk to chunk, for every copy of it.
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag; ///< What was passed is gone.
        using value_type = chunk;                          ///< What it gives.
        using difference_type = std::ptrdiff_t;            ///< As every iterator has.
        using pointer = void;                              ///< There is none.
        using reference = chunk;                           ///< A chunk, itself a view.

        iterator() noexcept = default; ///< The end.
        /// The chunk.
        chunk operator*() const noexcept { return stream_->current(); }
        /// The next one; throws elk::error.
        iterator &operator++() {
            if (!stream_->next()) stream_ = nullptr;
            return *this;
        }
        /// The next one; throws elk::error.
        void operator++(int) { ++*this; }
        /// Whether both are at the end, or neither.
        friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.stream_ == b.stream_; }
        /// Whether one is at the end.
        friend bool operator!=(const iterator &a, const iterator &b) noexcept { return a.stream_ != b.stream_; }

      private:
        friend class stream;
        explicit iterator(stream *stream) noexcept : stream_(stream) {}

        stream *stream_ = nullptr;
    };

    /// Goes to the first chunk, or on to the next; throws elk::error.
    iterator begin() & { return iterator(next() ? this : nullptr); }
    /// The end.
    iterator end() & noexcept { return iterator(); }

    /// Goes on to the next chunk; false at the good end.
    /// @throws elk::error, as often as it is asked.
    bool next() {
        const step came = try_next();
        if (came == step::failed) throw failure_ ? *failure_ : try_finish().error();
        return came == step::chunk;
    }
    /// The same without exceptions.
    step try_next() noexcept { return go_on(-1); }
    /// The same, waiting no longer than that; 0 does not wait.
    step try_next(std::chrono::milliseconds wait) noexcept {
        const auto ms = wait.count();
        return go_on(ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : static_cast<std::int32_t>(ms));
    }
    /// The chunk that the stream went on to last.
    chunk current() & noexcept { return chunk(raw()); }

    /// Gives every chunk to `take` as it comes, until `take` returns false (it may return nothing).
    /// Tells whether the stream came to its end; throws elk::error, and what `take` throws.
    template <class Take> bool for_each(Take &&take) {
        while (next()) {
            if constexpr (std::is_void_v<std::invoke_result_t<Take &, chunk>>) {
                take(current());
            } else {
                if (!take(current())) return false;
            }
        }
        return true;
    }

    /// Reads to the end and gives the whole answer, once.
    /// @throws elk::error; error::partial is what had arrived.
    answer finish() { return or_throw(try_finish()); }
    /// The same, but a failure is returned.
    expected<answer> try_finish() {
        if (failure_) return unexpected(*failure_);
        expected<answer> whole = detail::judged(elk_stream_finish(raw()));
        if (!whole.has_value()) failure_ = whole.error();
        return whole;
    }

    /// Stops it from another thread.
    void cancel() const noexcept { elk_stream_cancel(stream_.get()); }
    /// The stream of the C interface, still owned by this object.
    elk_stream *raw() noexcept { return stream_.get(); }

  private:
    friend class client;
    stream(elk_stream *owned, std::shared_ptr<const void> link) noexcept : link_(std::move(link)), stream_(owned) {}

    step go_on(std::int32_t wait_ms) noexcept {
        if (failure_) return step::failed;
        const elk_status status = elk_stream_next(raw(), wait_ms);
        return status == ELK_OK        ? step::chunk
               : status == ELK_DONE    ? step::done
               : status == ELK_PENDING ? step::pending
                                       : step::failed;
    }

    // Of what stopped_by linked, for as long as the stream.
    std::shared_ptr<const void> link_;
    detail::owner<elk_stream, elk_stream_free> stream_;
    // Kept, because the C interface gives it once and next() throws it as often as it is asked.
    std::optional<error> failure_;
};

/// A client of one gateway with one key; it holds the connections. Make one and keep it.
class client {
  public:
    /// What on_interrupt asks; the type says that it does not throw.
    using question = std::int32_t (*)(void *user) noexcept;

    /// From ELKAPI_API_KEY and ELKAPI_BASE_URL; throws elk::error.
    client() : client(options()) {}
    /// From options, a JSON object; what is absent comes from the environment. Throws elk::error.
    explicit client(const json_text &config) : client(or_throw(try_make(config))) {}
    /// The same, but a failure is returned.
    [[nodiscard]] static expected<client> try_make(const json_text &config = options()) {
        if (elk_abi_version() == ELK_ABI_VERSION) return usable(elk_client_new(config.data(), config.size()));
        return unexpected(error(ELK_E_CONFIG, "The libelkapi that was loaded has binary interface " +
                                                  std::to_string(elk_abi_version()) +
                                                  ", but this program was compiled for " +
                                                  std::to_string(ELK_ABI_VERSION) + "."));
    }
    /// Another client over the same connections, with other limits or header fields; throws elk::error.
    [[nodiscard]] client with(const json_text &changes) const { return or_throw(try_with(changes)); }
    /// The same, but a failure is returned.
    [[nodiscard]] expected<client> try_with(const json_text &changes) const {
        return usable(elk_client_with(raw(), changes.data(), changes.size()));
    }

    /// Asked on the calling thread when a signal interrupted a wait: not 0 stops the call. Set it before
    /// other threads use the client, nullptr for none; `user` must outlive the client, those made of it
    /// by with(), and their streams.
    void on_interrupt(question ask, void *user = nullptr) noexcept {
        elk_client_on_interrupt(client_.get(), ask, user);
    }

    /// What on_record gives the records to: JSON that is lent until it returns; must not throw.
    using recorder = void (*)(void *user, const char *json, std::size_t length) noexcept;

    /// Sets what takes the records of attempts: `level` is ELK_RECORD_FAILURES or ELK_RECORD_ALL. Set it
    /// before other threads use the client, nullptr for none; `user` must outlive the client, those made
    /// of it by with(), and their streams.
    void on_record(std::int32_t level, recorder take, void *user = nullptr) noexcept {
        elk_client_on_record(client_.get(), level, take, user);
    }

    /// Sends a chat request and waits for the whole answer; throws elk::error.
    [[nodiscard]] answer chat_completions(const json_text &request, const stopped_by &stop = {}) const {
        return or_throw(try_chat_completions(request, stop));
    }
    /// The same, but a failure is returned.
    [[nodiscard]] expected<answer> try_chat_completions(const json_text &request, const stopped_by &stop = {}) const {
        return detail::judged(elk_chat_completions(raw(), request.data(), request.size(), stop.token_));
    }
    /// Sends a chat request and gives the answer bit by bit. Waits for the reply's header fields; a
    /// refusal is told by the stream, as every failure.
    [[nodiscard]] stream chat_completions_stream(const json_text &request, const stopped_by &stop = {}) const {
        return stream(elk_chat_completions_stream(raw(), request.data(), request.size(), stop.token_), stop.link_);
    }
    /// The document at a path below the base URL, such as "/models"; throws elk::error.
    [[nodiscard]] answer get(const name_text &path, const stopped_by &stop = {}) const {
        return or_throw(try_get(path, stop));
    }
    /// The same, but a failure is returned.
    [[nodiscard]] expected<answer> try_get(const name_text &path, const stopped_by &stop = {}) const {
        return detail::judged(elk_get(raw(), path.c_str(), stop.token_));
    }

    /// The client of the C interface, still owned by this object.
    const elk_client *raw() const noexcept { return client_.get(); }

  private:
    explicit client(elk_client *owned) noexcept : client_(owned) {}

    static expected<client> usable(elk_client *made) {
        client owned(made);
        if (elk_client_error(made) == nullptr) return owned;
        // A broken client answers every call with its error, which thereby gets an owner.
        return unexpected(error(answer(elk_get(made, "/", nullptr))));
    }

    detail::owner<elk_client, elk_client_free> client_;
};

// Many calls at once

/// One chunk of a stream out of a queue. It may be kept: the stream goes on without it.
class queued_chunk {
  public:
    /// Takes over a chunk of the C interface.
    explicit queued_chunk(elk_result *owned) noexcept : result_(owned) {}

    /// What it added to the text of the choice with the lowest index.
    std::string_view text() const & noexcept { return detail::sized(elk_result_text, raw()); }
    /// The event's JSON as it came.
    std::string_view json() const & noexcept { return detail::sized(elk_result_json, raw()); }
    /// What a JSON Pointer names in it, such as "/choices/0/delta/content".
    std::optional<std::string_view> get(const name_text &pointer) const & {
        std::size_t length = 0;
        const char *text = elk_result_get(raw(), pointer.c_str(), &length);
        return detail::view(text, length);
    }
    /// The chunk of the C interface, still owned by this object.
    const elk_result *raw() const noexcept { return result_.get(); }

    /// @cond
    std::string_view text() const && = delete;
    std::string_view json() const && = delete;
    std::optional<std::string_view> get(const name_text &) const && = delete;
    /// @endcond

  private:
    detail::owner<elk_result, elk_result_free> result_;
};

/// Calls under way at once, for a thread that must not wait: submit hands one over, drain() runs on your
/// thread what belongs to what has come since. Any thread may submit and cancel, one at a time drains;
/// callbacks may submit. Given up, it stops its calls and breaks their futures with an elk::error of the
/// kind "cancelled"; callbacks are then forgotten, not called. No callback may give it up.
class queue {
  public:
    /// The queue of a client, which need not outlive it: at most `workers` calls are under way at once
    /// (0: 64), at most `capacity` are held until their end was drained (0: 1024). Throws elk::error.
    explicit queue(const client &client, std::uint32_t workers = 0, std::uint32_t capacity = 0)
        : queue(or_throw(try_make(client, workers, capacity))) {}
    /// The same, but a failure is returned.
    [[nodiscard]] static expected<queue> try_make(const client &client, std::uint32_t workers = 0,
                                                  std::uint32_t capacity = 0) {
        queue made(elk_queue_new(client.raw(), workers, capacity));
        if (made.handle() >= 0) return made;
        elk_result *none = nullptr;
        return unexpected(failure(elk_queue_next(made.raw(), 0, nullptr, &none)));
    }

    /// Hands over a chat request. `done` is called once with an elk::expected<elk::answer>, by drain().
    /// Never waits; a bad request is told to `done`. Gives the call's number, which no other has.
    /// @throws elk::error of the kind "queue_full": drain first.
    template <class Done, class = std::enable_if_t<std::is_invocable_v<Done &, expected<answer>>>>
    std::uint64_t submit(const json_text &request, Done done, const stopped_by &stop = {}) {
        return or_throw(try_submit(request, std::move(done), stop));
    }
    /// The same, but a failure to hand it over is returned.
    template <class Done, class = std::enable_if_t<std::is_invocable_v<Done &, expected<answer>>>>
    [[nodiscard]] expected<std::uint64_t> try_submit(const json_text &request, Done done,
                                                     const stopped_by &stop = {}) {
        return hand_over(elk_queue_submit, request, stop, std::make_shared<told<Done>>(std::move(done)));
    }
    /// Hands over a chat request for a future, which throws elk::error. It is made ready by drain(): whoever
    /// waits for it must be another thread than the one that drains.
    [[nodiscard]] std::future<answer> submit(const json_text &request, const stopped_by &stop = {}) {
        return or_throw(try_submit(request, stop));
    }
    /// The same, but a failure to hand it over is returned.
    [[nodiscard]] expected<std::future<answer>> try_submit(const json_text &request, const stopped_by &stop = {}) {
        const auto made = std::make_shared<promised>();
        std::future<answer> result = made->promise.get_future();
        const expected<std::uint64_t> taken = hand_over(elk_queue_submit, request, stop, made);
        if (!taken.has_value()) return unexpected(taken.error());
        return result;
    }
    /// Hands over a chat request whose answer comes bit by bit: `take` is called with each elk::queued_chunk,
    /// then `done` as in submit, both by drain(). While nobody drains, the stream rests.
    template <class Take, class Done>
    std::uint64_t submit_stream(const json_text &request, Take take, Done done, const stopped_by &stop = {}) {
        return or_throw(try_submit_stream(request, std::move(take), std::move(done), stop));
    }
    /// The same, but a failure to hand it over is returned.
    template <class Take, class Done>
    [[nodiscard]] expected<std::uint64_t> try_submit_stream(const json_text &request, Take take, Done done,
                                                            const stopped_by &stop = {}) {
        return hand_over(elk_queue_submit_stream, request, stop,
                         std::make_shared<streamed<Take, Done>>(std::move(take), std::move(done)));
    }

    /// Runs the callbacks of what has come, at most that many, and tells how many. Never waits. What a
    /// callback throws comes out of here; what had come with it is there the next time.
    /// @throws elk::error of the kind "forked" in a child process.
    std::size_t drain(std::size_t at_most = SIZE_MAX) { return or_throw(go(0, at_most)); }
    /// The same, but when nothing is there, waits for something no longer than that.
    /// @throws elk::error of the kind "cancelled" too, when client::on_interrupt ended the wait.
    std::size_t drain(std::chrono::milliseconds wait, std::size_t at_most = SIZE_MAX) {
        const auto ms = wait.count();
        return or_throw(go(ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : static_cast<std::int32_t>(ms), at_most));
    }
    /// Drains until all calls have ended.
    /// @throws elk::error as drain does.
    void drain_all() {
        while (or_throw(go(-1, SIZE_MAX)) != 0) {}
    }

    /// The descriptor that is readable while something waits to be drained, for poll and event loops; -1 of
    /// a queue that was moved from. Never read, write or close it.
    std::ptrdiff_t handle() const noexcept { return elk_queue_handle(raw()); }
    /// Stops all calls; each still has its end, to be drained.
    void cancel_all() const noexcept { elk_queue_cancel_all(raw()); }
    /// How many calls have been handed over whose end was not drained.
    std::size_t in_flight() const {
        if (!state_) return 0;
        const std::lock_guard<std::mutex> lock(state_->mutex);
        return state_->calls.size();
    }
    /// Whether there is none.
    bool empty() const { return in_flight() == 0; }
    /// The queue of the C interface, still owned by this object.
    const elk_queue *raw() const noexcept { return state_ ? state_->queue.get() : nullptr; }

  private:
    // A call, and what is to be done with what it brings.
    struct call {
        virtual ~call() = default;
        virtual void chunk(queued_chunk) {}
        virtual void end(expected<answer> outcome) = 0;
        virtual void give_up() noexcept {}

        // Of what stopped_by linked, for as long as the call.
        std::shared_ptr<const void> link;
    };

    template <class Done> struct told : call {
        explicit told(Done function) : done(std::move(function)) {}
        void end(expected<answer> outcome) override { done(std::move(outcome)); }

        Done done;
    };

    template <class Take, class Done> struct streamed final : told<Done> {
        streamed(Take function, Done last) : told<Done>(std::move(last)), take(std::move(function)) {}
        void chunk(queued_chunk one) override { take(std::move(one)); }

        Take take;
    };

    struct promised final : call {
        void end(expected<answer> outcome) override {
            if (outcome.has_value()) promise.set_value(*std::move(outcome));
            else promise.set_exception(std::make_exception_ptr(error(outcome.error())));
        }
        void give_up() noexcept override {
            try {
                promise.set_exception(std::make_exception_ptr(
                    error(ELK_E_CANCELLED, "The queue was given up before the end of the call was drained.")));
            } catch (...) { // without memory the promise breaks
            }
        }

        std::promise<answer> promise;
    };

    struct state {
        explicit state(elk_queue *owned) noexcept : queue(owned) {}
        state(const state &) = delete;
        state &operator=(const state &) = delete;
        ~state() {
            queue.reset();
            for (auto &one : calls) one.second->give_up();
        }

        mutable std::mutex mutex;
        std::uint64_t last = 0;
        std::unordered_map<std::uint64_t, std::shared_ptr<call>> calls;
        detail::owner<elk_queue, elk_queue_free> queue;
    };

    using submitter = elk_status (*)(const elk_queue *, const char *, std::size_t, std::uint64_t, const elk_cancel *);

    explicit queue(elk_queue *owned) : state_(std::make_unique<state>(owned)) {}

    static error failure(elk_status status) {
        const char *why = status == ELK_E_QUEUE_FULL  ? "The queue holds as many calls as it may; drain it first."
                          : status == ELK_E_FORKED    ? "The queue was made before a fork; it belongs to the parent."
                          : status == ELK_E_CANCELLED ? "The wait for the queue was interrupted; its calls go on."
                          : status == ELK_E_INVALID_ARGUMENT ? "The queue or its client was moved from."
                                                             : "The queue cannot be used.";
        return error(status, why);
    }

    expected<std::uint64_t> hand_over(submitter give, const json_text &request, const stopped_by &stop,
                                      std::shared_ptr<call> made) {
        if (!state_) return unexpected(failure(ELK_E_INVALID_ARGUMENT));
        made->link = stop.link_;
        std::uint64_t number = 0;
        {
            const std::lock_guard<std::mutex> lock(state_->mutex);
            number = ++state_->last;
            state_->calls.emplace(number, std::move(made));
        }
        const elk_status status = give(raw(), request.data(), request.size(), number, stop.token_);
        if (status == ELK_OK) return number;
        (void)known(number, true);
        return unexpected(failure(status));
    }

    // The call of that number, for the last time where it has ended.
    std::shared_ptr<call> known(std::uint64_t number, bool has_ended) {
        const std::lock_guard<std::mutex> lock(state_->mutex);
        const auto found = state_->calls.find(number);
        if (found == state_->calls.end()) return nullptr;
        if (!has_ended) return found->second;
        std::shared_ptr<call> last = std::move(found->second);
        state_->calls.erase(found);
        return last;
    }

    expected<std::size_t> go(std::int32_t wait_ms, std::size_t at_most) {
        std::size_t count = 0;
        for (; count < at_most; ++count, wait_ms = 0) {
            std::uint64_t number = 0;
            elk_result *came = nullptr;
            const elk_status status = elk_queue_next(raw(), wait_ms, &number, &came);
            if (status < 0) return unexpected(failure(status));
            if (status != ELK_OK && status != ELK_CHUNK) break;
            if (status == ELK_CHUNK) {
                queued_chunk chunk(came);
                if (const auto its = known(number, false)) its->chunk(std::move(chunk));
            } else {
                expected<answer> outcome = detail::judged(came);
                if (const auto its = known(number, true)) its->end(std::move(outcome));
            }
        }
        return count;
    }

    std::unique_ptr<state> state_;
};

/// The version of the library that was loaded.
inline std::string_view version() noexcept { return elk_version(); }

} // inline namespace
} // namespace elk

#endif // ELKAPI_HPP
