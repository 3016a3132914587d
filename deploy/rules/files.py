"""Which rules and segments lie in a folder, and are they in order? Needs no server: the rules' own tests are run right
here, with the segments that lie beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from deploy.local.failure import StackFailure
from libs.common import clock
from libs.common.errors import Fault, Invalid, Refused
from libs.common.web import BODY_BYTES_MAX, strict_json
from services.rules.document import cautions, checking, segments
from services.rules.document.language import Rule
from services.rules.document.segments import Segment

RULE, SEGMENT = "rule", segments.KIND
SEGMENTS = "segments"
"""The folder within the folder in which segments lie: a rule and a segment may have one id."""


@dataclass(frozen=True)
class RuleFile:
    """One file: the document that is kept of it, and which status it asks for. `faults` make it unusable.

    `kind` is rule or segment, and `names` are the ids of the segments that it names.
    """

    name: str
    id: str
    document: dict[str, Any]
    status: str = "active"
    tests: int = 0
    faults: Sequence[Fault] = ()
    warnings: Sequence[Fault] = ()
    kind: str = RULE
    names: Sequence[str] = ()


def read(folder: Path, company_zone: str) -> list[RuleFile]:
    """Every *.json of the folder, and of `segments` within it, in the order of names; segments come first. StackFailure
    where there is no such folder or file.
    """
    if not folder.is_dir():
        raise StackFailure(f"there is no folder {folder}")
    paths, beside = sorted(folder.glob("*.json")), sorted((folder / SEGMENTS).glob("*.json"))
    if not paths and not beside:
        raise StackFailure(f"{folder} holds no rules: files of the form <id>.json, segments in {SEGMENTS}")
    found = [_read(path, SEGMENT, _segment) for path in beside]
    usable = [each for each in found if not each.faults and each.status != "retired"]
    written = {each.id: msgspec.json.encode(each.document) for each in usable}
    linked = [each if each.faults else _linked(each, written) for each in found]
    return linked + [_read(path, RULE, lambda document: _rule(document, company_zone, written)) for path in paths]


def _read(path: Path, kind: str, made_of: Callable[[Any], RuleFile]) -> RuleFile:
    name = path.name if kind == RULE else f"{SEGMENTS}/{path.name}"
    unusable = RuleFile(name, path.stem, {}, kind=kind)
    body = path.read_bytes()
    if len(body) > BODY_BYTES_MAX:
        return replace(unusable, faults=[Fault("", f"has {len(body)} bytes, at most {BODY_BYTES_MAX} are allowed")])
    try:
        strict_json.check(body)
        made = made_of(msgspec.json.decode(body))
    except Invalid as error:
        return replace(unusable, faults=error.errors or [Fault("", error.detail)])
    except Refused as error:
        return replace(unusable, faults=[Fault("", error.detail)])
    if made.id != path.stem:
        told = f"is {made.id}, and the file is called {path.name}; one of them is wrong"
        return replace(unusable, faults=[Fault("/id", told)])
    return replace(made, name=name)


def _segment(document: Any) -> RuleFile:
    checking.require_bounded(document)
    segment, body = segments.read(document)
    kept: dict[str, Any] = msgspec.json.decode(body)
    warnings = cautions.of_segment(segment)
    return RuleFile("", segment.id, kept, segment.status or "active", warnings=warnings, kind=SEGMENT)


def _linked(file: RuleFile, written: checking.Written) -> RuleFile:
    """With what is wrong with the segments that it names, now that it is known which there are."""
    segment = segments.decode(msgspec.json.encode(file.document))
    faults, unknown = _references(segment, written)
    return replace(file, faults=faults, warnings=[*file.warnings, *unknown], names=_names(segment))


def _rule(document: Any, company_zone: str, written: checking.Written) -> RuleFile:
    checked = checking.shaped(document)
    rule = checked.rule
    faults, unknown = _references(rule, written)
    if not faults:
        checking.require_tested(rule, checked.body, company_zone, written)
    kept: dict[str, Any] = msgspec.json.decode(checked.body)
    runs = checking.within(rule, written) is not None
    return RuleFile(
        "",
        rule.id,
        kept,
        rule.status or "active",
        len(rule.tests) if runs else 0,
        faults,
        [*checking.warnings(rule, clock.now()), *unknown],
        names=_names(rule),
    )


def _references(document: Rule | Segment, written: checking.Written) -> tuple[list[Fault], list[Fault]]:
    """What is wrong with the segments that it names, and which of them are none of these files: the service may have
    those.
    """
    own = {document.id} if isinstance(document, Segment) else set()
    strange = {at: id for at, id in segments.named_by(document) if id not in written.keys() | own}
    found = segments.reference_faults(document, checking.definitions(written))
    skipped = ", so that the tests of the rule are not run here" if isinstance(document, Rule) else ""
    unknown = [Fault(at, f"{id} is no segment of these files{skipped}") for at, id in strange.items()]
    return [each for each in found if each.pointer not in strange], unknown


def _names(document: Rule | Segment) -> Sequence[str]:
    return tuple(sorted({id for _, id in segments.named_by(document)}))
