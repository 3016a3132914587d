"""Is this a JSON Schema that events can be checked with, and what does it say of given data? Pure.

A schema is written by an owner and asked for every event of its type, so what it may cost is settled when it is
registered: no reference leads out of the document or in a circle, patterns are matched in linear time, and the schema
stays small however often its parts refer to one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import jsonschema_rs
import msgspec

from libs.common.errors import Fault, Invalid
from services.ingest.refusals import Violation
from services.ingest.schemas.explaining import explain, fault_of_schema
from services.ingest.schemas.walk import Unfolded, walk
from services.ingest.strict import pointer

BYTES_MAX: Final = 64 * 1024
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PATTERN_BYTES_MAX: Final = 200_000
FAULTS_MAX: Final = 20
VIOLATIONS_MAX: Final = 20
# Beyond these only the first violation is looked for: to find them all copies every bad member, and the library has
# found all before it says the first, which can be as many as the values in the data times the parts of the schema.
SEARCHED_BYTES_MAX: Final = 4 * 1024
SEARCHED_CHECKS_MAX: Final = 4_000

PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES_MAX)
FORMATS: Final = (
    "date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6", "uri",
    "uri-reference", "iri", "iri-reference", "uuid", "json-pointer",
)  # fmt: skip
"""The formats that are checked; another one is refused in a schema, because nobody would look at it."""


class Schema:
    """A compiled schema; `document` is what the owner wrote. Made by `compiled`."""

    __slots__ = ("_validator", "document", "is_valid", "unfolded")

    def __init__(self, document: Mapping[str, Any], validator: jsonschema_rs.Validator, unfolded: Unfolded) -> None:
        self.document = document
        self.is_valid = validator.is_valid
        self.unfolded = unfolded
        self._validator = validator

    def violations(self, data: Any, size: int, *, all_of_them: bool) -> list[Violation]:
        """What is wrong with `data`, whose JSON has `size` bytes; pointers begin with /data. Empty when it is valid."""
        if all_of_them and size <= SEARCHED_BYTES_MAX and self._is_soon_searched(data):
            errors = list(self._validator.iter_errors(data))[:VIOLATIONS_MAX]
            return [explain(error, self.document) for error in errors]
        try:
            self._validator.validate(data)
        except jsonschema_rs.ValidationError as error:
            return [explain(error, self.document)]
        return []

    def _is_soon_searched(self, data: Any) -> bool:
        most = SEARCHED_CHECKS_MAX // max(1, self.unfolded.size)
        values, waiting = 0, [data]
        while waiting and values <= most:
            value = waiting.pop()
            values += 1
            if isinstance(value, dict | list):
                waiting.extend(value.values() if isinstance(value, dict) else value)
        return values <= most


def compiled(document: Any) -> Schema:
    """The schema, ready for use; Invalid with a pointer into the document to each thing that is wrong."""
    if not isinstance(document, dict):
        raise Invalid("A schema is a JSON object.", [Fault("", "expected an object, such as {} for any data")])
    if (size := len(msgspec.json.encode(document))) > BYTES_MAX:
        raise Invalid(f"The schema has {size} bytes; {BYTES_MAX} are possible.", [Fault("", "the schema is too large")])
    unfolded = walk(document, FORMATS)
    unfolded.faults += _faults_of_dialect(document)
    if unfolded.faults:
        raise _unusable(unfolded.faults)
    try:
        validator = jsonschema_rs.Draft202012Validator(
            document, offline=True, validate_formats=True, ignore_unknown_formats=False, pattern_options=PATTERNS
        )
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise _unusable(_faults_of_form(document) or [fault_of_schema(error)]) from None
    return Schema(document, validator, unfolded)


def _faults_of_dialect(document: Mapping[str, Any]) -> list[Fault]:
    if document.get("$schema", DIALECT) in (DIALECT, DIALECT + "#"):
        return []
    return [Fault("/$schema", f"schemas are written in the dialect {DIALECT}; say so, or leave it out")]


def _faults_of_form(document: Mapping[str, Any]) -> list[Fault]:
    """What the dialect's own schema says of the document, each place once."""
    found: dict[str, Fault] = {}
    for error in _dialect().iter_errors(document):
        found.setdefault(pointer(error.instance_path), fault_of_schema(error))
    return list(found.values())


@cache
def _dialect() -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(
        {"$ref": DIALECT}, offline=True, validate_formats=True, pattern_options=PATTERNS
    )


def _unusable(faults: Sequence[Fault]) -> Invalid:
    first = faults[0]
    return Invalid(
        f"The schema cannot be used: {first.pointer or 'the document'}: {first.detail}.", faults[:FAULTS_MAX]
    )
