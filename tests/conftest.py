"""What do tests stand on? One real PostgreSQL and one real Kafka for the whole run, started when first asked for."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from deploy.local.broker import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from libs.common import clock
from libs.common.kafka.catalogue import connected

# A machine that stalls for some seconds is not a broker that has died: it would lose the lead of every partition.
_PATIENT = {"broker.session.timeout.ms": "60000"}

_SCRATCH = pytest.StashKey[Path]()
_LAST_WORDS = 40


@pytest.fixture(scope="session")
def scratch(request: pytest.FixtureRequest) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dangol-test-", ignore_cleanup_errors=True) as folder:
        request.config.stash[_SCRATCH] = Path(folder)
        yield Path(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed because a server was unwell says so: the last words of the servers of the whole run."""
    report = yield
    folder = item.config.stash.get(_SCRATCH, None)
    if report.failed and folder is not None:
        for log in sorted(folder.glob("*/*.log")):
            words = log.read_text("utf-8", "replace").splitlines()[-_LAST_WORDS:]
            report.sections.append((f"the last words of {log.parent.name}", "\n".join(words)))
    return report


@pytest.fixture(scope="session")
def postgres_url(scratch: Path) -> Iterator[str]:
    """The address of a PostgreSQL server; DANGOL_TEST_DATABASE_URL names one that runs already."""
    given = os.environ.get("DANGOL_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with PostgresServer(scratch / "postgres", free_port(), durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def kafka_bootstrap(scratch: Path) -> Iterator[str]:
    """The address of a Kafka broker; DANGOL_TEST_KAFKA_BOOTSTRAP names one that runs already."""
    given = os.environ.get("DANGOL_TEST_KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with KafkaBroker(scratch / "kafka", free_port(), settings=_PATIENT) as broker:
        yield broker.bootstrap


@pytest.fixture
async def fresh_name(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A short name that no other test has used: for a database, a topic prefix. Its topics are dropped afterwards."""
    name = f"t{clock.new_id().hex[-12:]}"
    yield name
    if "kafka_bootstrap" in request.fixturenames:
        await _drop_topics(request.getfixturevalue("kafka_bootstrap"), f"{name}.")


async def _drop_topics(bootstrap: str, prefix: str) -> None:
    """Thousands of partitions that nobody needs any more would make every later test slower."""
    admin = await connected(bootstrap)
    try:
        names = [each for each in await admin.list_topics() if each.startswith(prefix)]
        if names:
            await admin.delete_topics(names)
    finally:
        await admin.close()


@pytest.fixture
def topic_prefix(fresh_name: str) -> str:
    return f"{fresh_name}."


@pytest.fixture
async def database_url(postgres_url: str, fresh_name: str) -> AsyncIterator[str]:
    """The address of an empty database, dropped afterwards."""
    server = await asyncpg.connect(postgres_url)
    try:
        await server.execute(f'CREATE DATABASE "{fresh_name}" STRATEGY FILE_COPY')
        yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{fresh_name}"))
        # A loop may still be closing its connections; the drop must not wait for them.
        await asyncio.sleep(0)
        await server.execute(f'DROP DATABASE "{fresh_name}" WITH (FORCE)')
    finally:
        await server.close()
