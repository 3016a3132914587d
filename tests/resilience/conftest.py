"""What do these tests break? Servers of their own, durable ones, which no other test stands on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.broker import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Durable: these tests stop the server in the middle of its work."""
    with PostgresServer(tmp_path_factory.mktemp("postgres"), free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with KafkaBroker(tmp_path_factory.mktemp("kafka"), free_port()) as server:
        yield server
