// Package elkapi is the client of the ElkAPI chat gateway: libelkapi by its C interface, with Go's own words.
//
// A context stops a call at once, in whatever phase it is. Everything frees itself; Close frees at once.
package elkapi

/*
#cgo pkg-config: elkapi
#include <elkapi.h>
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// ErrClosed says that something was used after it was closed.
var ErrClosed = errors.New("elkapi: it is closed")

// handle owns one C object: freed by close when nobody uses it, else by its last user.
type handle struct {
	lock    sync.Mutex
	pointer unsafe.Pointer
	free    func(unsafe.Pointer)
	users   int
	closed  bool
}

func newHandle(pointer unsafe.Pointer, free func(unsafe.Pointer)) *handle {
	h := &handle{pointer: pointer, free: free}
	runtime.SetFinalizer(h, (*handle).close)
	return h
}

func (h *handle) use(with func(unsafe.Pointer)) error {
	h.lock.Lock()
	if h.closed {
		h.lock.Unlock()
		return ErrClosed
	}
	h.users++
	h.lock.Unlock()
	defer h.drop(false)
	with(h.pointer)
	return nil
}

func (h *handle) close() { h.drop(true) }

func (h *handle) drop(closing bool) {
	h.lock.Lock()
	defer h.lock.Unlock()
	if closing {
		h.closed = true
	} else {
		h.users--
	}
	if h.closed && h.users == 0 && h.pointer != nil {
		h.free(h.pointer)
		h.pointer = nil
		runtime.SetFinalizer(h, nil)
	}
}

// watched is a token that is signalled when the context ends, until stop is called.
func watched(ctx context.Context) (token *handle, stop func()) {
	token = newHandle(unsafe.Pointer(C.elk_cancel_new()), func(p unsafe.Pointer) { C.elk_cancel_free((*C.elk_cancel)(p)) })
	if ctx.Done() == nil {
		return token, func() {}
	}
	stopped := make(chan struct{})
	var once sync.Once
	signal := func() { token.use(func(p unsafe.Pointer) { C.elk_cancel_signal((*C.elk_cancel)(p)) }) }
	if ctx.Err() != nil {
		signal()
	}
	go func() {
		select {
		case <-ctx.Done():
			signal()
		case <-stopped:
		}
	}()
	return token, func() { once.Do(func() { close(stopped) }) }
}

// document is a request or configuration as JSON: text is taken as it is, anything else is encoded.
func document(value any) (*C.char, C.size_t, error) {
	var text []byte
	switch known := value.(type) {
	case string:
		text = []byte(known)
	case []byte:
		text = known
	case json.RawMessage:
		text = known
	default:
		encoded, err := json.Marshal(value)
		if err != nil {
			return nil, 0, err
		}
		text = encoded
	}
	return (*C.char)(C.CBytes(text)), C.size_t(len(text)), nil
}

func name(text string) (*C.char, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, errors.New("elkapi: a name may not contain a NUL")
	}
	return C.CString(text), nil
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

// checked gives the answer, or the error that it is.
func checked(ctx context.Context, a *Answer) (*Answer, error) {
	var status C.elk_status
	a.ask(func(r *C.elk_result) { status = C.elk_result_status(r) })
	if status >= 0 {
		return a, nil
	}
	err := &Error{Kind: a.Get("/error/kind"), Code: a.Get("/error/code"), RequestID: a.Get("/error/request_id"),
		Billed: a.Get("/error/billed"), Status: int(a.Int("/error/status", 0)),
		Retryable:  a.Int("/error/retryable", 0) == 1,
		RetryAfter: time.Duration(a.Int("/error/retry_after_ms", 0)) * time.Millisecond, Answer: a}
	a.ask(func(r *C.elk_result) { err.Message = C.GoString(C.elk_result_message(r)) })
	if err.Kind == "cancelled" {
		err.cause = ctx.Err()
	}
	return nil, err
}

func (a *Answer) ask(with func(*C.elk_result)) {
	if a.result.use(func(p unsafe.Pointer) { with((*C.elk_result)(p)) }) != nil {
		panic(ErrClosed)
	}
}

func (a *Answer) sized(from func(*C.elk_result, *C.size_t) *C.char) (text string, there bool) {
	a.ask(func(r *C.elk_result) {
		var length C.size_t
		if found := from(r, &length); found != nil {
			text, there = string(unsafe.Slice((*byte)(unsafe.Pointer(found)), int(length))), true
		}
	})
	return
}

func (a *Answer) named(text string, with func(*C.elk_result, *C.char)) {
	if named, err := name(text); err == nil {
		defer C.free(unsafe.Pointer(named))
		a.ask(func(r *C.elk_result) { with(r, named) })
	}
}

// Text is the answer's text; of a stream that failed, what had arrived.
func (a *Answer) Text() string {
	text, _ := a.sized(func(r *C.elk_result, n *C.size_t) *C.char { return C.elk_result_text(r, n) })
	return text
}

// JSON is the answer document, byte for byte as it came.
func (a *Answer) JSON() string {
	text, _ := a.sized(func(r *C.elk_result, n *C.size_t) *C.char { return C.elk_result_json(r, n) })
	return text
}

// Verdict tells how the answer ended: complete, length, filtered, tool_calls, truncated, ...
func (a *Answer) Verdict() (word string) {
	a.ask(func(r *C.elk_result) { word = C.GoString(C.elk_result_verdict(r)) })
	return
}

// RequestID is the gateway's id of the request.
func (a *Answer) RequestID() string { return a.Get("/call/request_id") }

// Lookup gives a string's text, anything else as JSON; false for null and for what is not there.
func (a *Answer) Lookup(pointer string) (text string, there bool) {
	a.named(pointer, func(r *C.elk_result, p *C.char) {
		text, there = a.sized(func(r *C.elk_result, n *C.size_t) *C.char { return C.elk_result_get(r, p, n) })
	})
	return
}

// Get is Lookup with "" for what is not there.
func (a *Answer) Get(pointer string) string { text, _ := a.Lookup(pointer); return text }

// Int gives a number, or the fallback.
func (a *Answer) Int(pointer string, fallback int64) (number int64) {
	a.named(pointer, func(r *C.elk_result, p *C.char) { number = int64(C.elk_result_int(r, p, C.int64_t(fallback))) })
	return
}

// Count counts the elements of an array or the members of an object.
func (a *Answer) Count(pointer string) (count int) {
	a.named(pointer, func(r *C.elk_result, p *C.char) { count = int(C.elk_result_count(r, p)) })
	return
}

// Type is "null", "boolean", "number", "string", "array", "object", or "" for what is not there.
func (a *Answer) Type(pointer string) (kind string) {
	a.named(pointer, func(r *C.elk_result, p *C.char) { kind = C.GoString(C.elk_result_type(r, p)) })
	return
}

// Header gives a header field of the reply, or "".
func (a *Answer) Header(field string) (value string) {
	a.named(field, func(r *C.elk_result, n *C.char) { value = C.GoString(C.elk_result_header(r, n)) })
	return
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
func (a *Answer) Images() (images []Image) {
	a.ask(func(r *C.elk_result) {
		for i := C.size_t(0); i < C.elk_result_image_count(r); i++ {
			image := Image{MediaType: C.GoString(C.elk_result_image_media_type(r, i)),
				URL: C.GoString(C.elk_result_image_url(r, i)), answer: a, number: i}
			var length C.size_t
			if bytes := C.elk_result_image_bytes(r, i, &length); bytes != nil {
				image.Bytes = append([]byte{}, unsafe.Slice((*byte)(bytes), int(length))...)
			}
			images = append(images, image)
		}
	})
	return
}

// Save writes the picture to a file.
func (i Image) Save(path string) error {
	status := C.elk_status(C.ELK_E_INVALID_ARGUMENT)
	i.answer.named(path, func(r *C.elk_result, p *C.char) { status = C.elk_result_image_save(r, i.number, p) })
	if status != C.ELK_OK {
		return fmt.Errorf("elkapi: picture to %s: %s", path, C.GoString(C.elk_status_name(status)))
	}
	return nil
}

// Client is a client of one gateway with one key; any number of goroutines may use it.
type Client struct{ client *handle }

// New makes a client; options are JSON text or what becomes JSON, nil for the environment alone.
func New(options any) (*Client, error) {
	var text *C.char
	var length C.size_t
	if options != nil {
		var err error
		if text, length, err = document(options); err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(text))
	}
	return checkedClient(C.elk_client_new(text, length))
}

func checkedClient(made *C.elk_client) (*Client, error) {
	c := &Client{newHandle(unsafe.Pointer(made), func(p unsafe.Pointer) { C.elk_client_free((*C.elk_client)(p)) })}
	if C.elk_client_error(made) != nil {
		// A client that cannot be used answers every call with the reason.
		_, err := c.Get(context.Background(), "/")
		return nil, err
	}
	return c, nil
}

// With makes a client with other limits, retries or header fields over the same connections.
func (c *Client) With(changes any) (*Client, error) {
	text, length, err := document(changes)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(text))
	var made *C.elk_client
	if err := c.client.use(func(p unsafe.Pointer) { made = C.elk_client_with((*C.elk_client)(p), text, length) }); err != nil {
		return nil, err
	}
	return checkedClient(made)
}

// ChatCompletions sends a request and waits for the whole answer.
func (c *Client) ChatCompletions(ctx context.Context, request any) (*Answer, error) {
	text, length, err := document(request)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(text))
	return c.call(ctx, func(client *C.elk_client, token *C.elk_cancel) *C.elk_result {
		return C.elk_chat_completions(client, text, length, token)
	})
}

// Get asks for the document at a path below the base URL, such as "/models".
func (c *Client) Get(ctx context.Context, path string) (*Answer, error) {
	named, err := name(path)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(named))
	return c.call(ctx, func(client *C.elk_client, token *C.elk_cancel) *C.elk_result {
		return C.elk_get(client, named, token)
	})
}

func (c *Client) call(ctx context.Context, native func(*C.elk_client, *C.elk_cancel) *C.elk_result) (*Answer, error) {
	token, stop := watched(ctx)
	defer stop()
	defer token.close()
	var answer *Answer
	err := c.client.use(func(client unsafe.Pointer) {
		token.use(func(t unsafe.Pointer) { answer = newAnswer(native((*C.elk_client)(client), (*C.elk_cancel)(t))) })
	})
	if err != nil {
		return nil, err
	}
	return checked(ctx, answer)
}

// Close frees the client at once, or when the last call that runs has ended.
func (c *Client) Close() { c.client.close() }

// Chunk is one event of a stream: what it added to the text, and its JSON.
type Chunk struct{ Text, JSON string }

// Stream is an answer while it is written. The context of Stream stops it for as long as it lives.
type Stream struct {
	stream, token *handle
	stop          func()
	ctx           context.Context
	turn          sync.Mutex
	answer        *Answer
}

// Stream opens a stream; it waits for the reply's header fields. A refusal comes from Recv.
func (c *Client) Stream(ctx context.Context, request any) (*Stream, error) {
	text, length, err := document(request)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(text))
	s := &Stream{ctx: ctx}
	s.token, s.stop = watched(ctx)
	err = c.client.use(func(client unsafe.Pointer) {
		s.token.use(func(t unsafe.Pointer) {
			opened := C.elk_chat_completions_stream((*C.elk_client)(client), text, length, (*C.elk_cancel)(t))
			s.stream = newHandle(unsafe.Pointer(opened), func(p unsafe.Pointer) { C.elk_stream_free((*C.elk_stream)(p)) })
		})
	})
	if err != nil {
		s.stop()
		return nil, err
	}
	runtime.SetFinalizer(s, (*Stream).Close)
	return s, nil
}

// Recv waits for the next chunk; io.EOF is the good end.
func (s *Stream) Recv() (chunk Chunk, err error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	status := C.elk_status(C.ELK_DONE)
	closed := s.stream.use(func(p unsafe.Pointer) {
		stream := (*C.elk_stream)(p)
		if status = C.elk_stream_next(stream, -1); status == C.ELK_OK {
			var length C.size_t
			text := C.elk_stream_text(stream, &length)
			chunk.Text = string(unsafe.Slice((*byte)(unsafe.Pointer(text)), int(length)))
			json := C.elk_stream_json(stream, &length)
			chunk.JSON = string(unsafe.Slice((*byte)(unsafe.Pointer(json)), int(length)))
		}
	})
	switch {
	case closed != nil:
		return chunk, closed
	case status == C.ELK_OK:
		return chunk, nil
	case status == C.ELK_DONE:
		return chunk, io.EOF
	}
	_, err = s.finish()
	return chunk, err
}

// Answer reads on to the end and gives the whole answer.
func (s *Stream) Answer() (*Answer, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.finish()
}

func (s *Stream) finish() (*Answer, error) {
	if s.answer == nil {
		err := s.stream.use(func(p unsafe.Pointer) { s.answer = newAnswer(C.elk_stream_finish((*C.elk_stream)(p))) })
		if err != nil {
			return nil, err
		}
	}
	return checked(s.ctx, s.answer)
}

// Close stops the stream, from any goroutine, and frees it.
func (s *Stream) Close() {
	runtime.SetFinalizer(s, nil)
	s.stop()
	s.stream.use(func(p unsafe.Pointer) { C.elk_stream_cancel((*C.elk_stream)(p)) })
	s.stream.close()
	s.token.close()
}
