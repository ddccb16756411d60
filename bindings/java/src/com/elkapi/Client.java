package com.elkapi;

import static com.elkapi.Native.C;
import static com.elkapi.Native.NUL;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.jna.Pointer;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * A client of one gateway with one key; any number of threads may use it. Thread.interrupt stops a call at once, in
 * whatever phase it is: it throws an {@link ElkapiException} of the kind cancelled, and the thread stays interrupted.
 */
public final class Client implements AutoCloseable {
    private final Handle client;

    /** From the environment: ELKAPI_API_KEY. */
    public Client() { this(C.elk_client_new(null, 0)); }

    /** From options as JSON text; what is absent comes from the environment. */
    public Client(String options) { this(C.elk_client_new(options, NUL)); }

    private Client(Pointer made) {
        client = new Handle(made, C::elk_client_free);
        // A client that cannot be used answers every call with the reason.
        if (C.elk_client_error(client) != null) get("/");
    }

    public static String version() { return C.elk_version(); }

    /** A text as a JSON string, quotes included, to stand in a request. */
    public static String quote(String text) {
        byte[] given = text.getBytes(UTF_8);
        byte[] quoted = new byte[(int) C.elk_json_quote(null, 0, given, given.length) + 1];
        C.elk_json_quote(quoted, quoted.length, given, given.length);
        return new String(quoted, 0, quoted.length - 1, UTF_8);
    }

    /** A client with other limits, retries or header fields over the same connections. */
    public Client with(String changes) { return new Client(C.elk_client_with(client, changes, NUL)); }

    public Answer chatCompletions(String request) {
        return call(token -> new Answer(C.elk_chat_completions(client, request, NUL, token))).await().checked();
    }

    /** On another thread; cancelling the future stops the call. */
    public CompletableFuture<Answer> chatCompletionsAsync(String request) {
        return call(token -> new Answer(C.elk_chat_completions(client, request, NUL, token)).checked()).start();
    }

    /** The document at a path below the base URL, such as /models. */
    public Answer get(String path) {
        return call(token -> new Answer(C.elk_get(client, path, token))).await().checked();
    }

    /** Waits for the reply's header fields; a refusal comes from the first chunk. */
    public Stream stream(String request) {
        return call(token -> new Stream(C.elk_chat_completions_stream(client, request, NUL, token))).await();
    }

    private static <T> Call<T> call(Function<Handle, T> wait) {
        Handle token = new Handle(C.elk_cancel_new(), C::elk_cancel_free);
        return new Call<>(() -> wait.apply(token), () -> C.elk_cancel_signal(token));
    }

    @Override
    public void close() { client.close(); }
}
