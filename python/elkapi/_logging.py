"""One line of `logging` for every attempt of a call.

Imported by the first call of a program that has imported `logging`, never by `import elkapi`.
"""

import logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_logger = logging.getLogger("elkapi")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "off": logging.CRITICAL,
}


def wanted() -> "bool | None":
    """Which attempts somebody listens to: all (True), those that failed (False), or none (None)."""
    if not _logger.isEnabledFor(logging.WARNING) or not _logger.hasHandlers():
        return None
    return _logger.isEnabledFor(logging.INFO)


def tell(record: "dict[str, Any]") -> None:
    """Logs one attempt; the members of its record are attributes of the log record."""
    level = logging.WARNING if "error.type" in record else logging.INFO
    if _logger.isEnabledFor(level):
        # The line of the program that called: this library's own frames but this one are no Python.
        _logger.log(level, _line(record), extra=record, stacklevel=2)


def _line(record: "dict[str, Any]") -> str:
    """The record in words, such as `POST api.elkapi.com/chat/completions: 200 complete in 1.204 s, …`."""
    port = "" if record["server.port"] == 443 else f":{record['server.port']}"
    place = f"{record['http.request.method']} {record['server.address']}{port}{record['url.path']}"
    status = f"{record['http.response.status_code']} " if "http.response.status_code" in record else ""
    outcome = record.get("error.type", record["verdict"])
    facts = [f"{place}: {status}{outcome} in {record['duration_ms'] / 1000:.3f} s"]
    if "error.type" in record:
        phase = f" in phase {record['phase']}" if "phase" in record else ""
        facts.append(f"billed: {record['billed']}, {record['bytes_sent']} bytes sent{phase}")
        if "retry_after_ms" in record:
            facts.append(f"the server asks to wait {record['retry_after_ms'] / 1000:g} s")
    if "time_to_first_chunk_ms" in record:
        facts.append(f"first chunk after {record['time_to_first_chunk_ms'] / 1000:.3f} s")
    model = record.get("gen_ai.response.model", record.get("gen_ai.request.model"))
    if model is not None:
        facts.append(model)
    if "gen_ai.usage.input_tokens" in record or "gen_ai.usage.output_tokens" in record:
        tokens = [record.get(f"gen_ai.usage.{name}_tokens", "?") for name in ("input", "output")]
        facts.append(f"{tokens[0]} tokens in, {tokens[1]} out")
    if record["http.request.resend_count"]:
        facts.append(f"attempt {record['http.request.resend_count'] + 1}")
    if "request_id" in record:
        facts.append(f"request {record['request_id']}")
    return ", ".join(facts)


class _Aside(logging.StreamHandler):  # type: ignore[type-arg]
    """Lines on standard error for `ELKAPI_LOG`; silent as soon as the program has handlers of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            super().emit(record)


class _Members(logging.Formatter):
    """The line, and on the level `debug` all members of the record."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if _logger.getEffectiveLevel() > logging.DEBUG:
            return line
        members = vars(record)
        names = list(members)
        names = names[names.index("record") + 1 :] if "record" in names else []
        shown = [f"{name}={members[name]}" for name in names if name not in ("message", "asctime")]
        return "\n    ".join([line, *shown])


def set_up(level: str) -> bool:
    """Lines on standard error from that level on; whether there is such a level."""
    if level not in _LEVELS:
        return False
    _logger.setLevel(_LEVELS[level])
    if not _logger.hasHandlers():
        handler = _Aside()
        handler.setFormatter(_Members("%(asctime)s %(name)s %(levelname)s %(message)s"))
        _logger.addHandler(handler)
    return True
