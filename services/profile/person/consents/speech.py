"""What does an event say of consent? One reading for the profile and for the ledger; what is unclear never permits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from services.profile.person.consent_terms import MARKETING
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence
from services.profile.statements import granted_channels, named_channels, purpose_of, withdrawn_channels

GRANTED: Final = "granted"
PENDING: Final = "pending"
WITHDRAWN: Final = "withdrawn"
REFUSED: Final = "refused"
CONFIRMED: Final = "confirmed"
RECONFIRMED: Final = "reconfirmed"
NOTICE_SENT: Final = "notice_sent"
UNCLEAR: Final = "unclear"

EVERY: Final = "*"
"""In place of a purpose: all of them; an empty channel or purpose is whichever it was asked for."""

TEXT_MAX: Final = 200


class Statement(Struct, frozen=True, gc=False):
    """One thing said of one channel and purpose; `at_ms` is the instant from which it counts.

    `owes` says that whoever made it must be told of its result: history was answered, or not, by somebody else.
    """

    channel: str
    purpose: str
    word: str
    at_ms: int
    source: str = ""
    wording: str = ""
    proof: str = ""
    token: str = ""
    owes: bool = False


Reader = Callable[[Occurrence, Definitions], list[Statement]]


def statements(event: Occurrence, definitions: Definitions) -> Sequence[Statement]:
    """What an event says of consent; empty for types that say nothing of it."""
    reader = READERS.get(event.type)
    if reader is None:
        return ()
    if event.traffic and event.type in _IN_FAVOUR:
        # No customer is behind it, so nobody has agreed to anything.
        return (_unclear(event),)
    return reader(event, definitions)


def _given(event: Occurrence, definitions: Definitions) -> list[Statement]:
    purpose = purpose_of(event.data)
    channels = granted_channels(event.data) if purpose is not None else []
    if not channels:
        return [_unclear(event)]
    at_ms, asked = _counted(event), event.data.get("pending") not in (None, False)
    terms = definitions.consents
    made = []
    for channel in channels:
        since = terms.double_opt_in.get(channel)
        waits = asked or (since is not None and definitions.day_of(at_ms) >= since.toordinal())
        made.append(_said(event, channel, purpose or MARKETING, PENDING if waits else GRANTED, at_ms))
    return made


def _withdrawn(event: Occurrence, definitions: Definitions) -> list[Statement]:
    return _against(event, withdrawn_channels(event.data), WITHDRAWN, purpose_of(event.data) or EVERY)


def _refused(event: Occurrence, definitions: Definitions) -> list[Statement]:
    return _against(event, withdrawn_channels(event.data), REFUSED, purpose_of(event.data) or EVERY)


def _left(event: Occurrence, definitions: Definitions) -> list[Statement]:
    """Whoever leaves a list, or calls its mail spam, speaks of what is sent by that channel unless they say more."""
    named = event.data.get("channel")
    channels = withdrawn_channels({"channel": "email" if named is None or named == "" else named})
    purpose = purpose_of(event.data)
    return _against(event, channels, WITHDRAWN, EVERY if purpose is None else purpose or MARKETING)


def _against(event: Occurrence, channels: Sequence[str], word: str, purpose: str) -> list[Statement]:
    """A refusal stands from when it says: dated into the future it is in force all the same."""
    return [_said(event, channel, purpose, word, event.at_ms) for channel in channels]


def _confirmed(event: Occurrence, definitions: Definitions) -> list[Statement]:
    """By its channels, or by the token of the request alone; a word that could mean any request confirms none."""
    purpose = purpose_of(event.data)
    named, token = named_channels(event.data), _token(event.data)
    channels = granted_channels(event.data) if named is not None else [""] if token else []
    if purpose is None or not channels:
        return [_unclear(event)]
    at_ms = _counted(event)
    return [_said(event, channel, purpose, CONFIRMED, at_ms, token) for channel in channels]


def _reconfirmed(event: Occurrence, definitions: Definitions) -> list[Statement]:
    return _settled(event, RECONFIRMED)


def _notice_sent(event: Occurrence, definitions: Definitions) -> list[Statement]:
    return _settled(event, NOTICE_SENT)


def _settled(event: Occurrence, word: str) -> list[Statement]:
    purpose = purpose_of(event.data)
    channels = granted_channels(event.data) if purpose is not None else []
    if not channels:
        return [_unclear(event)]
    at_ms = _counted(event)
    return [_said(event, channel, purpose or EVERY, word, at_ms) for channel in channels]


READERS: Final[Mapping[str, Reader]] = {
    "consent_given": _given,
    "consent_withdrawn": _withdrawn,
    "consent_refused": _refused,
    "consent_confirmed": _confirmed,
    "consent_reconfirmed": _reconfirmed,
    "consent_notice_sent": _notice_sent,
    "message.unsubscribed": _left,
    "message.complained": _left,
}
"""By type of event; none of them is frequent."""

_IN_FAVOUR: Final = frozenset({"consent_given", "consent_confirmed", "consent_reconfirmed", "consent_notice_sent"})
_SHORT_SOURCE: Final = {"message.unsubscribed": "unsubscribe", "message.complained": "spam complaint"}


def _counted(event: Occurrence) -> int:
    # What is dated into the future would outlive a withdrawal that follows it.
    return min(event.at_ms, event.received_ms) if event.received_ms else event.at_ms


def _said(event: Occurrence, channel: str, purpose: str, word: str, at_ms: int, token: str = "") -> Statement:
    source = _SHORT_SOURCE.get(event.type, event.source)
    return Statement(
        channel,
        purpose,
        word,
        at_ms,
        source[:TEXT_MAX],
        _text(event.data.get("wording")),
        _text(event.data.get("proof")),
        token or (_token(event.data) if word == PENDING else ""),
        not event.history and word in (GRANTED, WITHDRAWN, REFUSED, CONFIRMED),
    )


def _unclear(event: Occurrence) -> Statement:
    """Without effect, and on record: a channel system that cannot make itself understood is to be mended."""
    return _said(event, "", "", UNCLEAR, event.at_ms)


def _text(value: Any) -> str:
    """As it was written where it is text; anything else as JSON, for what is odd is listed and not dropped."""
    if value is None or value == "":
        return ""
    return (value if isinstance(value, str) else msgspec.json.encode(value).decode())[:TEXT_MAX]


def _token(data: Mapping[str, Any]) -> str:
    """A digest: the token itself is a key to somebody's consent as long as it waits."""
    value = data.get("token")
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return ""
    return hashlib.blake2b(str(value).encode(), digest_size=8).hexdigest()


def key_of(channel: str, purpose: str) -> str:
    """Under which name a consent is kept and delivered: the channel for marketing, with the purpose for all else."""
    return channel if purpose == MARKETING else f"{channel}:{purpose}"


def parts_of(key: str) -> tuple[str, str]:
    """Channel and purpose of a key."""
    channel, _, purpose = key.partition(":")
    return channel, purpose or MARKETING
