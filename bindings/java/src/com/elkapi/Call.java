package com.elkapi;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Supplier;

/** A wait in C, made on another thread, because Java interrupts its own waits only; stop makes it end early. */
record Call<T>(Supplier<T> waiting, Runnable stop) {
    /** They do not keep a program alive. */
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work, "elkapi");
        thread.setDaemon(true);
        return thread;
    });

    /** Cancelling the future stops the wait. */
    CompletableFuture<T> start() {
        CompletableFuture<T> future = CompletableFuture.supplyAsync(waiting, THREADS);
        future.whenComplete((value, error) -> {
            if (future.isCancelled()) stop.run();
        });
        return future;
    }

    /** An interrupt stops the wait, which then ends by itself; the thread stays interrupted. */
    T await() {
        CompletableFuture<T> future = start();
        try {
            return future.get();
        } catch (InterruptedException interrupt) {
            stop.run();
            Thread.currentThread().interrupt();
            return future.join();
        } catch (ExecutionException failed) {
            throw failed.getCause() instanceof RuntimeException cause ? cause : new CompletionException(failed.getCause());
        }
    }
}
