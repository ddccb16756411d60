"""Everything of elkapi that is not written in Python; use it through the package `elkapi`."""

import builtins
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Never, Protocol, Self, TypeAlias, TypeVar, final, overload

from typing_extensions import Buffer, disjoint_base

__version__: str

_Seconds: TypeAlias = float
_Timeout: TypeAlias = float | Timeout | None

class _ValidatesItself(Protocol):
    """What pydantic's models can."""

    @classmethod
    def model_validate_json(cls, json_data: str, /) -> Self: ...

_Model = TypeVar("_Model", bound=_ValidatesItself)
_Read = TypeVar("_Read")
_Read_co = TypeVar("_Read_co", covariant=True)

class _Adapter(Protocol[_Read_co]):
    """What pydantic's `TypeAdapter` can."""

    def validate_json(self, data: str, /) -> _Read_co: ...

@final
class Timeout:
    """Limits of a call in seconds; `None` means no limit, absent means the client's own.

    `connect`: name lookup, TCP, proxy and TLS together. `write`: between two bytes sent.
    `first_byte`: from the last byte sent to the reply's first byte. `idle`: between two bytes
    received. `total`: the whole call with all attempts and pauses.

    Raises `ConfigError` for a limit that is not more than 0, and `TypeError` for a wrong type.

        client = elkapi.Client(timeout=elkapi.Timeout(connect=3, total=120))
    """

    def __new__(
        cls,
        *,
        connect: _Seconds | None = ...,
        write: _Seconds | None = ...,
        first_byte: _Seconds | None = ...,
        idle: _Seconds | None = ...,
        total: _Seconds | None = ...,
    ) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, _Seconds | None]]: ...

@final
class ImageOptions:
    """How a picture should be: `aspect_ratio` such as `"16:9"`, `image_size` such as `"2K"`.

    It becomes the request member `extra_body.google.image_config`; the gateway judges the values.

        client.ask("A cat", model="gemini-3-pro-image-preview", image=elkapi.ImageOptions("16:9", "2K"))
    """

    def __new__(cls, aspect_ratio: str | None = None, image_size: str | None = None) -> Self: ...
    @property
    def aspect_ratio(self) -> str | None:
        """Width to height, such as `"16:9"`; None leaves it to the model."""
    @property
    def image_size(self) -> str | None:
        """Size, such as `"1K"`, `"2K"` or `"4K"`; None leaves it to the model."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __getnewargs__(self) -> tuple[str | None, str | None]: ...

@final
class Cancel:
    """Stops calls from another thread: give it to calls as `cancel=`. One-way; any number of calls may
    share it. A stopped call raises `CallCancelledError`.

        import threading
        stop = elkapi.Cancel()
        threading.Timer(0.5, stop.cancel).start()
        client.ask("Count to ten.", cancel=stop)
    """

    def __new__(cls) -> Cancel: ...
    def cancel(self) -> None:
        """Stops the calls that have it, now and later, in every phase."""

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""

@final
class Client:
    """A client of one gateway with one key: made once, shared by all threads.

    What is not given comes from the environment (`ELKAPI_API_KEY`, `ELKAPI_BASE_URL`), then from the
    defaults. `timeout`: seconds for a whole call, 600 unless given, or `elkapi.Timeout`; for a stream
    seconds to its first byte, 600, and of silence, 310; **None means no limit**. `max_retries`:
    repetitions of what cannot be charged twice, 2 unless given; `retry_risky=True` repeats what may
    have been charged too. `pacing=True` learns how many calls a second the server takes and starts no
    more. `base_delay_ms`: the first pause. `headers`: more header fields for every
    request. `ca_file`, `ca_pem`: certificate authorities to trust beside the system's;
    `client_cert_file`, `client_key_file`: our own certificate; `min_tls`: `"1.2"` or `"1.3"`;
    `insecure_skip_verify=True` accepts any certificate, so that others can read the key. `proxy`: the
    URL of a proxy, `http://`, `socks5://` or `socks5h://`, "" for none, else from the environment;
    `no_proxy`: what is reached directly. `contract`: `"elkapi"`, or `"openai"` for other servers.
    `allow_http`: allow `http://` to hosts other than this machine. `max_body_bytes`, `max_event_bytes`:
    the largest reply, 256 MiB, and the largest event of a stream, 128 MiB; `max_idle_connections`: kept
    open for later calls, 64. `idempotency_header`: the name of a header field that carries one value for
    all attempts of a call; `traceparent`, `user_agent`: the header fields of those names.
    `environment=False` reads nothing from the environment.

    A pickle holds the options that were given, the key among them.

    Raises `ConfigError` for an option that cannot be used, `TypeError` for a wrong type or name.

        with elkapi.Client(timeout=120) as client:
            print(client.ask("Name three seas.").text)
    """

    def __new__(
        cls,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        contract: str | None = None,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        pacing: bool | None = None,
        idempotency_header: str | None = None,
        ca_file: str | None = None,
        ca_pem: str | None = None,
        client_cert_file: str | None = None,
        client_key_file: str | None = None,
        min_tls: str | None = None,
        insecure_skip_verify: bool | None = None,
        proxy: str | None = None,
        no_proxy: str | None = None,
        headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        user_agent: str | None = None,
        max_body_bytes: int | None = None,
        max_event_bytes: int | None = None,
        max_idle_connections: int | None = None,
        allow_http: bool | None = None,
        environment: bool | None = None,
    ) -> Self: ...
    @property
    def base_url(self) -> str:
        """Where requests go."""
    def ask(
        self,
        prompt: str,
        *,
        model: str | None = None,
        image: ImageOptions | None = None,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        cancel: Cancel | None = None,
        **members: Any,
    ) -> Completion:
        """Asks one question and waits for the whole answer.

        `model`: `"gemini-3.1-pro-preview"` unless given; `models()` lists them. `image`: how a picture should
        be. `timeout` in seconds (None means no limit), retries and header fields hold for this call;
        `cancel`: a token that may stop it. Every other keyword is a member of the request, such as
        `temperature=0.2`, and is sent as it is, however it is spelt.

        Raises a class of `elkapi.Error` for whatever a call can end with.

            answer = client.ask("Name three seas.", temperature=0.2)
        """
    def chat_completions(
        self,
        request: dict[str, Any] | str | bytes,
        *,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        cancel: Cancel | None = None,
    ) -> Completion:
        """Sends a chat request and waits for the whole answer.

        `request`: a dict, or JSON text as str or bytes; it reaches the wire as it is. `timeout` in
        seconds (None means no limit), retries and header fields hold for this call; `cancel`: a token
        that may stop it.

        Raises `InvalidArgumentError` or `TypeError` before anything is sent; otherwise a class of
        `elkapi.Error` for whatever a call can end with.

            answer = client.chat_completions({"messages": [{"role": "user", "content": "Hello"}]})
        """
    def stream(
        self,
        request: dict[str, Any] | str | bytes,
        *,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        cancel: Cancel | None = None,
    ) -> Stream:
        """Sends a chat request and gives the answer bit by bit, as it is written.

        `request`: a dict, or JSON text as str or bytes; `"stream": true` is added where it is absent.
        Waits for the reply's header fields, so a refusal is raised here. `timeout` in seconds bounds the
        wait for the first byte and then each silence, never the whole (None means no limit); retries
        and header fields hold for this call; `cancel`: a token that may stop it from another thread.

        Raises `InvalidArgumentError` or `TypeError` before anything is sent; otherwise, here or while it
        is read, a class of `elkapi.Error` for whatever a stream can end with.

            with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
                for chunk in stream:
                    print(chunk.text, end="", flush=True)
        """
    def models(
        self,
        *,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        cancel: Cancel | None = None,
    ) -> Document:
        """The models list: a document whose `data` has one entry per model.

        `timeout` in seconds (None means no limit), retries and header fields hold for this call;
        `cancel`: a token that may stop it.

        Raises a class of `elkapi.Error` for whatever a call can end with.

            for model in client.models().data:
                print(model.id)
        """
    def _get(self, path: str, **arguments: Any) -> Document:
        """The document at a path below the base URL."""
    def with_options(
        self,
        *,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
    ) -> Client:
        """A client with other limits, retries or header fields over the same connections.

        `timeout` in seconds, or None for no limit; `extra_headers` are merged over the client's own.

            patient = client.with_options(timeout=None)
        """
    def _begin(
        self,
        queue: _Queue,
        wake: Callable[[], object],
        function: str,
        subject: object,
        arguments: dict[str, Any] | None,
    ) -> _Call:
        """Hands a call over to a queue: the function of that name, `ask`, `chat_completions`, `stream`,
        `models`, or `_get` with a path, with these arguments. `wake` is called, by `queue.drain()`, when it
        has gone on."""
    def close(self) -> None:
        """Closes the client; a call on it then raises `ClosedError`. Closing twice does nothing.

        Clients made from it by `with_options`, and streams that are open, go on.
        """
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class _Queue:
    """The calls of one event loop, for `elkapi._async`."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """The descriptor that is readable while something is to be drained."""
    def drain(self) -> None:
        """Fetches what has come and wakes the calls that it belongs to."""
    def close(self) -> None:
        """Stops all calls."""

@final
class _Call:
    """One call of a queue, for `elkapi._async`."""

    @property
    def ended(self) -> bool:
        """Whether the end has come."""
    @property
    def opened(self) -> bool:
        """Of a stream: whether its reply has begun."""
    def stop(self) -> None:
        """Stops it; nothing more is kept of it."""
    def result(self) -> Any:
        """What a call that is no stream ended with: its answer, or the error, which is raised."""
    def chunk(self) -> Chunk | None:
        """The next chunk that is here; None where there is none."""
    def finish(self) -> None:
        """The end of a stream whose chunks are all handed out: nothing, or the error, which is raised."""
    def completion(self) -> Completion | None:
        """Of a stream: what has been handed out of it, as a whole answer would be."""
    @property
    def verdict(self) -> str | None:
        """Of a stream: how it ended; None until then."""
    @property
    def saw_done(self) -> bool:
        """Of a stream: whether the closing `[DONE]` has come."""
    @property
    def status(self) -> int | None:
        """Of a stream: HTTP status."""
    @property
    def headers(self) -> Headers | None:
        """Of a stream: header fields of the reply."""
    @property
    def request_id(self) -> str | None:
        """Of a stream: the gateway's id of the request."""

@disjoint_base
class Node:
    """A JSON object of an answer: members by attribute (`node.name`) and by key (`node["name"]`).

    An attribute that the object does not have raises `AttributeError`, a key `KeyError`; members
    that a class knows by name are None where they are absent.
    """

    def __new__(cls, members: dict[str, Any], /) -> Self: ...
    def __getattr__(self, name: str, /) -> Any: ...
    def __getitem__(self, name: str, /) -> Any: ...
    def get(self, name: str, default: Any = None, /) -> Any:
        """The member of that name, else `default`."""
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def keys(self) -> list[str]:
        """The names of all members, in the order of the reply."""
    def items(self) -> list[tuple[str, Any]]:
        """All members as pairs of name and value, in the order of the reply."""
    def values(self) -> list[Any]:
        """The values of all members, in the order of the reply."""
    def to_dict(self, *, exclude_none: bool = False, **others: Any) -> dict[str, Any]:
        """All members as a new plain dict, nested ones too; with `exclude_none` without those that are None.
        The other keywords are those of the `openai` package and change nothing."""
    def to_json(self, *, indent: int | None = None, exclude_none: bool = False, **others: Any) -> str:
        """The object as JSON text, of a whole answer or event as the server wrote it.

        With `indent` it is laid out anew, with that many spaces a level; with `exclude_none` it is without
        what is null. The other keywords are those of the `openai` package and change nothing.
        """
    def model_dump(
        self,
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        exclude_none: bool = False,
        **others: Any,
    ) -> dict[str, Any]:
        """As `to_dict`, with only the members that `include` names, or without those that `exclude` names;
        with `exclude_none` without those that are None at any depth. The name and keywords of pydantic's
        method; the other ones change nothing here: what the server did not send is not filled in."""
    def model_dump_json(
        self,
        *,
        indent: int | None = None,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        exclude_none: bool = False,
        **others: Any,
    ) -> str:
        """As `to_json`, with the keywords of `model_dump`; the name of pydantic's method."""
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other members: those of `update` replace or join what the server sent. Without, the
        same object, which cannot change; `deep` changes nothing."""
    @property
    def model_extra(self) -> dict[str, Any]:
        """The members that the class does not know by name."""
    @property
    def model_fields_set(self) -> set[str]:
        """The names of all members, as a set."""
    def _keep(self, name: str, value: Any) -> None:
        """Keeps a value under a name beside the members, for `elkapi.openai`."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@disjoint_base
class Document(Node):
    """A JSON document from the gateway, such as the models list: its members by attribute and by key,
    and the client's own facts about the call. A member that has a fact's name is read by key.

        ids = [model.id for model in client.models().data]
    """

    def __new__(cls, never: Never, /) -> Self: ...
    @property
    def status(self) -> int:
        """HTTP status."""
    @property
    def headers(self) -> Headers:
        """Header fields of the reply; names compare without regard to case."""
    @property
    def request_id(self) -> str | None:
        """The gateway's id of the request; quote it to the operator."""
    @property
    def _request_id(self) -> str | None:
        """The same, under the name that the `openai` package has for it."""
    @property
    def attempts(self) -> list[Attempt]:
        """The HTTP requests made for this answer, in order; the last one succeeded."""
    @property
    def elapsed(self) -> _Seconds:
        """How long the call took, in seconds."""
    @property
    def verdict(self) -> str:
        """How the answer ended: `complete`, `length`, `filtered` or `tool_calls`; of a stream that did not
        end well `truncated`, `stalled`, `cancelled` or `failed`."""
    @property
    def raw(self) -> bytes:
        """The reply's bytes as they came, always the same object; empty where the answer came as a stream."""
    def _with(self, json: str) -> Self:
        """The same answer with another document, for `model_copy`; the facts of the call stay."""
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any, /) -> Self: ...

@final
class Completion(Document):
    """An answer to a chat request: the gateway's members by attribute and by key, shortcuts to the
    first choice, and the client's own facts about the call. Known members that are absent are None.

        answer = client.ask("Name three seas.")
        print(answer.text, answer.usage.total_tokens, answer.request_id)
    """

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def text(self) -> str:
        """The first choice's text; `""` where there is none."""
    @property
    def text_without_images(self) -> str:
        """The first choice's text with embedded pictures cut out."""
    @property
    def reasoning(self) -> str:
        """The first choice's thoughts; `""` where there are none."""
    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended, as the server says it."""
    @property
    def images(self) -> list[Image]:
        """The pictures in order, decoded once. Of interim pictures the last is the final."""
    @property
    def image_errors(self) -> int:
        """Number of pictures whose data could not be decoded."""
    @property
    def saw_done(self) -> bool | None:
        """Whether the closing `[DONE]` of a stream came; None for an answer that came whole."""
    @property
    def choices(self) -> list[Choice]:
        """All choices, lowest index first."""
    @property
    def tool_calls(self) -> list[ToolCall]:
        """The first choice's tool calls; an empty list where there are none."""
    @property
    def usage(self) -> Usage | None:
        """Token counts, where the server gave them."""
    @property
    def id(self) -> str | None:
        """The answer's id."""
    @property
    def model(self) -> str | None:
        """The model that answered, as the server names it."""
    @property
    def created(self) -> int | None:
        """When the answer was made, in seconds since 1970."""
    @property
    def object(self) -> str | None:
        """`"chat.completion"`."""
    @property
    def service_tier(self) -> str | None:
        """The tier of service that the server used, where it tells."""
    @property
    def system_fingerprint(self) -> str | None:
        """The server's name for its own state."""
    @overload
    def parse(self, model: type[_Model], /) -> _Model:
        """The text read as JSON by a pydantic model, or by a `TypeAdapter`: an instance of the model.

        `ask(…, response_format=Model)`, or the class as the request's member, makes the model write that.

        Raises what the model raises, with pydantic `ValidationError`, where the text does not fit; where it
        was cut off, `APIResponseValidationError` (kind `decode`).
        """
    @overload
    def parse(self, model: _Adapter[_Read], /) -> _Read: ...
    def to_message(self) -> dict[str, Any]:
        """The first choice's message as a plain dict, to be appended to `messages`.

        It is what the server sent, without thoughts and without members that are null.
        """

@final
class Choice(Node):
    """One choice of an answer."""

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def index(self) -> int | None:
        """Its index as the server gives it."""
    @property
    def message(self) -> Message:
        """The message."""
    @property
    def finish_reason(self) -> str | None:
        """Why the choice ended: `"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`, …"""
    @property
    def logprobs(self) -> Logprobs | None:
        """Log probabilities, where asked for."""

@final
class Stream:
    """An answer while it is being written: an iterator of chunks, one for every event of the reply, and a
    context manager that closes it.

    Whatever it ends with except a whole answer is raised by the iteration; `error.completion` keeps
    what arrived. One thread at a time may use it, others get `RuntimeError`; a `cancel=` token stops it
    from any thread. A stream that was neither read to its end nor closed is closed when it is dropped,
    with a `ResourceWarning`.

        with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
            for text in stream.text_stream:
                print(text, end="", flush=True)
        print(stream.verdict, stream.completion.usage)
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> Chunk: ...
    @property
    def text_stream(self) -> Iterator[str]:
        """The text alone: an iterator of str, the empty ones left out. It reads the same stream."""
    def finish(self) -> Completion:
        """Reads to the end and gives the whole answer; a stream that is at its end already is not read.

        Raises what the iteration raises.

            with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
                print(stream.finish().text)
        """
    @property
    def completion(self) -> Completion:
        """What has arrived so far, as a whole answer would be; it never reads on. The same object until
        more arrives; while the stream runs, its verdict is `truncated`."""
    @property
    def verdict(self) -> str | None:
        """How the stream ended: `complete`, `length`, `filtered`, `tool_calls`, `truncated`, `stalled`,
        `cancelled` (also where it was left early) or `failed`. None until then."""
    @property
    def saw_done(self) -> bool:
        """Whether the closing `[DONE]` has come; an answer can be whole without it."""
    @property
    def status(self) -> int:
        """HTTP status."""
    @property
    def headers(self) -> Headers:
        """Header fields of the reply; names compare without regard to case."""
    @property
    def request_id(self) -> str | None:
        """The gateway's id of the request; quote it to the operator."""
    def close(self) -> None:
        """Leaves the stream: its connection is closed at once, the iteration ends, what arrived stays
        readable. After the end it does nothing.
        """
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Chunk(Node):
    """One event of a stream: its members by attribute and by key, parsed when they are looked at, and the
    text it adds. Known members that are absent are None.

        for chunk in client.stream({"messages": [{"role": "user", "content": "Hello"}]}):
            print(chunk.text, chunk.choices, chunk.usage)
    """

    __match_args__: ClassVar[tuple[str]] = ...
    def __new__(cls, never: Never, /) -> Self: ...
    @property
    def text(self) -> str:
        """What the event adds to the text of the stream's choice with the lowest index; `""` if nothing."""
    @property
    def raw(self) -> bytes:
        """The event's JSON as it came, always the same object; bytes that are not UTF-8 are U+FFFD."""
    @property
    def choices(self) -> list[ChunkChoice]:
        """All choices of the event; an empty list where it has none."""
    @property
    def usage(self) -> Usage | None:
        """Token counts, where the event has them; `stream.completion.usage` has the last ones."""
    @property
    def id(self) -> str | None:
        """The answer's id."""
    @property
    def model(self) -> str | None:
        """The model that answers, as the server names it."""
    @property
    def created(self) -> int | None:
        """When the answer was begun, in seconds since 1970."""
    @property
    def object(self) -> str | None:
        """`"chat.completion.chunk"`."""
    @property
    def service_tier(self) -> str | None:
        """The tier of service that the server uses, where it tells."""
    def _with(self, json: str) -> Chunk:
        """The same event with another document, for `model_copy`."""
    @property
    def system_fingerprint(self) -> str | None:
        """The server's name for its own state."""

@final
class ChunkChoice(Node):
    """One choice of a stream's event."""

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def index(self) -> int | None:
        """Its index as the server gives it."""
    @property
    def delta(self) -> Message:
        """What the event adds to the message; a message without members where it adds nothing."""
    @property
    def finish_reason(self) -> str | None:
        """Why the choice ended; None until it has."""
    @property
    def logprobs(self) -> Logprobs | None:
        """Log probabilities, where asked for."""

@final
class Message(Node):
    """The message of a choice, or the piece of it that an event of a stream brings."""

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def role(self) -> str | None:
        """Who speaks: `"assistant"`."""
    @property
    def content(self) -> str | list[Any] | None:
        """The text, a list of parts, or None."""
    @property
    def refusal(self) -> str | None:
        """What the model says instead of an answer, where it refuses."""
    @property
    def tool_calls(self) -> list[ToolCall] | None:
        """Tool calls the model asks for."""
    @property
    def reasoning_content(self) -> str | None:
        """The model's thoughts."""
    @property
    def reasoning(self) -> str | None:
        """The model's thoughts, under the name some servers use."""
    @property
    def images(self) -> list[Any] | None:
        """Pictures as some servers send them; `answer.images` has them decoded."""
    @property
    def annotations(self) -> list[Any] | None:
        """Sources and other notes on the text."""
    @property
    def audio(self) -> Node | None:
        """Spoken answer, where asked for."""
    @property
    def function_call(self) -> Function | None:
        """A function call of the old form."""

@final
class Usage(Node):
    """Token counts as the server gives them; what is absent is None, never 0."""

    __match_args__: ClassVar[tuple[str, str, str]] = ...
    @property
    def prompt_tokens(self) -> int | None:
        """Tokens of the request."""
    @property
    def completion_tokens(self) -> int | None:
        """Tokens of the answer, thoughts included."""
    @property
    def total_tokens(self) -> int | None:
        """Both together."""
    @property
    def prompt_tokens_details(self) -> TokenDetails | None:
        """What the request's tokens are made of."""
    @property
    def completion_tokens_details(self) -> TokenDetails | None:
        """What the answer's tokens are made of."""

@final
class TokenDetails(Node):
    """What token counts are made of, as the server gives it; what is absent is None, never 0."""

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def reasoning_tokens(self) -> int | None:
        """Of the answer: tokens of the model's thoughts."""
    @property
    def cached_tokens(self) -> int | None:
        """Of the request: tokens that the server had kept."""
    @property
    def audio_tokens(self) -> int | None:
        """Tokens of sound."""
    @property
    def accepted_prediction_tokens(self) -> int | None:
        """Of the answer: tokens of a prediction that came true."""
    @property
    def rejected_prediction_tokens(self) -> int | None:
        """Of the answer: tokens of a prediction that did not."""

@final
class Logprobs(Node):
    """Log probabilities of a choice."""

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def content(self) -> list[Any] | None:
        """Those of the text, token by token."""
    @property
    def refusal(self) -> list[Any] | None:
        """Those of a refusal, token by token."""

@final
class ToolCall(Node):
    """One tool call."""

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def id(self) -> str | None:
        """Its id, to be given back with the tool's result."""
    @property
    def type(self) -> str | None:
        """`"function"`."""
    @property
    def index(self) -> int | None:
        """Place among the calls, where the server gives one."""
    @property
    def function(self) -> Function | None:
        """The function's name and arguments."""
    @property
    def name(self) -> str | None:
        """The function's name; None where there is none."""
    @property
    def arguments(self) -> str | None:
        """The arguments as the model wrote them, meant to be JSON; None where there are none."""
    @overload
    def args(self, model: None = None, /) -> Any:
        """The arguments, parsed anew each time; `{}` where the model wrote none.

        `model`: a pydantic model, or a `TypeAdapter`, that reads them instead and raises what it raises.

        Raises `APIResponseValidationError` (kind `decode`) where they are not JSON.
        """
    @overload
    def args(self, model: builtins.type[_Model], /) -> _Model: ...
    @overload
    def args(self, model: _Adapter[_Read], /) -> _Read: ...

@final
class Function(Node):
    """The function that a tool call names."""

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def name(self) -> str | None:
        """Its name."""
    @property
    def arguments(self) -> str | None:
        """The arguments as the model wrote them, meant to be JSON."""

@final
class Attempt(Node):
    """One HTTP request made for a call."""

    __match_args__: ClassVar[tuple[str, str]] = ...
    @property
    def status(self) -> int | None:
        """HTTP status; None when no reply arrived."""
    @property
    def kind(self) -> str | None:
        """What went wrong; None for the attempt that succeeded."""
    @property
    def request_id(self) -> str | None:
        """The gateway's id of this request."""
    @property
    def elapsed_ms(self) -> int:
        """How long the attempt took, in milliseconds."""

@final
class Image:
    """A picture of an answer, embedded or remote.

    Remote pictures are never fetched; their address is `url`.

        answer.images[0].save("cat.png")
    """

    __match_args__: ClassVar[tuple[str, str]] = ...
    def __new__(
        cls,
        source: str,
        media_type: str | None = None,
        url: str | None = None,
        bytes: bytes | None = None,  # noqa: A002
    ) -> Self: ...
    @property
    def source(self) -> str:
        """Where in the answer it stood: `content_markdown`, `content_data_url`, `content_parts` or
        `message_images`."""
    @property
    def media_type(self) -> str | None:
        """Media type such as `"image/png"`, told by the bytes; None for a remote picture."""
    @property
    def url(self) -> str | None:
        """The address of a remote picture; None for an embedded one."""
    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture to a file, replacing what was there. The folder must exist; the name's ending
        changes nothing, `media_type` says what the picture is.

        Raises `FileError` (also an `OSError`) when it cannot be written, and `InvalidArgumentError`
        for a remote picture, which has no bytes here.
        """
    def _repr_png_(self) -> bytes | None: ...
    def _repr_jpeg_(self) -> bytes | None: ...
    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    @property
    def bytes(self) -> bytes | None:
        """The decoded picture file, always the same object; None for a remote picture."""

@final
class Headers:
    """The reply's header fields: a read-only mapping whose names compare without regard to case.

    `headers["x"]` is the first value of a field; `items()` has every line, repeated ones too.
    """

    def __new__(cls, lines: Iterable[tuple[str, str]] = [], /) -> Self: ...
    def __getitem__(self, name: str, /) -> str: ...
    def get(self, name: str, default: Any = None, /) -> Any:
        """The first value of the field, else `default`."""
    def __contains__(self, name: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...
    def keys(self) -> list[str]:
        """The names in lower case, each once."""
    def items(self) -> list[tuple[str, str]]:
        """All lines as pairs of name and value, in order."""
    def values(self) -> list[str]:
        """The values of all lines, in order."""
    def get_list(self, name: str, /) -> list[str]:
        """All values of the field, in order; of a field of several lines one for each."""
    def multi_items(self) -> list[tuple[str, str]]:
        """As `items`; the name of httpx's method."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

def image_part(
    picture: str | os.PathLike[str] | Buffer | Image,
    *,
    detail: str | None = None,
    media_type: str | None = None,
) -> dict[str, Any]:
    """A picture as a part of a message's content: a plain dict.

    `picture`: the path of a file, the bytes of one, a picture of an answer, or an address that begins
    with `https:`, `http:` or `data:` and is passed on as it is. The media type is told by the bytes;
    `media_type` is used where they do not tell. `detail`: `"low"`, `"high"` or `"auto"`, for models that
    know it.

    Raises `FileError` (also an `OSError`) when the file cannot be read, `InvalidArgumentError` when it is
    no picture or too large for a request, and `TypeError` for a wrong type.

        picture = elkapi.image_part(answer.images[0])
        question = {"type": "text", "text": "What is on it?"}
        client.chat_completions({"messages": [{"role": "user", "content": [question, picture]}]})
    """

def unpickle_client(given: list[dict[str, Any]]) -> Client:
    """A client out of a pickle."""

def unpickle_answer(
    whole: bool,
    reply: tuple[int, list[tuple[str, str]], bytes],
    attempts: list[tuple[int | None, str | None, str | None, int]],
    elapsed_ms: int,
    facts: dict[str, Any],
) -> Document:
    """An answer out of a pickle."""

def unpickle_chunk(raw: bytes, text: str) -> Chunk:
    """A chunk out of a pickle."""

@final
class RawTransport:
    """Connections to any server."""

    def __new__(cls, raises: Callable[[Any], Exception], **options: Any) -> RawTransport: ...
    def send(
        self,
        method: str,
        url: str,
        fields: list[tuple[bytes, bytes]],
        body: bytes | Iterable[bytes] | None,
        connect: float | None,
        write: float | None,
        read: float | None,
    ) -> RawReply:
        """Sends a request and waits for the reply's header fields."""

    def begin(
        self,
        queue: _Queue,
        wake: Callable[[], object],
        method: str,
        url: str,
        fields: list[tuple[bytes, bytes]],
        body: bytes | None,
        connect: float | None,
        write: float | None,
        read: float | None,
    ) -> _Call:
        """The same as a call of a queue, which ends with the reply."""

    def close_idle(self) -> None:
        """Closes connections that lie idle."""

@final
class RawReply:
    """A reply: status, field lines, and an iterator of its body's bytes."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The field lines as pairs of bytes."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def now(self) -> bytes | None:
        """The bytes that are here already; empty at the end, None where a wait is needed."""

    def begin_read(self, queue: _Queue, wake: Callable[[], object]) -> _Call:
        """The wait for the next bytes as a call of a queue; empty at the end."""

    def close(self) -> None:
        """Leaves the body: reads what little is missing of it, else closes the connection."""

    def close_now(self) -> bool:
        """The same where it takes no wait: whether the body is left."""

    def begin_close(self, queue: _Queue, wake: Callable[[], object]) -> _Call:
        """The same as a call of a queue."""

    def __reduce__(self) -> Any: ...
