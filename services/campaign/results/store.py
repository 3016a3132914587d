"""What have those done who were contacted, and those who were left alone? Added up by the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from libs.common.db import Row, Tx
from services.campaign.policy import BEHIND_HOLDOUT
from services.campaign.results.goals import PURCHASE, REFUND, Done
from services.campaign.results.terms import Goal


async def keep(tx: Tx, unit: int, done: Sequence[Done]) -> None:
    """An event that is here already is left: what it says does not change."""
    if not done:
        return
    rows = sorted(done, key=lambda each: (each.customer_id, each.at, each.event_id))
    await tx.execute(
        """
        INSERT INTO done (unit, customer_id, at, event_id, type, branch, channel, currency, amount, margin, unmargined)
        SELECT $1, * FROM unnest($2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
                                 $8::text[], $9::numeric[], $10::numeric[], $11::numeric[])
        ON CONFLICT DO NOTHING
        """,
        unit,
        [each.customer_id for each in rows],
        [each.at for each in rows],
        [each.event_id for each in rows],
        [each.type for each in rows],
        [each.branch for each in rows],
        [each.channel for each in rows],
        [each.currency for each in rows],
        [each.amount for each in rows],
        [each.margin for each in rows],
        [each.unmargined for each in rows],
    )


async def forget(tx: Tx, customer_ids: Collection[str]) -> None:
    if customer_ids:
        await tx.execute("DELETE FROM done WHERE customer_id = ANY($1)", sorted(customer_ids))


async def forget_before(tx: Tx, before: datetime) -> None:
    await tx.execute("DELETE FROM done WHERE at < $1", before)


WEIGHING: Final = """
SET TRANSACTION READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '60s';
SET LOCAL enable_hashjoin = on; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL work_mem = '64MB'
"""
"""How a transaction opens that adds up many rows. It holds no lock that anybody waits for."""
_SECONDS_MAX: Final = 300.0

# A person counts once, by the first decision that drew them to a side, and is who they are today: what was decided of
# a record counts for the person that the record belongs to now. Whom a gate behind the holdout stopped was drawn to be
# contacted: their like among those left alone was never asked by that gate.
_DRAWN = """
drawn AS MATERIALIZED (
    SELECT DISTINCT ON (person) person, campaign_version AS version, decided_at AS at,
           CASE WHEN outcome = 'holdout' THEN 'holdout' ELSE 'contact' END AS side, outcome = 'contact' AS contacted
    FROM (
        SELECT coalesce(nullif(customer.person_id, ''), decision.customer_id) AS person, decision.*
        FROM decision LEFT JOIN customer USING (customer_id)
        WHERE campaign_id = $1 AND decided_at < $2
              AND (outcome IN ('contact', 'holdout') OR outcome = 'denied' AND gate = ANY($3))
    ) AS decision
    ORDER BY person, decided_at, decision_id
)
"""
_EXPOSED = f"""
{_DRAWN},
exposed AS MATERIALIZED (
    SELECT drawn.*, ARRAY(
        SELECT customer_id FROM customer WHERE customer.person_id = drawn.person AND customer.person_id <> ''
        UNION SELECT drawn.person
    ) AS records
    FROM drawn WHERE version = ANY($4)
)
"""
_RECORD = """
record AS MATERIALIZED (SELECT person, at, customer_id FROM exposed CROSS JOIN unnest(exposed.records) AS customer_id)
"""


class Asked(Struct, frozen=True):
    """Whom a report is about: those whom these versions of the campaign drew before `until`."""

    campaign_id: str
    until: datetime
    versions: Sequence[int]

    @property
    def values(self) -> tuple[str, datetime, list[str], list[int]]:
        return self.campaign_id, self.until, list(BEHIND_HOLDOUT), list(self.versions)


async def drawn(connection: Any, campaign_id: str, until: datetime) -> list[Row]:
    """How many people each version drew."""
    rows: list[Row] = await connection.fetch(
        f"WITH {_DRAWN} SELECT version, count(*) FROM drawn GROUP BY version ORDER BY version",
        *(campaign_id, until, list(BEHIND_HOLDOUT)),
        timeout=_SECONDS_MAX,
    )
    return rows


async def totals(connection: Any, asked: Asked, goal: Goal, currency: str) -> list[Row]:
    """For each side the people, how many reached which goal, and the sums and sums of squares of money.

    Money of other currencies is left out and counted in `foreign_count`. What has no margin of its own leaves the
    goal's `margin_percent` of its amount.
    """
    rows: list[Row] = await connection.fetch(
        f"""
        WITH {_EXPOSED}, did AS (
            SELECT exposed.person, exposed.side, exposed.contacted,
                   bool_or(done.type = $5) AS reached,
                   bool_or(done.type = 'visit' OR done.type = '{PURCHASE}') AS visited,
                   bool_or(done.type = '{PURCHASE}') AS bought,
                   bool_or(done.type = 'call_inbound') AS called,
                   bool_or(done.type = 'coupon.redeemed') AS redeemed,
                   coalesce(sum(amount) FILTER (WHERE currency = $7), 0)::float8 AS spend,
                   coalesce(sum(margin + unmargined * $8) FILTER (WHERE currency = $7), 0)::float8 AS margin,
                   count(*) FILTER (WHERE done.type IN ('{PURCHASE}', '{REFUND}') AND currency <> $7) AS foreign_count
            FROM exposed LEFT JOIN LATERAL (
                SELECT * FROM done
                WHERE customer_id = ANY(exposed.records) AND at > exposed.at AND at <= exposed.at + $6 AND at < $2
            ) AS done ON true
            GROUP BY exposed.person, exposed.side, exposed.contacted
        )
        SELECT side, count(*) AS people,
               count(*) FILTER (WHERE contacted) AS contacted,
               count(*) FILTER (WHERE contacted AND reached) AS responded,
               count(*) FILTER (WHERE reached) AS goal, count(*) FILTER (WHERE visited) AS visit,
               count(*) FILTER (WHERE bought) AS purchase, count(*) FILTER (WHERE called) AS call,
               count(*) FILTER (WHERE redeemed) AS redemption,
               sum(spend) AS spend, sum(spend * spend) AS spend_squares,
               sum(margin) AS margin, sum(margin * margin) AS margin_squares,
               sum(foreign_count)::bigint AS foreign_count
        FROM did GROUP BY side
        """,
        *asked.values,
        *(goal.event, goal.window, currency, goal.margin_percent / 100),
        timeout=_SECONDS_MAX,
    )
    return rows


async def attributed(connection: Any, asked: Asked, goal: Goal, windows: Mapping[str, timedelta], currency: str) -> Row:
    """What followed contacts of the campaign: each deed goes back to one contact, the newest before it whose window is
    open, of whichever campaign. `windows` are those of the campaigns that take part; others claim nothing.
    """
    found = await connection.fetchrow(
        f"""
        WITH {_EXPOSED}, {_RECORD},
        taking_part AS (SELECT * FROM unnest($6::text[], $7::interval[]) AS part (campaign_id, span)),
        touch AS MATERIALIZED (
            SELECT person, campaign_id, decided_at, decision_id, decided_at + span AS closes_at
            FROM record JOIN decision USING (customer_id) JOIN taking_part USING (campaign_id)
            WHERE decision.outcome = 'contact' AND decision.decided_at < $2
        ),
        deed AS MATERIALIZED (
            SELECT person, done.customer_id, event_id, done.at, amount, currency
            FROM record JOIN done USING (customer_id) WHERE done.type = $5 AND done.at > record.at AND done.at < $2
        ),
        reached AS (
            SELECT DISTINCT ON (deed.customer_id, deed.at, deed.event_id) person, campaign_id, amount, currency
            FROM deed JOIN touch USING (person)
            WHERE touch.decided_at < deed.at AND deed.at <= touch.closes_at
            ORDER BY deed.customer_id, deed.at, deed.event_id, touch.decided_at DESC, touch.decision_id DESC
        )
        SELECT count(*) AS responses, count(DISTINCT person) AS people,
               coalesce(sum(amount) FILTER (WHERE currency = $8), 0)::float8 AS amount
        FROM reached WHERE campaign_id = $1
        """,
        *asked.values,
        *(goal.event, list(windows), list(windows.values()), currency),
        timeout=_SECONDS_MAX,
    )
    assert found is not None
    return found


async def costs(connection: Any, asked: Asked, window: timedelta) -> tuple[Row, list[Row]]:
    """What contacts of these people within their window were to cost, and what became of contacts of the campaign."""
    planned = await connection.fetchrow(
        f"""
        WITH {_EXPOSED}, {_RECORD},
        contact AS MATERIALIZED (
            SELECT customer_id, decided_at, cost::numeric AS cost FROM decision
            WHERE campaign_id = $1 AND outcome = 'contact' AND decided_at < $2
        )
        SELECT count(*), coalesce(sum(cost), 0) AS cost
        FROM record JOIN contact USING (customer_id) WHERE contact.decided_at <= record.at + $5
        """,
        *asked.values,
        window,
        timeout=_SECONDS_MAX,
    )
    assert planned is not None
    states = await connection.fetch(
        "SELECT state, count(*) FROM contact WHERE campaign_id = $1 AND reserved_at < $2 GROUP BY state",
        *(asked.campaign_id, asked.until),
        timeout=_SECONDS_MAX,
    )
    return planned, states


async def main_currency(connection: Any, asked: Asked, window: timedelta) -> str | None:
    """The currency in which these people bought most often."""
    found = await connection.fetchrow(
        f"""
        WITH {_EXPOSED}
        SELECT done.currency
        FROM exposed JOIN LATERAL (
            SELECT currency FROM done
            WHERE customer_id = ANY(exposed.records) AND at > exposed.at AND at <= exposed.at + $5 AND at < $2
        ) AS done ON true
        WHERE done.currency <> '' GROUP BY done.currency ORDER BY count(*) DESC, done.currency LIMIT 1
        """,
        *asked.values,
        window,
        timeout=_SECONDS_MAX,
    )
    return None if found is None else str(found["currency"])


async def holdouts(connection: Any, campaign_id: str) -> dict[int, float]:
    """The share in percent that each version holds out."""
    rows = await connection.fetch(
        "SELECT version, coalesce((body ->> 'holdout_percent')::float8, 0) AS percent FROM document"
        " WHERE kind = 'campaign' AND id = $1",
        campaign_id,
    )
    return {row["version"]: row["percent"] for row in rows}


async def goals_written(connection: Any) -> list[tuple[str, bytes]]:
    """By campaign the goal of each version that was ever written, drafts among them, as its author wrote it."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT id, (body -> 'goal')::text AS goal FROM document
        WHERE kind = 'campaign' AND json_typeof(body -> 'goal') = 'object'
        """
    )
    return [(row["id"], row["goal"].encode()) for row in rows]
