/* elkapi.h without preprocessor lines, for FFI libraries (cffi, LuaJIT, PHP).
 * Comments are in elkapi.h. Written by `make headers`; do not edit. */

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
    ELK_NUL = -1,
    ELK_ABI_VERSION = 0,
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

typedef struct elk_cancel elk_cancel;

typedef struct elk_client elk_client;

typedef struct elk_queue elk_queue;

typedef struct elk_result elk_result;

typedef struct elk_stream elk_stream;

typedef int32_t elk_status;

elk_client *elk_client_new(const char *config_json, size_t len);

const elk_result *elk_client_error(const elk_client *client);

elk_client *elk_client_with(const elk_client *client, const char *changes_json, size_t len);

void elk_client_on_interrupt(elk_client *client, int32_t (*ask)(void *user), void *user);

void elk_client_on_record(elk_client *client, int32_t level, void (*take)(void *user,
                                                                          const char *json,
                                                                          size_t len), void *user);

void elk_client_free(elk_client *client);

elk_result *elk_chat_completions(const elk_client *client,
                                 const char *request_json,
                                 size_t len,
                                 const elk_cancel *cancel_or_null);

elk_result *elk_get(const elk_client *client, const char *path, const elk_cancel *cancel_or_null);

elk_cancel *elk_cancel_new(void);

elk_cancel *elk_cancel_ref(const elk_cancel *cancel);

void elk_cancel_signal(const elk_cancel *cancel);

void elk_cancel_free(elk_cancel *cancel);

elk_stream *elk_chat_completions_stream(const elk_client *client,
                                        const char *request_json,
                                        size_t len,
                                        const elk_cancel *cancel_or_null);

elk_status elk_stream_next(elk_stream *stream, int32_t wait_ms);

const char *elk_stream_text(elk_stream *stream, size_t *len);

const char *elk_stream_json(elk_stream *stream, size_t *len);

const char *elk_stream_get(elk_stream *stream, const char *pointer, size_t *len);

void elk_stream_cancel(const elk_stream *stream);

elk_result *elk_stream_finish(elk_stream *stream);

void elk_stream_free(elk_stream *stream);

elk_status elk_result_status(const elk_result *result);

const char *elk_result_message(const elk_result *result);

const char *elk_result_text(const elk_result *result, size_t *len);

const char *elk_result_verdict(const elk_result *result);

const char *elk_result_get(const elk_result *result, const char *pointer, size_t *len);

int64_t elk_result_int(const elk_result *result, const char *pointer, int64_t fallback);

size_t elk_result_count(const elk_result *result, const char *pointer);

const char *elk_result_type(const elk_result *result, const char *pointer);

const char *elk_result_json(const elk_result *result, size_t *len);

const char *elk_result_error(const elk_result *result, size_t *len);

const char *elk_result_body(const elk_result *result, size_t *len);

const char *elk_result_header(const elk_result *result, const char *name);

size_t elk_result_image_count(const elk_result *result);

const uint8_t *elk_result_image_bytes(const elk_result *result, size_t i, size_t *len);

const char *elk_result_image_media_type(const elk_result *result, size_t i);

const char *elk_result_image_url(const elk_result *result, size_t i);

elk_status elk_result_image_save(const elk_result *result, size_t i, const char *path);

void elk_result_free(elk_result *result);

elk_queue *elk_queue_new(const elk_client *client, uint32_t workers, uint32_t capacity);

elk_status elk_queue_submit(const elk_queue *queue,
                            const char *request_json,
                            size_t len,
                            uint64_t tag,
                            const elk_cancel *cancel_or_null);

elk_status elk_queue_submit_stream(const elk_queue *queue,
                                   const char *request_json,
                                   size_t len,
                                   uint64_t tag,
                                   const elk_cancel *cancel_or_null);

elk_status elk_queue_next(const elk_queue *queue, int32_t wait_ms, uint64_t *tag, elk_result **result);

ptrdiff_t elk_queue_handle(const elk_queue *queue);

void elk_queue_cancel_all(const elk_queue *queue);

void elk_queue_free(elk_queue *queue);

size_t elk_json_quote(char *out, size_t cap, const char *text, size_t len);

const char *elk_status_name(elk_status status);

const char *elk_version(void);

uint32_t elk_abi_version(void);
