package com.elkapi;

import static com.elkapi.Native.C;

import com.sun.jna.Pointer;
import java.util.concurrent.CompletableFuture;
import java.util.function.BiFunction;

/**
 * A client of one gateway with one key; any number of threads may use it. Thread.interrupt stops a call at once, in
 * whatever phase it is: it throws an {@link ElkapiException} of the kind cancelled, and the thread stays interrupted.
 */
public final class Client implements AutoCloseable {
    private final Handle client;

    /** From the environment: ELKAPI_API_KEY. */
    public Client() {
        this(C.elk_client_new(null, 0));
    }

    /** From options as JSON text; what is absent comes from the environment. */
    public Client(String options) {
        this(C.elk_client_new(Native.utf8(options), Native.utf8(options).length));
    }

    private Client(Pointer made) {
        client = new Handle(made, C::elk_client_free);
        // A client that cannot be used answers every call with the reason.
        if (C.elk_client_error(made) != null) get("/");
    }

    public static String version() {
        return Native.text(C.elk_version());
    }

    /** A text as a JSON string, quotes included, to stand in a request. */
    public static String quote(String text) {
        byte[] bytes = Native.utf8(text);
        byte[] quoted = new byte[(int) C.elk_json_quote(null, 0, bytes, bytes.length) + 1];
        C.elk_json_quote(quoted, quoted.length, bytes, bytes.length);
        return new String(quoted, 0, quoted.length - 1, java.nio.charset.StandardCharsets.UTF_8);
    }

    /** A client with other limits, retries or header fields over the same connections. */
    public Client with(String changes) {
        byte[] text = Native.utf8(changes);
        Pointer made = client.use(c -> C.elk_client_with(c, text, text.length));
        return new Client(made);
    }

    public Answer chatCompletions(String request) {
        byte[] text = Native.utf8(request);
        return call((c, token) -> C.elk_chat_completions(c, text, text.length, token));
    }

    /** The document at a path below the base URL, such as /models. */
    public Answer get(String path) {
        byte[] named = Native.name(path);
        return call((c, token) -> C.elk_get(c, named, token));
    }

    /** Waits for the reply's header fields; a refusal comes from the first chunk. */
    public Stream stream(String request) {
        byte[] text = Native.utf8(request);
        Handle token = token();
        return Native.interruptibly(() -> signal(token), () -> new Stream(
            with(token, (c, t) -> C.elk_chat_completions_stream(c, text, text.length, t))));
    }

    /** On another thread; cancelling the future stops the call. */
    public CompletableFuture<Answer> chatCompletionsAsync(String request) {
        byte[] text = Native.utf8(request);
        Handle token = token();
        CompletableFuture<Answer> future = new CompletableFuture<>();
        future.whenComplete((answer, error) -> {
            if (future.isCancelled()) signal(token);
        });
        Native.WAITING.execute(() -> {
            try {
                future.complete(new Answer(
                    with(token, (c, t) -> C.elk_chat_completions(c, text, text.length, t))).checked());
            } catch (Throwable failed) {
                future.completeExceptionally(failed);
            }
        });
        return future;
    }

    @Override
    public void close() {
        client.close();
    }

    private Answer call(BiFunction<Pointer, Pointer, Pointer> call) {
        Handle token = token();
        return Native.interruptibly(() -> signal(token), () -> new Answer(with(token, call))).checked();
    }

    private Pointer with(Handle token, BiFunction<Pointer, Pointer, Pointer> call) {
        return client.use(c -> token.use(t -> call.apply(c, t)));
    }

    private static Handle token() {
        return new Handle(C.elk_cancel_new(), C::elk_cancel_free);
    }

    private static void signal(Handle token) {
        token.run(C::elk_cancel_signal);
    }
}
