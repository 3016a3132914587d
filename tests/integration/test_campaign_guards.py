"""Does a campaign stop by itself when its contacts do harm, exactly counted, and does it say why?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from libs.common import clock, documents
from libs.common.documents import guarding, reading
from libs.common.documents.guarding import GuardedKind
from libs.common.documents.limits import Guards
from libs.common.documents.shapes import Connection
from libs.common.documents.stopping import Guardian
from libs.common.events import ContactsCounted, Decided, ResponseReceived
from libs.common.metrics import Metrics
from services.campaign.document import KIND
from tests.campaign_stage import Place, customer, fired, running, settled, staged

GUARDED = GuardedKind(KIND, "campaigns", "Asia/Seoul")
COMPANY = Guards(0.5, 0.1, 5.0, 50.0, 10, 7)
"""As shipped, but that ten contacts are enough to judge by."""

COUNTS = """
    SELECT measure, sum(count)::int FROM document_guard_day WHERE kind = 'campaign' AND stay > 0 GROUP BY 1 ORDER BY 1
"""


@pytest.fixture
async def place(kafka_bootstrap: str, database_url: str, topic_prefix: str) -> AsyncIterator[Place]:
    async with staged(kafka_bootstrap, database_url, topic_prefix) as found:
        yield found


async def company(connection: Connection) -> Guards:
    return COMPANY


def guardian(place: Place, metrics: Metrics | None = None) -> Guardian:
    return Guardian(place.floor.database, GUARDED, company, metrics or Metrics("test", process=False))


async def contacts(place: Place, first: int, count: int, **more: str) -> list[str]:
    """So many people are contacted, and delivery says so; their messages."""
    ids = [f"c{number}" for number in range(first, first + count)]
    await place.meet(*(customer(each) for each in ids))
    await place.give(*(fired(1, each, **more) for each in ids))
    listed = ", ".join(f"'{each}'" for each in ids)
    reserved = f"SELECT count(*)::int FROM contact WHERE customer_id IN ({listed})"
    await place.until(reserved, [(count,)])
    messages = f"SELECT message_id::text, customer_id FROM contact WHERE customer_id IN ({listed}) ORDER BY customer_id"
    found = await place.rows(messages)
    await place.give(*(settled(message, True, owner) for message, owner in found))
    await place.until(f"{reserved} AND state = 'committed'", [(count,)])
    return [message for message, _ in found]


async def reactions(place: Place, kind: str, messages: Sequence[str], **data: object) -> None:
    owners = dict(await place.rows("SELECT message_id::text, customer_id FROM contact"))
    await place.give(
        *(
            ResponseReceived(
                *(str(clock.new_id()), f"message.{kind}", message, "", "spring", owners[message], "", "sms"),
                clock.now(),
                data,
            )
            for message in messages
        )
    )


async def status(place: Place) -> tuple[str, str]:
    version = await reading.get(place.connection, KIND, "spring", "live")
    return version.status, (await reading.changes(place.connection, KIND, id="spring", limit=1))[0].author


async def test_unsubscriptions_above_the_limit_pause_the_campaign_and_it_says_why(place: Place) -> None:
    await place.activate()
    metrics = Metrics("test", process=False)
    async with running(place):
        messages = await contacts(place, 0, 12)
        assert await guardian(place).turn() and await status(place) == ("active", "m"), "contacts alone do no harm"
        await reactions(place, "unsubscribed", messages[:2])
        await place.until(COUNTS, [("cap_asked", 12), ("contacts", 12), ("unsubscribed", 2)])
        await guardian(place, metrics).turn()
        assert await status(place) == ("paused", "guard")
        await place.library.refresh()
        await place.meet(customer("late"))
        await place.give(fired(1, "late"))
        await place.until("SELECT count(*)::int FROM contact WHERE customer_id = 'late'", [(0,)])
    stop = await guarding.last_stop(place.connection, KIND, "spring")
    today = clock.now().date().isoformat()
    assert stop is not None and stop.by == "guard"
    assert stop.note.startswith("2 of 12 contacts unsubscribed since ")
    assert stop.note.endswith("(16.667 %): more than the limit of 0.5 %")
    [figures] = stop.figures
    assert figures | {"since": today} == {
        "limit": "unsubscribe",
        "limit_percent": 0.5,
        "count": 2,
        "of": 12,
        "share_percent": 16.667,
        "since": today,
    }
    assert b'dangol_test_guard_pauses_total{limit="unsubscribe"} 1.0' in metrics.render()


async def test_below_the_least_number_nothing_happens(place: Place) -> None:
    await place.activate()
    async with running(place):
        messages = await contacts(place, 0, 9)
        await reactions(place, "complained", messages)
        await place.until(COUNTS, [("cap_asked", 9), ("complained", 9), ("contacts", 9)])
        await guardian(place).turn()
        assert await status(place) == ("active", "m"), "nine is not ten"
        await contacts(place, 9, 1)
        await guardian(place).turn()
        assert await status(place) == ("paused", "guard"), "the tenth is what was waited for"


async def test_what_is_told_twice_counts_once(place: Place) -> None:
    await place.activate()
    async with running(place) as worker:
        messages = await contacts(place, 0, 3)
        await reactions(place, "unsubscribed", messages[:1])
        await reactions(place, "unsubscribed", messages[:1])
        await reactions(place, "bounced", messages[1:2], soft=True)
        await reactions(place, "bounced", messages[2:])
        await place.give(settled(messages[0], True, "c0"))
        wanted = [("bounced", 1), ("cap_asked", 3), ("contacts", 3), ("unsubscribed", 1)]
        await place.until(COUNTS, wanted)
        stamped = [each for each in await place.published(ContactsCounted) if each.counts.get("unsubscribed")]
        assert [(each.rule_id, each.rule_version, each.counts) for each in stamped] == [
            ("rule-1", 1, {"unsubscribed": 1})
        ]
        del worker
    # Another owner reads everything once more from where the row says: nothing is counted again.
    async with running(place):
        await contacts(place, 3, 1)
        await place.until(COUNTS, [("bounced", 1), ("cap_asked", 4), ("contacts", 4), ("unsubscribed", 1)])


async def test_a_resumption_begins_anew_and_old_contacts_do_not_count_against_it(place: Place) -> None:
    await place.activate()
    async with running(place):
        messages = await contacts(place, 0, 10)
        await reactions(place, "unsubscribed", messages[:5])
        await place.until(f"{COUNTS} OFFSET 2", [("unsubscribed", 5)])
        await guardian(place).turn()
        assert await status(place) == ("paused", "guard")
        async with place.floor.database.transaction() as tx:
            await documents.resume(tx, KIND, "spring", author="m", note="the text was mended")
        await place.library.refresh()
        await reactions(place, "unsubscribed", messages[5:])
        await contacts(place, 10, 12)
        await place.until(f"{COUNTS} OFFSET 2", [("unsubscribed", 10)])
        await guardian(place).turn()
        assert await status(place) == ("active", "m"), "what the old contacts bring late counts for the old stay"
        [found] = await guarding.guarded(place.connection, KIND, ["spring"], clock.now().date().replace(day=1))
        assert found.counts == {"contacts": 12, "cap_asked": 12}


async def test_a_change_of_the_ramp_goes_on_counting(place: Place) -> None:
    await place.activate()
    async with running(place):
        await contacts(place, 0, 2)
        async with place.floor.database.transaction() as tx:
            await documents.activate(tx, KIND, "spring", 1, author="m", ramp_percent=99)
        [found] = await guarding.guarded(place.connection, KIND, ["spring"], clock.now().date().replace(day=1))
        assert found.ramp_percent == 99 and found.counts["contacts"] == 2


async def test_cap_blocks_are_a_share_of_what_came_as_far_as_the_caps(place: Place) -> None:
    await place.activate(guards={"cap_block_percent": 10})
    async with running(place):
        await place.meet(customer("c1"))
        await place.give(*(fired(number) for number in range(10)))
        await place.until(COUNTS, [("cap_asked", 10), ("cap_blocked", 9)])
        await guardian(place).turn()
        assert await status(place) == ("paused", "guard")
        note = (await reading.changes(place.connection, KIND, id="spring", limit=1))[0].note
        assert note.startswith("9 of 10 decisions were blocked by a cap since")


async def test_what_a_ramp_keeps_out_waters_no_share_down(place: Place) -> None:
    await place.activate()
    async with place.floor.database.transaction() as tx:
        await documents.activate(tx, KIND, "spring", 1, author="m", ramp_percent=0)
    await place.library.refresh()
    async with running(place):
        await place.meet(customer("c1"))
        await place.give(*(fired(number) for number in range(10)))
        await place.until("SELECT count(*)::int FROM decision", [(10,)])
        assert [each.gate for each in await place.published(Decided)] == ["eligibility"] * 10
        assert await place.rows(COUNTS) == []


async def test_two_processes_pause_once(place: Place) -> None:
    await place.activate()
    async with running(place):
        messages = await contacts(place, 0, 10)
        await reactions(place, "complained", messages)
        await place.until(f"{COUNTS} OFFSET 1 LIMIT 1", [("complained", 10)])
    async with place.floor.database.transaction() as one, place.floor.database.transaction() as other:
        assert await guarding.guard(one, GUARDED, ["spring"], company, clock.now())
        assert await guarding.guard(other, GUARDED, ["spring"], company, clock.now()) is None, "somebody is at it"
    assert await guardian(place).turn()
    changes = await reading.changes(place.connection, KIND, id="spring")
    assert [each.author for each in changes] == ["guard", "m"]


async def test_a_whole_round_runs_by_itself(place: Place) -> None:
    await place.activate()
    at_work = guardian(place)
    await at_work.start()
    try:
        async with running(place):
            messages = await contacts(place, 0, 10)
            await reactions(place, "unsubscribed", messages)
            paused = "SELECT count(*)::int FROM document WHERE status = 'paused'"
            await place.until(paused, [(1,)])
    finally:
        await at_work.stop()


async def test_a_contact_that_is_told_late_counts_for_the_stay_in_which_it_came_about(place: Place) -> None:
    await place.activate()
    async with running(place):
        await place.meet(customer("c1"))
        await place.give(fired(1, "c1"))
        await place.until("SELECT count(*)::int FROM contact", [(1,)])
        [(message,)] = await place.rows("SELECT message_id::text FROM contact")
        accepted = settled(message, True)
        async with place.floor.database.transaction() as tx:
            await documents.pause(tx, KIND, "spring", author="m")
            await documents.resume(tx, KIND, "spring", author="m")
        await place.give(accepted)
        await place.until("SELECT state FROM contact", [("committed",)])
        await reactions(place, "unsubscribed", [message])
        by_stay = """
            SELECT stay::int, measure, count::int FROM document_guard_day WHERE measure <> 'cap_asked' ORDER BY 1, 2
        """
        await place.until(by_stay, [(1, "contacts", 1), (1, "unsubscribed", 1)])
    told = [each for each in await place.published(ContactsCounted) if "cap_asked" not in each.counts]
    assert [(each.at, each.counts) for each in told] == [
        (accepted.settled_at, {"contacts": 1}),
        (accepted.settled_at, {"unsubscribed": 1}),
    ]
