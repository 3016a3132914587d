"""Do the profiles hold what the file says? Days of a real shop, as history and as live, against sums of our own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.settings import ROOT
from tests.caller import Caller, purchase, until
from tests.soaking import soaks
from tests.stack import Stack

DATA = Path(os.environ.get("DANGOL_DATA") or ROOT.parent / "shared" / "data")
TABLE = DATA / "online_retail" / "online_retail.parquet"
MAPPING = ROOT / "deploy" / "replay" / "online_retail.toml"
_ASKED_AT_ONCE = 20
UNTIL = datetime.fromisoformat("2010-12-03")


@dataclass
class Sums:
    purchases: int = 0
    refunds: int = 0
    spent: Decimal = field(default_factory=Decimal)


@dataclass
class Extract:
    file: Path
    sums: dict[str, Sums]
    """By customer."""
    anonymous: int
    """Invoices without a customer."""
    duplicates: int


def mapping_of(name: str, folder: Path, *, duplicates: str = "keep") -> Path:
    """The mapping as another shop, called `name`: its events and its people are its own."""
    text = MAPPING.read_text().replace('account = "CustomerID"', f'"partner:{name}" = "CustomerID"')
    text = text.replace('duplicates = "keep"', f'duplicates = "{duplicates}"')
    file = folder / f"{name}.toml"
    file.write_text(text.replace('source = "online-retail"', f'source = "{name}"'))
    return file


@pytest.fixture(scope="session")
def extract(tmp_path_factory: pytest.TempPathFactory) -> Extract:
    if not TABLE.is_file():
        pytest.skip(f"{TABLE} is not there; DANGOL_DATA may name the folder of data")
    from pyarrow import compute
    from pyarrow import parquet as pq

    whole = pq.read_table(TABLE)
    days = whole.filter(compute.less(whole["InvoiceDate"], UNTIL))
    file = tmp_path_factory.mktemp("replay") / "days.parquet"
    pq.write_table(days, file)
    return computed(file, days.to_pylist())


def computed(file: Path, lines: list[dict[str, Any]]) -> Extract:
    """Straight from the lines: an invoice counts once, its money is the sum of quantity × price of all lines."""
    money: dict[str, Decimal] = defaultdict(Decimal)
    buyer: dict[str, str] = {}
    for line in lines:
        invoice = line["InvoiceNo"]
        money[invoice] += line["Quantity"] * Decimal(str(line["UnitPrice"]))
        if line["CustomerID"] is not None:
            buyer[invoice] = str(line["CustomerID"])
    sums: dict[str, Sums] = defaultdict(Sums)
    for invoice, customer in buyer.items():
        own = sums[customer]
        own.spent += money[invoice]
        if invoice.startswith("C"):
            own.refunds += 1
        else:
            own.purchases += 1
    repeated = len(lines) - len({tuple(line.items()) for line in lines})
    return Extract(file, dict(sums), len(money) - len(buyer), repeated)


async def replay(stack: Stack, *arguments: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.replay", *map(str, arguments)),
        cwd=ROOT,
        env=stack.variables(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()


async def held(caller: Caller, kind: str, customers: list[str]) -> dict[str, Sums]:
    """What the profiles hold, for those who are known."""
    found: dict[str, dict[str, Any] | None] = {}
    for start in range(0, len(customers), _ASKED_AT_ONCE):
        some = customers[start : start + _ASKED_AT_ONCE]
        found |= dict(zip(some, await asyncio.gather(*(caller.customer(**{kind: each}) for each in some)), strict=True))
    return {
        name: Sums(view["profile"]["purchase_count"], bought["refund_count"], Decimal(bought["spent"]["GBP"]))
        for name, view in found.items()
        if view is not None and "GBP" in (bought := view["purchases"])["spent"]
    }


async def holds(caller: Caller, kind: str, wanted: dict[str, Sums], *, seconds: float = 40) -> None:
    """Waits until the profiles hold exactly that."""
    differing = dict(wanted)

    async def same() -> bool:
        found = await held(caller, kind, list(differing))
        for name in [each for each in differing if found.get(each) == wanted[each]]:
            del differing[name]
        return not differing

    try:
        await until(same, "the sums of the file in the profiles", seconds=seconds)
    except AssertionError:
        name = next(iter(differing))
        raise AssertionError(
            f"customer {name}: wanted {wanted[name]}, held {await held(caller, kind, [name])}"
        ) from None


async def watched(caller: Caller, name: str) -> None:
    """A rule that would fire on every purchase and refund in pounds, with a campaign that decides on each."""
    document = {"id": name, "channel": "email", "subject": "s", "body": "b"}
    await caller.install("templates", document)
    campaign = {"id": name, "name": name, "trigger": f"t.{name}", "channel": "email", "template": name}
    await caller.install("campaigns", campaign)
    pounds = [{"field": "event.currency", "op": "is", "value": "GBP"}]
    when = {"type": "event", "event": "purchase", "where": pounds}
    await caller.install("rules", {"id": name, "name": name, "when": when, "emit": {"trigger": f"t.{name}"}})


async def test_history_builds_the_profiles_of_the_file_and_fires_nothing(
    stack: Stack, caller: Caller, extract: Extract, tmp_path: Path
) -> None:
    assert extract.duplicates > 0 and extract.anonymous > 0, "the extract shows all that is to be shown"
    assert any(each.refunds for each in extract.sums.values())
    await watched(caller, "replayhistory")
    before = await people(stack)
    told = await replay(stack, extract.file, "--mapping", MAPPING, "--journal", tmp_path / "journal.json")
    assert " 0 refused" in told
    await holds(caller, "account", extract.sums)
    assert await caller.decisions(campaign_id="replayhistory") == []
    # Nobody but those with a number: lines without a customer have made no profile.
    assert await people(stack) - before == len(extract.sums)

    # Once more from the first line changes nothing, and the journal keeps a finished table from being sent again.
    again = await replay(stack, extract.file, "--mapping", MAPPING, "--journal", tmp_path / "journal.json", "--again")
    assert " 0 refused" in again
    marker = await marked(caller)
    await holds(caller, "account", extract.sums)
    assert await people(stack) - before == len(extract.sums) + marker
    told = await replay(stack, extract.file, "--mapping", MAPPING, "--journal", tmp_path / "journal.json")
    assert "to its end before" in told


@pytest.mark.skipif(not soaks(), reason="takes a minute or two: make soak runs it")
async def test_the_whole_file_builds_the_profiles_that_it_says_duplicates_once(
    stack: Stack, caller: Caller, tmp_path: Path
) -> None:
    """541,909 lines, through the door: every customer's purchases, refunds and money, to the penny."""
    if not TABLE.is_file():
        pytest.skip(f"{TABLE} is not there; DANGOL_DATA may name the folder of data")
    from pyarrow import parquet as pq

    table = pq.read_table(
        TABLE,
        columns=[
            "InvoiceNo",
            "StockCode",
            "Description",
            "Quantity",
            "InvoiceDate",
            "UnitPrice",
            "CustomerID",
            "Country",
        ],
    )
    names = table.column_names
    once = dict.fromkeys(zip(*(table[name].to_pylist() for name in names), strict=True))
    whole = computed(TABLE, [dict(zip(names, line, strict=True)) for line in once])
    assert (table.num_rows, len(once), len(whole.sums)) == (541_909, 536_641, 4_372)
    mapping = mapping_of("whole", tmp_path, duplicates="drop")
    told = await replay(stack, TABLE, "--mapping", mapping, "--journal", tmp_path / "whole.json")
    assert " 0 refused" in told
    await holds(caller, "partner:whole", whole.sums, seconds=120)


async def test_live_events_end_now_and_make_rules_fire(
    stack: Stack, caller: Caller, extract: Extract, tmp_path: Path
) -> None:
    await watched(caller, "replaylive")
    mapping = mapping_of("live", tmp_path)
    journal = tmp_path / "live.json"
    await replay(stack, extract.file, "--mapping", mapping, "--journal", journal, "--live", "--speed", "10")
    await holds(caller, "partner:live", extract.sums)
    purchases = sum(each.purchases for each in extract.sums.values())

    async def decided() -> bool:
        found = await caller.get("campaign", "/v1/campaigns/replaylive/results")
        return int(found["decided"]) >= purchases

    await until(decided, f"{purchases} decisions", seconds=20)
    assert (await caller.get("campaign", "/v1/campaigns/replaylive/results"))["decided"] == purchases
    newest = max(
        datetime.fromisoformat(each["decided_at"]) for each in await caller.decisions(campaign_id="replaylive")
    )
    assert json.loads(journal.read_text())["live_ms"] <= newest.timestamp() * 1000


async def test_an_interrupted_replay_goes_on_from_its_journal(
    stack: Stack, caller: Caller, extract: Extract, tmp_path: Path
) -> None:
    mapping = mapping_of("twice", tmp_path)
    journal = tmp_path / "journal.json"
    await replay(stack, extract.file, "--mapping", mapping, "--journal", journal)
    kept = json.loads(journal.read_text())
    # As an interruption leaves it: the beginning is acknowledged, the rest may be or not.
    journal.write_text(json.dumps({**kept, "lines_done": kept["lines_done"] // 2, "finished": False}))
    told = await replay(stack, extract.file, "--mapping", mapping, "--journal", journal)
    assert json.loads(journal.read_text()) == kept, told
    await marked(caller)
    await holds(caller, "partner:twice", extract.sums)


async def people(stack: Stack) -> int:
    """How many records identify has made: looked at in its table, for no API counts them."""
    connection = await asyncpg.connect(stack.database_url_of("profile"))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM record"))
    finally:
        await connection.close()


async def marked(caller: Caller) -> int:
    """Sends one event and waits for its customer in each partition's turn; returns how many customers that made."""
    cards = [{"loyalty_card": f"marker-{number}-{id(caller)}"} for number in range(24)]
    await caller.send("pos", *(purchase(1, identifiers=card) for card in cards))
    for card in cards:

        async def there(card: dict[str, str] = card) -> bool:
            return await caller.customer(**card) is not None

        await until(there, "a marker behind everything that was sent before")
    return len(cards)
