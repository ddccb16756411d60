"""The clients `OpenAI` and `AsyncOpenAI`: options in the words of OpenAI's package over `elkapi.Client`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import elkapi
from elkapi.openai._http import URL
from elkapi.openai._request import Call, Fields
from elkapi.openai._types import DEFAULT_TIMEOUT, is_absent, native_timeout, not_given
from elkapi.openai.resources.chat import AsyncBeta, AsyncChat, Beta, Chat
from elkapi.openai.resources.models import AsyncModels, Models

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Self

    from elkapi.openai._types import NotGiven, Omit, TimeoutTypes

_RESOURCES = ("chat", "models", "beta")
#: What `copy` changes besides the limits, and what an attribute of the client is called that holds it.
_KEPT = ("api_key", "organization", "project", "base_url", "timeout", "max_retries")


def _retries(max_retries: Any) -> int:
    if max_retries is None:
        raise TypeError(
            "max_retries cannot be None. If you want to disable retries, pass `0`; if you want unlimited "
            "retries, pass `math.inf` or a very high number; if you want the default behavior, pass `2`"
        )
    if max_retries == float("inf"):
        return 1 << 31
    if not isinstance(max_retries, int):
        raise TypeError(f"max_retries must be an int, not {type(max_retries).__name__}")
    if max_retries < 0:
        raise ValueError("max_retries must be >= 0")
    return max_retries


class _Client:
    """What both clients have: options, and the native client that they come to."""

    _of: type[Any]
    api_key: str
    organization: str | None
    project: str | None
    _native: Any

    def __init__(
        self,
        *,
        api_key: Any = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | None = None,
        timeout: TimeoutTypes | NotGiven = not_given,
        max_retries: int = 2,
        default_headers: Mapping[str, str | Omit] | None = None,
        default_query: Mapping[str, Any] | None = None,
        http_client: None = None,
        **network: Any,
    ) -> None:
        if http_client is not None:
            raise TypeError(
                f"{type(self).__name__}() makes connections of its own and takes no http_client; it takes "
                "proxy=, no_proxy=, ca_file=, client_cert_file=, … as elkapi.Client does. To keep an "
                "http_client, give the openai package elkapi.httpx2.Transport"
            )
        self._given_key = api_key
        self._asked_for_key = api_key if callable(api_key) else None
        self.organization = organization
        self.project = project
        self._custom_headers = dict(default_headers or {})
        self._custom_query = dict(default_query or {})
        self._network = network
        self._timeout = DEFAULT_TIMEOUT if is_absent(timeout) else timeout
        self._max_retries = _retries(max_retries)
        self._closed = False
        self._connect(base_url)
        self.api_key = "" if self._asked_for_key else self._own_key

    def _connect(self, base_url: str | None) -> None:
        """Makes the native client."""
        options = dict(self._network)
        if base_url is not None:
            options["base_url"] = str(base_url)
        if self._asked_for_key:
            # Never sent: every call brings its own.
            options["api_key"] = "asked-for-with-every-call"
        elif self._given_key is not None:
            options["api_key"] = self._given_key
        options.setdefault("contract", "openai")
        try:
            self._base = self._of(**options)
        except TypeError as error:
            raise TypeError(str(error).replace("Client()", f"{type(self).__name__}()", 1)) from None
        if self._given_key is None:
            import os

            self._own_key = os.environ.get("ELKAPI_API_KEY", "")
        else:
            self._own_key = self._given_key
        self._limit()

    def _limit(self) -> None:
        """Makes the client of this client's limits, over the same connections."""
        limits: dict[str, Any] = {"max_retries": self._max_retries}
        if self._timeout is not DEFAULT_TIMEOUT:
            limits["timeout"] = native_timeout(self._timeout)
        self._native = self._base.with_options(**limits)

    @property
    def base_url(self) -> URL:
        """Where requests go: a str with `host`, `port` and the other parts. It can be set."""
        return URL(f"{self._base.base_url}/")

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        self._connect(str(base_url))

    @property
    def timeout(self) -> TimeoutTypes:
        """The limits of calls that have no other. It can be set."""
        return self._timeout

    @timeout.setter
    def timeout(self, timeout: TimeoutTypes) -> None:
        self._timeout = timeout
        self._limit()

    @property
    def max_retries(self) -> int:
        """How often a call is repeated at most. It can be set."""
        return self._max_retries

    @max_retries.setter
    def max_retries(self, max_retries: int) -> None:
        self._max_retries = _retries(max_retries)
        self._limit()

    @property
    def _headers(self) -> dict[str, Any]:
        own = {"OpenAI-Organization": self.organization, "OpenAI-Project": self.project}
        return {**{name: value for name, value in own.items() if value}, **self._custom_headers}

    @property
    def default_headers(self) -> dict[str, str]:
        """The header fields of every request, without the key."""
        user_agent = self._network.get("user_agent") or f"elkapi/{elkapi.__version__}"
        return dict(Fields({"User-Agent": user_agent}, self._headers).shown())

    @property
    def default_query(self) -> dict[str, Any]:
        """The query parameters of every request."""
        return dict(self._custom_query)

    def _call_with(self, key: str | None, method: str, path: str, options: Any) -> Call:
        key = self.api_key if key is None and self.api_key != self._own_key else key
        url = f"{self._base.base_url}{path}"
        return Call(method, url, options, headers=self._headers, query=self._custom_query, key=key)

    def copy(
        self,
        *,
        default_headers: Mapping[str, str | Omit] | None = None,
        set_default_headers: Mapping[str, str | Omit] | None = None,
        default_query: Mapping[str, Any] | None = None,
        set_default_query: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Self:
        """A client with other options over the same connections, or over others where `base_url` is changed.

        `changes`: `api_key`, `organization`, `project`, `base_url`, `timeout`, `max_retries`.
        `default_headers` and `default_query` are merged over the client's, `set_default_headers` and
        `set_default_query` replace them.

        Raises `TypeError` for an option that there is not, `ValueError` where merging and replacing are
        both asked for.
        """
        if default_headers is not None and set_default_headers is not None:
            raise ValueError(
                "The `default_headers` and `set_default_headers` arguments are mutually exclusive"
            )
        if default_query is not None and set_default_query is not None:
            raise ValueError("`default_query` and `set_default_query` are mutually exclusive")
        for name in changes:
            if name not in _KEPT:
                raise TypeError(f"copy() got an unexpected keyword argument {name!r}")
        other = type(self).__new__(type(self))
        kept = {name: value for name, value in self.__dict__.items() if name not in _RESOURCES}
        other.__dict__.update(kept)
        other._custom_headers = {**self._custom_headers, **(default_headers or {})}
        if set_default_headers is not None:
            other._custom_headers = dict(set_default_headers)
        other._custom_query = {**self._custom_query, **(default_query or {})}
        if set_default_query is not None:
            other._custom_query = dict(set_default_query)
        other._change(**{name: value for name, value in changes.items() if not is_absent(value)})
        return other

    with_options = copy

    def _change(
        self,
        *,
        api_key: Any = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | None = None,
        timeout: Any = not_given,
        max_retries: Any = not_given,
    ) -> None:
        if api_key is not None:
            self._given_key = api_key
            self._asked_for_key = api_key if callable(api_key) else None
            self.api_key = "" if self._asked_for_key else api_key
        self.organization = organization or self.organization
        self.project = project or self.project
        if not is_absent(timeout):
            self._timeout = timeout
        if not is_absent(max_retries):
            self._max_retries = _retries(max_retries)
        if base_url is not None:
            self._connect(base_url)
        else:
            self._limit()

    def is_closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}: it has chat and models. For the rest "
            "of the API use the openai package over elkapi.httpx2.Transport"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={str(self.base_url)!r})"

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name not in _RESOURCES}
        if self._given_key is None:
            # A pickle has no key of the environment: whoever reads it has its own.
            del kept["api_key"], kept["_own_key"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._given_key is None:
            import os

            self._own_key = self.api_key = os.environ.get("ELKAPI_API_KEY", "")


class OpenAI(_Client):
    """A client for programs written for OpenAI's package: the same names, over `elkapi.Client`.

    The key comes from `api_key`, a str or a function that gives one, else from `ELKAPI_API_KEY`; the
    address from `base_url`, else from `ELKAPI_BASE_URL`. `timeout` in seconds is that of connecting, of
    each write and of each read; None means no limit. Beside that package's options it takes those of
    `elkapi.Client`: `proxy`, `ca_file`, `contract`, …

    Raises `elkapi.ConfigError`, which is an `OpenAIError`, for an option that cannot be used, `TypeError`
    for a wrong type or name.

        client = elkapi.OpenAI()
        answer = client.chat.completions.create(
            model="gemini-3.1-pro-preview", messages=[{"role": "user", "content": "Name three seas."}]
        )
        print(answer.choices[0].message.content)
    """

    __module__ = "elkapi"
    _of = elkapi.Client
    _native: elkapi.Client

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            api_key: str | Callable[[], str] | None = None,
            organization: str | None = None,
            project: str | None = None,
            base_url: str | None = None,
            timeout: TimeoutTypes | NotGiven = not_given,
            max_retries: int = 2,
            default_headers: Mapping[str, str | Omit] | None = None,
            default_query: Mapping[str, Any] | None = None,
            http_client: None = None,
            **network: Any,
        ) -> None: ...

    @cached_property
    def chat(self) -> Chat:
        """Chat."""
        return Chat(self)

    @cached_property
    def models(self) -> Models:
        """The models list."""
        return Models(self)

    @cached_property
    def beta(self) -> Beta:
        """Older programs find `chat` here."""
        return Beta(self)

    def _call(self, method: str, path: str, options: Any) -> Call:
        key = self._asked_for_key() if self._asked_for_key else None
        return self._call_with(key, method, path, options)

    def close(self) -> None:
        """Closes the client; a call on it then raises `elkapi.ClosedError`, which is a `RuntimeError`."""
        self._closed = True
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncOpenAI(_Client):
    """`OpenAI` for asyncio and trio: the same names, over `elkapi.AsyncClient`.

    `api_key` may also be a function that gives an awaitable.

        import asyncio

        async def main():
            async with elkapi.AsyncOpenAI() as client:
                answer = await client.chat.completions.create(
                    model="gemini-3.1-pro-preview", messages=[{"role": "user", "content": "Name three seas."}]
                )
                print(answer.choices[0].message.content)

        asyncio.run(main())
    """

    __module__ = "elkapi"
    _of = elkapi.AsyncClient
    _native: elkapi.AsyncClient

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            api_key: str | Callable[[], str | Awaitable[str]] | None = None,
            organization: str | None = None,
            project: str | None = None,
            base_url: str | None = None,
            timeout: TimeoutTypes | NotGiven = not_given,
            max_retries: int = 2,
            default_headers: Mapping[str, str | Omit] | None = None,
            default_query: Mapping[str, Any] | None = None,
            http_client: None = None,
            **network: Any,
        ) -> None: ...

    @cached_property
    def chat(self) -> AsyncChat:
        """Chat."""
        return AsyncChat(self)

    @cached_property
    def models(self) -> AsyncModels:
        """The models list."""
        return AsyncModels(self)

    @cached_property
    def beta(self) -> AsyncBeta:
        """Older programs find `chat` here."""
        return AsyncBeta(self)

    async def _call(self, method: str, path: str, options: Any) -> Call:
        key: Any = self._asked_for_key() if self._asked_for_key else None
        if hasattr(key, "__await__"):
            key = await key
        return self._call_with(key, method, path, options)

    async def close(self) -> None:
        """Closes the client; a call on it then raises `elkapi.ClosedError`, which is a `RuntimeError`."""
        self._closed = True
        await self._native.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


Client = OpenAI
AsyncClient = AsyncOpenAI
