package com.elkapi;

import static com.elkapi.Native.C;

import com.sun.jna.Pointer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;

/** What a call brought. It never changes; any number of threads may read it. It frees itself; close frees at once. */
public final class Answer implements AutoCloseable {
    private final Handle result;

    Answer(Pointer result) {
        this.result = new Handle(result, C::elk_result_free);
    }

    /** A picture. The bytes are null for a remote one, the url is null for one that came with the answer. */
    public final class Image {
        public final String mediaType;
        public final String url;
        public final byte[] bytes;
        private final long number;

        private Image(Pointer result, long number) {
            this.number = number;
            mediaType = Native.text(C.elk_result_image_media_type(result, number));
            url = Native.text(C.elk_result_image_url(result, number));
            bytes = Native.bytes(length -> C.elk_result_image_bytes(result, number, length));
        }

        public void save(Path path) throws java.io.IOException {
            int status = result.use(r -> C.elk_result_image_save(r, number, Native.name(path.toString())));
            if (status < 0) throw new java.io.IOException(path + ": " + Native.text(C.elk_status_name(status)));
        }
    }

    public String text() {
        return result.use(r -> Native.sized(length -> C.elk_result_text(r, length)));
    }

    public String json() {
        return result.use(r -> Native.sized(length -> C.elk_result_json(r, length)));
    }

    public String verdict() {
        return result.use(r -> Native.text(C.elk_result_verdict(r)));
    }

    public String requestId() {
        return get("/call/request_id");
    }

    /** A string's text, anything else as JSON; null for null and for what is not there. */
    public String get(String pointer) {
        return result.use(r -> Native.sized(length -> C.elk_result_get(r, Native.name(pointer), length)));
    }

    public OptionalLong number(String pointer) {
        if (!"number".equals(type(pointer))) return OptionalLong.empty();
        return OptionalLong.of(result.use(r -> C.elk_result_int(r, Native.name(pointer), 0)));
    }

    public int count(String pointer) {
        return result.use(r -> (int) C.elk_result_count(r, Native.name(pointer)));
    }

    /** null, boolean, number, string, array or object; empty for what is not there. */
    public String type(String pointer) {
        return result.use(r -> Native.text(C.elk_result_type(r, Native.name(pointer))));
    }

    public String header(String name) {
        return result.use(r -> Native.text(C.elk_result_header(r, Native.name(name))));
    }

    public List<Image> images() {
        return result.use(r -> {
            List<Image> images = new ArrayList<>();
            for (long i = 0; i < C.elk_result_image_count(r); i++) images.add(new Image(r, i));
            return images;
        });
    }

    @Override
    public void close() {
        result.close();
    }

    String message() {
        return result.use(r -> Native.text(C.elk_result_message(r)));
    }

    /** The answer, or the exception that it is. */
    Answer checked() {
        if (result.use(C::elk_result_status) < 0) throw new ElkapiException(this);
        return this;
    }
}
