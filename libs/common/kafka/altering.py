"""What has been set for a topic, and how is a part of that changed? Kafka takes all settings of a topic or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from libs.common.errors import Misconfigured

_OF_THE_TOPIC = 1
"""The source of a setting that somebody has given to this very topic."""


async def settings_of(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """What has been set for each topic that exists, without what it has from the broker."""
    found: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for code, _, _, name, entries in answer.resources:
            if not code:
                found[name] = {entry[0]: entry[1] for entry in entries if entry[3] == _OF_THE_TOPIC}
    return found


async def set_settings(admin: AIOKafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """All settings by topic: what is not named goes back to what the broker says. Misconfigured if it refuses."""
    changed = [ConfigResource(ConfigResourceType.TOPIC, name, configs=dict(each)) for name, each in wanted.items()]
    for answer in await admin.alter_configs(changed) if changed else ():
        for code, message, _, name in answer.resources:
            if code:
                raise Misconfigured(f"Kafka refuses settings of {name}: {for_code(code).__name__} {message or ''}")
