"""How does what a tombstone says come true soon? Compaction is hurried for as long as something is to be erased.

A broker compacts a topic when enough of it has been overwritten, which may take days, and never the segment that it
writes to. While `max.compaction.lag.ms` is low, the next message in a partition begins a new segment once the old one
is older than that, and the cleaner takes the old one with its next round, which every broker makes four times a minute.
It rewrites the whole partition for it, so this is no state to stay in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from libs.common.errors import BrokerAway, Misconfigured
from libs.common.kafka.catalogue import connected

LAG: Final = "max.compaction.lag.ms"
HURRIED_MS: Final = "1000"
_OF_THE_TOPIC = 1
"""The source of a setting that somebody has given to this very topic."""


async def hurry_compaction(bootstrap: str, *, prefix: str, names: Sequence[str]) -> None:
    """From now on what is overwritten or erased in these topics is gone within half a minute of the next message."""
    await _change(bootstrap, [prefix + name for name in names], hurried=True)


async def calm_compaction(bootstrap: str, *, prefix: str, names: Sequence[str]) -> None:
    """Leave the broker to compact when it thinks that it is worth it; repeated, it changes nothing."""
    await _change(bootstrap, [prefix + name for name in names], hurried=False)


async def _change(bootstrap: str, names: Sequence[str], *, hurried: bool) -> None:
    admin = await connected(bootstrap)
    try:
        found = await _settings_of(admin, names)
        wanted = {name: _wanted(settings, hurried=hurried) for name, settings in found.items()}
        changed = [
            ConfigResource(ConfigResourceType.TOPIC, name, configs=settings)
            for name, settings in wanted.items()
            if settings != found[name]
        ]
        for answer in await admin.alter_configs(changed) if changed else ():
            _require_granted(answer.resources)
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"cannot change topics of Kafka: {error!r}") from error
    finally:
        await admin.close()


def _wanted(settings: dict[str, str], *, hurried: bool) -> dict[str, str]:
    """All settings of the topic, since Kafka forgets those that are not named with a change."""
    if hurried:
        return settings | {LAG: HURRIED_MS}
    return {name: value for name, value in settings.items() if name != LAG or value != HURRIED_MS}


async def _settings_of(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """What has been set for each topic that exists, without what it has from the broker."""
    found: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for code, _, _, name, entries in answer.resources:
            if not code:
                found[name] = {entry[0]: entry[1] for entry in entries if entry[3] == _OF_THE_TOPIC}
    return found


def _require_granted(resources: Sequence[tuple[int, str | None, int, str]]) -> None:
    for code, message, _, name in resources:
        if code:
            raise Misconfigured(f"Kafka does not let us set {LAG} of {name}: {for_code(code).__name__} {message or ''}")
