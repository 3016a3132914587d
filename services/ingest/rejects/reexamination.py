"""How are the kept bytes of a reject examined again? Each door says for itself; the words are today's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from services.ingest import cloudevents
from services.ingest.intake import Form, Outcome, Terms, judge_one
from services.ingest.keys.book import WriteKey
from services.ingest.records import PROVEN, TRAFFIC
from services.ingest.splitting import UNREADABLE

FORM: Final = "form"
"""The entry of a context that says that only a CloudEvent was meant."""
CLOUD_CONTEXT: Final = {FORM: Form.CLOUD_EVENT.value}
RECEIVED_AT: Final = "received_at"
"""The entry that a replay adds to a context: when the body first came, as an RFC 3339 instant."""

Examine = Callable[[bytes, Mapping[str, str], Terms], Outcome]
"""Body, context and terms in, verdicts out; may raise Reject or Refused. The same input makes the same bytes."""
Holder = Callable[[str], WriteKey | None]
"""The key of an id, as long as it is live."""


class Way(NamedTuple):
    """How rejects of some doors are examined, and where their keys are found."""

    examine: Examine
    holder: Holder


class Reexamination:
    """Ways by the name of the door; a name that ends in / stands for all that begin with it."""

    def __init__(self, holder: Holder) -> None:
        """`holder` knows the keys of all ways that have none of their own."""
        self._holder = holder
        self._ways: dict[str, Way] = {}

    def register(self, door: str, examine: Examine, holder: Holder | None = None) -> None:
        if door in self._ways:
            raise ValueError(f"rejects of {door!r} are examined already")
        self._ways[door] = Way(examine, holder or self._holder)

    def way_of(self, door: str) -> Way | None:
        """The most particular one; None where nobody has said how."""
        fitting = [name for name in self._ways if name == door or (name.endswith("/") and door.startswith(name))]
        return self._ways[max(fitting, key=len)] if fitting else None


def as_then(terms: Terms, context: Mapping[str, str]) -> Terms:
    """Today's terms with what the request of that time proved of itself."""
    if PROVEN not in context and TRAFFIC not in context:
        return terms
    proven = msgspec.json.decode(context.get(PROVEN, "{}"), type=dict[str, str])
    return msgspec.structs.replace(terms, proven=proven, traffic=context.get(TRAFFIC, ""))


def examine_event(body: bytes, context: Mapping[str, str], terms: Terms) -> Outcome:
    """One event as it came by the native door, be it ours or a CloudEvent."""
    form = Form.CLOUD_EVENT if FORM in context else Form.NATIVE
    return judge_one(_timed(body, context.get(RECEIVED_AT, "")), form, terms)


def _timed(body: bytes, received_at: str) -> bytes:
    """A CloudEvent may leave out its time, which then is when it came: not when somebody looks at it again."""
    if not received_at or b'"specversion"' not in body:
        return body
    try:
        members = cloudevents.members(body)
    except UNREADABLE:
        return body
    if "specversion" not in members or bytes(members.get("time", b"null")) != b"null":
        return body
    return msgspec.json.encode(members | {"time": received_at})
