package com.elkapi;

import com.sun.jna.Function;
import com.sun.jna.Library;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The C functions. A handle among the arguments is held while C uses it, a text ends with a NUL and has none inside, and
 * what C lends comes as a copy: as an array where C tells the length behind the arguments that stand here.
 */
interface Native {
    Native C = loaded();
    /** A length that C counts itself, up to the NUL. */
    long NUL = -1;

    String elk_version();
    int elk_abi_version();
    String elk_status_name(int status);
    long elk_json_quote(byte[] out, long cap, byte[] text, long len);
    Pointer elk_client_new(String options, long len);
    Pointer elk_client_with(Handle client, String changes, long len);
    Pointer elk_client_error(Handle client);
    void elk_client_free(Pointer client);
    Pointer elk_chat_completions(Handle client, String request, long len, Handle cancel);
    Pointer elk_get(Handle client, String path, Handle cancel);
    Pointer elk_chat_completions_stream(Handle client, String request, long len, Handle cancel);
    int elk_stream_next(Handle stream, int wait);
    byte[] elk_stream_text(Handle stream);
    byte[] elk_stream_json(Handle stream);
    void elk_stream_cancel(Handle stream);
    Pointer elk_stream_finish(Handle stream);
    void elk_stream_free(Pointer stream);
    Pointer elk_cancel_new();
    void elk_cancel_signal(Handle cancel);
    void elk_cancel_free(Pointer cancel);
    int elk_result_status(Handle result);
    String elk_result_message(Handle result);
    String elk_result_verdict(Handle result);
    byte[] elk_result_text(Handle result);
    byte[] elk_result_json(Handle result);
    byte[] elk_result_get(Handle result, String pointer);
    long elk_result_int(Handle result, String pointer, long fallback);
    long elk_result_count(Handle result, String pointer);
    String elk_result_type(Handle result, String pointer);
    String elk_result_header(Handle result, String name);
    long elk_result_image_count(Handle result);
    byte[] elk_result_image_bytes(Handle result, long i);
    String elk_result_image_media_type(Handle result, long i);
    String elk_result_image_url(Handle result, long i);
    int elk_result_image_save(Handle result, long i, String path);
    void elk_result_free(Pointer result);

    private static Native loaded() {
        NativeLibrary library =
            NativeLibrary.getInstance("libelkapi.so.0", Map.of(Library.OPTION_STRING_ENCODING, "UTF-8"));
        if (library.getFunction("elk_abi_version").invokeInt(new Object[0]) != 0)
            throw new UnsatisfiedLinkError("libelkapi has another binary interface than this package");
        return (Native) Proxy.newProxyInstance(Native.class.getClassLoader(), new Class<?>[] {Native.class},
            (proxy, method, given) -> call(library.getFunction(method.getName()), method.getReturnType(), given));
    }

    private static Object call(Function function, Class<?> returns, Object[] given) {
        List<Object> arguments = new ArrayList<>();
        List<Handle> held = new ArrayList<>();
        try {
            for (Object one : given == null ? new Object[0] : given) {
                if (one instanceof String text && text.indexOf('\0') >= 0)
                    throw new IllegalArgumentException("a text for C may not contain a NUL");
                arguments.add(one instanceof Handle handle ? handle.hold() : one);
                if (one instanceof Handle handle) held.add(handle);
            }
            if (returns != byte[].class) return function.invoke(returns, arguments.toArray());
            LongByReference length = new LongByReference();
            arguments.add(length);
            Pointer lent = function.invokePointer(arguments.toArray());
            return lent == null ? null : lent.getByteArray(0, Math.toIntExact(length.getValue()));
        } finally {
            held.forEach(handle -> handle.release.run());
        }
    }

    static String utf8(byte[] text) { return text == null ? null : new String(text, StandardCharsets.UTF_8); }
}
