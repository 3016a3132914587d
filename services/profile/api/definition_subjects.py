"""What can be defined, by whom, and as which document? One line per subject; the document follows from its shape."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from pydantic import Field, Strict, ValidationError, create_model

from libs.common.errors import Fault, Invalid
from libs.common.web import Document
from libs.common.web.problems import faults_of
from services.profile.defining import shapes
from services.profile.person import definition_checks as checks
from services.profile.person import term_checks

DAYS_MAX: Final = 36_500
WHOLE_MAX: Final = 1_000_000
AMOUNT_MAX: Final = 10**15
TEXT_LENGTH_MAX: Final = 200
ENTRIES_MAX: Final = 500


@dataclass(frozen=True)
class Subject:
    """`check` says what must hold between the parts; `editors` are the roles, beside admin, that may change it."""

    check: Callable[[Any], Iterable[Fault]] = lambda terms: ()
    editors: tuple[str, ...] = ("marketer",)


SUBJECTS: Final[Mapping[str, Subject]] = {
    "lifecycle": Subject(checks.lifecycle),
    "rfm": Subject(checks.rfm),
    "grades": Subject(checks.grades),
    "life_stages": Subject(checks.life_stages),
    "traits": Subject(checks.traits, ("marketer", "operator")),
    "duplicates": Subject(checks.duplicates, ("operator", "privacy")),
    "identity": Subject(term_checks.identity, ("privacy",)),
    "consents": Subject(term_checks.consents, ("privacy",)),
    "points": Subject(term_checks.points, ("marketer", "operator")),
    "quality": Subject(term_checks.quality, ("marketer", "operator")),
}


def document_of(shape: type[msgspec.Struct]) -> type[Document]:
    """The document that people write for a shape: what is not named in it is as shipped."""
    fields: dict[str, Any] = {}
    for each in msgspec.structs.fields(shape):
        default = ... if each.required else None
        fields[each.name] = (_accepted(each.type, each.name), Field(default))
    return create_model(shape.__name__, __base__=Document, __doc__=shape.__doc__, **fields)


def _accepted(kind: Any, name: str) -> Any:
    """What pydantic takes for a type of a shape, within bounds that hold for everything."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return document_of(kind)
    plain = _plain(name).get(kind)
    if plain is not None:
        return plain
    return _composed(kind, get_origin(kind), get_args(kind), name)


def _composed(kind: Any, origin: Any, inner: tuple[Any, ...], name: str) -> Any:
    if origin is Annotated:
        return _bounded(_accepted(inner[0], name), kind.__metadata__)
    if origin in (Union, types.UnionType):
        return Union[tuple(_accepted(each, name) for each in inner)]  # noqa: UP007 - made of what is found.
    made: Any
    if origin is dict:
        made = dict[_accepted(inner[0], ""), _accepted(inner[1], name)]  # type: ignore[misc]
    elif origin in (list, set, frozenset) or (origin is tuple and inner[-1] is ...):
        made = list[_accepted(inner[0], name)]  # type: ignore[misc]
    elif origin is tuple:
        return tuple[tuple(_accepted(each, name) for each in inner)]  # type: ignore[misc]
    else:
        return kind
    return Annotated[made, Field(max_length=ENTRIES_MAX)]


def _bounded(accepted: Any, said: Iterable[Any]) -> Any:
    """The bounds that the shape itself has, so that what is outside of them is refused with its place."""
    bounds = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
    for meta in said:
        found = {name: value for name in bounds if (value := getattr(meta, name, None)) is not None}
        accepted = Annotated[accepted, Field(**found)]
    return accepted


def _plain(name: str) -> dict[Any, Any]:
    most = DAYS_MAX if name.endswith("_days") else WHOLE_MAX
    return {
        bool: Annotated[bool, Strict()],
        int: Annotated[int, Field(ge=0, le=most, strict=True)],
        float: Annotated[float, Field(ge=0, le=AMOUNT_MAX)],
        Decimal: Annotated[Decimal, Field(ge=0, le=AMOUNT_MAX, max_digits=24)],
        str: Annotated[str, Field(max_length=TEXT_LENGTH_MAX)],
    }


def checked(subject: str, document: type[Document], body: Mapping[str, Any]) -> msgspec.Struct:
    """The body as the shape of its subject; Invalid with every fault and its place."""
    try:
        said = document.model_validate(body).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        found = [{**each, "loc": ("body", "body", *each["loc"])} for each in error.errors()]
        raise Invalid("The definition does not have the shape of its subject.", faults_of(found)) from None
    try:
        made: msgspec.Struct = msgspec.convert(said, shapes()[subject])
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `$")
        pointer = re.sub(r"[.\[]([^.\[\]]+)\]?", r"/\1", path.rstrip("`"))
        raise Invalid(
            "The definition does not have the shape of its subject.", [Fault(f"/body{pointer}", detail)]
        ) from None
    if faults := [Fault(f"/body{each.pointer}", each.detail) for each in SUBJECTS[subject].check(made)]:
        raise Invalid("The definition contradicts itself.", faults)
    return made
