--- The client of the ElkAPI chat gateway: libelkapi by its C interface, for LuaJIT.
--
-- Calls run on threads of the library's queue; Lua waits for them in short waits, so that Ctrl-C in the luajit
-- program stops a call, or however `client.wait` says, so that other coroutines run meanwhile.
local ffi = require("ffi")

-- Compiled code does not look for Ctrl-C; and calls of this module wait for a network anyway.
jit.off(true, true)

ffi.cdef([[
typedef struct elk_cancel elk_cancel;
typedef struct elk_client elk_client;
typedef struct elk_result elk_result;
typedef struct elk_queue elk_queue;
const char *elk_version(void);
uint32_t elk_abi_version(void);
const char *elk_status_name(int32_t status);
size_t elk_json_quote(char *out, size_t cap, const char *text, size_t len);
elk_client *elk_client_new(const char *config_json, size_t len);
elk_client *elk_client_with(const elk_client *client, const char *changes_json, size_t len);
const elk_result *elk_client_error(const elk_client *client);
void elk_client_free(elk_client *client);
elk_result *elk_get(const elk_client *client, const char *path, const elk_cancel *cancel_or_null);
elk_cancel *elk_cancel_new(void);
void elk_cancel_signal(const elk_cancel *cancel);
void elk_cancel_free(elk_cancel *cancel);
elk_queue *elk_queue_new(const elk_client *client, uint32_t workers, uint32_t capacity);
int32_t elk_queue_submit(const elk_queue *queue, const char *json, size_t len, uint64_t tag, const elk_cancel *cancel);
int32_t elk_queue_submit_stream(const elk_queue *queue, const char *json, size_t len, uint64_t tag,
                                const elk_cancel *cancel);
int32_t elk_queue_next(const elk_queue *queue, int32_t wait_ms, uint64_t *tag, elk_result **result);
ptrdiff_t elk_queue_handle(const elk_queue *queue);
void elk_queue_free(elk_queue *queue);
int32_t elk_result_status(const elk_result *result);
const char *elk_result_message(const elk_result *result);
const char *elk_result_verdict(const elk_result *result);
const char *elk_result_text(const elk_result *result, size_t *len);
const char *elk_result_json(const elk_result *result, size_t *len);
const char *elk_result_get(const elk_result *result, const char *pointer, size_t *len);
size_t elk_result_count(const elk_result *result, const char *pointer);
const char *elk_result_type(const elk_result *result, const char *pointer);
const char *elk_result_header(const elk_result *result, const char *name);
size_t elk_result_image_count(const elk_result *result);
const char *elk_result_image_bytes(const elk_result *result, size_t i, size_t *len);
const char *elk_result_image_media_type(const elk_result *result, size_t i);
const char *elk_result_image_url(const elk_result *result, size_t i);
int32_t elk_result_image_save(const elk_result *result, size_t i, const char *path);
void elk_result_free(elk_result *result);
]])
local elk = ffi.load(os.getenv("ELKAPI_LIBRARY") or "libelkapi.so.0")
assert(elk.elk_abi_version() == 0, "libelkapi has another binary interface than this binding")

local OK, DONE, PENDING, CHUNK = 0, 1, 2, 3
-- How long Lua waits in C before it looks for Ctrl-C, in milliseconds.
local SLICE = 50
local length = ffi.new("size_t[1]")

local elkapi = {}

local function text(pointer)
    return pointer ~= nil and ffi.string(pointer) or nil
end

local function sized(from, ...)
    local arguments = { ... }
    arguments[#arguments + 1] = length
    local pointer = from(unpack(arguments))
    return pointer ~= nil and ffi.string(pointer, length[0]) or nil
end

local function name(value)
    value = tostring(value)
    return not value:find("\0", 1, true) and value or error("a name may not contain a NUL", 3)
end

function elkapi.version()
    return text(elk.elk_version())
end

--- A text as a JSON string, quotes included, to stand in a request.
function elkapi.quote(value)
    local needed = elk.elk_json_quote(nil, 0, value, #value)
    local out = ffi.new("char[?]", needed + 1)
    elk.elk_json_quote(out, needed + 1, value, #value)
    return ffi.string(out, needed)
end

--- Stops every call that it is given to, now or later.
local Cancel = {}
Cancel.__index = Cancel

function elkapi.cancel()
    return setmetatable({ token = ffi.gc(elk.elk_cancel_new(), elk.elk_cancel_free) }, Cancel)
end

function Cancel:signal()
    elk.elk_cancel_signal(self.token)
end

--- What a call brought. It never changes.
local Answer = {}
Answer.__index = Answer

local function answer_of(result)
    return setmetatable({ result = ffi.gc(result, elk.elk_result_free) }, Answer)
end

local function asked(answer)
    return answer.result or error("the answer is closed", 3)
end

function Answer:text() return sized(elk.elk_result_text, asked(self)) end
function Answer:json() return sized(elk.elk_result_json, asked(self)) end
function Answer:verdict() return text(elk.elk_result_verdict(asked(self))) end
function Answer:message() return text(elk.elk_result_message(asked(self))) end
function Answer:failed() return elk.elk_result_status(asked(self)) < 0 end
function Answer:request_id() return self:get("/call/request_id") end
--- A string's text, anything else as JSON; nil for null and for what is not there.
function Answer:get(pointer) return sized(elk.elk_result_get, asked(self), name(pointer)) end
function Answer:type(pointer) return text(elk.elk_result_type(asked(self), name(pointer))) end
function Answer:number(pointer) return self:type(pointer) == "number" and tonumber(self:get(pointer)) or nil end
function Answer:count(pointer) return tonumber(elk.elk_result_count(asked(self), name(pointer))) end
function Answer:header(field) return text(elk.elk_result_header(asked(self), name(field))) end

--- The pictures: tables of media_type, url (nil unless remote), bytes (nil if remote), and save(path).
function Answer:images()
    local images = {}
    for i = 0, tonumber(elk.elk_result_image_count(asked(self))) - 1 do
        local function save(path)
            local status = elk.elk_result_image_save(asked(self), i, name(path))
            if status < 0 then error(path .. ": " .. text(elk.elk_status_name(status)), 2) end
        end
        images[i + 1] = {
            media_type = text(elk.elk_result_image_media_type(asked(self), i)),
            url = text(elk.elk_result_image_url(asked(self), i)),
            bytes = sized(elk.elk_result_image_bytes, asked(self), i),
            save = save,
        }
    end
    return images
end

function Answer:close()
    if self.result then elk.elk_result_free(ffi.gc(self.result, nil)) end
    self.result = nil
end

--- A failed call with its facts; what had arrived is in answer.
local Error = { __tostring = function(failed) return failed.message end }
Error.__index = Error
elkapi.Error = Error

local function checked(answer)
    if not answer:failed() then return answer end
    error(setmetatable({
        kind = answer:get("/error/kind"),
        code = answer:get("/error/code"),
        status = answer:number("/error/status"),
        request_id = answer:get("/error/request_id"),
        retryable = answer:get("/error/retryable") == "true",
        billed = answer:get("/error/billed"),
        retry_after_ms = answer:number("/error/retry_after_ms"),
        message = answer:message(),
        answer = answer,
    }, Error), 0)
end

--- A client of one gateway with one key.
local Client = {}
Client.__index = Client

local function client_of(made)
    local client = ffi.gc(made, elk.elk_client_free)
    -- A client that cannot be used answers every call with the reason.
    if elk.elk_client_error(client) ~= nil then checked(answer_of(elk.elk_get(client, "/", nil))) end
    -- Calls under way by tag; one that is forgotten is stopped by its token.
    local calls = setmetatable({}, { __mode = "v" })
    local queue = ffi.gc(elk.elk_queue_new(client, 0, 0), elk.elk_queue_free)
    return setmetatable({ client = client, queue = queue, calls = calls, tag = 0 }, Client)
end

--- The options as JSON text; what is absent comes from the environment.
function elkapi.client(options)
    return client_of(elk.elk_client_new(options, options and #options or 0))
end

--- A client with other limits, retries or header fields over the same connections.
function Client:with(changes)
    local other = client_of(elk.elk_client_with(self:opened().client, changes, #changes))
    other.wait = self.wait
    return other
end

function Client:opened()
    return self.queue and self or error("the client is closed", 3)
end

--- The descriptor that is readable while something waits, for event loops.
function Client:handle()
    return tonumber(elk.elk_queue_handle(self:opened().queue))
end

-- Takes one thing out of the queue and gives it to the call that it belongs to.
function Client:take(wait_ms)
    local tag, result = ffi.new("uint64_t[1]"), ffi.new("elk_result *[1]")
    local status = elk.elk_queue_next(self:opened().queue, wait_ms, tag, result)
    if status ~= OK and status ~= CHUNK then return false end
    local answer, call = answer_of(result[0]), self.calls[tonumber(tag[0])]
    if call and status == CHUNK then
        call.last = call.last + 1
        call.arrived[call.last] = { text = answer:text(), json = answer:json() }
        answer:close()
    elseif call then
        call.result = answer
    end
    return true
end

-- Hands a request over; the call owns a token, and stops when it is forgotten.
function Client:submit(how, request, cancel)
    local token = cancel and cancel.token or ffi.gc(elk.elk_cancel_new(), function(token)
        elk.elk_cancel_signal(token)
        elk.elk_cancel_free(token)
    end)
    self.tag = self.tag + 1
    local call = { client = self, token = token, arrived = {}, first = 1, last = 0 }
    local status = how(self:opened().queue, request, #request, self.tag, token)
    if status < 0 then
        local kind = text(elk.elk_status_name(status))
        error(setmetatable({ kind = kind, message = kind, retryable = kind == "queue_full", billed = "no" }, Error), 0)
    end
    self.calls[self.tag] = call
    return call
end

-- Waits until the call has a chunk or its result; an error in between, such as Ctrl-C, stops the call.
local function await(call)
    local client = call.client
    local fine, wrong = pcall(function()
        while not call.result and call.first > call.last do
            if not client:take(client.wait and 0 or SLICE) and client.wait then client.wait(client:handle()) end
        end
    end)
    if fine then return end
    elk.elk_cancel_signal(call.token)
    error(wrong, 0)
end

function Client:chat_completions(request, cancel)
    local call = self:submit(elk.elk_queue_submit, request, cancel)
    await(call)
    return checked(call.result)
end

--- The document at a path below the base URL, such as "/models"; blocks without regard to Ctrl-C and `wait`.
function Client:get(path, cancel)
    return checked(answer_of(elk.elk_get(self:opened().client, name(path), cancel and cancel.token or nil)))
end

--- An answer while it is written.
local Stream = {}
Stream.__index = Stream

--- Opens a stream, at once; a refusal comes from its chunks.
function Client:stream(request, cancel)
    return setmetatable({ call = self:submit(elk.elk_queue_submit_stream, request, cancel) }, Stream)
end

--- The next chunk, a table of text and json; nil at the good end.
function Stream:next()
    local call = self.call or error("the stream is closed", 2)
    await(call)
    if call.first > call.last then
        checked(call.result)
        return nil
    end
    local chunk = call.arrived[call.first]
    call.arrived[call.first] = nil
    call.first = call.first + 1
    return chunk
end

--- For loops over chunks. Call close where a loop may be left early.
function Stream:chunks()
    return self.next, self
end

--- The whole answer; waits for the end.
function Stream:answer()
    while self:next() do end
    return self.call.result
end

--- Stops it. Of a stream that was given a token, that token is signalled.
function Stream:close()
    if self.call and not self.call.result then elk.elk_cancel_signal(self.call.token) end
    self.call = nil
end

--- Stops what is under way and frees the client.
function Client:close()
    if not self.queue then return end
    elk.elk_queue_free(ffi.gc(self.queue, nil))
    elk.elk_client_free(ffi.gc(self.client, nil))
    self.queue, self.client = nil, nil
end

return elkapi
