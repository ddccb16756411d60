package com.elkapi;

/** A failed call with its facts; what had arrived is in {@link #answer}. */
public final class ElkapiException extends RuntimeException {
    public final transient Answer answer;
    public final String kind;
    /** 0 where no reply came. */
    public final int status;
    public final String code;
    public final String requestId;
    public final boolean retryable;
    /** no, maybe or yes. */
    public final String billed;
    /** The pause that the server asked for, or null. */
    public final java.time.Duration retryAfter;

    ElkapiException(Answer answer) {
        super(answer.message());
        this.answer = answer;
        kind = answer.get("/error/kind");
        status = (int) answer.number("/error/status").orElse(0);
        code = answer.get("/error/code");
        requestId = answer.get("/error/request_id");
        retryable = "true".equals(answer.get("/error/retryable"));
        billed = answer.get("/error/billed");
        java.util.OptionalLong wait = answer.number("/error/retry_after_ms");
        retryAfter = wait.isPresent() ? java.time.Duration.ofMillis(wait.getAsLong()) : null;
    }
}
