package com.elkapi;

import java.time.Duration;

/** A failed call with its facts. */
public final class ElkapiException extends RuntimeException {
    private final transient Answer answer;

    ElkapiException(Answer answer) {
        super(Native.C.elk_result_message(answer.result));
        this.answer = answer;
    }

    /** What had arrived. */
    public Answer answer() { return answer; }
    public String kind() { return answer.get("/error/kind"); }
    /** 0 where no reply came. */
    public int status() { return (int) answer.number("/error/status").orElse(0); }
    public String code() { return answer.get("/error/code"); }
    public String requestId() { return answer.get("/error/request_id"); }
    public boolean retryable() { return "true".equals(answer.get("/error/retryable")); }
    /** no, maybe or yes. */
    public String billed() { return answer.get("/error/billed"); }
    /** The pause that the server asked for, or null. */
    public Duration retryAfter() {
        return answer.number("/error/retry_after_ms").stream().mapToObj(Duration::ofMillis).findFirst().orElse(null);
    }
}
