"""What is not given, and limits, in the words of OpenAI's package; its own objects are known by their looks.

Nothing of that package, or of an HTTP library, is imported.
"""

from __future__ import annotations

from typing import Any, TypeAlias, final

import elkapi

__all__ = ["DEFAULT_TIMEOUT", "NOT_GIVEN", "NotGiven", "Omit", "Timeout", "TimeoutTypes", "not_given", "omit"]


@final
class Omit:
    """`omit` in an argument's place leaves it out of the request; in a header's place, the header."""

    __module__ = "elkapi"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "omit"


@final
class NotGiven:
    """`NOT_GIVEN` in an argument's place is as good as no argument; None is sent as null."""

    __module__ = "elkapi"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


omit = Omit()
not_given = NotGiven()
NOT_GIVEN = not_given


def is_absent(value: object) -> bool:
    """Whether it stands for nothing, be it ours or that of OpenAI's package."""
    kind = type(value)
    if kind is Omit or kind is NotGiven:
        return True
    return kind.__name__ in ("Omit", "NotGiven") and kind.__module__.partition(".")[0] == "openai"


class Timeout:
    """Limits of a call in seconds, as httpx has them: for connecting, for each write and for each read.

    `timeout` stands for what is not named; None means no limit. `pool` is kept and has no meaning: nobody
    waits for a connection. To bound a call as a whole, give `elkapi.Timeout(total=60)` in its place.

        client = elkapi.openai.OpenAI(timeout=elkapi.openai.Timeout(60, connect=5))
    """

    connect: float | None
    read: float | None
    write: float | None
    pool: float | None

    def __init__(self, timeout: Any = not_given, **limits: float | None) -> None:
        unknown = limits.keys() - {"connect", "read", "write", "pool"}
        if unknown:
            raise TypeError(f"Timeout() got an unexpected keyword argument {min(unknown)!r}")
        if is_absent(timeout) and len(limits) < 4:
            raise ValueError("Timeout() takes a default, or connect, read, write and pool, all four")
        for name in ("connect", "read", "write", "pool"):
            whole = getattr(timeout, name) if hasattr(timeout, "connect") else timeout
            setattr(self, name, limits.get(name, whole))

    def as_dict(self) -> dict[str, float | None]:
        """The four limits by name."""
        return {name: getattr(self, name) for name in ("connect", "read", "write", "pool")}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeout) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        limits = ", ".join(f"{name}={limit!r}" for name, limit in self.as_dict().items())
        return f"Timeout({limits})"


TimeoutTypes: TypeAlias = float | Timeout | elkapi.Timeout | Any | None
"""Seconds, ours, those of OpenAI's package and of httpx, or None for no limit."""

DEFAULT_TIMEOUT = Timeout(600.0, connect=10.0)
"""What a client has that is given no other: 600 s for a whole answer; for a stream 600 s to its first byte
and 310 s of silence; 10 s for connecting."""


def native_timeout(timeout: Any) -> elkapi.Timeout:
    """The same limits as `elkapi.Client` takes them: none of them bounds the whole call."""
    if isinstance(timeout, elkapi.Timeout):
        return timeout
    if isinstance(timeout, tuple):
        connect, read, write = (*timeout, None, None)[:3]
    elif hasattr(timeout, "connect") and hasattr(timeout, "read"):
        connect, read, write = timeout.connect, timeout.read, timeout.write
    else:
        connect = read = write = timeout
    return elkapi.Timeout(connect=connect, write=write, first_byte=read, idle=read, total=None)
