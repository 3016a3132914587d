"""How does what a tombstone says come true soon? Compaction is hurried for as long as something is to be erased.

A broker compacts a topic when enough of it has been overwritten, which may take days, and never the segment that it
writes to. While `max.compaction.lag.ms` is low, the next message in a partition begins a new segment once the old one
is older than that, and the cleaner takes the old one with its next round, which every broker makes four times a minute.
It rewrites the whole partition for it, so this is no state to stay in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiokafka.errors import KafkaError

from libs.common.errors import BrokerAway
from libs.common.kafka.altering import set_settings, settings_of
from libs.common.kafka.catalogue import connected

LAG: Final = "max.compaction.lag.ms"
HURRIED_MS: Final = "1000"


async def hurry_compaction(bootstrap: str, *, prefix: str, names: Sequence[str]) -> None:
    """From now on what is overwritten or erased in these topics is gone within half a minute of the next message."""
    await _change(bootstrap, [prefix + name for name in names], hurried=True)


async def calm_compaction(bootstrap: str, *, prefix: str, names: Sequence[str]) -> None:
    """Leave the broker to compact when it thinks that it is worth it; repeated, it changes nothing."""
    await _change(bootstrap, [prefix + name for name in names], hurried=False)


async def _change(bootstrap: str, names: Sequence[str], *, hurried: bool) -> None:
    admin = await connected(bootstrap)
    try:
        found = await settings_of(admin, names)
        wanted = {name: _wanted(settings, hurried=hurried) for name, settings in found.items()}
        await set_settings(admin, {name: each for name, each in wanted.items() if each != found[name]})
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"cannot change topics of Kafka: {error!r}") from error
    finally:
        await admin.close()


def _wanted(settings: dict[str, str], *, hurried: bool) -> dict[str, str]:
    if hurried:
        return settings | {LAG: HURRIED_MS}
    return {name: value for name, value in settings.items() if name != LAG or value != HURRIED_MS}
