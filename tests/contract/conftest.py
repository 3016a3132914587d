"""What do contract tests look at? The services as their `app.py` joins them, built and never started."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.common.runtime import App
from libs.common.settings import CommonSettings
from libs.common.unit import WorkerSpec
from libs.common.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/app.py"))
TOKEN_SECRET = "only-for-tests-0123456789-abcdefghijk"


@pytest.fixture(scope="session")
def built() -> Iterator[dict[str, App]]:
    """Every service by name. No address in the settings leads anywhere, and nothing is asked to connect."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DANGOL_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/postgres")
        environment.setenv("DANGOL_KAFKA_BOOTSTRAP", "127.0.0.1:1")
        environment.setenv("DANGOL_TOKEN_SECRET", TOKEN_SECRET)
        yield asyncio.run(_build_all())


@pytest.fixture(scope="session")
def token_secret() -> str:
    return TOKEN_SECRET


@pytest.fixture(scope="session")
def specs(built: dict[str, App]) -> dict[str, WorkerSpec]:
    """Every worker of every service by name, such as `profile.apply`."""
    workers = [part for app in built.values() for part in app.work if isinstance(part, Worker)]
    return {worker.spec.name: worker.spec for worker in workers}


async def _build_all() -> dict[str, App]:
    return {service: await _build(service) for service in SERVICES}


async def _build(service: str) -> App:
    settings = importlib.import_module(f"services.{service}.settings")
    [shape] = [
        each
        for each in vars(settings).values()
        if isinstance(each, type) and issubclass(each, CommonSettings) and each is not CommonSettings
    ]
    app: App = await importlib.import_module(f"services.{service}.app").build(shape())
    return app
