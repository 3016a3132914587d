"""What do people write down about a customer: notes, restrictions, relations, and which address is wrong?"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import Field, model_validator

from libs.common import clock
from libs.common.errors import NotFound
from libs.common.web import Document, IdempotencyKey, IfMatch, etag
from services.profile.api.desk import Desk, Editor, Reader
from services.profile.person.notes import NOTE_LENGTH_MAX

Channel = Literal["email", "sms", "push", "webhook", "call"]
Purpose = Literal["marketing", "service", "transactional"]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Where = Annotated[Literal["all", "email", "sms", "push", "webhook", "call"], Path()]


class Note(Document):
    note: Annotated[str, Field(min_length=1, max_length=NOTE_LENGTH_MAX)]


class Restriction(Document):
    """`until` is its last day; without one it holds until it is lifted."""

    purpose: Purpose | None = None
    reason: Annotated[str, Field(max_length=200)] = ""
    until: date | None = None


class Party(Document):
    """The other one: one of our customers, an identifier of theirs such as `loyalty_card:8801`, or just a name."""

    customer_id: UUID | None = None
    identifier: Text | None = None
    name: Text | None = None

    @model_validator(mode="after")
    def _is_somebody(self) -> Party:
        if self.customer_id is None and self.identifier is None and self.name is None:
            raise ValueError("name a customer_id, an identifier or a name")
        return self


class Relation(Document):
    """`role` is what the other one is to the customer: spouse, child, parent, employer, referrer …"""

    role: Annotated[str, Field(min_length=1, max_length=50)]
    other_party: Party
    since: date | None = None
    born_on: date | None = None
    household: bool | None = None


class Verdict(Document):
    """`address` where it is not the one that stands in the profile."""

    point: Literal["email", "phone", "push", "webhook", "post"]
    verdict: Literal["verified", "wrong"]
    address: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    reason: Annotated[str, Field(max_length=200)] = ""


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()
    _add_notes(router, desk)
    _add_restrictions(router, desk)
    _add_relations(router, desk)
    _add_verdicts(router, desk)
    return router


def _add_notes(router: APIRouter, desk: Desk) -> None:
    @router.get("/customers/{customer_id}/notes")
    async def list_notes(customer_id: UUID, who: Reader) -> dict[str, Any]:
        """The newest notes; what was taken back is listed without its text. Older ones stand in the timeline."""
        del who
        async with desk.database.connection() as connection:
            found = await desk.shown(connection, customer_id)
        return {"items": found.get("notes") or [], "next": None}

    @router.post("/customers/{customer_id}/notes", status_code=201)
    async def add_note(
        customer_id: UUID, document: Note, who: Editor, response: Response, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        """The note as it stands now. A repeat with the same Idempotency-Key adds nothing and answers with the first."""
        command_id = str(clock.derived_id("note", who.subject, customer_id, idempotency_key or clock.new_id()))
        async with desk.database.connection() as connection:
            await desk.records(connection, customer_id)
        version = await desk.commands.give(
            str(customer_id), "add_note", {"note": document.note}, who.subject, command_id=command_id
        )
        response.headers["ETag"] = etag(version)
        return await _note(desk, customer_id, command_id)

    @router.delete("/customers/{customer_id}/notes/{note_id}")
    async def retract_note(customer_id: UUID, note_id: str, who: Editor) -> dict[str, Any]:
        """Take a note back: that it was there, and who took it back, stays to be seen; the text does not."""
        await _note(desk, customer_id, note_id)
        await desk.ordered(customer_id, "retract_note", {"note_id": note_id}, who)
        return await _note(desk, customer_id, note_id)


async def _note(desk: Desk, customer_id: UUID, note_id: str) -> dict[str, Any]:
    async with desk.database.connection() as connection:
        found = await desk.shown(connection, customer_id)
    note = next((each for each in found.get("notes") or [] if each["note_id"] == note_id), None)
    if note is None:
        raise NotFound(f"There is no note {note_id[:100]!r} among the newest of customer {customer_id}.")
    shown: dict[str, Any] = note
    return shown


def _add_restrictions(router: APIRouter, desk: Desk) -> None:
    @router.put("/customers/{customer_id}/restrictions/{channel}")
    async def set_restriction(
        customer_id: UUID,
        channel: Where,
        document: Restriction,
        who: Editor,
        response: Response,
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """The customer is not contacted by this channel (`all`: by none), whatever they agreed to."""
        body = _where(channel) | document.model_dump(mode="json", exclude_none=True)
        found, response.headers["ETag"] = await desk.ordered(customer_id, "set_restriction", body, who, if_match)
        return found

    @router.delete("/customers/{customer_id}/restrictions/{channel}")
    async def lift_restriction(
        customer_id: UUID, channel: Where, who: Editor, response: Response, purpose: Purpose | None = None
    ) -> dict[str, Any]:
        """Lift exactly the restriction that was set for this channel (`all`) and purpose."""
        wanted = (None if channel == "all" else channel, purpose)
        async with desk.database.connection() as connection:
            known = await desk.shown(connection, customer_id)
        if wanted not in {(each["channel"], each["purpose"]) for each in known.get("restrictions") or []}:
            what = f" for {purpose} messages" if purpose else ""
            raise NotFound(f"Customer {customer_id} has no restriction of {channel}{what}.")
        body = _where(channel) | ({"purpose": purpose} if purpose else {})
        found, response.headers["ETag"] = await desk.ordered(customer_id, "lift_restriction", body, who)
        return found


def _where(channel: str) -> dict[str, Any]:
    return {} if channel == "all" else {"channel": channel}


def _add_relations(router: APIRouter, desk: Desk) -> None:
    @router.post("/customers/{customer_id}/relations", status_code=201)
    async def add_relation(
        customer_id: UUID, document: Relation, who: Editor, response: Response, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """The customer with the relation; the same role and party again is the same relation."""
        body = document.model_dump(mode="json", exclude_none=True)
        found, response.headers["ETag"] = await desk.ordered(customer_id, "add_relation", body, who, if_match)
        return found

    @router.delete("/customers/{customer_id}/relations/{relation}")
    async def end_relation(
        customer_id: UUID, relation: str, who: Editor, response: Response, until: date | None = None
    ) -> dict[str, Any]:
        """The relation is over, since `until` where that is known."""
        async with desk.database.connection() as connection:
            known = await desk.shown(connection, customer_id)
        if relation not in {each["relation"] for each in (known.get("relations") or {}).get("relations", [])}:
            raise NotFound(f"Customer {customer_id} has no relation {relation[:100]!r}.")
        body = {"relation": relation} | ({"until": until.isoformat()} if until is not None else {})
        found, response.headers["ETag"] = await desk.ordered(customer_id, "end_relation", body, who)
        return found


def _add_verdicts(router: APIRouter, desk: Desk) -> None:
    @router.post("/customers/{customer_id}/addresses")
    async def judge_address(customer_id: UUID, document: Verdict, who: Editor, response: Response) -> dict[str, Any]:
        """Somebody made sure that an address is right, or found that it is wrong."""
        kind = "verify_address" if document.verdict == "verified" else "report_wrong_address"
        body = document.model_dump(mode="json", exclude={"verdict"}, exclude_none=True)
        found, response.headers["ETag"] = await desk.ordered(customer_id, kind, body, who)
        return found
