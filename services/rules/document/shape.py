"""Where does a JSON value differ from a msgspec type? Every place, where msgspec names the first only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from libs.common.errors import Fault

_NAMES: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.NoneType: "null",
    inspect.ListType: "a list",
    inspect.DictType: "an object",
    inspect.StructType: "an object",
    inspect.DateTimeType: "an instant with an offset; e.g. 2026-12-01T09:00:00+09:00",
}


def faults(value: Any, expected: Any) -> list[Fault]:
    """What keeps `msgspec.convert(value, expected)` from passing, with an RFC 6901 pointer for each place."""
    return [Fault(pointer, detail) for pointer, detail in _check(_described(expected), value, "")]


@cache
def _described(expected: Any) -> inspect.Type:
    return inspect.type_info(expected)


def _check(kind: inspect.Type, value: Any, at: str) -> Iterator[tuple[str, str]]:
    called = ""
    if isinstance(kind, inspect.Metadata):
        called = (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        yield from _check_union(kind, value, at)
    elif isinstance(kind, inspect.StructType):
        yield from _check_struct(kind, value, at)
    elif isinstance(kind, inspect.ListType) and isinstance(value, list):
        yield from _check_list(kind, value, at)
    elif isinstance(kind, inspect.DictType) and isinstance(value, dict):
        yield from _check_dict(kind, value, at)
    elif isinstance(kind, inspect.LiteralType):
        if value not in kind.values or isinstance(value, bool):
            allowed = ", ".join(map(str, kind.values))
            yield at, f"{_shown(value)} is none of {allowed}{_near(value, kind.values)}"
    elif fault := _scalar_fault(kind, value, called):
        yield at, fault


def _check_union(kind: inspect.UnionType, value: Any, at: str) -> Iterator[tuple[str, str]]:
    structs = [each for each in kind.types if isinstance(each, inspect.StructType) and each.tag is not None]
    if structs:
        yield from _check_tagged(structs, value, at)
        return
    found = [list(_check(each, value, at)) for each in kind.types]
    if any(not each for each in found):
        return
    # The member that the author most likely meant is the one of the same JSON kind.
    meant = [each for each, kind_ in zip(found, kind.types, strict=True) if _same_kind(kind_, value)]
    if meant:
        yield from meant[0]
        return
    names = [_name(each) for each in kind.types if not isinstance(each, inspect.NoneType)]
    yield at, f"{_shown(value)} is not {' or '.join(dict.fromkeys(names))}"


def _check_tagged(structs: list[inspect.StructType], value: Any, at: str) -> Iterator[tuple[str, str]]:
    field = structs[0].tag_field or "type"
    if not isinstance(value, dict):
        yield at, f"{_shown(value)} is not an object"
        return
    known = {str(each.tag): each for each in structs}
    tag = value.get(field)
    if tag is None:
        yield f"{at}/{field}", f"is missing; one of {', '.join(known)}"
    elif not isinstance(tag, str) or tag not in known:
        yield f"{at}/{field}", f"{_shown(tag)} is none of {', '.join(known)}{_near(tag, tuple(known))}"
    else:
        yield from _check_struct(known[tag], value, at)


def _check_struct(kind: inspect.StructType, value: Any, at: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield at, f"{_shown(value)} is not an object"
        return
    fields = {each.encode_name: each for each in kind.fields}
    for name in value:
        if name not in fields and not (kind.tag is not None and name == kind.tag_field):
            yield f"{at}/{_escaped(name)}", f"is not known here{_near(name, tuple(fields))}"
    for name, each in fields.items():
        if name in value:
            yield from _check(each.type, value[name], f"{at}/{_escaped(name)}")
        elif each.required:
            yield f"{at}/{_escaped(name)}", "is missing"


def _check_list(kind: inspect.ListType, value: list[Any], at: str) -> Iterator[tuple[str, str]]:
    if kind.min_length is not None and len(value) < kind.min_length:
        yield at, f"needs at least {kind.min_length} entries"
    if kind.max_length is not None and len(value) > kind.max_length:
        yield at, f"has {len(value)} entries, at most {kind.max_length} are allowed"
        return
    for index, each in enumerate(value):
        yield from _check(kind.item_type, each, f"{at}/{index}")


def _check_dict(kind: inspect.DictType, value: dict[str, Any], at: str) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        yield from _check(kind.key_type, name, f"{at}/{_escaped(name)}")
        yield from _check(kind.value_type, each, f"{at}/{_escaped(name)}")


def _scalar_fault(kind: inspect.Type, value: Any, called: str) -> str:
    if isinstance(kind, inspect.AnyType):
        return ""
    if not _same_kind(kind, value):
        return f"{_shown(value)} is not {called or _name(kind)}"
    if isinstance(kind, inspect.StrType):
        return _text_fault(kind, value, called)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _range_fault(kind, value)
    return ""


def _text_fault(kind: inspect.StrType, value: str, called: str) -> str:
    if kind.pattern is not None and not re.search(kind.pattern, value):
        return f"{_shown(value)} is not {called or 'of the form ' + kind.pattern}"
    if kind.min_length is not None and len(value) < kind.min_length:
        return f"has {len(value)} characters, at least {kind.min_length} are needed"
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"has {len(value)} characters, at most {kind.max_length} are allowed"
    return ""


def _range_fault(kind: inspect.IntType | inspect.FloatType, value: float) -> str:
    if kind.ge is not None and value < kind.ge:
        return f"{value} is below {kind.ge}"
    if kind.le is not None and value > kind.le:
        return f"{value} is above {kind.le}"
    if kind.gt is not None and value <= kind.gt:
        return f"{value} is not above {kind.gt}"
    return ""


def _same_kind(kind: inspect.Type, value: Any) -> bool:
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.DateTimeType):
        return isinstance(value, str) and _is_instant(value)
    wanted: dict[type[inspect.Type], tuple[type, ...]] = {
        inspect.StrType: (str,),
        inspect.IntType: (int,),
        inspect.FloatType: (int, float),
        inspect.BoolType: (bool,),
        inspect.NoneType: (type(None),),
        inspect.ListType: (list,),
        inspect.DictType: (dict,),
        inspect.StructType: (dict,),
        inspect.LiteralType: (str,),
    }
    types = wanted.get(type(kind), (object,))
    return isinstance(value, types) and (bool in types or object in types or not isinstance(value, bool))


def _is_instant(text: str) -> bool:
    try:
        return bool(msgspec.convert(text, datetime).tzinfo)
    except msgspec.ValidationError:
        return False


def _name(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", "")) or _name(kind.type)
    return _NAMES.get(type(kind), "what is expected here")


def _near(value: Any, known: tuple[Any, ...]) -> str:
    names = [each for each in known if isinstance(each, str)]
    close = difflib.get_close_matches(value, names, n=1) if isinstance(value, str) else []
    return f"; did you mean {close[0]}?" if close else ""


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
