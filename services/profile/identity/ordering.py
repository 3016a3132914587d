"""What does an order to link or to part records do? By the same guards as events, and not by half."""

from __future__ import annotations

from collections.abc import Iterable

from libs.common.clock import derived_id
from libs.common.errors import Poison
from libs.common.events import LinkOrdered
from services.profile.identity.directory import Directory, Edge, Findings, Person
from services.profile.identity.joining import APART, apart_pairs, fallen_apart, forbids, joined, pair_of
from services.profile.identity.rules import Table

HAND, SCORE = "hand", "score"
UNKNOWN = "unknown"
NO_LINK = "no_link"
WHOLE = "whole"


def obey(order: LinkOrdered, table: Table, directory: Directory, findings: Findings) -> str:
    """What became of it: nothing to say when it was done, or `unknown`, `no_link`, `whole`, or why it is forbidden."""
    if any(record not in directory.person_of for record in (order.customer_id, *order.records)):
        return UNKNOWN
    if order.kind == "link":
        return _link(order, table, directory, findings)
    if order.kind == "unlink":
        return _take_back(order, directory, findings) if order.link_id else _part(order, directory, findings)
    raise Poison(f"{order.kind!r} is no kind of order; there are link and unlink")


def _link(order: LinkOrdered, table: Table, directory: Directory, findings: Findings) -> str:
    people = _people((order.customer_id, *order.records), directory)
    if len(people) == 1:
        return ""
    kept_apart = set(apart_pairs(people, directory))
    if kept_apart and order.automatic:
        return APART
    if why := forbids(people, table):
        return why
    # Somebody who looks at them knows better than who parted them before.
    _forget_apart(kept_apart, directory, findings)
    for record in order.records:
        _join(order, record, directory, findings)
    return ""


def _join(order: LinkOrdered, record: str, directory: Directory, findings: Findings) -> None:
    person, other = directory.person_of[order.customer_id], directory.person_of[record]
    if person is other:
        return
    joined(person, other, directory, findings)
    link_id = str(derived_id("link", order.order_id, record))
    kind = SCORE if order.automatic else HAND
    said = {"rule": order.rule, "score": order.score, "evidence": order.evidence, "reason": order.reason}
    about = {name: value for name, value in said.items() if value not in ("", None, {})}
    edge = Edge(link_id, order.customer_id, record, kind, (), order.order_id, order.actor, about)
    directory.edges[link_id] = edge
    findings.edges.append(edge)
    findings.counts["merges"] += 1


def _part(order: LinkOrdered, directory: Directory, findings: Findings) -> str:
    """Take records out of their person and keep them apart from the rest, whether they belonged to it or not."""
    taken = set(order.records)
    person = directory.person_of[order.customer_id]
    rest = {record for record in person.records if record not in taken}
    if not taken or not rest:
        return WHOLE
    for each in _people((order.customer_id, *order.records), directory):
        findings.touch(each)
    for edge in list(directory.edges.values()):
        if {edge.one, edge.other} & taken and {edge.one, edge.other} & rest:
            _end(edge.link_id, order, directory, findings)
    _keep_apart((pair_of(one, other) for one in taken for other in rest), directory, findings)
    if len(fallen_apart(person, directory, findings)) > 1:
        findings.counts["unmerges"] += 1
    return ""


def _take_back(order: LinkOrdered, directory: Directory, findings: Findings) -> str:
    """End one link; whoever is not held together by others is apart then, and kept so."""
    edge = directory.edges.get(order.link_id)
    person = directory.person_of[order.customer_id]
    if edge is None or edge.one not in person.records:
        return NO_LINK
    findings.touch(person)
    _end(order.link_id, order, directory, findings)
    parts = fallen_apart(person, directory, findings)
    if len(parts) > 1:
        one, other = directory.person_of[edge.one], directory.person_of[edge.other]
        _keep_apart((pair_of(a, b) for a in one.records for b in other.records), directory, findings)
        findings.counts["unmerges"] += 1
    return ""


def _people(records: Iterable[str], directory: Directory) -> list[Person]:
    people = [directory.person_of[record] for record in records]
    return list({id(person): person for person in people}.values())


def _end(link_id: str, order: LinkOrdered, directory: Directory, findings: Findings) -> None:
    edge = directory.edges.pop(link_id)
    directory.claims.discard(edge.evidence)
    findings.ended[link_id] = (order.actor, order.reason)


def _keep_apart(pairs: Iterable[tuple[str, str]], directory: Directory, findings: Findings) -> None:
    for one, other in pairs:
        directory.apart.setdefault(one, set()).add(other)
        directory.apart.setdefault(other, set()).add(one)
        findings.parted.add((one, other))
        findings.reunited.discard((one, other))


def _forget_apart(pairs: Iterable[tuple[str, str]], directory: Directory, findings: Findings) -> None:
    for one, other in pairs:
        directory.apart[one].discard(other)
        directory.apart[other].discard(one)
        findings.reunited.add((one, other))
        findings.parted.discard((one, other))
