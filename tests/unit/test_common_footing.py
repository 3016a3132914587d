"""Does the page of metrics come, whatever a worker cannot say of itself just now?"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest
from pydantic import SecretStr

from libs.common import clock
from libs.common.footing import Footing
from libs.common.settings import CommonSettings
from tests.tally import specs


async def test_a_worker_that_cannot_say_its_lag_now_leaves_it_out_and_the_page_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = CommonSettings(
        database_url="postgresql://127.0.0.1/none", token_secret=SecretStr("a long secret of the tests, said once 0123")
    )
    footing = Footing("tally", settings)
    mute, well = (footing.worker(replace(specs()[0], name=name)) for name in ("mute", "well"))

    def connecting() -> NoReturn:
        raise AssertionError("the partition is not assigned")

    for worker, lag in ((mute, connecting), (well, lambda: {("given.v1", 3): 7})):
        monkeypatch.setattr(worker, "lag", lag)
        monkeypatch.setattr(worker, "units", lambda: [3])
        monkeypatch.setattr(worker, "clocks_ms", lambda: {3: clock.now_ms() - 60_000})
    page = footing.metrics.render().decode()
    assert 'dangol_tally_consumer_lag_messages{topic="given.v1",unit="3",worker="well"} 7.0' in page
    assert 'worker="mute"' not in _lines(page, "consumer_lag_messages")
    for name in ("mute", "well"):
        assert f'clock_lag_seconds{{unit="3",worker="{name}"}}' in page
        assert f'owned_units{{worker="{name}"}} 1.0' in page

    monkeypatch.setattr(mute, "clocks_ms", connecting)
    assert 'clock_lag_seconds{unit="3",worker="mute"}' not in footing.metrics.render().decode()


def _lines(page: str, name: str) -> str:
    return "\n".join(line for line in page.splitlines() if name in line)
