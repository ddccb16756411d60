// Package elkapi is the client of the ElkAPI chat gateway: libelkapi by its C interface, with Go's own words.
//
// A context stops a call at once, in whatever phase it is. Everything frees itself; Close frees at once.
package elkapi

/*
#cgo pkg-config: elkapi
#include <elkapi.h>
*/
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// ErrClosed says that something was used after it was closed.
var ErrClosed = errors.New("elkapi: it is closed")

// handle owns one C object: freed by close when nobody uses it, else by its last user; by the collector at the latest.
type handle struct {
	lock          sync.Mutex
	pointer       unsafe.Pointer
	free          func(unsafe.Pointer)
	users         int
	closed, freed bool
}

func newHandle(pointer unsafe.Pointer, free func(unsafe.Pointer)) *handle {
	h := &handle{pointer: pointer, free: free}
	runtime.SetFinalizer(h, (*handle).close)
	return h
}

func (h *handle) use(with func(unsafe.Pointer)) error {
	defer h.count(-1, false)
	if closed := h.count(1, false); closed {
		return ErrClosed
	}
	with(h.pointer)
	return nil
}

func (h *handle) close() { h.count(0, true) }

func (h *handle) count(users int, closing bool) (closed bool) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.users += users
	h.closed = h.closed || closing
	if h.closed && h.users == 0 && !h.freed {
		h.freed = true
		h.free(h.pointer)
	}
	return h.closed
}

// watched is a token that is signalled when the context ends. It is good until release is called, once.
func watched(ctx context.Context) (token *C.elk_cancel, release func()) {
	token = C.elk_cancel_new()
	if ctx.Err() != nil {
		C.elk_cancel_signal(token)
	}
	released := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			C.elk_cancel_signal(token)
			<-released
		case <-released:
		}
		C.elk_cancel_free(token)
	}()
	return token, func() { close(released) }
}

// document is a request or configuration as JSON with a NUL behind it: text is taken as it is, else it is encoded.
func document(value any) ([]byte, error) {
	switch text := value.(type) {
	case string:
		return []byte(text + "\x00"), nil
	case []byte:
		return []byte(string(text) + "\x00"), nil
	case json.RawMessage:
		return []byte(string(text) + "\x00"), nil
	}
	text, err := json.Marshal(value)
	return append(text, 0), err
}

// lend gives C a text that ends with a NUL, for the time of one call, and its length without that.
func lend(text []byte) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(&text[0])), C.size_t(len(text) - 1)
}

// borrowed copies a text that C has lent; the length is written after the text was asked for.
func borrowed(lent *C.char, length *C.size_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(lent)), int(*length)))
}

// Version tells the version of the library.
func Version() string { return C.GoString(C.elk_version()) }

// Error is a failed call with its facts; what had arrived of an answer is in Answer. Where a context stopped the
// call, errors.Is(err, context.Canceled) or context.DeadlineExceeded holds.
type Error struct {
	Kind, Code, Message, RequestID, Billed string
	Status                                 int // 0 where no reply came
	Retryable                              bool
	RetryAfter                             time.Duration // what the server asked for; 0 if nothing
	Answer                                 *Answer
	cause                                  error
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.cause }

// Answer is what a call brought. It never changes; any number of goroutines may read it.
type Answer struct{ result *handle }

func newAnswer(result *C.elk_result) *Answer {
	return &Answer{newHandle(unsafe.Pointer(result), func(p unsafe.Pointer) { C.elk_result_free((*C.elk_result)(p)) })}
}

// checked gives the answer, or the error that it is or that kept it from being made.
func (a *Answer) checked(ctx context.Context, err error) (*Answer, error) {
	if err != nil {
		return nil, err
	}
	if ask(a, "", func(r *C.elk_result, _ *C.char) bool { return C.elk_result_status(r) >= 0 }) {
		return a, nil
	}
	failed := &Error{Kind: a.Get("/error/kind"), Code: a.Get("/error/code"), RequestID: a.Get("/error/request_id"),
		Message:   ask(a, "", func(r *C.elk_result, _ *C.char) string { return C.GoString(C.elk_result_message(r)) }),
		Retryable: a.Int("/error/retryable", 0) == 1, Billed: a.Get("/error/billed"),
		Status: int(a.Int("/error/status", 0)), Answer: a,
		RetryAfter: time.Duration(a.Int("/error/retry_after_ms", 0)) * time.Millisecond}
	if failed.Kind == "cancelled" {
		failed.cause = ctx.Err()
	}
	return nil, failed
}

// ask reads the result, by a name where C wants one; a name with a NUL inside names nothing.
func ask[T any](a *Answer, name string, read func(*C.elk_result, *C.char) T) (found T) {
	if strings.IndexByte(name, 0) >= 0 {
		return
	}
	text, _ := lend([]byte(name + "\x00"))
	if a.result.use(func(p unsafe.Pointer) { found = read((*C.elk_result)(p), text) }) != nil {
		panic(ErrClosed)
	}
	return
}

// Text is the answer's text; of a stream that failed, what had arrived.
func (a *Answer) Text() string {
	var n C.size_t
	return ask(a, "", func(r *C.elk_result, _ *C.char) string { return borrowed(C.elk_result_text(r, &n), &n) })
}

// JSON is the answer document, byte for byte as it came.
func (a *Answer) JSON() string {
	var n C.size_t
	return ask(a, "", func(r *C.elk_result, _ *C.char) string { return borrowed(C.elk_result_json(r, &n), &n) })
}

// Verdict tells how the answer ended: complete, length, filtered, tool_calls, truncated, ...
func (a *Answer) Verdict() string {
	return ask(a, "", func(r *C.elk_result, _ *C.char) string { return C.GoString(C.elk_result_verdict(r)) })
}

// RequestID is the gateway's id of the request.
func (a *Answer) RequestID() string { return a.Get("/call/request_id") }

// Get gives a string's text, anything else as JSON; "" for null and for what is not there.
func (a *Answer) Get(pointer string) string {
	var n C.size_t
	return ask(a, pointer, func(r *C.elk_result, p *C.char) string { return borrowed(C.elk_result_get(r, p, &n), &n) })
}

// Lookup is Get that also tells whether there is something, and not null.
func (a *Answer) Lookup(pointer string) (text string, there bool) {
	kind := a.Type(pointer)
	return a.Get(pointer), kind != "" && kind != "null"
}

// Int gives a number, or the fallback.
func (a *Answer) Int(pointer string, fallback int64) int64 {
	other := C.int64_t(fallback)
	return int64(ask(a, pointer, func(r *C.elk_result, p *C.char) C.int64_t { return C.elk_result_int(r, p, other) }))
}

// Count counts the elements of an array or the members of an object.
func (a *Answer) Count(pointer string) int {
	return int(ask(a, pointer, func(r *C.elk_result, p *C.char) C.size_t { return C.elk_result_count(r, p) }))
}

// Type is "null", "boolean", "number", "string", "array", "object", or "" for what is not there.
func (a *Answer) Type(pointer string) string {
	return ask(a, pointer, func(r *C.elk_result, p *C.char) string { return C.GoString(C.elk_result_type(r, p)) })
}

// Header gives a header field of the reply, or "".
func (a *Answer) Header(field string) string {
	return ask(a, field, func(r *C.elk_result, n *C.char) string { return C.GoString(C.elk_result_header(r, n)) })
}

// Close frees the answer at once.
func (a *Answer) Close() { a.result.close() }

// Image is a picture of an answer. Bytes is nil for a remote one, URL "" for one that came with the answer.
type Image struct {
	MediaType, URL string
	Bytes          []byte
	answer         *Answer
	number         C.size_t
}

// Images gives the pictures, decoded.
func (a *Answer) Images() []Image {
	return ask(a, "", func(r *C.elk_result, _ *C.char) (images []Image) {
		for i := C.size_t(0); i < C.elk_result_image_count(r); i++ {
			image := Image{MediaType: C.GoString(C.elk_result_image_media_type(r, i)),
				URL: C.GoString(C.elk_result_image_url(r, i)), answer: a, number: i}
			var length C.size_t
			if bytes := C.elk_result_image_bytes(r, i, &length); bytes != nil {
				image.Bytes = C.GoBytes(unsafe.Pointer(bytes), C.int(length))
			}
			images = append(images, image)
		}
		return
	})
}

// Save writes the picture to a file.
func (i Image) Save(path string) error {
	status := ask(i.answer, path, func(r *C.elk_result, p *C.char) C.elk_status {
		return C.elk_result_image_save(r, i.number, p)
	})
	if status < 0 {
		return errors.New("elkapi: picture to " + path + ": " + C.GoString(C.elk_status_name(status)))
	}
	return nil
}

// Client is a client of one gateway with one key; any number of goroutines may use it.
type Client struct{ client *handle }

// New makes a client; options are JSON text or what becomes JSON, nil for the environment alone.
func New(options any) (*Client, error) {
	if options == nil {
		return newClient(C.elk_client_new(nil, 0))
	}
	text, err := document(options)
	if err != nil {
		return nil, err
	}
	return newClient(C.elk_client_new(lend(text)))
}

func newClient(made *C.elk_client) (*Client, error) {
	c := &Client{newHandle(unsafe.Pointer(made), func(p unsafe.Pointer) { C.elk_client_free((*C.elk_client)(p)) })}
	if C.elk_client_error(made) == nil {
		return c, nil
	}
	// A client that cannot be used answers every call with the reason.
	_, err := c.Get(context.Background(), "/")
	return nil, err
}

// With makes a client with other limits, retries or header fields over the same connections.
func (c *Client) With(changes any) (*Client, error) {
	var made *C.elk_client
	err := c.send(changes, func(client *C.elk_client, text *C.char, length C.size_t) {
		made = C.elk_client_with(client, text, length)
	})
	if err != nil {
		return nil, err
	}
	return newClient(made)
}

// ChatCompletions sends a request and waits for the whole answer.
func (c *Client) ChatCompletions(ctx context.Context, request any) (answer *Answer, err error) {
	token, release := watched(ctx)
	defer release()
	err = c.send(request, func(client *C.elk_client, text *C.char, length C.size_t) {
		answer = newAnswer(C.elk_chat_completions(client, text, length, token))
	})
	return answer.checked(ctx, err)
}

// Get asks for the document at a path below the base URL, such as "/models".
func (c *Client) Get(ctx context.Context, path string) (answer *Answer, err error) {
	if strings.IndexByte(path, 0) >= 0 {
		return nil, errors.New("elkapi: a path may not contain a NUL")
	}
	token, release := watched(ctx)
	defer release()
	err = c.send(path, func(client *C.elk_client, text *C.char, _ C.size_t) {
		answer = newAnswer(C.elk_get(client, text, token))
	})
	return answer.checked(ctx, err)
}

// send lends C the client and a document.
func (c *Client) send(value any, native func(*C.elk_client, *C.char, C.size_t)) error {
	document, err := document(value)
	if err != nil {
		return err
	}
	text, length := lend(document)
	return c.client.use(func(client unsafe.Pointer) { native((*C.elk_client)(client), text, length) })
}

// Close frees the client at once, or when the last call that runs has ended.
func (c *Client) Close() { c.client.close() }

// Chunk is one event of a stream: what it added to the text, and its JSON.
type Chunk struct{ Text, JSON string }

// Stream is an answer while it is written. The context of Stream stops it for as long as it lives.
type Stream struct {
	stream *handle
	ctx    context.Context
	turn   sync.Mutex
	answer *Answer
}

// Stream opens a stream; it waits for the reply's header fields. A refusal comes from Recv.
func (c *Client) Stream(ctx context.Context, request any) (*Stream, error) {
	s := &Stream{ctx: ctx}
	token, release := watched(ctx)
	err := c.send(request, func(client *C.elk_client, text *C.char, length C.size_t) {
		opened := C.elk_chat_completions_stream(client, text, length, token)
		s.stream = newHandle(unsafe.Pointer(opened), func(p unsafe.Pointer) {
			C.elk_stream_free((*C.elk_stream)(p))
			release()
		})
	})
	if err != nil {
		release()
		return nil, err
	}
	return s, nil
}

// use lends C the stream, by one goroutine at a time.
func (s *Stream) use(with func(*C.elk_stream)) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.stream.use(func(p unsafe.Pointer) { with((*C.elk_stream)(p)) })
}

// Recv waits for the next chunk; io.EOF is the good end.
func (s *Stream) Recv() (chunk Chunk, err error) {
	var status C.elk_status
	err = s.use(func(stream *C.elk_stream) {
		var n C.size_t
		if status = C.elk_stream_next(stream, -1); status == C.ELK_OK {
			chunk.Text = borrowed(C.elk_stream_text(stream, &n), &n)
			chunk.JSON = borrowed(C.elk_stream_json(stream, &n), &n)
		}
	})
	if status == C.ELK_DONE {
		err = io.EOF
	} else if status < 0 {
		_, err = s.Answer()
	}
	return
}

// Answer reads on to the end and gives the whole answer.
func (s *Stream) Answer() (*Answer, error) {
	err := s.use(func(stream *C.elk_stream) {
		if s.answer == nil {
			s.answer = newAnswer(C.elk_stream_finish(stream))
		}
	})
	return s.answer.checked(s.ctx, err)
}

// Close stops the stream, from any goroutine, and frees it.
func (s *Stream) Close() {
	s.stream.use(func(p unsafe.Pointer) { C.elk_stream_cancel((*C.elk_stream)(p)) })
	s.stream.close()
}
