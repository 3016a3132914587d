"""Do the recipes of the documentation work as they are printed? A shell runs each, and its events are looked for."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import pytest_asyncio

from libs.common import clock
from libs.common.auth import issue_token
from libs.common.events import EventReceived
from libs.common.kafka import UnitReader
from libs.common.topics import EVENT_RECEIVED, dead_letters
from tests.ingest_door import PARTITIONS, POS, SECRET, WEB, Door, running

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        any(shutil.which(each) is None for each in ("bash", "curl", "openssl")),
        reason="bash, curl or openssl is missing",
    ),
]

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_ARRIVES = re.compile(r"^Arrives as: (.*)\.$", re.MULTILINE)


class Recipe(NamedTuple):
    title: str
    script: str
    types: tuple[str, ...]


def recipes() -> tuple[str, list[Recipe]]:
    """The lines to begin with, and every recipe that has something to run."""
    introduction, *sections = _PAGE.read_text("utf-8").split("\n## ")
    found = []
    for section in sections:
        arrives = _ARRIVES.search(section)
        assert arrives is not None, f"the recipe {section.splitlines()[0]!r} does not say what arrives"
        types = tuple(re.findall(r"`([^`]+)`", arrives[1]))
        found.append(Recipe(section.splitlines()[0], "\n".join(_BLOCK.findall(section)), types))
    return "\n".join(_BLOCK.findall(introduction)), found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(
    postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, tmp_path_factory.mktemp("recipes")) as opened:
        yield opened


class Arrivals:
    """How many events of each type have come into the log; reads on from where it was."""

    def __init__(self, readers: Sequence[UnitReader]) -> None:
        self._readers = readers
        self._counted: Counter[str] = Counter()

    async def counted(self) -> Counter[str]:
        for reader in self._readers:
            while batch := await reader.fetch(1000, 0.1):
                values = [each.value for each in batch[EVENT_RECEIVED.name] if each.value is not None]
                self._counted.update(msgspec.json.decode(value, type=EventReceived).type for value in values)
        return self._counted.copy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arrivals(door: Door) -> AsyncIterator[Arrivals]:
    readers = [
        UnitReader(door.bootstrap, unit, [EVENT_RECEIVED.name], aside=dead_letters("ingest"), prefix=door.prefix)
        for unit in range(PARTITIONS)
    ]
    for reader in readers:
        await reader.start({})
    yield Arrivals(readers)
    for reader in readers:
        await reader.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def credentials(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, calls = await door.call("POST", "/v1/keys", {"channel": "call-center"})
    held = {
        "write_keys": {"pos": POS, "web": WEB, "call-center": calls["key"]},
        "tokens": {"admin": issue_token(SECRET, subject="admin", roles=["admin"])},
    }
    file = tmp_path_factory.mktemp("credentials") / "credentials.json"
    file.write_text(json.dumps(held), "utf-8")
    return file


@pytest.mark.parametrize("recipe", recipes()[1], ids=lambda recipe: recipe.title.partition(":")[0])
async def test_a_recipe_works_as_it_is_printed(
    door: Door, arrivals: Arrivals, credentials: Path, recipe: Recipe, tmp_path: Path
) -> None:
    before = await arrivals.counted()
    variables = {"INGEST": door.address, "CREDENTIALS": str(credentials), "TMPDIR": str(tmp_path)}
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", f"{recipes()[0]}\n{recipe.script}",
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode == 0, said.decode()
    deadline = time.monotonic() + 20
    while missing := Counter(recipe.types) - (await arrivals.counted() - before):
        assert time.monotonic() < deadline, f"{sorted(missing)} did not arrive\n{said.decode()}"
