"""Which functions does a mapping have beside those of JMESPath?

A function that gets nothing (null) where it needs something gives nothing, so that what is missing in a document is
left out of the event. What is there and cannot be understood is an error: a wrong amount must never pass silently.
"""

from __future__ import annotations

import json
import re
import unicodedata
from hashlib import sha256
from typing import Any, Final

from jmespath.functions import Functions, signature

from services.ingest.mapping import amounts, instants

TEXT_LENGTH_MAX: Final = 32 * 1024
SLUG_LENGTH_MAX: Final = 100
HASH_LENGTH: Final = 24

_NOT_IN_SLUGS = re.compile(r"[^\w]+|_+")
_ANY: Any = {"types": []}
_MORE: Any = {"types": [], "variadic": True}


class FunctionFailed(ValueError):
    """A function was given what it cannot work with; the text says what."""


class MappingFunctions(Functions):
    """`_func_<name>` is the function `<name>` of the language; `signature` registers it."""

    @signature(_MORE)
    def _func_money(self, *given: Any) -> str | None:
        """money(amount) or money(amount, ','): an amount as a decimal text; the second is what groups thousands."""
        if _nothing(given[0]):
            return None
        grouping = _optional_text("money", given, "what stands between thousands")
        try:
            return amounts.canonical(amounts.decimal_of(given[0], grouping))
        except ValueError as error:
            raise FunctionFailed(f"money(): {error}") from None

    @signature(_ANY, _ANY)
    def _func_minor(self, amount: Any, currency: Any) -> str | None:
        """minor(amount, currency): cents and the like as an amount in the currency itself."""
        if _nothing(amount) or _nothing(currency):
            return None
        try:
            return amounts.canonical(amounts.major_of(amount, currency))
        except ValueError as error:
            raise FunctionFailed(f"minor(): {error}") from None

    @signature(_ANY)
    def _func_total(self, given: Any) -> str | None:
        """total(list): the exact sum of amounts; numbers in JSON add up to 0.30000000000000004 and the like."""
        if given is None:
            return None
        if not isinstance(given, list):
            raise FunctionFailed("total(): it needs a list of amounts")
        try:
            return amounts.canonical(amounts.total_of(each for each in given if not _nothing(each)))
        except ValueError as error:
            raise FunctionFailed(f"total(): {error}") from None

    @signature(_MORE)
    def _func_time(self, *given: Any) -> str | None:
        """time(written) or time(written, 'Asia/Seoul'): RFC 3339; the zone is for what has no offset, else UTC."""
        if _nothing(given[0]):
            return None
        try:
            return instants.rfc3339(instants.instant_of(given[0], _optional_text("time", given, "a time zone")))
        except (ValueError, OverflowError) as error:
            raise FunctionFailed(f"time(): {error}") from None

    @signature(_MORE)
    def _func_day(self, *given: Any) -> str | None:
        """day(written) or day(written, 'Asia/Seoul'): the date alone, such as 2026-11-21."""
        if _nothing(given[0]):
            return None
        try:
            return instants.day_of(given[0], _optional_text("day", given, "a time zone")).isoformat()
        except (ValueError, OverflowError) as error:
            raise FunctionFailed(f"day(): {error}") from None

    @signature(_ANY, _ANY)
    def _func_days_between(self, earlier: Any, later: Any) -> float | None:
        """days_between(earlier, later): how many days lie between two times; negative when it is the other way."""
        if _nothing(earlier) or _nothing(later):
            return None
        try:
            span = instants.instant_of(later) - instants.instant_of(earlier)
        except (ValueError, OverflowError) as error:
            raise FunctionFailed(f"days_between(): {error}") from None
        return span.total_seconds() / 86_400

    @signature(_ANY)
    def _func_text(self, given: Any) -> str | None:
        return None if given is None else text_of(given, "text")

    @signature(_ANY)
    def _func_lower(self, given: Any) -> str | None:
        return None if given is None else text_of(given, "lower").lower()

    @signature(_ANY)
    def _func_upper(self, given: Any) -> str | None:
        return None if given is None else text_of(given, "upper").upper()

    @signature(_MORE)
    def _func_concat(self, *parts: Any) -> str | None:
        """concat(part, ...): nothing when a part is missing, for half an id is worse than none."""
        if any(part is None for part in parts):
            return None
        return "".join(text_of(part, "concat") for part in parts)

    @signature(_ANY, _ANY)
    def _func_default(self, given: Any, otherwise: Any) -> Any:
        """default(x, y): y where x is missing or a blank text; 0 and false are there."""
        return otherwise if _nothing(given) else given

    @signature(_ANY)
    def _func_slug(self, given: Any) -> str | None:
        """slug(x): letters and digits of any script in lower case, all else as single hyphens."""
        if given is None:
            return None
        plain = unicodedata.normalize("NFKC", text_of(given, "slug")).lower()
        return _NOT_IN_SLUGS.sub("-", plain)[:SLUG_LENGTH_MAX].strip("-") or None

    @signature(_MORE)
    def _func_hash(self, *parts: Any) -> str:
        """hash(part, ...): a short id that is the same for the same parts, whatever their order in objects."""
        try:
            whole = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError):
            raise FunctionFailed("hash(): a part is no JSON value") from None
        return sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]

    @signature()
    def _func_absent(self) -> None:
        return None


TABLE: Final[dict[str, Any]] = MappingFunctions.FUNCTION_TABLE
_ARGUMENTS_MAX: Final = {"money": 2, "time": 2, "day": 2}


def arguments_of(name: str) -> tuple[int, int | None]:
    """How many arguments a function takes: at least, and at most unless there is no end."""
    shape = TABLE[name]["signature"]
    variadic = bool(shape) and bool(shape[-1].get("variadic"))
    return len(shape), _ARGUMENTS_MAX.get(name) if variadic else len(shape)


def text_of(value: Any, name: str) -> str:
    """What a number, a truth value or a text is as a text; FunctionFailed for lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 10**100:
        return str(value)
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    shown = {dict: "an object", list: "a list", int: "an endless number"}.get(type(value), "no JSON value")
    raise FunctionFailed(f"{name}(): {shown} cannot stand as a text")


def _nothing(value: Any) -> bool:
    return value is None or isinstance(value, str) and not value.strip()


def _optional_text(name: str, given: tuple[Any, ...], meaning: str) -> str:
    if len(given) < 2:
        return ""
    if not isinstance(given[1], str):
        raise FunctionFailed(f"{name}(): the second argument is {meaning}, a text")
    return given[1]
