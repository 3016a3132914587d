"""What do end-to-end tests stand on? One whole stack for the session, and a caller for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.caller import Caller
from tests.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, kafka_bootstrap: str) -> Iterator[Stack]:
    directory: Path = tmp_path_factory.mktemp("stack")
    running = Stack(directory, database_url=postgres_url, kafka_bootstrap=kafka_bootstrap)
    try:
        running.start()
        yield running
    finally:
        running.discard()


@pytest.fixture
async def caller(stack: Stack) -> AsyncIterator[Caller]:
    async with Caller(stack) as opened:
        yield opened
