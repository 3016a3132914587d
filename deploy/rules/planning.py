"""What has to be done so that a service has what lies in a folder, and what must not be done behind somebody's back?

Pure. What was written or ordered from files says so in its note; whatever else was done to a rule or a segment was
done by somebody by hand, and is not undone unasked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.rules.files import RULE, SEGMENT, RuleFile
from libs.common.documents import diff

MARK = "From files"


@dataclass(frozen=True)
class Order:
    """Who put a version in force, or out of it, last."""

    version: int
    status: str
    author: str
    note: str
    at: str


@dataclass(frozen=True)
class Known:
    """What the service says of a rule or a segment: its latest version, the one in force, and the last order."""

    version: int
    status: str
    author: str
    note: str
    created_at: str
    document: dict[str, Any]
    live_version: int | None = None
    live_status: str | None = None
    ramp_percent: int = 100
    order: Order | None = None

    @property
    def from_files(self) -> bool:
        return self.note.startswith(MARK)


@dataclass(frozen=True)
class Step:
    """What becomes of one rule or segment. `expected` is the version that is written upon, 0 for a new one and None
    where nothing is written; `switch` is the order that follows. `refusal` says why neither may be done, `left` why
    neither is.
    """

    id: str
    expected: int | None = None
    switch: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    ramp_percent: int | None = None
    differences: Sequence[Mapping[str, Any]] = ()
    refusal: str = ""
    left: str = ""
    kind: str = RULE

    @property
    def is_nothing(self) -> bool:
        return self.expected is None and not self.switch and not self.refusal and not self.left

    @property
    def told(self) -> str:
        """How people know it."""
        return self.id if self.kind == RULE else f"{self.kind} {self.id}"

    def title(self) -> str:
        if self.refusal or self.left:
            return "refused" if self.refusal else "left"
        written = "" if self.expected is None else "create" if self.expected == 0 else "change"
        return " and ".join(part for part in (written, self.switch) if part) or "as it is"


def plan(
    files: Sequence[RuleFile],
    known: Mapping[str, Known],
    segments: Mapping[str, Known] | None = None,
    *,
    prune: bool = False,
    overwrite: bool = False,
) -> list[Step]:
    """`known` are the service's rules, `segments` its segments. `prune` ends what came from files and has none any
    more.

    In the order in which it can be done: a segment is there before whatever names it, and goes after that.
    """
    there = {RULE: known, SEGMENT: segments or {}}
    steps = [replace(_step(file, there[file.kind].get(file.id), overwrite), kind=file.kind) for file in files]
    kept = {(file.kind, file.id) for file in files}
    for kind, found in there.items():
        for id, each in found.items():
            if (kind, id) not in kept and each.from_files and _is_there(each):
                steps.append(replace(_gone(id, each, prune, overwrite), kind=kind))
    names = {file.id: file.names for file in files if file.kind == SEGMENT}
    names |= {id: named_in(each.document) for id, each in there[SEGMENT].items() if id not in names}
    return sorted(steps, key=lambda step: _turn(step, names))


def _turn(step: Step, names: Mapping[str, Sequence[str]]) -> tuple[int, int, str]:
    if step.kind == RULE:
        return 1, 0, step.id
    depth = _depth(step.id, names, ())
    return (2, -depth, step.id) if step.switch == "retire" else (0, depth, step.id)


def _depth(id: str, names: Mapping[str, Sequence[str]], trail: tuple[str, ...]) -> int:
    """How many segments stand within one another below it."""
    inner = [each for each in names.get(id, ()) if each not in trail]
    return max((1 + _depth(each, names, (*trail, id)) for each in inner), default=0)


def named_in(document: Any) -> list[str]:
    """The segments that a stored segment asks about."""
    if isinstance(document, list):
        return [id for each in document for id in named_in(each)]
    if not isinstance(document, dict):
        return []
    own = [document["in_segment"]] if isinstance(document.get("in_segment"), str) else []
    return own + [id for each in document.values() for id in named_in(each)]


def _step(file: RuleFile, known: Known | None, overwrite: bool) -> Step:
    if known is None:
        if file.status == "retired":
            return Step(file.id)
        switch = "activate" if file.status == "active" else ""
        return Step(file.id, 0, switch, file.document, differences=diff({}, file.document))
    differences = diff(known.document, file.document)
    if file.status == "retired":
        return _guarded(Step(file.id, None, "retire" if _is_there(known) else ""), known, overwrite)
    expected = known.version if differences else None
    switch = _switch(file.status, known, bool(differences))
    ramp_percent = known.ramp_percent if known.live_version is not None else None
    step = Step(file.id, expected, switch, file.document, known.version, ramp_percent, differences)
    return _guarded(step, known, overwrite)


def _switch(wanted: str, known: Known, changed: bool) -> str:
    if wanted == "active":
        in_force = known.live_status == "active" and known.live_version == known.version
        return "" if in_force and not changed else "activate"
    return "pause" if wanted == "paused" and known.live_status == "active" else ""


def _gone(id: str, known: Known, prune: bool, overwrite: bool) -> Step:
    if not prune:
        return Step(id, left="has no file any more; --prune retires it")
    return _guarded(Step(id, None, "retire", version=known.version), known, overwrite)


def _is_there(known: Known) -> bool:
    return known.live_version is not None or known.status != "retired"


def _guarded(step: Step, known: Known, overwrite: bool) -> Step:
    if overwrite or step.is_nothing:
        return step
    if step.expected is not None and not known.from_files:
        who = f"version {known.version} was written by {known.author} at {known.created_at}"
        return _refused(step, f"{who}, and not from files; take it over into the file, or use --overwrite")
    order = known.order
    if step.switch and order is not None and not _is_ours(order, known):
        why = f': "{order.note}"' if order.note else ""
        who = f"version {order.version} was made {order.status} by {order.author} at {order.at}{why}"
        return _refused(step, f"{who}, and not from files; say so in the file, or use --overwrite")
    return step


def _is_ours(order: Order, known: Known) -> bool:
    """An order from files, or one that did by hand what the files ask for, such as after an approval."""
    done = order.status == "active" and order.version == known.version and known.from_files
    return order.note.startswith(MARK) or done


def _refused(step: Step, why: str) -> Step:
    return Step(step.id, refusal=why, differences=step.differences)
