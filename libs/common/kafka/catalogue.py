"""Are the topics there, and as the catalogue says?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from libs.common import logs, topics
from libs.common.errors import BrokerAway, Misconfigured
from libs.common.kafka.altering import set_settings, settings_of
from libs.common.kafka.shapes import BATCH_BYTES_MAX

_DAY_MS = 86_400_000


async def partition_counts(bootstrap: str, prefix: str, names: Sequence[str]) -> dict[str, int]:
    """How many partitions each topic has; a topic that does not exist is absent."""
    admin = await connected(bootstrap)
    try:
        described = await admin.describe_topics([prefix + name for name in names])
    except KafkaError as error:
        raise BrokerAway(f"the broker does not say which topics there are: {type(error).__name__}") from error
    finally:
        await admin.close()
    return {
        topic["topic"].removeprefix(prefix): len(topic["partitions"]) for topic in described if not topic["error_code"]
    }


async def ensure_topics(
    bootstrap: str,
    *,
    prefix: str,
    partitions: int,
    replicas: int = 1,
    catalogue: Sequence[topics.Topic] = topics.CATALOGUE,
) -> list[str]:
    """Create what is missing of the catalogue and its dead letters; returns the names that were made.

    Those that are there get the settings that the catalogue names; whatever else somebody has set for them stays.
    Misconfigured: a topic exists with another number of partitions, which would silently move customers to other units.
    """
    wanted = {topic.name: _topic_settings(topic.retention_days) for topic in catalogue}
    wanted |= {name: _dead_letter_settings() for name in topics.all_dead_letters(catalogue)}
    existing = await partition_counts(bootstrap, prefix, list(wanted))
    check_partitions(existing, partitions)
    missing = [
        NewTopic(prefix + name, partitions, replicas, topic_configs=settings)
        for name, settings in wanted.items()
        if name not in existing
    ]
    if missing:
        await _create(bootstrap, missing)
    if existing:
        await _mend(bootstrap, {prefix + name: wanted[name] for name in existing})
    return [topic.name.removeprefix(prefix) for topic in missing]


async def _create(bootstrap: str, missing: Sequence[NewTopic]) -> None:
    admin = await connected(bootstrap)
    try:
        answer = await admin.create_topics(list(missing))
    except TopicAlreadyExistsError:
        return
    finally:
        await admin.close()
    for name, code, *message in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise Misconfigured(f"Kafka refuses to create {name}: {for_code(code).__name__} {message}")


async def _mend(bootstrap: str, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Bring topics that were made by an earlier version to what they are to be."""
    admin = await connected(bootstrap)
    try:
        found = await settings_of(admin, list(wanted))
        wrong = {name: {**own, **wanted[name]} for name, own in found.items() if wanted[name].items() - own.items()}
        await set_settings(admin, wrong)
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"cannot change topics of Kafka: {error!r}") from error
    finally:
        await admin.close()
    for name in wrong:
        for setting, value in sorted(wanted[name].items() - found[name].items()):
            before = _said(setting, found[name].get(setting, "nothing"))
            log = logs.get("topics")
            log.info("topic_changed", topic=name, setting=setting, before=before, after=_said(setting, value))


def _said(setting: str, value: str) -> str:
    """With its unit, so that nobody takes it for a telephone number."""
    return value + setting.rpartition(".")[2] if value.isdigit() else value


def check_partitions(existing: Mapping[str, int], partitions: int) -> None:
    for name, count in existing.items():
        if count != partitions:
            raise Misconfigured(
                f"topic {name} has {count} partitions and DANGOL_PARTITIONS is {partitions}: customers would move to "
                "other units. Set DANGOL_PARTITIONS to what the topics have."
            )


def _topic_settings(retention_days: int | None) -> dict[str, str]:
    common = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(4 * BATCH_BYTES_MAX)}
    if retention_days is None:
        # A reader that was away as long as door topics last must still learn of what was erased meanwhile.
        erased = {"delete.retention.ms": str(topics.DOOR_DAYS * _DAY_MS)}
        return common | erased | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
    # Time is up for a segment when it is up for the last message in it.
    rolled = {"segment.ms": str(topics.SEGMENT_DAYS * _DAY_MS)} if retention_days <= topics.DOOR_DAYS else {}
    return common | rolled | {"retention.ms": str(retention_days * _DAY_MS)}


def _dead_letter_settings() -> dict[str, str]:
    """Every letter has a key of its own, so compaction takes out what was erased and nothing else."""
    return _topic_settings(topics.DEAD_LETTER_DAYS) | {"cleanup.policy": "compact,delete"}


async def connected(bootstrap: str) -> AIOKafkaAdminClient:
    """A client for the broker's own affairs, to be closed by the caller. BrokerAway."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await admin.close()
        raise BrokerAway(f"no Kafka at {bootstrap}: {error}") from error
    return admin
