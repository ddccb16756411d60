package com.elkapi;

import com.sun.jna.Pointer;
import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/** Owns one C object: freed by close when nobody holds it, else by its last holder; by the collector at the latest. */
final class Handle {
    private static final Cleaner CLEANER = Cleaner.create();

    private final Pointer pointer;
    private final AtomicInteger holders = new AtomicInteger(1);
    /** What every hold ends with. */
    final Runnable release;
    private final Cleaner.Cleanable owner;
    private volatile boolean closed;

    Handle(Pointer pointer, Consumer<Pointer> free) {
        this.pointer = pointer;
        // The cleaner must not know the handle, only what it has.
        AtomicInteger counted = holders;
        release = () -> {
            if (counted.decrementAndGet() == 0) free.accept(pointer);
        };
        owner = CLEANER.register(this, release);
    }

    Pointer hold() {
        if (closed || holders.getAndUpdate(now -> now == 0 ? 0 : now + 1) == 0)
            throw new IllegalStateException("it is closed");
        return pointer;
    }

    void close() {
        closed = true;
        owner.clean();
    }
}
