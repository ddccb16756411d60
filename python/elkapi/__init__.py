"""elkapi: the native client for the ElkAPI chat gateway.

    import elkapi

    with elkapi.Client(timeout=120) as client:  # ELKAPI_API_KEY
        answer = client.ask("Name three seas.")
        print(answer.text, answer.usage.total_tokens, answer.request_id)
        with client.stream({"messages": [{"role": "user", "content": "Name three seas."}]}) as stream:
            for chunk in stream:
                print(chunk.text, end="", flush=True)

All times are seconds; a timeout of None means no limit. Whatever fails raises a class of
`elkapi.Error`, whose `kind` says what it was and whose `billed` says whether it may have cost money.
"""

from elkapi._elkapi import (
    Attempt,
    Cancel,
    Choice,
    Chunk,
    ChunkChoice,
    Client,
    Completion,
    Document,
    Function,
    Headers,
    Image,
    ImageOptions,
    Logprobs,
    Message,
    Node,
    Stream,
    Timeout,
    TokenDetails,
    ToolCall,
    Usage,
    __version__,
    image_part,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elkapi._async import AsyncClient, AsyncStream
    from elkapi._errors import (
        APIConnectionError,
        APIError,
        APIResponseValidationError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        CallCancelledError,
        ClosedError,
        ConfigError,
        ConflictError,
        Error,
        FileError,
        ForkedError,
        InternalError,
        InternalServerError,
        InvalidArgumentError,
        NotFoundError,
        OpenAIError,
        PermissionDeniedError,
        RateLimitError,
        StalledError,
        TruncatedError,
        UnprocessableEntityError,
    )
    from elkapi.openai import NOT_GIVEN, AsyncOpenAI, NotGiven, Omit, OpenAI, not_given, omit

__all__ = [
    "NOT_GIVEN",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncOpenAI",
    "AsyncStream",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "CallCancelledError",
    "Cancel",
    "Choice",
    "Chunk",
    "ChunkChoice",
    "Client",
    "ClosedError",
    "Completion",
    "ConfigError",
    "ConflictError",
    "Document",
    "Error",
    "FileError",
    "ForkedError",
    "Function",
    "Headers",
    "Image",
    "ImageOptions",
    "InternalError",
    "InternalServerError",
    "InvalidArgumentError",
    "Logprobs",
    "Message",
    "Node",
    "NotFoundError",
    "NotGiven",
    "Omit",
    "OpenAI",
    "OpenAIError",
    "PermissionDeniedError",
    "RateLimitError",
    "StalledError",
    "Stream",
    "Timeout",
    "TokenDetails",
    "ToolCall",
    "TruncatedError",
    "UnprocessableEntityError",
    "Usage",
    "__version__",
    "image_part",
    "not_given",
    "omit",
]

_OF_THE_LOOK_ALIKE = {"AsyncOpenAI", "NOT_GIVEN", "NotGiven", "Omit", "OpenAI", "not_given", "omit"}


def __getattr__(name: str) -> object:
    """What an import need not load: the exceptions, which come with the first client, and what programs
    without an event loop never want."""
    if name in ("AsyncClient", "AsyncStream"):
        from elkapi import _async

        globals().update(AsyncClient=_async.AsyncClient, AsyncStream=_async.AsyncStream)
    elif name in _OF_THE_LOOK_ALIKE:
        from elkapi import openai

        globals()[name] = getattr(openai, name)
    elif name in __all__:
        from elkapi import _errors

        globals().update({one: value for one, value in vars(_errors).items() if one in __all__})
    if name in globals():
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """For completion: what is loaded later belongs to it, what only this file uses does not."""
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "_OF_THE_LOOK_ALIKE"})
