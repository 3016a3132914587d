"""What have all records of a person said of consent together? The newest by key, renewed by any of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from libs.common.events import Consent

EVERY_PURPOSE = "*"


def newest_consents(records: Iterable[Mapping[str, Consent]]) -> dict[str, Consent]:
    """`records` are the consents of each, by key; of two statements of one instant the refusal counts."""
    newest: dict[str, Consent] = {}
    renewed: dict[str, datetime] = {}
    for consents in records:
        for key, said in consents.items():
            known = newest.get(key)
            if known is None or (said.at, not said.granted) > (known.at, not known.granted):
                newest[key] = said
            if said.renewed_at is not None and said.renewed_at >= renewed.get(key, said.renewed_at):
                renewed[key] = said.renewed_at
    return {key: _renewed(key, said, renewed) for key, said in newest.items()} if renewed else newest


def _renewed(key: str, said: Consent, renewed: Mapping[str, datetime]) -> Consent:
    """Only what stands can be confirmed, and only by what came after it."""
    found = [renewed[each] for each in (key, f"{key.partition(':')[0]}:{EVERY_PURPOSE}") if each in renewed]
    again = max((each for each in found if said.granted and each > said.at), default=None)
    return said if again == said.renewed_at else msgspec.structs.replace(said, renewed_at=again)
