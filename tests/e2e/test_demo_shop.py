"""Does the demo shop set itself up and show something? At a small size, as its own process."""

from __future__ import annotations

import asyncio
import sys
import time

from deploy.demo import installing
from deploy.local.settings import ROOT
from tests.caller import Caller, until
from tests.stack import Stack

FIRST_MESSAGE_SECONDS_MAX = 10.0


async def shop(stack: Stack, seconds: float) -> asyncio.subprocess.Process:
    options = ("--customers", "60", "--speed", "10", "--seconds", f"{seconds:g}")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.demo", *options),
        cwd=ROOT,
        env=stack.variables(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_the_demo_shop_sets_itself_up_and_causes_messages(stack: Stack, caller: Caller) -> None:
    began = time.monotonic()
    process = await shop(stack, 12)

    async def first() -> bool:
        return bool(await caller.inbox(campaign_id="big-purchase-receipt"))

    try:
        await until(first, "the first message", seconds=30)
        assert time.monotonic() - began < FIRST_MESSAGE_SECONDS_MAX
        told = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, told
    assert f"{sum(len(installing.read(kind)) for kind, _ in installing.KINDS)} documents" in told
    assert "refused" not in told and " events sent " in told
    first_customer = await caller.customer(loyalty_card="8801-0001")
    assert first_customer is not None and first_customer["traits"]["name"]["value"] == "Kim Jisoo"


async def test_opened_again_the_shop_installs_nothing_twice(stack: Stack) -> None:
    process = await shop(stack, 0.5)
    told = (await process.communicate())[0].decode()
    assert process.returncode == 0, told
    assert "60 customers, 0 documents put in force" in told
