package com.elkapi;

import com.sun.jna.Pointer;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.function.Consumer;
import java.util.function.Function;

/** Owns one C object: freed by close when nobody uses it, else by its last user; by the collector at the latest. */
final class Handle implements AutoCloseable {
    private static final Cleaner CLEANER = Cleaner.create();

    /** What is left when the handle is gone; knows nothing of it. */
    private static final class State implements Runnable {
        private final Pointer pointer;
        private final Consumer<Pointer> free;
        private int users;
        private boolean closed;
        private boolean freed;

        State(Pointer pointer, Consumer<Pointer> free) {
            this.pointer = pointer;
            this.free = free;
        }

        synchronized void enter() {
            if (closed) throw new IllegalStateException("it is closed");
            users++;
        }

        synchronized void leave() {
            users--;
            freeIfLast();
        }

        @Override
        public synchronized void run() {
            closed = true;
            freeIfLast();
        }

        private void freeIfLast() {
            if (!closed || users > 0 || freed) return;
            freed = true;
            free.accept(pointer);
        }
    }

    private final State state;
    private final Cleaner.Cleanable cleanable;

    Handle(Pointer pointer, Consumer<Pointer> free) {
        state = new State(pointer, free);
        cleanable = CLEANER.register(this, state);
    }

    <T> T use(Function<Pointer, T> with) {
        state.enter();
        try {
            return with.apply(state.pointer);
        } finally {
            state.leave();
            Reference.reachabilityFence(this);
        }
    }

    void run(Consumer<Pointer> with) {
        use(pointer -> {
            with.accept(pointer);
            return null;
        });
    }

    @Override
    public void close() {
        cleanable.clean();
    }
}
