"""The names of OpenAI's package over elkapi: `import elkapi.openai as openai` in place of `import openai`.

    import elkapi.openai as openai

    client = openai.OpenAI()  # ELKAPI_API_KEY
    try:
        answer = client.chat.completions.create(
            model="gemini-3.1-pro-preview", messages=[{"role": "user", "content": "Name three seas."}]
        )
        print(answer.choices[0].message.content)
    except openai.RateLimitError as error:
        print(error.status_code, error.request_id)

There are chat completions and the models list; what is different is written down in
docs/from-openai.md.
"""

from elkapi._errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    OpenAIError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from elkapi.openai._client import AsyncClient, AsyncOpenAI, Client, OpenAI
from elkapi.openai._http import URL, Request, Response
from elkapi.openai._streaming import AsyncStream, Stream
from elkapi.openai._told import ContentFilterFinishReasonError, LengthFinishReasonError
from elkapi.openai._types import DEFAULT_TIMEOUT, NOT_GIVEN, NotGiven, Omit, Timeout, not_given, omit

DEFAULT_MAX_RETRIES = 2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elkapi.openai._parsing import pydantic_function_tool

__all__ = [
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_TIMEOUT",
    "NOT_GIVEN",
    "URL",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncOpenAI",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "Client",
    "ConflictError",
    "ContentFilterFinishReasonError",
    "InternalServerError",
    "LengthFinishReasonError",
    "NotFoundError",
    "NotGiven",
    "Omit",
    "OpenAI",
    "OpenAIError",
    "PermissionDeniedError",
    "RateLimitError",
    "Request",
    "Response",
    "Stream",
    "Timeout",
    "UnprocessableEntityError",
    "not_given",
    "omit",
    "pydantic_function_tool",
]


def __getattr__(name: str) -> object:
    """What few programs need."""
    if name == "pydantic_function_tool":
        from elkapi.openai._parsing import pydantic_function_tool

        return pydantic_function_tool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
