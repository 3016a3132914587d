"""Is a caller sent away for a moment, and not refused for good, while the keys have not been read yet?"""

from __future__ import annotations

from typing import Any

import pytest

from libs.common.db import Database
from libs.common.errors import StoreAway
from libs.common.metrics import Metrics
from services.ingest.reception import Reception
from services.ingest.registry import Registry


def test_a_key_is_not_refused_before_the_keys_have_been_read() -> None:
    registry = Registry(Database("postgresql://nowhere", application="test"), Metrics("ingest", process=False))
    parts: dict[str, Any] = dict.fromkeys(("publisher", "meters", "deadlines", "limits"))
    reception = Reception(registry=registry, **parts)
    with pytest.raises(StoreAway):
        reception.key_of(b"Bearer dk_pos_x")
