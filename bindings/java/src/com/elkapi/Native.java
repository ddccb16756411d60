package com.elkapi;

import com.sun.jna.Library;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;

/** The C functions, and what every class here needs to call them. */
interface Native extends Library {
    Native C = loaded();

    Pointer elk_version();
    int elk_abi_version();
    Pointer elk_status_name(int status);
    long elk_json_quote(byte[] out, long cap, byte[] text, long len);
    Pointer elk_client_new(byte[] text, long len);
    Pointer elk_client_with(Pointer client, byte[] text, long len);
    Pointer elk_client_error(Pointer client);
    void elk_client_free(Pointer client);
    Pointer elk_chat_completions(Pointer client, byte[] text, long len, Pointer cancel);
    Pointer elk_get(Pointer client, byte[] path, Pointer cancel);
    Pointer elk_chat_completions_stream(Pointer client, byte[] text, long len, Pointer cancel);
    int elk_stream_next(Pointer stream, int wait);
    Pointer elk_stream_text(Pointer stream, LongByReference len);
    Pointer elk_stream_json(Pointer stream, LongByReference len);
    void elk_stream_cancel(Pointer stream);
    Pointer elk_stream_finish(Pointer stream);
    void elk_stream_free(Pointer stream);
    Pointer elk_cancel_new();
    void elk_cancel_signal(Pointer cancel);
    void elk_cancel_free(Pointer cancel);
    int elk_result_status(Pointer result);
    Pointer elk_result_message(Pointer result);
    Pointer elk_result_verdict(Pointer result);
    Pointer elk_result_text(Pointer result, LongByReference len);
    Pointer elk_result_json(Pointer result, LongByReference len);
    Pointer elk_result_get(Pointer result, byte[] pointer, LongByReference len);
    long elk_result_int(Pointer result, byte[] pointer, long fallback);
    long elk_result_count(Pointer result, byte[] pointer);
    Pointer elk_result_type(Pointer result, byte[] pointer);
    Pointer elk_result_header(Pointer result, byte[] name);
    long elk_result_image_count(Pointer result);
    Pointer elk_result_image_bytes(Pointer result, long i, LongByReference len);
    Pointer elk_result_image_media_type(Pointer result, long i);
    Pointer elk_result_image_url(Pointer result, long i);
    int elk_result_image_save(Pointer result, long i, byte[] path);
    void elk_result_free(Pointer result);

    static Native loaded() {
        Native library = com.sun.jna.Native.load("libelkapi.so.0", Native.class);
        if (library.elk_abi_version() != 0) throw new UnsatisfiedLinkError("libelkapi has another binary interface");
        return library;
    }

    static String text(Pointer lent) {
        return lent == null ? null : lent.getString(0, "UTF-8");
    }

    static byte[] bytes(Function<LongByReference, Pointer> from) {
        LongByReference length = new LongByReference();
        Pointer lent = from.apply(length);
        return lent == null ? null : lent.getByteArray(0, Math.toIntExact(length.getValue()));
    }

    static String sized(Function<LongByReference, Pointer> from) {
        byte[] bytes = bytes(from);
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** A name for C, which ends with a NUL. */
    static byte[] name(String text) {
        if (text.indexOf('\0') >= 0) throw new IllegalArgumentException("a name may not contain a NUL");
        return utf8(text + "\0");
    }

    /** Threads on which calls wait; they do not keep a program alive. */
    ExecutorService WAITING = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work, "elkapi");
        thread.setDaemon(true);
        return thread;
    });

    /** Waits on another thread, so that an interrupt of this one can stop the wait, which then ends by itself. */
    static <T> T interruptibly(Runnable stop, Callable<T> wait) {
        Future<T> future = WAITING.submit(wait);
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return future.get();
                } catch (InterruptedException interrupt) {
                    interrupted = true;
                    stop.run();
                }
            }
        } catch (ExecutionException failed) {
            if (failed.getCause() instanceof RuntimeException) throw (RuntimeException) failed.getCause();
            if (failed.getCause() instanceof Error) throw (Error) failed.getCause();
            throw new CancellationException(failed.getCause().toString());
        } finally {
            if (interrupted) Thread.currentThread().interrupt();
        }
    }
}
