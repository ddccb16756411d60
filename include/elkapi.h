/*
 * elkapi: the native client for the ElkAPI chat gateway. JSON in, JSON out, every call ends.
 *
 *     elk_client *client = elk_client_new(NULL, 0);            // ELKAPI_API_KEY
 *     elk_result *answer = elk_chat_completions(client,
 *         "{\"messages\":[{\"role\":\"user\",\"content\":\"Name three seas.\"}]}", ELK_NUL, NULL);
 *     if (elk_result_status(answer) < 0)
 *         fprintf(stderr, "%s\n", elk_result_message(answer));
 *     else
 *         puts(elk_result_text(answer, NULL));
 *     elk_result_free(answer);
 *     elk_client_free(client);
 *
 *     cc hello.c -lelkapi
 *
 * Ownership. A pointer without const that a function returns belongs to the caller, who gives it up
 * with the one "_free" of its type; every "_free" takes NULL. What is returned as a pointer to const
 * is lent by the object it comes from and lives as long as it. Nothing is ever given to free().
 *
 * Text in is UTF-8, a pointer and a length in bytes, or ELK_NUL for a NUL-terminated text; names,
 * paths and JSON Pointers are always NUL-terminated. Text out is NUL-terminated and has a length,
 * which is written where the pointer for it is not NULL.
 *
 * Threads. Where an argument is a pointer to const, any number of threads may use that object at
 * once. A failure is told by the result it belongs to: there is no last error and no initialisation.
 *
 * Numbers are never renumbered; treat an unknown one below 0 as a failure.
 *
 * Written by `make headers`; do not edit.
 */

#ifndef ELKAPI_H
#define ELKAPI_H

#include <stddef.h>
#include <stdint.h>

/* The number of the binary interface that this header describes; see elk_abi_version. */
#define ELK_ABI_VERSION 0

/* In place of a length: the text is NUL-terminated. */
#define ELK_NUL ((size_t)-1)

#ifndef ELK_API
#if defined(__GNUC__)
#define ELK_API __attribute__((visibility("default")))
#else
#define ELK_API
#endif
#endif

#ifndef ELK_NODISCARD
#if defined(__GNUC__)
#define ELK_NODISCARD __attribute__((warn_unused_result))
#else
#define ELK_NODISCARD
#endif
#endif

enum {
    /* It worked. */
    ELK_OK = 0,
    /* A stream has ended well; a queue has nothing left. */
    ELK_DONE = 1,
    /* Nothing came in the time that the caller wanted to wait; nothing is lost. */
    ELK_PENDING = 2,
    /* A queue hands out a chunk of a stream. */
    ELK_CHUNK = 3,
    /* For elk_client_on_record: no attempts, those that failed, all. */
    ELK_RECORD_NONE = 0,
    ELK_RECORD_FAILURES = 1,
    ELK_RECORD_ALL = 2,
    /* An argument or the request text is not usable; nothing was sent. */
    ELK_E_INVALID_ARGUMENT = -10,
    /* The configuration is not usable; nothing was sent. */
    ELK_E_CONFIG = -11,
    /* The gateway does not accept the API key. */
    ELK_E_AUTHENTICATION = -12,
    /* The key may not do this: the model, group or address is not allowed. */
    ELK_E_PERMISSION = -13,
    /* The balance or the key's budget is used up. */
    ELK_E_QUOTA = -14,
    /* The model or the path does not exist. */
    ELK_E_NOT_FOUND = -15,
    /* The gateway or the model refuses the request as it is. */
    ELK_E_INVALID_REQUEST = -16,
    /* The request body is larger than the gateway takes. */
    ELK_E_PAYLOAD_TOO_LARGE = -17,
    /* Too many requests. */
    ELK_E_RATE_LIMIT = -18,
    /* A content filter refused the prompt. */
    ELK_E_CONTENT_FILTER = -19,
    /* The gateway or the model failed. */
    ELK_E_SERVER = -20,
    /* Something between here and the model failed. */
    ELK_E_BAD_GATEWAY = -21,
    /* The service is not available at the moment. */
    ELK_E_UNAVAILABLE = -22,
    /* The model is overloaded. */
    ELK_E_OVERLOADED = -23,
    /* A limit expired, the client's own or one of a server. */
    ELK_E_TIMEOUT = -24,
    /* The connection could not be made or broke. */
    ELK_E_CONNECTION = -25,
    /* The server reported a failure in the middle of a stream. */
    ELK_E_STREAM_ERROR = -26,
    /* The stream ended before the answer did. */
    ELK_E_STREAM_TRUNCATED = -27,
    /* The reply holds no answer. */
    ELK_E_EMPTY_RESPONSE = -28,
    /* The reply could not be understood; its bytes are kept. */
    ELK_E_DECODE = -29,
    /* The reply is not JSON. */
    ELK_E_UNEXPECTED_CONTENT_TYPE = -30,
    /* The server answered with a redirect, which is never followed because it could carry the key elsewhere. */
    ELK_E_UNEXPECTED_REDIRECT = -31,
    /* The reply has status 200 but reports a failure. */
    ELK_E_UPSTREAM = -32,
    /* The host name could not be resolved. */
    ELK_E_DNS = -33,
    /* No trusted TLS connection could be made. */
    ELK_E_TLS = -34,
    /* The proxy refused or failed. */
    ELK_E_PROXY = -35,
    /* The server does not speak proper HTTP/1.1. */
    ELK_E_PROTOCOL = -36,
    /* The reply is larger than the client's limit. */
    ELK_E_REPLY_TOO_LARGE = -37,
    /* The caller stopped the call. */
    ELK_E_CANCELLED = -38,
    /* The object was made before a fork and is of no use in the child. */
    ELK_E_FORKED = -39,
    /* The object was closed. */
    ELK_E_CLOSED = -40,
    /* A defect in this library. */
    ELK_E_INTERNAL = -41,
    /* The queue holds as many calls as it may. */
    ELK_E_QUEUE_FULL = -42,
    /* A file could not be read or written. */
    ELK_E_FILE = -43
};

/**
 * Stops every call it was given to, now or later; cannot be undone.
 */
typedef struct elk_cancel elk_cancel;

/**
 * A client of one gateway with one key; it holds the connections.
 */
typedef struct elk_client elk_client;

/**
 * Calls under way, and results that wait to be taken.
 */
typedef struct elk_queue elk_queue;

/**
 * What a call ended with: an answer or a failure; or one chunk out of a queue. It never changes.
 */
typedef struct elk_result elk_result;

/**
 * An open stream, or the refusal that it met.
 */
typedef struct elk_stream elk_stream;

/**
 * 0: it worked. Below 0: a failure, one of the ELK_E_ numbers, which are never renumbered. Above 0:
 * only from the functions that go on to the next of something.
 */
typedef int32_t elk_status;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a client from a JSON object of options, or from the environment alone.
 *
 * A configuration that cannot be used gives a client that answers every call with the reason;
 * `elk_client_error` tells it at once. Options that are absent come from the environment
 * (`ELKAPI_API_KEY`, `ELKAPI_BASE_URL`) unless `"environment"` is false. Nothing is sent yet.
 *
 * `config_json`: the options, or NULL for the environment alone. `len`: its bytes, or `ELK_NUL`.
 *
 * Returns: the client, never NULL.
 * Ownership: the caller frees it with `elk_client_free`; the text is copied.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API ELK_NODISCARD elk_client *elk_client_new(const char *config_json, size_t len);

/**
 * Tells why a client cannot be used.
 *
 * Returns: the failure, or NULL for a client that can be used.
 * Ownership: belongs to the client and lives as long as it; never free it.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const elk_result *elk_client_error(const elk_client *client);

/**
 * Makes a client with other limits or header fields over the same connections.
 *
 * The changes are options as for `elk_client_new`; those that belong to the connections, such as
 * `api_key`, are refused. Cheap enough to be made for one call.
 *
 * `changes_json`: the changes, or NULL for one more reference to the same client.
 * `len`: its bytes, or `ELK_NUL`.
 *
 * Returns: the new client, never NULL; as with `elk_client_new` it may be a broken one.
 * Ownership: the caller frees it with `elk_client_free`, before or after the first one.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API
ELK_NODISCARD
elk_client *elk_client_with(const elk_client *client,
                            const char *changes_json,
                            size_t len);

/**
 * Sets what is asked when a signal interrupted a waiting call: whether to stop the call.
 *
 * `ask` runs on the thread that called, after the program's own signal handlers and under no lock;
 * it may use this library. Not 0 stops the call, which ends as `cancelled`; 0 lets it go on. A
 * signal that arrives just before a wait begins is not noticed; to miss none, have the handler
 * call `elk_cancel_signal`. Clients made of this one by `elk_client_with` inherit it.
 *
 * `ask`: must return, neither by `longjmp` nor by an exception; NULL for none, as at first.
 * `user`: given to `ask` each time.
 *
 * Returns: nothing; of no effect on NULL and on a client that cannot be used.
 * Ownership: `user` stays the caller's and must live as long as the client and those made of it.
 * Threads: set it before other threads use the client; `ask` then runs on each thread that calls.
 * Since: 0.1
 */
ELK_API void elk_client_on_interrupt(elk_client *client, int32_t (*ask)(void *user), void *user);

/**
 * Sets what takes the client's records: one JSON object for each attempt that has ended.
 *
 * A record names times, bytes, status, request id, verdict, money and token counts, where that fits
 * under the names of OpenTelemetry's conventions for generative AI; never a body, never a key. It is
 * handed out on the thread that called, for a stream the one that met its end or freed it, under no
 * lock; `take` may use this library. Clients made of this one by `elk_client_with` inherit it.
 *
 * `level`: `ELK_RECORD_NONE`, `ELK_RECORD_FAILURES` or `ELK_RECORD_ALL`.
 * `take`: must return, neither by `longjmp` nor by an exception; `json` is NUL-terminated and lent
 * until it returns; NULL for none, as at first. `user`: given to `take` each time.
 *
 * Returns: nothing; of no effect on NULL and on a client that cannot be used.
 * Ownership: `user` stays the caller's and must live as long as the client and those made of it.
 * Threads: set it before other threads use the client; `take` then runs on each thread that calls.
 * Since: 0.1
 */
ELK_API void elk_client_on_record(elk_client *client, int32_t level, void (*take)(void *user,
                                                                                  const char *json,
                                                                                  size_t len), void *user);

/**
 * Gives a client up; its connections are closed when the last client that shares them is freed.
 *
 * NULL is allowed. Results that came from it stay valid. No other thread may be using it.
 *
 * Returns: nothing.
 * Ownership: takes the client.
 * Threads: any, once.
 * Since: 0.1
 */
ELK_API void elk_client_free(elk_client *client);

/**
 * Sends a chat request, a JSON object, and waits for the whole answer.
 *
 * What the text says reaches the gateway byte for byte; `model`, `stream` and one of `messages`
 * and `contents` are added where they are absent. `"stream": true` is refused here. The call ends
 * at the client's limits, whatever the server does.
 *
 * `request_json`: the request. `len`: its bytes, or `ELK_NUL`.
 * `cancel_or_null`: NULL, or a token that stops the call.
 *
 * Returns: the answer or the failure, never NULL.
 * Ownership: the caller frees it with `elk_result_free`; the text is only read during the call.
 * Threads: any, concurrently; blocks.
 * Since: 0.1
 */
ELK_API
ELK_NODISCARD
elk_result *elk_chat_completions(const elk_client *client,
                                 const char *request_json,
                                 size_t len,
                                 const elk_cancel *cancel_or_null);

/**
 * Asks for the document at a path below the base URL, such as `/models`.
 *
 * `path`: NUL-terminated, beginning with a slash. `cancel_or_null`: as for a chat request.
 *
 * Returns: the answer or the failure, never NULL; the verdict of an answer is `complete`.
 * Ownership: the caller frees it with `elk_result_free`.
 * Threads: any, concurrently; blocks.
 * Since: 0.1
 */
ELK_API
ELK_NODISCARD
elk_result *elk_get(const elk_client *client,
                    const char *path,
                    const elk_cancel *cancel_or_null);

/**
 * Makes a token that stops calls; one token may be given to any number of calls.
 *
 * Returns: the token, never NULL.
 * Ownership: the caller frees it with `elk_cancel_free`.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API ELK_NODISCARD elk_cancel *elk_cancel_new(void);

/**
 * Makes one more reference to a token, for another owner: signalling one signals all.
 *
 * Returns: the reference; NULL for NULL.
 * Ownership: the caller frees it with `elk_cancel_free`, before or after the first one.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API ELK_NODISCARD elk_cancel *elk_cancel_ref(const elk_cancel *cancel);

/**
 * Stops the calls that have this token, in whatever phase they are, and all that get it later.
 *
 * Returns at once; the calls end by themselves, with the kind `cancelled`. A signal handler may
 * call it: it preserves `errno`. Again is of no effect, and NULL is allowed. In a forked child it
 * stops the child's calls only.
 *
 * Returns: nothing.
 * Ownership: none; calls under way hold references of their own.
 * Threads: any, concurrently, also in signal handlers.
 * Since: 0.1
 */
ELK_API void elk_cancel_signal(const elk_cancel *cancel);

/**
 * Gives a reference to a token up; calls that were given it keep it. NULL is allowed.
 *
 * A token that a signal handler knows must outlive the handler.
 *
 * Returns: nothing.
 * Ownership: takes the reference.
 * Threads: any, once.
 * Since: 0.1
 */
ELK_API void elk_cancel_free(elk_cancel *cancel);

/**
 * Sends a chat request and gives the answer bit by bit, as it is written.
 *
 * `"stream": true` is added where it is absent. Waits for the reply's header fields; a refusal is
 * told by `elk_stream_next` and `elk_stream_finish`. A program that must not block uses threads.
 *
 * `request_json`: the request. `len`: its bytes, or `ELK_NUL`.
 * `cancel_or_null`: NULL, or a token that stops the stream.
 *
 * Returns: the stream, never NULL.
 * Ownership: the caller frees it with `elk_stream_free`; the text is copied.
 * Threads: any, concurrently; blocks.
 * Since: 0.1
 */
ELK_API
ELK_NODISCARD
elk_stream *elk_chat_completions_stream(const elk_client *client,
                                        const char *request_json,
                                        size_t len,
                                        const elk_cancel *cancel_or_null);

/**
 * Goes on to the next chunk.
 *
 * `wait_ms`: -1 waits as long as the client's limits allow, 0 does not wait, more waits no longer
 * than that.
 *
 * Returns: `ELK_OK` with a chunk; `ELK_DONE` at the good end; `ELK_PENDING` when nothing came in
 * that time, which loses nothing; below 0 when the stream failed, again each time it is asked.
 * Ownership: what the last chunk lent is given back.
 * Threads: one at a time; blocks.
 * Since: 0.1
 */
ELK_API elk_status elk_stream_next(elk_stream *stream, int32_t wait_ms);

/**
 * Gives what the chunk added to the text of the choice with the lowest index.
 *
 * `len`: NULL, or where to write the number of bytes.
 *
 * Returns: the text; `""` where the chunk added none.
 * Ownership: lent until the stream is used again.
 * Threads: one at a time.
 * Since: 0.1
 */
ELK_API const char *elk_stream_text(elk_stream *stream, size_t *len);

/**
 * Gives the chunk's JSON as it came.
 *
 * `len`: NULL, or where to write the number of bytes.
 *
 * Returns: the JSON; `""` where there is no chunk.
 * Ownership: lent until the stream is used again; not a copy.
 * Threads: one at a time.
 * Since: 0.1
 */
ELK_API const char *elk_stream_json(elk_stream *stream, size_t *len);

/**
 * Gives what a JSON Pointer (RFC 6901) names in the chunk, such as `/choices/0/delta/content`.
 *
 * `pointer`: NUL-terminated. `len`: NULL, or where to write the number of bytes.
 *
 * Returns: a string's text without quotes and escapes, anything else as JSON; NULL for null and
 * for what does not exist.
 * Ownership: lent until the next chunk is asked for.
 * Threads: one at a time.
 * Since: 0.1
 */
ELK_API const char *elk_stream_get(elk_stream *stream, const char *pointer, size_t *len);

/**
 * Stops a stream from another thread; what arrived stays readable.
 *
 * It must not race `elk_stream_free`; where it could, use a token. NULL is allowed.
 *
 * Returns: nothing.
 * Ownership: none.
 * Threads: any, while the stream lives.
 * Since: 0.1
 */
ELK_API void elk_stream_cancel(const elk_stream *stream);

/**
 * Reads a stream to its end and gives the whole answer.
 *
 * After a cancel or a failure it does not wait: the result then has the error, and whatever had
 * arrived of the answer beside it. Works once.
 *
 * Returns: the answer or the failure, never NULL.
 * Ownership: the caller frees it with `elk_result_free`; the stream still wants `elk_stream_free`.
 * Threads: one at a time; blocks.
 * Since: 0.1
 */
ELK_API ELK_NODISCARD elk_result *elk_stream_finish(elk_stream *stream);

/**
 * Gives a stream up; one that is not at its end closes its connection at once. NULL is allowed.
 *
 * Returns: nothing; never waits for the network.
 * Ownership: takes the stream.
 * Threads: any, once.
 * Since: 0.1
 */
ELK_API void elk_stream_free(elk_stream *stream);

/**
 * Tells whether the call gave an answer, and if not, what went wrong.
 *
 * Returns: `ELK_OK` for an answer, whatever its verdict; otherwise below 0, an `ELK_E_` number.
 * For NULL `ELK_E_INVALID_ARGUMENT`.
 * Ownership: none.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API elk_status elk_result_status(const elk_result *result);

/**
 * Gives a sentence for a person: what went wrong, the server's own words, and what to do.
 *
 * Returns: the sentence; `""` for an answer.
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_message(const elk_result *result);

/**
 * Gives the answer's text: that of the choice with the lowest index.
 *
 * Of a stream that failed it is what had arrived; of a chunk out of a queue what that added.
 *
 * `len`: NULL, or where to write the number of bytes; the text may contain NULs.
 *
 * Returns: the text; `""` where there is none.
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_text(const elk_result *result, size_t *len);

/**
 * Tells how the call ended.
 *
 * An answer is `complete`, `length` (cut off by a token limit), `filtered` or `tool_calls`; a
 * failure is `failed`, `filtered`, `truncated`, `stalled` or `cancelled`.
 *
 * Returns: the word; `""` for a chunk out of a queue, `failed` for NULL.
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_verdict(const elk_result *result);

/**
 * Gives what a JSON Pointer (RFC 6901) names, such as `/usage/total_tokens`.
 *
 * Pointers address the answer document; those that begin with `/error` address the error document,
 * those that begin with `/call` the client's own facts: `/call/attempts`, `/call/status`,
 * `/call/request_id`, `/call/elapsed_ms`, `/call/finish_reason`, `/call/reasoning`,
 * `/call/choices/0/text`, `/call/saw_done`, `/call/text_without_images`, `/call/image_errors`,
 * `/call/images/0/source`.
 *
 * `pointer`: NUL-terminated. `len`: NULL, or where to write the number of bytes.
 *
 * Returns: a string's text without quotes and escapes, anything else as JSON; NULL for null and
 * for what does not exist (`elk_result_type` tells them apart).
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_get(const elk_result *result, const char *pointer, size_t *len);

/**
 * Gives the number that a JSON Pointer names; `true` is 1, `false` is 0, `5.0` is 5.
 *
 * Returns: the number; `fallback` for anything that is not a whole number of 64 bits.
 * Ownership: none.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API int64_t elk_result_int(const elk_result *result, const char *pointer, int64_t fallback);

/**
 * Counts the elements of the array, or the members of the object, that a JSON Pointer names.
 *
 * Returns: the number; 0 for anything else.
 * Ownership: none.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API size_t elk_result_count(const elk_result *result, const char *pointer);

/**
 * Tells what a JSON Pointer names.
 *
 * Returns: `null`, `boolean`, `number`, `string`, `array` or `object`; `""` for what does not exist.
 * Ownership: belongs to the library and lives as long as the program.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_type(const elk_result *result, const char *pointer);

/**
 * Gives the answer document, byte for byte as the server sent it.
 *
 * Of a stream it is what its chunks were put together to, also of one that failed; of a chunk out of
 * a queue that event alone.
 *
 * `len`: NULL, or where to write the number of bytes.
 *
 * Returns: the document; `""` for a failure (see `elk_result_body`).
 * Ownership: lent until the result is freed; a copy only where the text is longer than 64 KiB.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_json(const elk_result *result, size_t *len);

/**
 * Gives the error document, `{"error":{"kind":...,"message":...}}`.
 *
 * Its members: `kind`, `hint`, `verdict`, `status`, `code`, `type`, `param`, `message` (the
 * server's words where there are some), `request_id`, `retryable`, `billed` (`no`, `maybe`,
 * `yes`), `retry_after_ms`, `phase`, `limit`, `elapsed_ms`, `bytes_sent`, `bytes_received`,
 * `attempts`, `body`; what is not known is null.
 *
 * `len`: NULL, or where to write the number of bytes.
 *
 * Returns: the document; NULL for an answer.
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_error(const elk_result *result, size_t *len);

/**
 * Gives the bytes of the reply, also of one that is a failure or could not be understood.
 *
 * A stream has none. Of a reply whose status is not 2xx the first MiB is kept at most.
 *
 * `len`: NULL, or where to write the number of bytes.
 *
 * Returns: the bytes, a NUL behind them; `""` where no reply arrived.
 * Ownership: lent until the result is freed; a copy only where the answer's text is longer than 64 KiB.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_body(const elk_result *result, size_t *len);

/**
 * Gives a header field of the reply; names compare without regard to case.
 *
 * `name`: NUL-terminated.
 *
 * Returns: the first value of that name; NULL where there is none or no reply arrived.
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_header(const elk_result *result, const char *name);

/**
 * Counts the pictures of an answer; they are decoded on first use.
 *
 * Returns: the number, remote pictures included.
 * Ownership: none.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API size_t elk_result_image_count(const elk_result *result);

/**
 * Gives the decoded bytes of a picture.
 *
 * `len`: NULL, or where to write the number of bytes.
 *
 * Returns: the bytes; NULL for a remote picture and for a number that is out of range.
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const uint8_t *elk_result_image_bytes(const elk_result *result, size_t i, size_t *len);

/**
 * Gives the media type of a picture, such as `image/png`, told by its first bytes.
 *
 * Returns: the media type; NULL for a remote picture and for a number that is out of range.
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_image_media_type(const elk_result *result, size_t i);

/**
 * Gives the address of a remote picture; this library does not fetch it.
 *
 * Returns: the URL; NULL for a picture that came with the answer and for a number out of range.
 * Ownership: lent until the result is freed.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_result_image_url(const elk_result *result, size_t i);

/**
 * Writes a picture to a file, replacing what was there.
 *
 * `path`: NUL-terminated, in the file system's own bytes.
 *
 * Returns: `ELK_OK`; `ELK_E_FILE` if it could not be written; `ELK_E_INVALID_ARGUMENT` for a remote
 * picture, a number that is out of range, and NULL.
 * Ownership: none.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API elk_status elk_result_image_save(const elk_result *result, size_t i, const char *path);

/**
 * Gives a result up, and everything it lent. NULL is allowed.
 *
 * Returns: nothing.
 * Ownership: takes the result.
 * Threads: any, once.
 * Since: 0.1
 */
ELK_API void elk_result_free(elk_result *result);

/**
 * Makes a queue, for programs that must not block and for many calls at once.
 *
 * Its calls are made by this client on threads of the queue, which are started when there is work,
 * block all signals, and end when there was none for some seconds. What `elk_client_on_record` and
 * `elk_client_on_interrupt` set before runs on the thread that takes, in `elk_queue_next`.
 *
 * `workers`: how many calls are under way at once at most, up to 1024; 0 for 64. The others wait, in
 * order. `capacity`: how many calls the queue holds at most, waiting, under way or not taken yet;
 * 0 for 1024.
 *
 * Returns: the queue, never NULL; that of a client that cannot be used takes no calls.
 * Ownership: the caller frees it with `elk_queue_free`; it keeps the client's connections.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API ELK_NODISCARD elk_queue *elk_queue_new(const elk_client *client, uint32_t workers, uint32_t capacity);

/**
 * Hands over a chat request for the whole answer, as `elk_chat_completions` makes it.
 *
 * Never blocks. A request that cannot be used arrives as a result. The call's limits count from
 * now, also while it waits for others.
 *
 * `request_json`: the request. `len`: its bytes, or `ELK_NUL`.
 * `tag`: a number of your own that comes back with the result.
 * `cancel_or_null`: NULL, or a token that stops this call.
 *
 * Returns: `ELK_OK`; `ELK_E_QUEUE_FULL` when the queue holds as many calls as it may: take some
 * results first; `ELK_E_FORKED` in a child process; the failure of a client that cannot be used.
 * Ownership: the text is copied, the token kept as long as the call lasts.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API
ELK_NODISCARD
elk_status elk_queue_submit(const elk_queue *queue,
                            const char *request_json,
                            size_t len,
                            uint64_t tag,
                            const elk_cancel *cancel_or_null);

/**
 * Hands over a chat request whose answer comes chunk by chunk.
 *
 * As `elk_queue_submit`; a stream keeps one of the queue's threads as long as it lasts. While nobody
 * takes its chunks it reads no further, and nothing piles up.
 *
 * Returns: as `elk_queue_submit`.
 * Ownership: the text is copied, the token kept as long as the call lasts.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API
ELK_NODISCARD
elk_status elk_queue_submit_stream(const elk_queue *queue,
                                   const char *request_json,
                                   size_t len,
                                   uint64_t tag,
                                   const elk_cancel *cancel_or_null);

/**
 * Takes what comes next out of a queue.
 *
 * The chunks of a stream come in order, and after the last one its result. A chunk is an `elk_result`
 * too: its text is what it added, its JSON the event.
 *
 * `wait_ms`: -1 waits until something comes, 0 does not wait, more waits no longer than that.
 * `tag`: NULL, or where to write the number that the call was given.
 * `result`: where to write the result, or NULL where nothing is handed over.
 *
 * Returns: `ELK_OK` with the result of a call, an answer or a failure; `ELK_CHUNK` with a chunk of a
 * stream; `ELK_PENDING` when nothing came in that time; `ELK_DONE` when nothing waits, runs or is
 * left to be taken; below 0: `ELK_E_INVALID_ARGUMENT` when an argument is missing, `ELK_E_FORKED` in a
 * child process, `ELK_E_CANCELLED` when the client's interrupt hook ended the wait, the calls go on.
 * Ownership: the caller frees the result with `elk_result_free`.
 * Threads: any, concurrently; blocks unless `wait_ms` is 0.
 * Since: 0.1
 */
ELK_API
ELK_NODISCARD
elk_status elk_queue_next(const elk_queue *queue,
                          int32_t wait_ms,
                          uint64_t *tag,
                          elk_result **result);

/**
 * Gives the descriptor that is readable while something waits in a queue.
 *
 * It is for `poll`, `epoll`, `select` and event loops, and readable again and again until everything was taken; only `elk_queue_next` makes it silent.
 * When it is, call that with `wait_ms` 0 until it gives `ELK_PENDING` or `ELK_DONE`. Never read,
 * write or close it.
 *
 * Returns: the descriptor; -1 for NULL and for the queue of a client that cannot be used.
 * Ownership: belongs to the queue and lives as long as it.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API
ptrdiff_t elk_queue_handle(const elk_queue *queue);

/**
 * Stops all calls of a queue, those that run and those that wait; it can be used further.
 *
 * Returns at once. Each call still has its result, to be taken, with the kind `cancelled`. To stop one
 * call give it a token. NULL is allowed.
 *
 * Returns: nothing.
 * Ownership: none.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API void elk_queue_cancel_all(const elk_queue *queue);

/**
 * Gives a queue up: stops its calls, and forgets the results that nobody has taken. NULL is allowed.
 *
 * Waits at most a tenth of a second, for the queue's threads to end. In a forked child nothing of it
 * is touched. No other thread may be using it; one that waits in `elk_queue_next` is using it.
 *
 * Returns: nothing.
 * Ownership: takes the queue; results that were taken stay valid.
 * Threads: any, once.
 * Since: 0.1
 */
ELK_API void elk_queue_free(elk_queue *queue);

/**
 * Writes a text as a JSON string, quotes and escapes included, so that it can stand in a request.
 *
 * Works as `snprintf`: writes at most `cap` bytes, the closing NUL included, and tells how many
 * the whole needs; a return value of `cap` or more means that `out` was too small. Bytes that are
 * not UTF-8 become U+FFFD. NULL with length 0 is the empty text.
 *
 * `out`: where to write, or NULL with `cap` 0 to ask for the size. `text`: what to quote.
 * `len`: its bytes, or `ELK_NUL`.
 *
 * Returns: bytes of the whole JSON string without the NUL, at least 2; 0 for NULL with a length.
 * Ownership: `out` stays the caller's; the text is only read during the call.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API size_t elk_json_quote(char *out, size_t cap, const char *text, size_t len);

/**
 * Gives the name of a status, such as `rate_limit` for `ELK_E_RATE_LIMIT`.
 *
 * Returns: the name, `ok` for 0, `done`, `pending` and `chunk` of streams and queues, `unknown` for a number that this version does not know.
 * Ownership: belongs to the library and lives as long as the program.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API
const char *elk_status_name(elk_status status);

/**
 * Gives the library's version, such as `0.1.0`.
 *
 * Returns: the version.
 * Ownership: belongs to the library and lives as long as the program.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API const char *elk_version(void);

/**
 * Gives the number of the binary interface; programs compare it with `ELK_ABI_VERSION`.
 *
 * Returns: the number at the end of the shared library's name, `libelkapi.so.0`.
 * Ownership: none.
 * Threads: any, concurrently.
 * Since: 0.1
 */
ELK_API uint32_t elk_abi_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ELKAPI_H */
