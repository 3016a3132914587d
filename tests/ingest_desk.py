"""What do the tests of ingest's doors stand at? The doors' common part with keys, and nothing behind it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from libs.common.db import Database
from libs.common.kafka import Publisher
from libs.common.metrics import Metrics
from services.ingest.keys.book import KeyBook, StoredKey
from services.ingest.meters import Meters
from services.ingest.reception import Reception, ReceptionLimits
from services.ingest.registry import Registry


def desk_of(*keys: StoredKey, publisher: Publisher | None = None) -> Reception:
    metrics = Metrics("ingest", process=False)
    registry = Registry(Database("postgresql://nowhere", application="test"), metrics)
    registry.loaded = True
    registry.keys = KeyBook(keys)
    limits = ReceptionLimits(2, timedelta(days=35), timedelta(days=1), 1.0, 1.0)
    parts: dict[str, Any] = {"publisher": publisher, "deadlines": None}
    return Reception(registry=registry, meters=Meters(metrics), limits=limits, **parts)
