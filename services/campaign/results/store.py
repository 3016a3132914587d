"""What have those done who were contacted, and those who were left alone? Added up by the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from libs.common.db import Row, Tx
from libs.common.documents import Connection
from services.campaign.results.goals import PURCHASE, REFUND, Done


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


# A person counts once, by the first decision that put them on a side, and is who they are today: what was decided of
# a record counts for the person that the record belongs to now.
_EXPOSED = """
exposed AS (
    SELECT DISTINCT ON (person) person, decision.outcome AS arm, campaign_version AS version, channel, decided_at AS at
    FROM (
        SELECT coalesce(nullif(customer.person_id, ''), decision.customer_id) AS person, decision.*
        FROM decision LEFT JOIN customer USING (customer_id)
        WHERE campaign_id = $1 AND outcome IN ('contact', 'holdout') AND decided_at < $2
    ) AS decision
    ORDER BY person, decided_at, decision_id
)
"""

# Each record of an exposed person; somebody of whom no copy is known is their own record.
_RECORDS = """
record AS (
    SELECT exposed.person, customer.customer_id FROM exposed JOIN customer ON customer.person_id = exposed.person
    UNION SELECT person, person FROM exposed
)
"""


async def exposures(connection: Connection, campaign_id: str, until: datetime) -> list[Row]:
    """How many people were put on which side by which version."""
    return await connection.fetch(
        f"WITH {_EXPOSED} SELECT version, arm, count(*) FROM exposed GROUP BY version, arm ORDER BY version, arm",
        campaign_id,
        until,
    )


async def totals(
    connection: Connection,
    campaign_id: str,
    until: datetime,
    goal: str,
    window: timedelta,
    currency: str,
    margin_share: float,
) -> list[Row]:
    """For each side the customers, how many reached which goal, and the sums and sums of squares of money.

    Money of other currencies is left out and counted in `foreign_count`. What has no margin of its own leaves
    `margin_share` of its amount.
    """
    return await connection.fetch(
        f"""
        WITH {_EXPOSED}, {_RECORDS}, did AS (
            SELECT exposed.person, exposed.arm,
                   bool_or(done.type = $3) AS reached,
                   bool_or(done.type = 'visit' OR done.type = '{PURCHASE}') AS visited,
                   bool_or(done.type = '{PURCHASE}') AS bought,
                   bool_or(done.type = 'call_inbound') AS called,
                   bool_or(done.type = 'coupon.redeemed') AS redeemed,
                   coalesce(sum(amount) FILTER (WHERE currency = $5), 0)::float8 AS spend,
                   coalesce(sum(margin + unmargined * $6) FILTER (WHERE currency = $5), 0)::float8 AS margin,
                   count(*) FILTER (WHERE done.type IN ('{PURCHASE}', '{REFUND}') AND currency <> $5) AS foreign_count
            FROM exposed JOIN record USING (person)
            LEFT JOIN done ON done.customer_id = record.customer_id
                 AND done.at > exposed.at AND done.at <= exposed.at + $4 AND done.at < $2
            GROUP BY exposed.person, exposed.arm
        )
        SELECT arm, count(*) AS people,
               count(*) FILTER (WHERE reached) AS goal, count(*) FILTER (WHERE visited) AS visit,
               count(*) FILTER (WHERE bought) AS purchase, count(*) FILTER (WHERE called) AS call,
               count(*) FILTER (WHERE redeemed) AS redemption,
               sum(spend) AS spend, sum(spend * spend) AS spend_squares,
               sum(margin) AS margin, sum(margin * margin) AS margin_squares,
               sum(foreign_count)::bigint AS foreign_count
        FROM did GROUP BY arm
        """,
        campaign_id,
        until,
        goal,
        window,
        currency,
        margin_share,
    )


async def attributed(
    connection: Connection,
    campaign_id: str,
    until: datetime,
    goal: str,
    windows: Mapping[str, timedelta],
    currency: str,
) -> Row:
    """What followed contacts of the campaign: each deed goes back to one contact, the newest before it whose window is
    open, of whichever campaign. `windows` are those of the campaigns that take part; others claim nothing.
    """
    found = await connection.fetchrow(
        f"""
        WITH {_EXPOSED}, {_RECORDS},
        taking_part AS (SELECT * FROM unnest($4::text[], $5::interval[]) AS part (campaign_id, span)),
        reached AS (
            SELECT record.person, done.amount, done.currency FROM record JOIN done USING (customer_id)
            CROSS JOIN LATERAL (
                SELECT decision.campaign_id
                FROM record AS own JOIN decision USING (customer_id) JOIN taking_part USING (campaign_id)
                WHERE own.person = record.person AND decision.outcome = 'contact'
                      AND decision.decided_at < done.at AND done.at <= decision.decided_at + taking_part.span
                ORDER BY decision.decided_at DESC, decision.decision_id DESC LIMIT 1
            ) AS touch
            WHERE done.type = $3 AND done.at < $2 AND touch.campaign_id = $1
        )
        SELECT count(*) AS responses, count(DISTINCT person) AS people,
               coalesce(sum(amount) FILTER (WHERE currency = $6), 0)::float8 AS amount
        FROM reached
        """,
        campaign_id,
        until,
        goal,
        list(windows),
        list(windows.values()),
        currency,
    )
    assert found is not None
    return found


async def costs(connection: Connection, campaign_id: str, until: datetime) -> tuple[Row, list[Row]]:
    """What was to be spent on contacts, and how many contacts came to what."""
    planned = await connection.fetchrow(
        "SELECT count(*), coalesce(sum(cost::numeric), 0) AS cost FROM decision"
        " WHERE campaign_id = $1 AND outcome = 'contact' AND decided_at < $2",
        campaign_id,
        until,
    )
    assert planned is not None
    states = await connection.fetch(
        "SELECT state, count(*) FROM contact WHERE campaign_id = $1 AND reserved_at < $2 GROUP BY state",
        campaign_id,
        until,
    )
    return planned, states


async def main_currency(connection: Connection, campaign_id: str, until: datetime, window: timedelta) -> str | None:
    """The currency in which the people of the campaign bought most often."""
    found = await connection.fetchrow(
        f"""
        WITH {_EXPOSED}, {_RECORDS}
        SELECT done.currency FROM exposed JOIN record USING (person) JOIN done USING (customer_id)
        WHERE done.currency <> '' AND done.at > exposed.at AND done.at <= exposed.at + $3
        GROUP BY done.currency ORDER BY count(*) DESC, done.currency LIMIT 1
        """,
        campaign_id,
        until,
        window,
    )
    return None if found is None else str(found["currency"])
