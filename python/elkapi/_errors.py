"""What can go wrong, as exceptions.

One tree under the names that OpenAI's package made known: with a reply, the class follows the HTTP
status; without one, there is a class for what happened. Finer than any class is `error.kind`, the
same closed list of names in every language. The classes with a name of that package's take its
arguments when others make them, and have its attributes.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from elkapi._elkapi import Attempt, Completion, Headers


class Error(Exception):
    """Everything that this library raises, except `TypeError` for wrong Python types and `RuntimeError`
    for a second thread in a stream.

    `str(error)` is one sentence with advice. Members of the error document that do not apply are None.

        try:
            answer = client.ask("Name three seas.")
        except elkapi.Error as error:
            print(error.kind, error.billed, error)
    """

    kind: str
    """What went wrong, from the closed list of kinds: `"rate_limit"`, `"timeout"`, …"""
    hint: str | None
    """Finer meaning of the kind, such as `"quota"` for a refused key."""
    verdict: str
    """How the call ended: `"failed"`, `"truncated"`, `"stalled"`, `"filtered"` or `"cancelled"`."""
    status: int | None
    """HTTP status; None when no reply arrived."""
    code: str | None
    """The server's error code; numbers as text."""
    type: str | None
    """The server's error type."""
    param: str | None
    """The member or argument that is complained about."""
    message: str
    """The server's own text where there is one, else ours."""
    request_id: str | None
    """The gateway's id of the request; quote it to the operator."""
    retryable: bool
    """Whether the same request may be repeated without risk of paying twice, and may help."""
    billed: str
    """Whether the failed request may have been charged: `"no"`, `"maybe"` or `"yes"`."""
    retry_after_ms: int | None
    """The pause that the server asked for, in milliseconds."""
    phase: str | None
    """What the call was doing: `"dns"`, `"connect"`, `"tls"`, `"send"`, `"wait"`, `"read"`, …"""
    limit: str | None
    """The client's limit that expired: `"connect"`, `"first_byte"`, `"total"`, …"""
    elapsed_ms: int
    """How long the call took, in milliseconds."""
    bytes_sent: int
    """Bytes of the last attempt that the kernel took; 0 means that nothing reached the server."""
    bytes_received: int
    """Bytes of the last attempt that arrived."""
    attempts: "list[Attempt]"
    """The HTTP requests made, in order."""
    body: "Any"
    """A readable beginning of the reply's body, str or None; from `elkapi.OpenAI` what the reply's JSON
    has under `error`, else the JSON, else the text."""
    raw: bytes
    """The reply's bytes as they came; empty where there is no reply."""
    headers: "Headers | None"
    """The reply's header fields, where a reply arrived."""
    completion: "Completion | None"
    """What had arrived of the answer before a stream failed; None where nothing had."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        # OSError, which some are, would take it for an errno.
        self.args = (message,)
        self.__dict__.update(_NEUTRAL)
        self.message = message
        self.attempts = []

    def __reduce__(self) -> "tuple[Any, ...]":
        """An error pickles with all its facts."""
        return (_unpickled, (type(self), self.args, self.__dict__.copy()))


_NEUTRAL = {
    "kind": "internal",
    "hint": None,
    "verdict": "failed",
    "status": None,
    "code": None,
    "type": None,
    "param": None,
    "request_id": None,
    "retryable": False,
    "billed": "no",
    "retry_after_ms": None,
    "phase": None,
    "limit": None,
    "elapsed_ms": 0,
    "bytes_sent": 0,
    "bytes_received": 0,
    "body": None,
    "raw": b"",
    "headers": None,
    "completion": None,
}


def _unpickled(cls: "type[Error]", args: "tuple[Any, ...]", facts: "dict[str, Any]") -> "Error":
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class ConfigError(Error, ValueError):
    """An option is not usable; nothing was sent (kind `config`)."""


class InvalidArgumentError(Error, ValueError):
    """An argument or the request is not usable; nothing was sent (kind `invalid_argument`)."""


class ClosedError(Error, RuntimeError):
    """The client was closed before (kind `closed`)."""


class CallCancelledError(Error):
    """The call was stopped by its `cancel=` token (kind `cancelled`); `billed` says what is known."""


class ForkedError(Error):
    """The object was made before a fork and is of no use in the child (kind `forked`)."""


class FileError(Error, OSError):
    """A file could not be read or written (kind `file`); also an `OSError`."""

    def __new__(cls, *args: "Any", **kwargs: "Any") -> "Self":
        """OSError reads its arguments in `__new__` and would take the facts for an errno."""
        return super().__new__(cls)

    def __str__(self) -> str:
        """The sentence, as with every error; OSError would show an errno."""
        return str(self.args[0]) if self.args else ""


class InternalError(Error):
    """A defect in this library (kind `internal`); please report it."""


class APIError(Error):
    """The call failed after it had begun; this class itself where a stream reports it (`stream_error`)."""

    request: "Any" = None
    """From `elkapi.OpenAI`: the request, with `method` and `url`."""

    def __init__(self, message: str = "", request: "Any" = None, *, body: "Any" = None) -> None:
        super().__init__(message)
        self.request = request
        self.body = body
        if isinstance(body, dict):
            for name in ("code", "param", "type"):
                value = body.get(name)
                setattr(self, name, str(value) if name == "code" and value is not None else value)


class _RepliedError(APIError):
    """What an error with a reply has under the names of OpenAI's package."""

    _response: "Any" = None

    def _take(self, response: "Any") -> None:
        if response is not None:
            self._response = response
            self.status = response.status_code
            self.request_id = response.headers.get("x-request-id")

    @property
    def status_code(self) -> int:
        """HTTP status, as `status`."""
        return self.status or 0

    @property
    def response(self) -> "Any":
        """The reply: `status_code`, `headers`, `content`, `text`, `json()`, `request`."""
        if self._response is None and self.status is not None:
            from elkapi.openai._http import Response

            self._response = Response(self.status, self.headers, self.raw, self.request)
        return self._response


class APIStatusError(_RepliedError):
    """The server answered and refused; `status` is the HTTP status."""

    status: int

    def __init__(self, message: str = "", *, response: "Any" = None, body: "Any" = None) -> None:
        super().__init__(message, getattr(response, "request", None), body=body)
        self._take(response)


class BadRequestError(APIStatusError):
    """HTTP 400: the request is refused as it is."""


class AuthenticationError(APIStatusError):
    """HTTP 401: the key is not accepted."""


class PermissionDeniedError(APIStatusError):
    """HTTP 403: the key may not do this."""


class NotFoundError(APIStatusError):
    """HTTP 404: the model or the path does not exist."""


class ConflictError(APIStatusError):
    """HTTP 409: the request contradicts the state of things."""


class UnprocessableEntityError(APIStatusError):
    """HTTP 422: the request is understood and refused."""


class RateLimitError(APIStatusError):
    """HTTP 429: too many requests; `retry_after_ms` tells the pause where the server does."""


class InternalServerError(APIStatusError):
    """HTTP 500 and above: the gateway or what stands behind it failed."""


class APIResponseValidationError(_RepliedError):
    """The reply is not an answer: no JSON, broken JSON, or nothing in it. `raw` has its bytes."""

    def __init__(self, response: "Any" = None, body: "Any" = None, *, message: "str | None" = None) -> None:
        if isinstance(response, str):
            # As with every other class, words alone are a message.
            response, message = None, response
        message = message or "Data returned by API invalid for expected schema."
        super().__init__(message, getattr(response, "request", None), body=body)
        self._take(response)


class APIConnectionError(APIError):
    """There is no whole reply: `kind` says whether dns, tls, proxy, connection or protocol failed."""

    def __init__(self, message: str = "Connection error.", *, request: "Any" = None) -> None:
        super().__init__(message, request)


class APITimeoutError(APIConnectionError):
    """A limit expired before there was a reply; `limit` says which, None if the server gave up."""

    def __init__(self, request: "Any" = None) -> None:
        # As with every other class, words alone are a message.
        message, request = (request, None) if isinstance(request, str) else ("Request timed out.", request)
        super().__init__(message, request=request)


class TruncatedError(APIConnectionError):
    """The answer stopped early without saying so; what arrived is kept."""


class StalledError(APITimeoutError):
    """A limit expired while the answer was on its way; what arrived is kept."""


_BY_OWN_KIND: "dict[str, type[Error]]" = {
    "config": ConfigError,
    "invalid_argument": InvalidArgumentError,
    "cancelled": CallCancelledError,
    "closed": ClosedError,
    "forked": ForkedError,
    "file": FileError,
    "internal": InternalError,
}

_BY_STATUS: "dict[int, type[Error]]" = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

# Where the status says success, or there is none, the kind must say it.
_BY_KIND: "dict[str, type[Error]]" = {
    "authentication": AuthenticationError,
    "permission": PermissionDeniedError,
    "not_found": NotFoundError,
    "invalid_request": BadRequestError,
    "payload_too_large": BadRequestError,
    "content_filter": BadRequestError,
    "rate_limit": RateLimitError,
    "quota": RateLimitError,
    "server": InternalServerError,
    "bad_gateway": InternalServerError,
    "unavailable": InternalServerError,
    "overloaded": InternalServerError,
    "upstream": InternalServerError,
    "decode": APIResponseValidationError,
    "empty_response": APIResponseValidationError,
    "unexpected_content_type": APIResponseValidationError,
    "reply_too_large": APIResponseValidationError,
    "timeout": APITimeoutError,
    "stream_error": APIError,
}

_BY_VERDICT: "dict[str, type[Error]]" = {"truncated": TruncatedError, "stalled": StalledError}


def _class_of(kind: str, verdict: str, status: "int | None") -> "type[Error]":
    own = _BY_OWN_KIND.get(kind) or _BY_VERDICT.get(verdict)
    if own:
        return own
    if status is None or status < 300:
        return _BY_KIND.get(kind, APIConnectionError)
    if status >= 500:
        return InternalServerError
    return _BY_STATUS.get(status, APIStatusError)


def _error_of(facts: "dict[str, Any]", sentence: str, raw: bytes, headers: "Headers | None") -> "Error":
    """The exception for an error of the core."""
    cls = _class_of(facts["kind"], facts["verdict"], facts["status"])
    facts = {**_NEUTRAL, **facts, "raw": raw, "headers": headers}
    return _unpickled(cls, (sentence,), facts)


OpenAIError = Error
"""The name that OpenAI's package has for `Error`."""


# People meet these classes as `elkapi.…`, in tracebacks and in pickles.
for _value in list(globals().values()):
    if isinstance(_value, type) and issubclass(_value, Error):
        _value.__module__ = "elkapi"
del _value
