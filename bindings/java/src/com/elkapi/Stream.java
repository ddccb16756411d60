package com.elkapi;

import static com.elkapi.Native.C;
import static com.elkapi.Native.utf8;

import com.sun.jna.Pointer;
import java.util.Iterator;
import java.util.Objects;

/** An answer while it is written. Close stops it, from any thread. */
public final class Stream implements Iterable<Stream.Chunk>, AutoCloseable {
    /** One event: what it added to the text, and its JSON. */
    public record Chunk(String text, String json) {}

    private final Handle stream;
    private Answer answer;

    Stream(Pointer stream) {
        this.stream = new Handle(stream, C::elk_stream_free);
    }

    /** Waits for the next chunk; null at the good end. */
    public Chunk next() {
        Chunk[] chunk = new Chunk[1];
        int status = advance(0, chunk);
        if (status == 2) status = new Call<>(() -> advance(-1, chunk), this::cancel).await();
        if (status < 0) answer();
        return chunk[0];
    }

    private synchronized int advance(int wait, Chunk[] chunk) {
        int status = C.elk_stream_next(stream, wait);
        if (status == 0) chunk[0] = new Chunk(utf8(C.elk_stream_text(stream)), utf8(C.elk_stream_json(stream)));
        return status;
    }

    /** Waits for the first chunk, and for each further one when it is asked for. */
    @Override
    public Iterator<Chunk> iterator() {
        return java.util.stream.Stream.iterate(next(), Objects::nonNull, last -> next()).iterator();
    }

    /** Reads on to the end and gives the whole answer. */
    public Answer answer() {
        return new Call<>(this::finish, this::cancel).await().checked();
    }

    private synchronized Answer finish() {
        if (answer == null) answer = new Answer(C.elk_stream_finish(stream));
        return answer;
    }

    /** Stops it; what arrived stays readable. */
    public void cancel() {
        try {
            C.elk_stream_cancel(stream);
        } catch (IllegalStateException closed) {
            // There is nothing left to stop.
        }
    }

    @Override
    public void close() {
        cancel();
        stream.close();
    }
}
