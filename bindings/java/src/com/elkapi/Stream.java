package com.elkapi;

import static com.elkapi.Native.C;

import com.sun.jna.Pointer;
import java.util.Iterator;
import java.util.NoSuchElementException;

/** An answer while it is written. Close stops it, from any thread. */
public final class Stream implements Iterable<Stream.Chunk>, AutoCloseable {
    private final Handle stream;
    private final Object turn = new Object();
    private Answer answer;

    Stream(Pointer stream) {
        this.stream = new Handle(stream, C::elk_stream_free);
    }

    /** One event: what it added to the text, and its JSON. */
    public static final class Chunk {
        public final String text;
        public final String json;

        private Chunk(Pointer stream) {
            text = Native.sized(length -> C.elk_stream_text(stream, length));
            json = Native.sized(length -> C.elk_stream_json(stream, length));
        }
    }

    /** Waits for the next chunk; null at the good end. */
    public Chunk next() {
        Chunk[] chunk = new Chunk[1];
        int status = advance(0, chunk);
        if (status == 2) status = Native.interruptibly(this::cancel, () -> advance(-1, chunk));
        if (status < 0) answer();
        return chunk[0];
    }

    private int advance(int wait, Chunk[] chunk) {
        synchronized (turn) {
            return stream.use(s -> {
                int status = C.elk_stream_next(s, wait);
                if (status == 0) chunk[0] = new Chunk(s);
                return status;
            });
        }
    }

    @Override
    public Iterator<Chunk> iterator() {
        return new Iterator<>() {
            private Chunk ahead;
            private boolean ended;

            @Override
            public boolean hasNext() {
                if (ahead == null && !ended) ended = (ahead = Stream.this.next()) == null;
                return !ended;
            }

            @Override
            public Chunk next() {
                if (!hasNext()) throw new NoSuchElementException();
                Chunk chunk = ahead;
                ahead = null;
                return chunk;
            }
        };
    }

    /** Reads on to the end and gives the whole answer. */
    public Answer answer() {
        return Native.interruptibly(this::cancel, () -> {
            synchronized (turn) {
                if (answer == null) answer = new Answer(stream.use(C::elk_stream_finish));
                return answer;
            }
        }).checked();
    }

    /** Stops it; what arrived stays readable. */
    public void cancel() {
        try {
            stream.run(C::elk_stream_cancel);
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
