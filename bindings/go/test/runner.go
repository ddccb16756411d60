// Does what tests/languages/run.py says, a line of JSON texts between tabs each, and tells what it saw.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"elkapi.com/elkapi"
)

type told map[string]any

var in = bufio.NewReaderSize(os.Stdin, 1<<20)

const moss = `{"messages":[{"role":"user","content":"Hi"}],"sim":{"text":"Moss"}}`

func tell(facts told) {
	line, err := json.Marshal(facts)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func orNil[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value
}

func facts(a *elkapi.Answer) told {
	nothing, there := a.Lookup("/nothing/here")
	f := told{"text": a.Text(), "verdict": a.Verdict(), "status": a.Int("/call/status", 0), "model": a.Get("/model"),
		"tokens": a.Int("/usage/total_tokens", -1), "request_id": a.RequestID(), "choices": a.Count("/choices"),
		"type": a.Type("/choices/0/message"), "media": a.Header("content-type"), "models": a.Count("/data"), "nothing": nil}
	if there {
		f["nothing"] = nothing
	}
	return f
}

func failure(err error) told {
	var e *elkapi.Error
	if !errors.As(err, &e) {
		panic(err)
	}
	return told{"kind": e.Kind, "status": orNil(e.Status), "request_id": orNil(e.RequestID), "retryable": e.Retryable,
		"billed": e.Billed, "message": e.Error(), "partial": e.Answer.Text(), "verdict": e.Answer.Verdict(),
		"retry_after_ms": orNil(e.RetryAfter.Milliseconds())}
}

func open(config string) (*elkapi.Client, error) {
	if config == "" {
		return elkapi.New(nil)
	}
	return elkapi.New(config)
}

func after(good string) string {
	client := must(elkapi.New(good))
	defer client.Close()
	return must(client.ChatCompletions(context.Background(), moss)).Text()
}

func read(client *elkapi.Client, request string, limit int, facts told, first bool) error {
	facts["chunks"], facts["text"] = 0, ""
	stream, err := client.Stream(context.Background(), request)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		facts["chunks"] = facts["chunks"].(int) + 1
		facts["text"] = facts["text"].(string) + chunk.Text
		var parsed map[string]any
		facts["json"] = json.Unmarshal([]byte(chunk.JSON), &parsed) == nil && parsed["choices"] != nil
		if first && chunk.Text != "" {
			first = false
			tell(told{"first": chunk.Text})
		}
		if facts["chunks"] == limit {
			return nil
		}
	}
	whole, err := stream.Answer()
	if err != nil {
		return err
	}
	facts["whole"], facts["verdict"], facts["tokens"] = whole.Text(), whole.Verdict(), whole.Int("/usage/total_tokens", -1)
	return nil
}

func stopping(ctx context.Context, client *elkapi.Client, request, how string) error {
	if how == "unary" {
		_, err := client.ChatCompletions(ctx, request)
		return err
	}
	stream, err := client.Stream(ctx, request)
	if err != nil {
		return err
	}
	defer stream.Close()
	for begun := false; ; {
		chunk, err := stream.Recv()
		if err != nil {
			return err
		}
		if !begun && chunk.Text != "" {
			begun = true
			tell(told{"begun": true})
		}
	}
}

func drive(what, config, request, argument, good string) (told, error) {
	if what == "version" {
		return told{"version": elkapi.Version()}, nil
	}
	client, err := open(config)
	if err != nil {
		return nil, err
	}
	number, _ := strconv.Atoi(argument)
	background := context.Background()
	switch what {
	case "ask":
		if argument != "" {
			client = must(client.With(argument))
		}
		answer, err := client.ChatCompletions(background, request)
		if err != nil {
			return nil, err
		}
		return facts(answer), nil
	case "get":
		return facts(must(client.Get(background, argument))), nil
	case "stream", "first":
		seen := told{}
		if err := read(client, request, number, seen, what == "first"); err != nil {
			for name, value := range failure(err) {
				seen[name] = value
			}
		} else if argument != "" {
			seen["after"] = after(good)
		}
		return seen, nil
	case "cancel":
		ctx, cancel := context.WithCancel(background)
		failed := make(chan error)
		tell(told{"waiting": true})
		go func() { failed <- stopping(ctx, client, request, argument) }()
		must(in.ReadString('\n'))
		started := time.Now()
		cancel()
		err := <-failed
		seen := failure(err)
		seen["ms"] = time.Since(started).Milliseconds()
		if !errors.Is(err, context.Canceled) {
			panic(err)
		}
		tell(seen)
		return told{"after": after(good)}, nil
	case "interrupt":
		ctx, stop := signal.NotifyContext(background, os.Interrupt)
		defer stop()
		tell(told{"waiting": true})
		err := stopping(ctx, client, request, argument)
		tell(told{"interrupted": errors.Is(err, context.Canceled)})
		return told{"after": after(good)}, nil
	case "concurrent":
		texts := make(chan string)
		for i := 0; i < number; i++ {
			go func() { texts <- must(client.ChatCompletions(background, request)).Text() }()
		}
		all := make([]string, number)
		for i := range all {
			all[i] = <-texts
		}
		return told{"texts": strings.Join(all, ",")}, nil
	case "picture":
		images := must(client.ChatCompletions(background, request)).Images()
		if err := images[0].Save(argument); err != nil {
			return nil, err
		}
		return told{"images": len(images), "media_type": images[0].MediaType, "bytes": len(images[0].Bytes)}, nil
	case "forget":
		for i := 0; i < number; i++ {
			must(must(open(config)).ChatCompletions(background, request))
		}
		client = nil
		for i := 0; i < 3; i++ {
			runtime.GC()
		}
		return told{"made": number}, nil
	case "close":
		clients := []*elkapi.Client{client}
		for len(clients) < number {
			clients = append(clients, must(open(config)))
		}
		var answer *elkapi.Answer
		for _, one := range clients {
			answer = must(one.ChatCompletions(background, request))
			answer.Close()
			answer.Close()
		}
		for _, one := range clients {
			one.Close()
			one.Close()
		}
		_, err := client.ChatCompletions(background, request)
		refused := func() (panicked any) {
			defer func() { panicked = recover() }()
			return answer.Text()
		}()
		return told{"made": len(clients), "refused": errors.Is(err, elkapi.ErrClosed),
			"answer_refused": refused == elkapi.ErrClosed}, nil
	}
	panic(what)
}

func main() {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		seen, err := drive(parts[0], parts[1], parts[2], parts[3], parts[4])
		if err != nil {
			seen = failure(err)
		}
		tell(seen)
	}
}
