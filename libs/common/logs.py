"""What does this process say, in which shape, and what may never be said? JSON lines on stderr."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextvars import ContextVar, Token
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

MASK = "[masked]"
VALUE_LENGTH_MAX = 2_000

# Words that name something of a person. A key that contains one of them never shows its value.
PERSONAL_WORDS = frozenset(
    "address authorization birth birthdate birthday body card cookie email firstname fullname iban "
    "identifier identifiers ip lastname mail mobile nickname passport password payload phone recipient rrn "
    "secret ssn street surname tel telephone token traits zip".split()
)
PERSONAL_KEYS = frozenset({"name", "data", "customer_name", "person", "to", "sender", "text", "note", "value"})
# Values that this product makes itself and that may look like a number of somebody.
SAFE_KEYS = frozenset(
    "time level service instance logger correlation trace unit units epoch topic partition offset version "
    "number customer rule campaign decision message_id event_id status method route seconds count".split()
)

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
# Nine digits or more, with the separators that people put between them.
_SUSPECT = re.compile(
    r"(?P<keep>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?"
    r"|(?<![\w.+-])(?:0|[1-9]\d{0,2})\.\d+(?![\w.-]))"
    r"|(?P<email>[^\s@<>\"'(),;:=]+@[^\s@<>\"'(),;:=]+)"
    r"|(?P<digits>(?<![\w.])\+?\(?\d(?:[\s().\-]{0,2}\d){8,}(?![\w]))"
)
# PostgreSQL repeats the offending row in DETAIL, and pydantic the offending value: both are the person's.
_QUOTED_INPUT = re.compile(r"(DETAIL:\s*).*|(input_value=).*?(?=, input_type=|\]|$)", re.MULTILINE)

_correlation: ContextVar[str] = ContextVar("dangol_correlation", default="")


def configure(service: str, level: str = "info", *, instance: str = "", stream: TextIO | None = None) -> None:
    """Send everything, the standard library's loggers included, through one redacting JSON formatter."""
    shared = _shared_processors(service, instance)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                _rename_and_render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    _quiet(level)


def get(name: str) -> FilteringBoundLogger:
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def bind_correlation(correlation_id: str) -> Token[str]:
    """Every line of this task carries the id from now on; give the token to `unbind_correlation`."""
    return _correlation.set(correlation_id)


def unbind_correlation(token: Token[str]) -> None:
    _correlation.reset(token)


def correlation() -> str:
    return _correlation.get()


def mask(text: str) -> str:
    """Hide what looks like an e-mail address or a telephone, card or identity number."""
    text = _QUOTED_INPUT.sub(lambda match: (match[1] or match[2]) + MASK, text)
    return _SUSPECT.sub(lambda match: match[0] if match["keep"] else MASK, text)


def redact(logger: WrappedLogger, method: str, entry: EventDict) -> EventDict:
    """The last processor: what is not known to be harmless is looked at before it is written."""
    return {key: value if key in SAFE_KEYS else _redacted(key, value) for key, value in entry.items()}


def is_personal(key: str) -> bool:
    if key.lower() in PERSONAL_KEYS:
        return True
    return any(word.lower() in PERSONAL_WORDS for word in _WORD.findall(key))


def _redacted(key: str, value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if is_personal(key):
        return MASK
    if isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {str(inner): _redacted(str(inner), held) for inner, held in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_redacted(key, held) for held in value]
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    return mask(str(value))[:VALUE_LENGTH_MAX] if key != "exception" else mask(str(value))


def _shared_processors(service: str, instance: str) -> list[Processor]:
    def stamp(logger: WrappedLogger, method: str, entry: EventDict) -> EventDict:
        entry["service"] = service
        if instance:
            entry["instance"] = instance
        if current := _correlation.get():
            entry.setdefault("correlation", current)
        return entry

    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        stamp,
    ]


def _rename_and_render(logger: WrappedLogger, method: str, entry: MutableMapping[str, object]) -> str:
    first = {key: entry.pop(key) for key in ("time", "level", "service", "event") if key in entry}
    # Plain ASCII: no line break, terminal sequence or look-alike separator of any alphabet survives.
    return json.dumps({**first, **entry}, default=str, ensure_ascii=True)


def _quiet(level: str) -> None:
    """Libraries that narrate each step of their work speak up only when something is wrong."""
    if level == "debug":
        return
    for name in ("aiokafka", "asyncio", "uvicorn", "uvicorn.error", "alembic", "httpx", "aiosmtplib"):
        logging.getLogger(name).setLevel(logging.WARNING)
