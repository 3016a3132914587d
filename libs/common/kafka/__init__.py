"""How do bytes get into Kafka and out of it? The only room that knows the client library."""

from libs.common.kafka.catalogue import check_partitions, ensure_topics, partition_counts
from libs.common.kafka.cleaning import calm_compaction, hurry_compaction
from libs.common.kafka.history import Earlier, History, Run, Span
from libs.common.kafka.publishing import Publisher
from libs.common.kafka.reading import Announcer, UnitReader
from libs.common.kafka.scanning import still_there, through
from libs.common.kafka.shapes import FETCH_BYTES_MAX, MESSAGE_BYTES_MAX, Headers, Received, Record

__all__ = [
    "FETCH_BYTES_MAX",
    "MESSAGE_BYTES_MAX",
    "Announcer",
    "Earlier",
    "Headers",
    "History",
    "Publisher",
    "Received",
    "Record",
    "Run",
    "Span",
    "UnitReader",
    "calm_compaction",
    "check_partitions",
    "ensure_topics",
    "hurry_compaction",
    "partition_counts",
    "still_there",
    "through",
]
