"""How content is a customer, by what they answered? Scores are brought to a scale of ten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, keep_newest, newest_of, number_of, text_of
from services.profile.person.occurrence import Occurrence

ANSWERS_MAX: Final = 10
SCALE: Final = 10
SCORE_MAX: Final = 1_000_000
PROMOTER_FROM, PASSIVE_FROM = 9, 7
"""Whoever gives less is a detractor, by the usual reading of the net promoter score."""


class Answer(Statement, array_like=True, order=True, frozen=True, gc=False):
    """A score in thousandths, for sums of fractions would depend on the order."""

    event_id: str
    survey: str = ""
    score: int = 0


class Surveys(Struct, array_like=True, gc=False):
    """`latest` are answers with a score, by event; `count` counts those without one too."""

    count: int = 0
    scored: int = 0
    total: int = 0
    latest: dict[str, Answer] = {}


def _answered(held: Surveys, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    held.count += 1
    score = _score(event)
    if score is not None:
        held.scored += 1
        held.total += score
        answer = Answer(event.at_ms, event.id, text_of(event.data.get("survey"), 100), score)
        keep_newest(held.latest, event.id, answer, ANSWERS_MAX)
    return True


def _score(event: Occurrence) -> int | None:
    score, highest = number_of(event.data.get("score")), number_of(event.data.get("scale_max"))
    if score is None or abs(score) > SCORE_MAX:
        return None
    scale = SCALE if highest is None or not 1 <= highest <= 1000 else highest
    return round(score * 1000 * SCALE / scale)


def _held(records: Records) -> list[Surveys]:
    return [each.surveys for each in records if each.surveys is not None]


def _latest(held: Sequence[Surveys]) -> list[Answer]:
    return sorted(newest_of(each.latest for each in held).values(), reverse=True)


def class_of(thousandths: int) -> str | None:
    """Promoter, passive or detractor; None for what is no answer on a scale of ten."""
    if not 0 <= thousandths <= SCALE * 1000:
        return None
    if thousandths >= PROMOTER_FROM * 1000:
        return "promoter"
    return "passive" if thousandths >= PASSIVE_FROM * 1000 else "detractor"


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    if len(records) == 1 and records[0].surveys is None:
        return {}
    held = _held(records)
    if not held:
        return {}
    seen: dict[str, Any] = {"survey_count": sum(each.count for each in held)}
    latest = _latest(held)
    if latest:
        total, scored = sum(each.total for each in held), sum(each.scored for each in held)
        seen["survey_score_last"] = latest[0].score / 1000
        seen["survey_score_average"] = round(total / scored / 1000, 2)
        if (found := class_of(latest[0].score)) is not None:
            seen["nps_class"] = found
    return seen


def _shown(records: Records, at: Moment) -> list[dict[str, Any]] | None:
    del at
    return [
        {"survey": each.survey, "score": each.score / 1000, "answered_at": from_ms(each.at_ms)}
        for each in _latest(_held(records))[:ANSWERS_MAX]
    ] or None


_FIELDS: Final = frozenset({"survey_count", "survey_score_last", "survey_score_average", "nps_class"})

SURVEYS = Chapter(
    "surveys",
    reads=("surveys",),
    keeps="surveys",
    state=Surveys,
    effects={"survey.answered": _answered},
    fields=_fields,
    shown=_shown,
    reserved=_FIELDS.__contains__,
)
