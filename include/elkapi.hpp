// elkapi for C++17: the C interface with owners, views and exceptions. Header-only; link -lelkapi.
//
//     elk::client client;                                       // ELKAPI_API_KEY
//     elk::result answer = client.chat_completions(
//         R"({"messages":[{"role":"user","content":"Name three seas."}]})");
//     std::cout << answer.text() << '\n';
//
// Failures are thrown as elk::error; the try_ functions return them instead. A client may be used by
// any number of threads at once, a result may be read by any number of threads. What is returned as
// a view belongs to the object it was asked from: asking a temporary does not compile. Names, paths
// and JSON Pointers end at their first NUL.

#ifndef ELKAPI_HPP
#define ELKAPI_HPP

#include "elkapi.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace elk {

namespace detail {

struct free_client {
    void operator()(elk_client *client) const noexcept { elk_client_free(client); }
};

struct free_result {
    void operator()(elk_result *result) const noexcept { elk_result_free(result); }
};

struct free_cancel {
    void operator()(elk_cancel *cancel) const noexcept { elk_cancel_free(cancel); }
};

struct free_stream {
    void operator()(elk_stream *stream) const noexcept { elk_stream_free(stream); }
};

using stream_owner = std::unique_ptr<elk_stream, free_stream>;
using cancel_owner = std::unique_ptr<elk_cancel, free_cancel>;
using client_owner = std::unique_ptr<elk_client, free_client>;
using result_owner = std::unique_ptr<elk_result, free_result>;

// A NUL-terminated argument, from a literal or a std::string.
struct name {
    const char *text;
    name(const char *literal) noexcept : text(literal) {}
    name(const std::string &string) noexcept : text(string.c_str()) {}
};

inline std::optional<std::string_view> view(const char *text, std::size_t length) {
    if (text == nullptr) return std::nullopt;
    return std::string_view(text, length);
}

inline std::optional<std::string_view> get(const elk_result *result, const char *pointer) {
    std::size_t length = 0;
    const char *text = elk_result_get(result, pointer, &length);
    return view(text, length);
}

// Not NULL, so that an empty text is not taken for an absent one.
inline const char *begin_of(std::string_view text) noexcept {
    return text.data() != nullptr ? text.data() : "";
}

} // namespace detail

// A failure. what() is one sentence for a person, with the server's words and what to do.
class error : public std::runtime_error {
  public:
    error(elk_status status, const std::string &message) : std::runtime_error(message), status_(status) {}

    explicit error(detail::result_owner failed)
        : std::runtime_error(elk_result_message(failed.get())), status_(elk_result_status(failed.get())),
          result_(std::move(failed)) {}

    // One of the ELK_E_ numbers.
    elk_status status() const noexcept { return status_; }
    // The status by name, such as "rate_limit".
    std::string_view kind() const noexcept { return elk_status_name(status_); }
    // HTTP status; 0 if no reply arrived.
    int http_status() const noexcept { return static_cast<int>(elk_result_int(raw(), "/error/status", 0)); }
    // What to quote to the operator.
    std::optional<std::string_view> request_id() const & { return get("/error/request_id"); }
    // The server's own code.
    std::optional<std::string_view> code() const & { return get("/error/code"); }
    // Whether it may have been charged: "no", "maybe" or "yes".
    std::string_view billed() const & { return get("/error/billed").value_or("no"); }
    // Whether the same request may be repeated without risk of paying twice, and may help.
    bool retryable() const noexcept { return elk_result_int(raw(), "/error/retryable", 0) != 0; }
    // How the call ended, such as "failed" or "filtered".
    std::string_view verdict() const & { return elk_result_verdict(raw()); }
    // What a JSON Pointer names, such as "/error/retry_after_ms" or "/call/attempts".
    std::optional<std::string_view> get(detail::name pointer) const & { return detail::get(raw(), pointer.text); }
    // The error document as JSON; "" if there is none.
    std::string_view document() const & {
        std::size_t length = 0;
        const char *text = elk_result_error(raw(), &length);
        return detail::view(text, length).value_or("");
    }
    // The bytes of the reply; "" if none arrived.
    std::string_view body() const & {
        std::size_t length = 0;
        const char *text = elk_result_body(raw(), &length);
        return std::string_view(text, length);
    }

    std::optional<std::string_view> request_id() const && = delete;
    std::optional<std::string_view> code() const && = delete;
    std::string_view billed() const && = delete;
    std::string_view verdict() const && = delete;
    std::optional<std::string_view> get(detail::name) const && = delete;
    std::string_view document() const && = delete;
    std::string_view body() const && = delete;

  private:
    const elk_result *raw() const noexcept { return result_.get(); }

    elk_status status_;
    // Shared, because exceptions are copied.
    std::shared_ptr<const elk_result> result_;
};

// Bytes lent by a result.
class bytes_view {
  public:
    bytes_view(const std::uint8_t *data, std::size_t size) noexcept : data_(data), size_(size) {}
    const std::uint8_t *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const std::uint8_t *begin() const noexcept { return data_; }
    const std::uint8_t *end() const noexcept { return data_ + size_; }

  private:
    const std::uint8_t *data_;
    std::size_t size_;
};

// One picture of an answer; valid as long as the result.
class image {
  public:
    // The decoded file; empty for a remote picture.
    bytes_view bytes() const noexcept {
        std::size_t size = 0;
        const std::uint8_t *data = elk_result_image_bytes(result_, index_, &size);
        return bytes_view(data, size);
    }
    // Such as "image/png"; none for a remote picture.
    std::optional<std::string_view> media_type() const {
        return text(elk_result_image_media_type(result_, index_));
    }
    // The address of a remote picture; none for one that came with the answer.
    std::optional<std::string_view> url() const { return text(elk_result_image_url(result_, index_)); }
    // Writes the file, replacing what was there; throws elk::error.
    void save(detail::name path) const {
        const elk_status status = elk_result_image_save(result_, index_, path.text);
        if (status == ELK_OK) return;
        const char *why = status == ELK_E_FILE ? "the file could not be written"
                                               : "there are no bytes to write; a remote picture has a url()";
        throw error(status, std::string("Saving the picture to ") + path.text + " failed: " + why + ".");
    }

  private:
    friend class images;
    image(const elk_result *result, std::size_t index) noexcept : result_(result), index_(index) {}

    static std::optional<std::string_view> text(const char *lent) {
        if (lent == nullptr) return std::nullopt;
        return std::string_view(lent);
    }

    const elk_result *result_;
    std::size_t index_;
};

// The pictures of an answer, for a range-based for; valid as long as the result.
class images {
  public:
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = image;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = image;

        image operator*() const noexcept { return image(result_, index_); }
        iterator &operator++() noexcept {
            ++index_;
            return *this;
        }
        iterator operator++(int) noexcept {
            iterator before = *this;
            ++index_;
            return before;
        }
        bool operator==(const iterator &other) const noexcept { return index_ == other.index_; }
        bool operator!=(const iterator &other) const noexcept { return index_ != other.index_; }

      private:
        friend class images;
        iterator(const elk_result *result, std::size_t index) noexcept : result_(result), index_(index) {}

        const elk_result *result_;
        std::size_t index_;
    };

    std::size_t size() const noexcept { return elk_result_image_count(result_); }
    bool empty() const noexcept { return size() == 0; }
    image operator[](std::size_t index) const noexcept { return image(result_, index); }
    iterator begin() const noexcept { return iterator(result_, 0); }
    iterator end() const noexcept { return iterator(result_, size()); }

  private:
    friend class result;
    explicit images(const elk_result *result) noexcept : result_(result) {}

    const elk_result *result_;
};

// What a call ended with: an answer or, from the try_ functions, perhaps a failure.
class result {
  public:
    // Takes over a result of the C interface.
    explicit result(elk_result *owned) noexcept : result_(owned) {}

    // Whether it is an answer.
    explicit operator bool() const noexcept { return status() == ELK_OK; }
    // ELK_OK, or one of the ELK_E_ numbers.
    elk_status status() const noexcept { return elk_result_status(raw()); }
    // What went wrong, for a person; "" for an answer.
    std::string_view message() const & { return elk_result_message(raw()); }
    // "complete", "length", "filtered", "tool_calls"; for failures "failed" and others.
    std::string_view verdict() const & { return elk_result_verdict(raw()); }
    // The text of the choice with the lowest index.
    std::string_view text() const & { return sized(elk_result_text); }
    // The answer document as the server sent it; "" for a failure.
    std::string_view json() const & { return sized(elk_result_json); }
    // The bytes of the reply, also of one that could not be understood.
    std::string_view body() const & { return sized(elk_result_body); }
    // What a JSON Pointer names: a string's text, else JSON; none for null and what does not exist.
    // "/error/..." is the error document, "/call/..." the client's own facts.
    std::optional<std::string_view> get(detail::name pointer) const & { return detail::get(raw(), pointer.text); }
    // The whole number that a JSON Pointer names.
    std::int64_t integer(detail::name pointer, std::int64_t fallback = 0) const noexcept {
        return elk_result_int(raw(), pointer.text, fallback);
    }
    // Elements or members of what a JSON Pointer names.
    std::size_t count(detail::name pointer) const noexcept { return elk_result_count(raw(), pointer.text); }
    // "null", "boolean", "number", "string", "array", "object"; "" for what does not exist.
    std::string_view type(detail::name pointer) const noexcept { return elk_result_type(raw(), pointer.text); }
    // A header field of the reply.
    std::optional<std::string_view> header(detail::name name) const & {
        const char *value = elk_result_header(raw(), name.text);
        if (value == nullptr) return std::nullopt;
        return std::string_view(value);
    }
    // The gateway's id of the request.
    std::optional<std::string_view> request_id() const & { return get("/call/request_id"); }
    // The pictures.
    elk::images images() const & noexcept { return elk::images(raw()); }

    // The same result if it is an answer; otherwise throws elk::error.
    result or_throw() && {
        if (!*this) throw error(std::move(result_));
        return std::move(*this);
    }

    std::string_view message() const && = delete;
    std::string_view verdict() const && = delete;
    std::string_view text() const && = delete;
    std::string_view json() const && = delete;
    std::string_view body() const && = delete;
    std::optional<std::string_view> get(detail::name) const && = delete;
    std::optional<std::string_view> header(detail::name) const && = delete;
    std::optional<std::string_view> request_id() const && = delete;
    elk::images images() const && = delete;

    // The result of the C interface, still owned by this object.
    const elk_result *raw() const noexcept { return result_.get(); }

  private:
    std::string_view sized(const char *(*accessor)(const elk_result *, std::size_t *)) const {
        std::size_t length = 0;
        const char *text = accessor(raw(), &length);
        return std::string_view(text, length);
    }

    detail::result_owner result_;
};

// Stops every call it was given to, now or later. Copies stop the same calls.
class cancel {
  public:
    cancel() noexcept : cancel_(elk_cancel_new()) {}
    cancel(const cancel &other) noexcept : cancel_(elk_cancel_ref(other.get())) {}
    cancel(cancel &&other) noexcept = default;
    cancel &operator=(cancel other) noexcept {
        cancel_ = std::move(other.cancel_);
        return *this;
    }

    // Stops the calls; from any thread and from signal handlers.
    void signal() const noexcept { elk_cancel_signal(get()); }
    // The token of the C interface, still owned by this object.
    const elk_cancel *get() const noexcept { return cancel_.get(); }

  private:
    detail::cancel_owner cancel_;
};

// One chunk of a stream; valid until the stream goes on.
class chunk {
  public:
    // What it added to the text of the choice with the lowest index.
    std::string_view text() const noexcept { return sized(elk_stream_text); }
    // The event's JSON as it came.
    std::string_view json() const noexcept { return sized(elk_stream_json); }
    // What a JSON Pointer names in it, such as "/choices/0/delta/content".
    std::optional<std::string_view> get(detail::name pointer) const {
        std::size_t length = 0;
        const char *text = elk_stream_get(stream_, pointer.text, &length);
        return detail::view(text, length);
    }

  private:
    friend class stream;
    explicit chunk(elk_stream *stream) noexcept : stream_(stream) {}

    std::string_view sized(const char *(*accessor)(elk_stream *, std::size_t *)) const noexcept {
        std::size_t length = 0;
        const char *text = accessor(stream_, &length);
        return std::string_view(text, length);
    }

    elk_stream *stream_;
};

// An answer bit by bit, for a range-based for. One thread at a time uses it; cancel() may be called
// from others. Given up before its end, it closes its connection at once.
class stream {
  public:
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = chunk;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = chunk;

        chunk operator*() const noexcept { return stream_->current(); }
        iterator &operator++() {
            if (!stream_->next()) stream_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(const iterator &other) const noexcept { return stream_ == other.stream_; }
        bool operator!=(const iterator &other) const noexcept { return stream_ != other.stream_; }

      private:
        friend class stream;
        explicit iterator(stream *stream) noexcept : stream_(stream) {}

        stream *stream_;
    };

    // Goes on to the next chunk; false at the good end. Throws elk::error, as often as it is asked.
    bool next() {
        const elk_status status = try_next();
        if (status >= 0) return status == ELK_OK;
        if (!failure_) failure_.emplace(detail::result_owner(elk_stream_finish(stream_.get())));
        throw *failure_;
    }
    // The same without exceptions, waiting for some milliseconds at most: ELK_OK, ELK_DONE,
    // ELK_PENDING, or an ELK_E_ number.
    elk_status try_next(std::int32_t wait_ms = -1) noexcept { return elk_stream_next(stream_.get(), wait_ms); }
    // The chunk that the stream went on to last.
    chunk current() const noexcept { return chunk(stream_.get()); }

    // Takes every chunk until there is none, or until `take` gives false; throws elk::error.
    template <class Take> void each(Take &&take) {
        while (next() && take(current())) {
        }
    }

    iterator begin() { return iterator(next() ? this : nullptr); }
    iterator end() noexcept { return iterator(nullptr); }

    // Reads to the end and gives the whole answer; throws elk::error. Works once, and not after next() threw.
    result finish() { return try_finish().or_throw(); }
    // The same, but a failure is returned; text() and json() then have what had arrived.
    result try_finish() noexcept { return result(elk_stream_finish(stream_.get())); }

    // Stops it from another thread.
    void cancel() const noexcept { elk_stream_cancel(stream_.get()); }

  private:
    friend class client;
    explicit stream(elk_stream *owned) noexcept : stream_(owned) {}

    detail::stream_owner stream_;
    // Kept, because the C interface gives it once and next() throws it as often as it is asked.
    std::optional<error> failure_;
};

// A client of one gateway with one key; it holds the connections. Can be moved, not copied.
class client {
  public:
    // From ELKAPI_API_KEY and ELKAPI_BASE_URL; throws elk::error.
    client() : client((check_library(), checked(elk_client_new(nullptr, 0)))) {}
    // From a JSON object of options; throws elk::error.
    explicit client(std::string_view config_json)
        : client((check_library(),
                  checked(elk_client_new(detail::begin_of(config_json), config_json.size())))) {}

    // Another client over the same connections, with other limits or header fields.
    [[nodiscard]] client with(std::string_view changes_json) const {
        return client(checked(elk_client_with(raw(), detail::begin_of(changes_json), changes_json.size())));
    }

    // Asked on the calling thread when a signal interrupted a wait: not 0 stops the call. Must not
    // throw. Set it before other threads use the client; nullptr for none.
    void on_interrupt(std::int32_t (*ask)(void *user), void *user = nullptr) noexcept {
        elk_client_on_interrupt(client_.get(), ask, user);
    }

    // Sends a chat request, a JSON object, and waits for the whole answer; throws elk::error.
    [[nodiscard]] result chat_completions(std::string_view request_json) const {
        return try_chat_completions(request_json).or_throw();
    }
    // The same, until it is cancelled.
    [[nodiscard]] result chat_completions(std::string_view request_json, const cancel &cancel) const {
        return try_chat_completions(request_json, cancel).or_throw();
    }
    // The same two, but a failure is returned.
    [[nodiscard]] result try_chat_completions(std::string_view request_json) const {
        return call(request_json, nullptr);
    }
    [[nodiscard]] result try_chat_completions(std::string_view request_json, const cancel &cancel) const {
        return call(request_json, cancel.get());
    }

    // Sends a chat request and gives the answer bit by bit. Waits for the reply's header fields; a
    // refusal is thrown by the stream's first next().
    [[nodiscard]] stream chat_completions_stream(std::string_view request_json) const {
        return open(request_json, nullptr);
    }
    // The same, until it is cancelled.
    [[nodiscard]] stream chat_completions_stream(std::string_view request_json, const cancel &cancel) const {
        return open(request_json, cancel.get());
    }

    // The document at a path below the base URL, such as "/models"; throws elk::error.
    [[nodiscard]] result get(detail::name path) const { return try_get(path).or_throw(); }
    // The same, until it is cancelled.
    [[nodiscard]] result get(detail::name path, const cancel &cancel) const {
        return try_get(path, cancel).or_throw();
    }
    // The same two, but a failure is returned.
    [[nodiscard]] result try_get(detail::name path) const { return result(elk_get(raw(), path.text, nullptr)); }
    [[nodiscard]] result try_get(detail::name path, const cancel &cancel) const {
        return result(elk_get(raw(), path.text, cancel.get()));
    }

    // The client of the C interface, still owned by this object.
    const elk_client *raw() const noexcept { return client_.get(); }

  private:
    explicit client(detail::client_owner owned) noexcept : client_(std::move(owned)) {}

    result call(std::string_view request_json, const elk_cancel *cancel) const {
        return result(elk_chat_completions(raw(), detail::begin_of(request_json), request_json.size(), cancel));
    }

    stream open(std::string_view request_json, const elk_cancel *cancel) const {
        return stream(
            elk_chat_completions_stream(raw(), detail::begin_of(request_json), request_json.size(), cancel));
    }

    static void check_library() {
        if (elk_abi_version() == ELK_ABI_VERSION) return;
        throw error(ELK_E_CONFIG, "The libelkapi that was loaded has binary interface " +
                                      std::to_string(elk_abi_version()) + ", but this program was compiled for " +
                                      std::to_string(ELK_ABI_VERSION) + ".");
    }

    static detail::client_owner checked(elk_client *made) {
        detail::client_owner owned(made);
        if (elk_client_error(owned.get()) != nullptr) {
            // A broken client answers every call with its error, which thereby gets an owner.
            throw error(detail::result_owner(elk_get(owned.get(), "/", nullptr)));
        }
        return owned;
    }

    detail::client_owner client_;
};

// A text as a JSON string, quotes and escapes included.
inline std::string quote(std::string_view text) {
    std::string quoted(text.size() + 16, '\0');
    std::size_t needed = elk_json_quote(&quoted[0], quoted.size() + 1, detail::begin_of(text), text.size());
    if (needed > quoted.size()) {
        quoted.resize(needed);
        needed = elk_json_quote(&quoted[0], quoted.size() + 1, detail::begin_of(text), text.size());
    }
    quoted.resize(needed);
    return quoted;
}

// The version of the library that was loaded.
inline std::string_view version() noexcept { return elk_version(); }

} // namespace elk

#endif // ELKAPI_HPP
