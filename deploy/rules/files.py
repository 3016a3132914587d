"""Which rules lie in a folder, and are they in order? Needs no server: the rules' own tests are run right here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from deploy.local.failure import StackFailure
from libs.common import clock
from libs.common.errors import Fault, Invalid, Refused
from libs.common.web import BODY_BYTES_MAX, strict_json
from services.rules.document import checking


@dataclass(frozen=True)
class RuleFile:
    """One file: the document that is kept of it, and which status it asks for. `faults` make it unusable."""

    name: str
    id: str
    document: dict[str, Any]
    status: str = "active"
    tests: int = 0
    faults: Sequence[Fault] = ()
    warnings: Sequence[Fault] = ()


def read(folder: Path, company_zone: str) -> list[RuleFile]:
    """Every *.json of the folder in the order of names; StackFailure where there is no such folder or file."""
    if not folder.is_dir():
        raise StackFailure(f"there is no folder {folder}")
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise StackFailure(f"{folder} holds no rules: files of the form <id>.json")
    return [_read(path, company_zone) for path in paths]


def _read(path: Path, company_zone: str) -> RuleFile:
    body = path.read_bytes()
    if len(body) > BODY_BYTES_MAX:
        return _unusable(path, [Fault("", f"has {len(body)} bytes, at most {BODY_BYTES_MAX} are allowed")])
    try:
        strict_json.check(body)
        document = msgspec.json.decode(body)
        checked = checking.read(document, company_zone)
    except Invalid as error:
        return _unusable(path, error.errors or [Fault("", error.detail)])
    except Refused as error:
        return _unusable(path, [Fault("", error.detail)])
    rule = checked.rule
    if rule.id != path.stem:
        return _unusable(
            path, [Fault("/id", f"is {rule.id}, and the file is called {path.name}; one of them is wrong")]
        )
    kept: dict[str, Any] = msgspec.json.decode(checked.body)
    warnings = checking.warnings(rule, clock.now())
    return RuleFile(path.name, rule.id, kept, rule.status or "active", len(rule.tests), warnings=warnings)


def _unusable(path: Path, faults: Sequence[Fault]) -> RuleFile:
    return RuleFile(path.name, path.stem, {}, faults=faults)
