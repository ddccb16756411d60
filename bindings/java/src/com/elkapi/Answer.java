package com.elkapi;

import static com.elkapi.Native.C;
import static com.elkapi.Native.utf8;

import com.sun.jna.Pointer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.LongStream;

/** What a call brought. It never changes; any number of threads may read it. It frees itself; close frees at once. */
public final class Answer implements AutoCloseable {
    final Handle result;

    Answer(Pointer result) {
        this.result = new Handle(result, C::elk_result_free);
    }

    /** The answer, or the exception that it is. */
    Answer checked() {
        if (C.elk_result_status(result) < 0) throw new ElkapiException(this);
        return this;
    }

    public String text() { return utf8(C.elk_result_text(result)); }
    public String json() { return utf8(C.elk_result_json(result)); }
    public String verdict() { return C.elk_result_verdict(result); }
    public String requestId() { return get("/call/request_id"); }
    public String header(String name) { return C.elk_result_header(result, name); }
    /** A string's text, anything else as JSON; null for null and for what is not there. */
    public String get(String pointer) { return utf8(C.elk_result_get(result, pointer)); }
    /** null, boolean, number, string, array or object; empty for what is not there. */
    public String type(String pointer) { return C.elk_result_type(result, pointer); }
    public int count(String pointer) { return (int) C.elk_result_count(result, pointer); }

    public OptionalLong number(String pointer) {
        if (!"number".equals(type(pointer))) return OptionalLong.empty();
        return OptionalLong.of(C.elk_result_int(result, pointer, 0));
    }

    public List<Image> images() {
        return LongStream.range(0, C.elk_result_image_count(result)).mapToObj(Image::new).toList();
    }

    /** A picture. The bytes are null for a remote one, the url is null for one that came with the answer. */
    public final class Image {
        private final long number;

        private Image(long number) { this.number = number; }

        public String mediaType() { return C.elk_result_image_media_type(result, number); }
        public String url() { return C.elk_result_image_url(result, number); }
        public byte[] bytes() { return C.elk_result_image_bytes(result, number); }

        public void save(Path path) throws IOException {
            int status = C.elk_result_image_save(result, number, path.toString());
            if (status < 0) throw new IOException(path + ": " + C.elk_status_name(status));
        }
    }

    @Override
    public void close() { result.close(); }
}
