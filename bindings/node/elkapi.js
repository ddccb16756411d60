// The client of the ElkAPI chat gateway: libelkapi by its C interface, with JavaScript's own words.
//
// Calls run on threads of the library's queue. One call of elk_queue_next waits for them on a thread of libuv's, as
// long as something is under way; so a program ends by itself when nothing is.

import koffi from "koffi";

const library = koffi.load(process.env.ELKAPI_LIBRARY ?? "libelkapi.so.0");
const OK = 0, DONE = 1, PENDING = 2, CHUNK = 3;
const c = {};
for (const line of `
  const char *elk_version()
  uint32_t elk_abi_version()
  const char *elk_status_name(int32_t status)
  void *elk_client_new(const uint8_t *text, size_t len)
  void *elk_client_with(void *client, const uint8_t *text, size_t len)
  void *elk_client_error(void *client)
  void elk_client_free(void *client)
  void *elk_get(void *client, const char *path, void *cancel)
  void *elk_cancel_new()
  void elk_cancel_signal(void *cancel)
  void elk_cancel_free(void *cancel)
  void *elk_queue_new(void *client, uint32_t workers, uint32_t capacity)
  int32_t elk_queue_submit(void *queue, const uint8_t *text, size_t len, uint64_t tag, void *cancel)
  int32_t elk_queue_submit_stream(void *queue, const uint8_t *text, size_t len, uint64_t tag, void *cancel)
  int32_t elk_queue_next(void *queue, int32_t wait, _Out_ uint64_t *tag, _Out_ void **result)
  void elk_queue_cancel_all(void *queue)
  void elk_queue_free(void *queue)
  int32_t elk_result_status(void *result)
  const char *elk_result_message(void *result)
  const char *elk_result_verdict(void *result)
  void *elk_result_text(void *result, _Out_ size_t *len)
  void *elk_result_json(void *result, _Out_ size_t *len)
  void *elk_result_get(void *result, const char *pointer, _Out_ size_t *len)
  size_t elk_result_count(void *result, const char *pointer)
  const char *elk_result_type(void *result, const char *pointer)
  const char *elk_result_header(void *result, const char *name)
  size_t elk_result_image_count(void *result)
  void *elk_result_image_bytes(void *result, size_t i, _Out_ size_t *len)
  const char *elk_result_image_media_type(void *result, size_t i)
  const char *elk_result_image_url(void *result, size_t i)
  int32_t elk_result_image_save(void *result, size_t i, const char *path)
  void elk_result_free(void *result)`.trim().split("\n")) {
  c[/(elk_\w+)/.exec(line)[1]] = library.func(line.trim());
}
if (c.elk_abi_version() !== 0) {
  throw new Error(`libelkapi has the binary interface ${c.elk_abi_version()}, this binding needs 0`);
}

export const version = c.elk_version();

const forgotten = new FinalizationRegistry((free) => free());

/** Owns one C object: freed by close, or when it is forgotten. */
class Handle {
  #pointer;

  constructor(pointer, free) {
    this.#pointer = pointer;
    this.free = () => free(pointer);
    forgotten.register(this, this.free, this);
  }

  get pointer() {
    if (this.#pointer === null) throw new ClosedError();
    return this.#pointer;
  }

  close() {
    if (this.#pointer === null) return;
    this.#pointer = null;
    forgotten.unregister(this);
    this.free();
  }
}

function lent(ask) {
  const length = [0];
  const pointer = ask(length);
  if (!pointer) return null;
  const size = Number(length[0]);
  return size === 0 ? Buffer.alloc(0) : Buffer.from(Buffer.from(koffi.view(pointer, size)));
}

const textOf = (ask) => lent(ask)?.toString("utf8") ?? null;
const document = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));

function named(text) {
  if (String(text).includes("\0")) throw new TypeError("a name may not contain a NUL");
  return String(text);
}

/** Used after it was closed. */
export class ClosedError extends Error {
  constructor() {
    super("it is closed");
    this.name = "ClosedError";
  }
}

/** A failed call with its facts; what had arrived is in `answer`. */
export class ElkapiError extends Error {
  constructor(answer) {
    super(answer.message);
    this.answer = answer;
    this.kind = answer.get("/error/kind");
    this.name = this.kind === "cancelled" ? "AbortError" : "ElkapiError";
    this.status = answer.number("/error/status");
    this.code = answer.get("/error/code");
    this.requestId = answer.get("/error/request_id");
    this.retryable = answer.get("/error/retryable") === "true";
    this.billed = answer.get("/error/billed");
    this.retryAfterMs = answer.number("/error/retry_after_ms");
  }
}

/** What a call brought. It never changes. */
export class Answer {
  #handle;

  constructor(result) {
    this.#handle = new Handle(result, c.elk_result_free);
  }

  get #result() { return this.#handle.pointer; }
  get failed() { return c.elk_result_status(this.#result) < 0; }
  get message() { return c.elk_result_message(this.#result); }
  get verdict() { return c.elk_result_verdict(this.#result); }
  get text() { return textOf((length) => c.elk_result_text(this.#result, length)); }
  get json() { return textOf((length) => c.elk_result_json(this.#result, length)); }
  get requestId() { return this.get("/call/request_id"); }

  get(pointer) { return textOf((length) => c.elk_result_get(this.#result, named(pointer), length)); }
  number(pointer) { return this.type(pointer) === "number" ? Number(this.get(pointer)) : null; }
  count(pointer) { return Number(c.elk_result_count(this.#result, named(pointer))); }
  type(pointer) { return c.elk_result_type(this.#result, named(pointer)); }
  header(name) { return c.elk_result_header(this.#result, named(name)); }

  get images() {
    const image = (_, i) => ({
      mediaType: c.elk_result_image_media_type(this.#result, i),
      url: c.elk_result_image_url(this.#result, i),
      bytes: lent((length) => c.elk_result_image_bytes(this.#result, i, length)),
      save: (path) => {
        const status = c.elk_result_image_save(this.#result, i, named(path));
        if (status < 0) throw new Error(`the picture could not be saved to ${path}: ${c.elk_status_name(status)}`);
      },
    });
    return Array.from({ length: Number(c.elk_result_image_count(this.#result)) }, image);
  }

  close() { this.#handle.close(); }
}

/** Gives the answer, or throws the error that it is. */
function checked(answer, signal) {
  if (!answer.failed) return answer;
  const error = new ElkapiError(answer);
  if (error.kind === "cancelled" && signal?.aborted) error.cause = signal.reason;
  throw error;
}

// Queues with calls under way. Two of them wait long on threads of libuv's; where there are more, all take turns.
const busy = new Set();
process.on("exit", () => busy.forEach((queue) => c.elk_queue_cancel_all(queue.handle.pointer)));

/** The calls under way of one client, by tag. */
class Queue {
  calls = new Map();
  tags = 0;
  closing = false;

  constructor(client) {
    // However many promises a program waits for, none is refused for their number.
    this.handle = new Handle(c.elk_queue_new(client.pointer, 0, 2 ** 32 - 1), c.elk_queue_free);
  }

  submit(how, request, token, take) {
    if (this.closing) throw new ClosedError();
    const text = document(request);
    const tag = ++this.tags;
    const status = how(this.handle.pointer, text, text.length, tag, token.pointer);
    if (status < 0) throw Object.assign(new Error(c.elk_status_name(status)), { kind: c.elk_status_name(status) });
    this.calls.set(tag, take);
    if (!busy.has(this)) {
      busy.add(this);
      this.#wait();
    }
  }

  #wait() {
    const tag = [0], result = [null];
    c.elk_queue_next.async(this.handle.pointer, busy.size < 3 ? 100 : 5, tag, result, (error, status) => {
      if (error || status === DONE || status < 0) {
        busy.delete(this);
        if (this.closing) this.handle.close();
        return;
      }
      if (status !== PENDING) {
        const take = this.calls.get(Number(tag[0]));
        if (status === OK) this.calls.delete(Number(tag[0]));
        if (take) take(status, result[0]);
        else c.elk_result_free(result[0]);
      }
      this.#wait();
    });
  }

  close() {
    if (this.closing) return;
    this.closing = true;
    c.elk_queue_cancel_all(this.handle.pointer);
    if (!busy.has(this)) this.handle.close();
  }
}

/** A token that the signal stops; `done` lets go of both. */
function tokenOf(signal) {
  const token = new Handle(c.elk_cancel_new(), c.elk_cancel_free);
  const stop = () => c.elk_cancel_signal(token.pointer);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  const done = () => {
    signal?.removeEventListener("abort", stop);
    token.close();
  };
  return { token, stop, done };
}

/** The answer of a call that is given a token, and which gives a promise of a result. */
async function answered(signal, call) {
  const { token, done } = tokenOf(signal);
  try {
    return checked(new Answer(await call(token)), signal);
  } finally {
    done();
  }
}

/** An answer while it is written: an async iterable of chunks, left early by `break` or `cancel`. */
export class Stream {
  #arrived = [];
  #waiting = [];
  #result = null;
  #signal;
  #stop;

  constructor(queue, request, signal) {
    const { token, stop, done } = tokenOf(signal);
    this.#signal = signal;
    this.#stop = () => this.#result ?? stop();
    const take = (status, result) => {
      const answer = new Answer(result);
      if (status === CHUNK) {
        this.#arrived.push({ text: answer.text, json: answer.json });
        answer.close();
      } else {
        this.#result = answer;
        done();
      }
      for (const wake of this.#waiting.splice(0)) wake();
    };
    try {
      queue.submit(c.elk_queue_submit_stream, request, token, take);
    } catch (refused) {
      done();
      throw refused;
    }
  }

  async #next() {
    while (this.#arrived.length === 0 && this.#result === null) {
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
    return this.#arrived.shift();
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (let chunk; (chunk = await this.#next()) !== undefined;) yield chunk;
      checked(this.#result, this.#signal);
    } finally {
      this.cancel();
    }
  }

  /** The whole answer; waits for the end. */
  async answer() {
    while ((await this.#next()) !== undefined);
    return checked(this.#result, this.#signal);
  }

  cancel() { this.#stop(); }
}

/** A client of one gateway with one key. */
export class Client {
  #client;
  #queue;

  constructor(options, made) {
    const text = options === undefined ? null : document(options);
    this.#client = new Handle(made ?? c.elk_client_new(text, text?.length ?? 0), c.elk_client_free);
    if (c.elk_client_error(this.#client.pointer)) {
      // A client that cannot be used answers every call with the reason.
      throw new ElkapiError(new Answer(c.elk_get(this.#client.pointer, "/", null)));
    }
    this.#queue = new Queue(this.#client);
  }

  /** A client with other limits, retries or header fields over the same connections. */
  with(changes) {
    const text = document(changes);
    return new Client(undefined, c.elk_client_with(this.#client.pointer, text, text.length));
  }

  chatCompletions(request, { signal } = {}) {
    return answered(signal, (token) => new Promise((resolve) => {
      this.#queue.submit(c.elk_queue_submit, request, token, (_, result) => resolve(result));
    }));
  }

  stream(request, { signal } = {}) {
    return new Stream(this.#queue, request, signal);
  }

  /** The document at a path below the base URL, such as "/models". */
  get(path, { signal } = {}) {
    return answered(signal, (token) => new Promise((resolve, reject) => {
      // It holds the connections if the client is closed meanwhile.
      const client = new Handle(c.elk_client_with(this.#client.pointer, null, 0), c.elk_client_free);
      c.elk_get.async(client.pointer, named(path), token.pointer, (error, result) => {
        client.close();
        if (error) reject(error);
        else resolve(result);
      });
    }));
  }

  /** Stops what is under way and frees the client. */
  close() {
    this.#queue.close();
    this.#client.close();
  }
}
