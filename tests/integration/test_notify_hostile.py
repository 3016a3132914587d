"""Does the promise of the ledger hold when providers and processes fail? The providers' own book is the judge."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from libs.common import clock
from libs.common.events import ContactRequested
from tests.notify_stage import Stage, customer, request, stage, until


@pytest.fixture
async def on(postgres_url: str, kafka_bootstrap: str, fresh_name: str, tmp_path: Path) -> AsyncIterator[Stage]:
    # Notices come late, for they would clear up a doubt before its policy shows.
    late = {"DANGOL_RECEIPT_DELAY_SECONDS": "4"}
    async with stage(postgres_url, kafka_bootstrap, fresh_name, tmp_path, **late) as made:
        yield made


async def _ready(on: Stage, **more: str) -> None:
    await on.run_notify(**more)
    await on.add_template("mail", "email", "<p>Hello {{ customer.name }}</p>", "Hello")
    await on.add_template("text", "sms", "Hello {{ customer.name }}")


async def _asked(
    on: Stage, count: int, channel: str, template: str, class_: str = "marketing"
) -> list[ContactRequested]:
    people = [customer() for _ in range(count)]
    asked = [request(each, channel, template, class_) for each in people]
    await on.know(*people)
    await on.ask(*asked)
    return asked


async def test_refusals_and_doubts_of_a_gateway_that_keeps_keys_end_in_exactly_one_message(on: Stage) -> None:
    await _ready(on)
    for mode in ("429", "500", "accept_then_drop", "drop"):
        await on.fault("sms", mode, times=2, seconds=1)
        (asked,) = await _asked(on, 1, "sms", "text")
        found = await on.reaches(asked.message_id, "DELIVERED")
        assert on.sent(asked.message_id) == 1, mode
        assert found["attempts"] == 3, mode
        assert not found["possible_duplicate"], mode


async def test_mail_in_doubt_is_never_repeated_for_marketing_and_once_flagged_for_a_receipt(on: Stage) -> None:
    await _ready(on)
    await on.fault("smtp", "accept_then_drop")
    (offer,) = await _asked(on, 1, "email", "mail")
    (receipt,) = await _asked(on, 1, "email", "mail", "transactional")
    assert (await on.reaches(offer.message_id, "UNKNOWN"))["attempts"] == 1
    found = await on.reaches(receipt.message_id, "UNKNOWN")
    assert (found["attempts"], found["possible_duplicate"]) == (2, True)
    await on.fault("smtp", "")
    assert on.sent(offer.message_id) == 1
    assert on.sent(receipt.message_id) == 2
    for asked in (offer, receipt):
        await on.reaches(asked.message_id, "DELIVERED")

    async def counted() -> bool:
        settled = {each["message_id"]: each["contacted"] for each in await on.settled()}
        return settled.get(offer.message_id) is True

    await until(counted)


async def test_mail_that_was_surely_not_taken_is_tried_again_until_its_time_is_over(on: Stage) -> None:
    await _ready(on)
    on.kill("providers")
    kim = customer()
    await on.know(kim)
    patient, hasty = (request(kim, "email", "mail", valid_until=clock.now() + timedelta(seconds=s)) for s in (60, 3))
    await on.ask(patient, hasty)
    # Either no attempt fits in any more, or the last one came too late.
    assert "time" in (await on.reaches(hasty.message_id, "EXPIRED"))["reason"]
    on.run("providers", "deploy.local.providers")
    await on.reaches(patient.message_id, "DELIVERED", seconds=40)
    assert (on.sent(patient.message_id), on.sent(hasty.message_id)) == (1, 0)


async def test_a_provider_that_hangs_does_not_hold_up_the_others(on: Stage) -> None:
    await _ready(on)
    await on.fault("smtp", "hang")
    stuck = await _asked(on, 40, "email", "mail")
    await asyncio.sleep(0.5)
    began = asyncio.get_running_loop().time()
    for asked in await _asked(on, 5, "sms", "text"):
        await on.reaches(asked.message_id, "ACCEPTED", "DELIVERED", seconds=3)
    assert asyncio.get_running_loop().time() - began < 3
    states = {await on.state(each.message_id) for each in stuck}
    assert states == {"SUBMITTING", "PLANNED"}


@pytest.mark.parametrize("point", ["after_claim", "after_send"])
async def test_a_sender_that_dies_leaves_no_message_behind_and_sends_none_twice(on: Stage, point: str) -> None:
    await _ready(on)
    on.kill("notify", signal.SIGTERM)
    people = [customer() for _ in range(30)]
    texts = [request(each, "sms", "text") for each in people]
    mails = [request(each, "email", "mail") for each in people]
    await on.know(*people)
    await on.ask(*texts, *mails)
    on.run("notify", "services.notify", DANGOL_CRASHPOINTS=f"{point}:1")
    await asyncio.to_thread(on.wait, "notify")
    await on.run_notify()
    for asked in texts:
        await on.reaches(asked.message_id, "DELIVERED", seconds=60)
        assert on.sent(asked.message_id) == 1
    for asked in mails:
        found = await on.reaches(asked.message_id, "DELIVERED", "UNKNOWN", seconds=60)
        assert on.sent(asked.message_id) <= 1
        assert found["state"] != "DELIVERED" or on.sent(asked.message_id) == 1


async def test_two_instances_share_the_work_and_send_each_message_once(on: Stage) -> None:
    await _ready(on)
    await on.run_notify("second", DANGOL_NOTIFY_PORT=str(on.other_port))
    asked = await _asked(on, 300, "sms", "text")
    for each in asked:
        await on.reaches(each.message_id, "ACCEPTED", "DELIVERED", seconds=30)
    lines = on.book()
    assert sorted(lines) == sorted(each.message_id for each in asked)
